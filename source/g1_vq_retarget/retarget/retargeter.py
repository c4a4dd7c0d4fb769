"""Human or robot motion in, robot motion out, by way of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from g1_vq_retarget.data.features import RootStart
from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip, Provenance, RobotClip, resample
from g1_vq_retarget.motion.projection import Projected, project_clip
from g1_vq_retarget.retarget.tokens import MotionTokens
from g1_vq_retarget.robot import index_by_name
from g1_vq_retarget.training.checkpoint import load_checkpoint

# Clips whose steps are searched together; more are no faster on a CPU.
AT_ONCE = 32


class Held(NamedTuple):
    """What was held at joint limits: the share of all joint values, and the largest excess in rad."""

    share: float
    largest: float


class Retargeted(NamedTuple):
    """A decoded motion, its tokens, and what had to be held at limits."""

    motion: RobotClip
    tokens: MotionTokens
    held: Held


class Retargeter:
    """A trained model, ready for motions of any length and rate.

        retargeter = Retargeter("runs/first")
        result = retargeter.retarget(load_motion("dance.bvh"))
        save_motion(result.motion, "dance.npz", "npz")

    Args:
        checkpoint: a run folder (its best checkpoint) or a .safetensors file.
        device: where the network runs.

    Attributes:
        robot: link table of the robot; None for joints of which there is none, which then have no limits.

    Raises:
        UserError: no usable checkpoint there.
    """

    def __init__(self, checkpoint: str | Path, device: str = "cpu") -> None:
        self.checkpoint = load_checkpoint(Path(checkpoint))
        self.device = device
        self.spec = self.checkpoint.spec
        self.model = self.checkpoint.model.to(device)
        self.robot = self.spec.robot_model()

    @property
    def _height(self) -> float:
        """Height of the root, m, where the model codes none."""
        return RootStart.height if self.robot is None else self.robot.default_root_height

    @property
    def bits_per_second(self) -> float:
        """Nominal rate of the tokens."""
        return self.model.bits_per_second(self.spec.fps)

    def retarget(self, clip: HumanClip | RobotClip, fps: float | None = None, levels: int | None = None) -> Retargeted:
        """Encode and decode: exactly `decode(encode(clip, levels), fps)`."""
        tokens = self.encode(clip, levels)
        motion, held = self.decode(tokens, fps)
        return Retargeted(motion, tokens, held)

    def retarget_all(self, clips: Sequence[HumanClip | RobotClip], levels: int | None = None) -> list[Retargeted]:
        """`retarget` of each, several times as fast: steps of `AT_ONCE` clips go through the quantizer together.

        Rounding differs, which may decide between codes that are as near.
        """
        tokens = self._encode_all(clips, levels)
        decoded = self._decode_all(tokens)
        return [Retargeted(motion, read, held) for read, (motion, held) in zip(tokens, decoded, strict=True)]

    def encode(self, clip: HumanClip | RobotClip, levels: int | None = None) -> MotionTokens:
        """Tokens of a motion; the network runs over the whole clip once.

        `levels`: only so many tokens a step, for a lower rate.

        The clip is resampled by time to the model's rate. The robot starts where the human does, the place shrunk by
        the ratio of the legs, with the human's heading; a robot clip keeps its start.

        Raises:
            UserError: human motion, and the model was trained without any; or a robot that lacks a joint; or more
                levels than the model has.
        """
        return self._encode_all([clip], levels)[0]

    @torch.inference_mode()
    def _encode_all(self, clips: Sequence[HumanClip | RobotClip], levels: int | None = None) -> list[MotionTokens]:
        """`encode` of each."""
        self.checkpoint.check_levels(levels)
        read = [self._read(clip) for clip in clips]
        quantized = self._together(
            lambda latents: self.model.quantize(latents, levels).tokens, [one[1] for one in read]
        )
        return [
            self._tokens_of(clip, start, tokens.cpu().numpy(), self.model.quantizer.codebook_sizes[:levels])
            for (clip, _, start), tokens in zip(read, quantized, strict=True)
        ]

    def _read(self, clip: HumanClip | RobotClip) -> tuple[HumanClip | RobotClip, Tensor, RootStart]:
        """A clip at the model's rate, its latents (T', C), and where its robot starts."""
        if isinstance(clip, HumanClip) and not self.checkpoint.info["human_windows"]:
            raise UserError(f"{self.checkpoint.path}: was trained without human motion and cannot encode any")
        if isinstance(clip, HumanClip):
            assert self.robot is not None  # human motion is only paired with a robot whose links are known
            clip = resample(clip, self.spec.fps)
            features, encode = self.spec.human_features(clip), self.model.human_latent
            start = RootStart.after(clip, self.robot)
        else:
            clip = resample(clip, self.spec.fps)
            features, encode = self.spec.robot_features(clip), self.model.robot_latent
            start = RootStart.of(clip, self._height)
        rows = torch.as_tensor(features, dtype=torch.float32, device=self.device).unsqueeze(0)
        return clip, encode(self.model.fill(rows))[0], start

    def _tokens_of(
        self, clip: HumanClip | RobotClip, start: RootStart, tokens: np.ndarray, sizes: tuple[int, ...]
    ) -> MotionTokens:
        licences = [clip.provenance.licence, *self.checkpoint.info["licences"]]
        return MotionTokens(
            name=clip.name,
            tokens=tokens,
            codebook_sizes=sizes,
            frames=len(clip),
            fps=self.spec.fps,
            start=start,
            weights_sha256=self.checkpoint.info["weights_sha256"],
            source=clip.provenance.source,
            licence="; ".join(sorted({licence for licence in licences if licence})),
        )

    @staticmethod
    def _together(function: Callable[[Tensor], Tensor], sequences: Sequence[Tensor]) -> list[Tensor]:
        """A function of (B, T', …) that looks at nothing later, of sequences (T', …) of any lengths."""
        results: list[Tensor] = [torch.empty(0)] * len(sequences)
        # those of like lengths together: short ones are filled up
        order = sorted(range(len(sequences)), key=lambda one: len(sequences[one]))
        for begin in range(0, len(order), AT_ONCE):
            part = order[begin : begin + AT_ONCE]
            rows = function(pad_sequence([sequences[one] for one in part], batch_first=True))
            for one, row in zip(part, rows, strict=True):
                results[one] = row[: len(sequences[one])]
        return results

    def tokens_from(self, numbers: np.ndarray, name: str) -> MotionTokens:
        """Tokens of your own: integers (steps, levels) of this model's vocabulary, to start at the origin.

        Raises:
            UserError: no integers, another number of levels, or one outside its vocabulary.
        """
        sizes = self.model.quantizer.codebook_sizes
        tokens = MotionTokens(
            name=name,
            tokens=numbers,
            codebook_sizes=sizes,
            frames=len(numbers) * self.model.downsample,
            fps=self.spec.fps,
            start=RootStart(height=self._height),
            weights_sha256=self.checkpoint.info["weights_sha256"],
            source=name,
            licence="; ".join(self.checkpoint.info["licences"]),
        )
        tokens.check(name)
        return tokens

    def decode(self, tokens: MotionTokens, fps: float | None = None) -> tuple[RobotClip, Held]:
        """The motion of tokens, its root in the world, joints held at their limits where known.

        Args:
            tokens: of this model.
            fps: rate of the motion, by default the model's; another is resampled to.

        Raises:
            UserError: the tokens were made by other weights.
        """
        return self._decode_all([tokens], fps)[0]

    @torch.inference_mode()
    def _decode_all(self, tokens: Sequence[MotionTokens], fps: float | None = None) -> list[tuple[RobotClip, Held]]:
        """`decode` of each, all of as many levels."""
        for one in tokens:
            self._check(one)
        steps = [torch.from_numpy(one.tokens.astype(np.int64)).to(self.device) for one in tokens]
        codes = self._together(self.model.quantizer.decode, steps)
        return [self._motion_of(*one, fps) for one in zip(tokens, codes, strict=True)]

    def _check(self, tokens: MotionTokens) -> None:
        if tokens.weights_sha256 != self.checkpoint.info["weights_sha256"]:
            raise UserError(
                f"tokens of '{tokens.name}' were made by other weights than {self.checkpoint.path}; "
                "decode them with the checkpoint that made them"
            )
        covered = len(tokens.tokens) * self.model.downsample
        sizes = self.model.quantizer.codebook_sizes
        first = sizes[: len(tokens.codebook_sizes)]
        if tokens.codebook_sizes != first or tokens.fps != self.spec.fps or not 0 < tokens.frames <= covered:
            raise UserError(
                f"tokens of '{tokens.name}' tell {tokens.frames} frames at {tokens.fps:g} fps of "
                f"{tokens.codebook_sizes}; of this model they can be 1 to {covered} at {self.spec.fps:g} fps of {sizes}"
            )

    def _motion_of(self, tokens: MotionTokens, codes: Tensor, fps: float | None) -> tuple[RobotClip, Held]:
        """The motion of decoded latents (T', C)."""
        told = len(tokens.codebook_sizes) / len(self.model.quantizer.codebook_sizes)
        features = self.model.decoder(codes[None], told)[0, : tokens.frames].cpu().numpy().astype(np.float64)
        origin = Provenance(source=f"decoded from tokens of {tokens.source or tokens.name}", licence=tokens.licence)
        motion = self.spec.robot_clip(features, tokens.name, tokens.start, origin)
        motion = motion if fps is None else resample(motion, fps)
        if self.robot is None:
            return motion, Held(0.0, 0.0)
        lower, upper = self.robot.limits[index_by_name(self.robot.joint_names, motion.joint_names)].T
        joints = np.clip(motion.joint_pos, lower, upper)
        excess = np.abs(joints - motion.joint_pos)
        return replace(motion, joint_pos=joints), Held(float((excess > 0).mean()), float(excess.max()))

    def project(self, motion: RobotClip) -> Projected:
        """A decoded motion made to stand on its feet, see `project_clip`.

        Raises:
            UserError: the model codes no root, or joints without a link table: nothing is known of feet and floor.
        """
        if self.robot is None or not self.spec.root:
            lacks = "the joints have no link table" if self.robot is None else "it codes no root"
            raise UserError(f"{self.checkpoint.path}: {lacks}, so feet and floor are not known; leave out --project")
        return project_clip(motion, self.robot)
