"""Where in a motion library environments begin, and begin again: oftener where the policy has failed.

BeyondMimic's adaptive sampling (Liao et al. 2025, arXiv:2508.08241; whole_body_tracking's `MotionCommand`) over many
clips. A clip is cut into equal bins of at most a second. A failure counts in the bin it happens in; the counts are
smoothed over time, and over bins by a non-causal kernel, so that what comes shortly before a failure is practised too.
With it every bin has a uniform share. The bins of all clips stand in one distribution, so that it settles how often a
clip is drawn, too; the kernel ends with its clip. For one clip the distribution is mjlab 1.6.0's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.tasks.motion_library import MotionFrames, MotionLibrary

Mode: TypeAlias = Literal["adaptive", "uniform", "start"]


@dataclass
class SamplingConfig:
    """How starts are drawn. The defaults are BeyondMimic's and mjlab's, as are the names behind `adaptive_`."""

    mode: Mode = "adaptive"
    """By failures; all frames alike; or a clip's first frame, all clips alike."""
    kernel_size: int = 1
    """Bins that a failure makes likelier: its own and those before; 1 is no smoothing."""
    kernel_decay: float = 0.8
    """Weight of a bin in the kernel, as a share of the next one's (adaptive_lambda)."""
    uniform_ratio: float = 0.1
    """What all bins together have besides failures; in failures a step."""
    alpha: float = 0.001
    """Share of the newest step in the smoothed counts of failures."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(Mode):
            raise UserError(f"sampling: mode must be one of {', '.join(get_args(Mode))}, it is '{self.mode}'")
        if self.kernel_size < 1 or not 0 < self.kernel_decay <= 1:
            raise UserError(
                f"sampling: kernel_size must be at least 1 and kernel_decay in (0, 1], "
                f"they are {self.kernel_size} and {self.kernel_decay:g}"
            )
        if not (math.isfinite(self.uniform_ratio) and self.uniform_ratio > 0 and 0 <= self.alpha <= 1):
            raise UserError(
                f"sampling: uniform_ratio must be positive and alpha in [0, 1], "
                f"they are {self.uniform_ratio:g} and {self.alpha:g}"
            )


class StartSampler:
    """Draws clips and frames to start at.

    Args:
        library: what is drawn from; its tensors' device is the sampler's.
        config: how.

    Attributes:
        bins: (C,) number of bins of each clip.
        clip: (B,) the clip of each bin.
        failed: (B,) failures a step, smoothed.
    """

    def __init__(self, library: MotionLibrary, config: SamplingConfig | None = None) -> None:
        self.config = config or SamplingConfig()
        self.length = library.length
        self.bins = (self.length / library.fps).long() + 1
        self.clip = torch.arange(len(library), device=self.length.device).repeat_interleave(self.bins)
        self.failed = torch.zeros(len(self.clip), device=self.length.device)
        self._failed_now = torch.zeros_like(self.failed)
        self._first = self.bins.cumsum(0) - self.bins
        kernel = self.config.kernel_decay ** torch.arange(self.config.kernel_size, device=self.length.device)
        self._kernel = kernel / kernel.sum()
        bins, last = torch.arange(len(self.clip), device=self.length.device), (self._first + self.bins - 1)[self.clip]
        # (K, B) each bin and those after it, as far as its clip goes
        self._ahead = torch.stack([torch.minimum(bins + step, last) for step in range(self.config.kernel_size)])

    def bin_of(self, clip: Tensor, frame: Tensor) -> Tensor:
        """The bin of each frame, counted over all clips."""
        within = torch.minimum(frame * self.bins[clip] // self.length[clip], self.bins[clip] - 1)
        return self._first[clip] + within

    def count_failures(self, clip: Tensor, frame: Tensor) -> None:
        """Episodes that failed in this step, at frames of clips. All count; of several calls mjlab keeps the last."""
        bins = self.bin_of(clip, frame)
        self._failed_now.index_add_(0, bins, torch.ones_like(bins, dtype=self.failed.dtype))

    def step(self) -> None:
        """Smooth the counts over time, once a step."""
        self.failed.lerp_(self._failed_now, self.config.alpha)
        self._failed_now.zero_()

    def probabilities(self) -> Tensor:
        """(B,) how likely a start in each bin is; they sum to one."""
        if self.config.mode == "adaptive":
            weights = self.failed + self.config.uniform_ratio / len(self.failed)
            weights = (self._kernel[:, None] * weights[self._ahead]).sum(0)
        elif self.config.mode == "uniform":
            weights = ((self.length - 1) / self.bins)[self.clip]
        else:
            weights = torch.zeros_like(self.failed).index_fill_(0, self._first, 1.0)
        return weights / weights.sum()

    def clip_probabilities(self) -> Tensor:
        """(C,) how likely a start in each clip is."""
        return torch.zeros(len(self.bins), device=self.failed.device).index_add_(0, self.clip, self.probabilities())

    def sample(self, count: int) -> tuple[Tensor, Tensor]:
        """(count,) clips and frames to start at, never a clip's last frame. Draws from torch's global generator."""
        bins = torch.multinomial(self.probabilities(), count, replacement=True)
        clip = self.clip[bins]
        if self.config.mode == "start":
            return clip, torch.zeros_like(clip)
        within = (bins - self._first[clip] + torch.rand(count, device=bins.device)) / self.bins[clip]
        # rounding may reach the last frame
        return clip, torch.minimum((within * (self.length[clip] - 1)).long(), self.length[clip] - 2)

    def statistics(self) -> dict[str, Tensor]:
        """mjlab's metrics: entropy of the distribution as a share of the largest, probability of the likeliest bin.

        Each is a tensor of one value, for which a GPU is not waited.
        """
        probabilities = self.probabilities()
        entropy = torch.special.entr(probabilities).sum()
        largest = math.log(len(probabilities))
        return {
            "sampling_entropy": entropy / largest if largest else torch.ones_like(entropy),
            "sampling_top1_prob": probabilities.max(),
        }


class MotionCursor:
    """Where in the library each environment is; what the command terms of all simulators have in common.

    An environment that has come to its clip's end goes on elsewhere in the library, and its episode with it. However an
    environment begins, its robot is put on a frame, and the next is to be reached by the next step.

    Attributes:
        clip, frame: (N,) int64, one of each for an environment; when a step begins the frame to be reached by it.
    """

    def __init__(self, library: MotionLibrary, num_envs: int, config: SamplingConfig | None = None) -> None:
        self.library = library
        self.sampler = StartSampler(library, config)
        self.clip = torch.zeros(num_envs, dtype=torch.long, device=library.length.device)
        self.frame = torch.zeros_like(self.clip)

    def restart(self, env_ids: Tensor, failed: Tensor | None = None) -> None:
        """Draw where environments go on.

        Args:
            env_ids: (n,) which.
            failed: (n,) whether the episode ended by a failure, which counts at the frame where it did.
        """
        if len(env_ids) == 0:
            return
        if failed is not None:
            fallen = env_ids[failed]
            self.sampler.count_failures(self.clip[fallen], self.frame[fallen])
        self.clip[env_ids], self.frame[env_ids] = self.sampler.sample(len(env_ids))

    def advance(self, going: Tensor | None = None) -> Tensor:
        """A step on.

        Args:
            going: (N,) bool, which environments; by default all.

        Returns:
            Those that had come to an end and were put elsewhere, which is no failure; robots must be put there, and
            their `frame` goes on to the next.
        """
        self.frame += 1 if going is None else going.long()
        ended = (self.frame >= self.library.length[self.clip]).nonzero()[:, 0]
        self.restart(ended)
        self.sampler.step()
        return ended

    def now(self) -> MotionFrames:
        """The motion where each environment is: (N, ...)."""
        return self.library.at(self.clip, self.frame)

    def ahead(self, steps: Tensor) -> Tensor:
        """(N, H) where in the library's frames those so many (H,) after that are; after a clip's end its last."""
        return self.library.index(self.clip[:, None], self.frame[:, None] + steps)
