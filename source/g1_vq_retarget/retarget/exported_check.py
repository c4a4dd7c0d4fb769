"""Do a tokenizer's files do what the model does that they were made of?

Where codes go from step to step, a near tie that rounding decides otherwise changes all that is coded after it, to
something as good. So each step's tokens are held against those that the model gives after the same past; and those that
the model gives, too, when its latents are off by rounding, are told apart from those that it does not give at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.models.predictive import PredictiveResidual
from g1_vq_retarget.motion import HumanClip, RobotClip, resample
from g1_vq_retarget.retarget.exported import BACKENDS, Backend, ExportedTokenizer, Runner, file_of
from g1_vq_retarget.retarget.graphs import Part
from g1_vq_retarget.training.checkpoint import Checkpoint

# What counts as the same: the share of tokens, and the largest difference of motion (rad, m, m/s, rad/s).
SAME_TOKENS, SAME_MOTION = 0.9999, 1e-4
# What exports are tried at: rows, whole steps, frames beyond them. One near tie of so few is more than the above.
_TRIED = ((1, 0, 1), (1, 6, 1), (2, 21, 0))
_SAME_OF_FEW = 0.9
# By how much of their size latents are off when computed elsewhere: by 1e-6, which adds up in what is asked for again
# (see `models/way.py`). So many tries find most of what that leads to.
ROUNDING, _DISTURBED, _MOST_TIES = 1e-5, 256, 100
# Steps of a clip that are searched at once.
_AT_ONCE = 128
_OF_HUMAN: tuple[Part, ...] = ("human_encoder", "decoder", "retarget", "step")
_OF_ROBOT: tuple[Part, ...] = ("robot_encoder", "decoder")


@dataclass
class Agreement:
    """How far a file agrees with the model.

    Attributes:
        part, backend: which file.
        steps: that it coded or decoded.
        tokens, same: tokens that it gave, and how many of them the model gives after the same past.
        tied: how many more the model gives with latents that are off by `ROUNDING`.
        ties: steps with such.
        motion: largest difference from what the model decodes of the same tokens (rad, m, m/s, rad/s).
    """

    part: Part
    backend: Backend
    steps: int = 0
    tokens: int = 0
    same: int = 0
    tied: int = 0
    ties: int = 0
    motion: float = 0.0

    @property
    def share(self) -> float:
        """Of the tokens that are the same."""
        return self.same / self.tokens if self.tokens else 1.0

    def add_tokens(self, same: Tensor, tied: Tensor) -> None:
        """Count tokens (B, T, L) that are the same, and steps (B, T) where others are a matter of rounding."""
        self.tokens += same.numel()
        self.same += int(same.sum())
        self.tied += int((~same & tied[..., None]).sum())
        self.ties += int(tied.sum())

    def holds(self, least: float = SAME_TOKENS) -> bool:
        """Whether so many tokens are the same, near ties aside, and motion is."""
        # of a motion that is no number nothing holds
        return self.same + self.tied >= least * self.tokens and self.motion <= SAME_MOTION


def verify(
    checkpoint: Checkpoint, exported: ExportedTokenizer, clips: Sequence[HumanClip | RobotClip]
) -> list[Agreement]:
    """How far each file agrees with the model over clips; human motion goes through the parts for it, a robot's too.

    Raises:
        UserError: the files are another model's, or damaged; no part that the clips could go through; a clip that the
            model itself makes no motion of.
    """
    told = exported.card["weights_sha256"]
    if told != checkpoint.info["weights_sha256"]:
        raise UserError(f"{exported.path}: was made of other weights than {checkpoint.path}; name the ones it was")
    spec, comparison = checkpoint.spec, _Comparison(checkpoint, exported)
    for clip in clips:
        if human := isinstance(clip, HumanClip):
            features = spec.human_features(resample(clip, spec.fps))
        else:
            features = spec.robot_features(resample(clip, spec.fps))
        comparison.add(torch.as_tensor(features[None], dtype=torch.float32), human, clip.name)
    found = [agreement for agreement in comparison.found if agreement.steps]
    if not found:
        raise UserError(f"{exported.path}: has no part for the clips; it has {', '.join(exported.parts)}")
    return found


def try_lengths(checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
    """Run all files on noise of three lengths, with one row and with two.

    Raises:
        UserError: one that does not do what the model does.
    """
    spec, step = checkpoint.spec, checkpoint.model.downsample
    comparison = _Comparison(checkpoint, exported)
    noise = torch.Generator().manual_seed(0)
    for rows, steps, frames in _TRIED:
        for human, columns in ((True, len(spec.human_mean)), (False, len(spec.robot_mean))):
            if columns and (not human or checkpoint.info["human_windows"]):
                features = torch.randn(rows, steps * step + frames, columns, generator=noise)
                comparison.add(features, human, "noise")
    check(comparison.found, exported, _SAME_OF_FEW)


def check(found: Sequence[Agreement], exported: ExportedTokenizer, least: float = SAME_TOKENS) -> None:
    """Raise a UserError that names a file that does not agree, if there is one."""
    for one in found:
        if not one.holds(least):
            raise UserError(
                f"{exported.path / file_of(one.part, one.backend)}: {100 * one.share:.3f} % of its tokens are the "
                f"model's ({one.ties} steps are near ties), motion is {one.motion:.1e} off; expected {100 * least:g} % "
                f"and {SAME_MOTION:g}; export it again, with the versions of torch, onnx and onnxruntime that "
                "constraints.txt names"
            )


def table(found: Sequence[Agreement]) -> str:
    """A line a file."""
    lines = [f"{'part':14} {'file':11} {'steps':>7} {'tokens the same':>15} {'near ties':>9} {'motion off':>10}"]
    for one in found:
        tokens = f"{100 * one.share:.4f} %" if one.part != "decoder" else "-"
        motion = f"{one.motion:.1e}" if one.part in ("decoder", "retarget", "step") else "-"
        lines.append(f"{one.part:14} {one.backend:11} {one.steps:7} {tokens:>15} {one.ties:9} {motion:>10}")
    return "\n".join(lines)


class _Comparison:
    """Files beside the model, clip after clip."""

    def __init__(self, checkpoint: Checkpoint, exported: ExportedTokenizer) -> None:
        self.truth = _Truth(checkpoint, exported.card["levels"])
        self.exported = exported
        self.found = [Agreement(part, backend) for part in exported.parts for backend in BACKENDS]
        self.runners = [exported.load(one.part, one.backend) for one in self.found]

    @torch.inference_mode()
    def add(self, features: Tensor, human: bool, name: str) -> None:
        """Go through all parts that take such features (B, T, D or H), normalised; `name` says whose."""
        truth, takes = self.truth, _OF_HUMAN if human else _OF_ROBOT
        latent = truth.latent(features, human)
        # what files gave, and the model after the same past; they mostly agree
        known: list[tuple[Tensor, Tensor, Tensor]] = []
        for one, run in zip(self.found, self.runners, strict=True):
            steps = features.shape[1] // truth.model.downsample if one.part == "step" else latent.shape[1]
            if one.part not in takes or not steps:
                continue
            if one.part == "decoder":
                given = known[0][0] if known else truth.model.quantize(latent, truth.levels).tokens
                tokens, motion = given, run(given.numpy())[0]
            else:
                tokens, motion = self._coded(one.part, run, features, human)
            self._check_shape(one, "tokens", tokens.shape, (len(features), steps, truth.levels))
            one.steps += tokens.shape[0] * tokens.shape[1]
            if one.part != "decoder":
                held = next((held for given, *held in known if torch.equal(given, tokens)), None)
                if held is None:
                    held = truth.coded(latent[:, :steps], tokens)
                    if one.part != "step":
                        known.append((tokens, *held))
                expected, tied = held
                one.add_tokens(tokens == expected, tied)
            if motion is not None:
                frames = features.shape[1] if one.part == "retarget" else steps * truth.model.downsample
                decoded = truth.motion(tokens, frames)
                if not np.isfinite(decoded).all():
                    raise UserError(f"{name}: the model itself decodes no motion of its tokens; leave it out")
                self._check_shape(one, "motion", motion.shape, decoded.shape)
                one.motion = float(np.maximum(one.motion, np.abs(motion - decoded).max()))  # keeps what is no number

    def _coded(self, part: Part, run: Runner, features: Tensor, human: bool) -> tuple[Tensor, np.ndarray | None]:
        """Tokens (B, T, L) of features, and motion (B, frames, D) where the part gives any."""
        raw, motion = self.truth.raw(features, human), None
        if part == "step":
            tokens, motion = self._step_by_step(run, features)
        elif part == "retarget":
            motion, tokens = run(raw)
        else:
            (tokens,) = run(raw)
        return torch.from_numpy(tokens), motion

    def _step_by_step(self, run: Runner, features: Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Tokens (B, T, L) and motion (B, frames, D) of all whole steps."""
        length = self.truth.model.downsample
        raw = self.truth.raw(self.truth.model.known(features), human=True)
        ports = self.exported.card["parts"]["step"]["inputs"][1:]
        state = [np.zeros((len(raw), *port["shape"][1:]), port["dtype"]) for port in ports]
        motions, tokens = [], []
        for begin in range(0, raw.shape[1] - length + 1, length):
            motion, chosen, *state = run(raw[:, begin : begin + length], *state)
            motions.append(motion)
            tokens.append(chosen)
        return np.stack(tokens, 1), np.concatenate(motions, 1)

    def _check_shape(self, one: Agreement, what: str, shape: Sequence[int], expected: Sequence[int]) -> None:
        if tuple(shape) != tuple(expected):
            raise UserError(
                f"{self.exported.path / file_of(one.part, one.backend)}: gives {what} of {tuple(shape)} where the "
                f"model's are {tuple(expected)}"
            )


class _Truth:
    """What the model gives."""

    def __init__(self, checkpoint: Checkpoint, levels: int) -> None:
        self.model, self.spec, self.levels = checkpoint.model, checkpoint.spec, levels

    def latent(self, features: Tensor, human: bool) -> Tensor:
        """Latents (B, T, C) of normalised features."""
        encode = self.model.human_latent if human else self.model.robot_latent
        return encode(self.model.fill(features))

    def coded(self, latent: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, L) of latents (B, T, C), and where (B, T) rounding may have had others `chosen` (B, T, L).

        What goes from step to step is what `chosen` makes of it.
        """
        rows, states = latent.flatten(0, 1), self._states(latent, chosen)
        pieces = zip(*(one.split(_AT_ONCE) for one in (rows, *states)), strict=True)
        tokens = torch.cat([self._next(one, state) for one, *state in pieces])
        others = (tokens != chosen.flatten(0, 1)).any(-1)
        tied = torch.zeros_like(others)
        noise = torch.Generator().manual_seed(0)
        # many are no matter of rounding, and would take long
        for at in others.nonzero()[:_MOST_TIES, 0]:
            disturbed = torch.randn(_DISTURBED, rows.shape[1], generator=noise) * ROUNDING * rows.square().mean().sqrt()
            given = self._next(rows[at] + disturbed, [one[at].expand(_DISTURBED, *one.shape[1:]) for one in states])
            tied[at] = (given == chosen.flatten(0, 1)[at]).all(-1).any()
        return tokens.view_as(chosen), tied.view(chosen.shape[:2])

    def _next(self, latent: Tensor, state: Sequence[Tensor]) -> Tensor:
        """Tokens (N, L) of latents (N, C)."""
        return self.model.quantizer.encode_next(latent, tuple(state), self.levels, self.model.feedback())[1]

    def _states(self, latent: Tensor, chosen: Tensor) -> list[Tensor]:
        """What `encode_next` is to know of the past of each step, (B T, …)."""
        quantizer = self.model.quantizer
        if not isinstance(quantizer, PredictiveResidual):
            return []
        memory, missed = quantizer.begin(len(latent))
        states = []
        for wanted, told in zip(latent.unbind(1), quantizer.told(chosen).unbind(1), strict=True):
            states.append((memory, missed))
            code, memory = quantizer.decode_step(told, memory, self.levels)
            missed = missed + wanted - code
        return [torch.stack(of_steps, 1).flatten(0, 1) for of_steps in zip(*states, strict=True)]

    def motion(self, tokens: Tensor, frames: int) -> np.ndarray:
        """(B, frames, D) robot features in their own units."""
        return self.model.decode(tokens, frames).double().numpy() * self.spec.robot_std + self.spec.robot_mean

    def raw(self, features: Tensor, human: bool) -> np.ndarray:
        """Normalised features in their own units, as files take them."""
        spec = self.spec
        mean, std = (spec.human_mean, spec.human_std) if human else (spec.robot_mean, spec.robot_std)
        return (features.double().numpy() * std + mean).astype(np.float32)
