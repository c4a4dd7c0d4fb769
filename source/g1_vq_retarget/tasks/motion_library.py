"""Many clips in flat tensors, one behind another, for thousands of environments to follow: torch only, no simulator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from g1_vq_retarget.motion import MotionError, RobotClip, resample
from g1_vq_retarget.motion.clip import require_rate
from g1_vq_retarget.robot import RobotModel, forward_kinematics, index_by_name, load_robot

# A clip of fewer frames has no velocity, and nowhere to start that is not its end.
MIN_FRAMES = 2
# Frames whose kinematics are computed at a time; more are slower, as their matrices outgrow the caches.
_CHUNK = 2048


class MotionFrames(NamedTuple):
    """The motion at some frames, all float32; quaternions are w x y z, velocities those of the links' origins.

    Attributes:
        joint_pos, joint_vel: (..., J) rad, rad/s, in the library's order of joints.
        body_pos_w, body_lin_vel_w: (..., L, 3) m, m/s, in the clip's own world, z up.
        body_quat_w: (..., L, 4) unit quaternions.
        body_ang_vel_w: (..., L, 3) rad/s, in the world's axes.
    """

    joint_pos: Tensor
    joint_vel: Tensor
    body_pos_w: Tensor
    body_quat_w: Tensor
    body_lin_vel_w: Tensor
    body_ang_vel_w: Tensor


@dataclass(frozen=True)
class MotionLibrary:
    """Clips of one rate; clip c has the frames `first[c]` to `first[c] + length[c] - 1` of `frames`.

    Attributes:
        names: C names, each once.
        fps: frames a second, of all clips.
        source_fps: C rates that the clips had before they were resampled.
        licences: of the motion, each once.
        joint_names: J, in the order of `frames.joint_pos`.
        body_names: L, in the order of `frames.body_pos_w`; the robot's root is among them.
        root: index of the root among the bodies.
        first, length: (C,) int64.
        frames: all F frames, of which no two clips share one.
        embedding: (F, D) the quantized latent that each frame was decoded from, of motion from tokens.
        tokenizer_sha256: of the weights whose latents these are; empty without them.
    """

    names: tuple[str, ...]
    fps: float
    source_fps: tuple[float, ...]
    licences: tuple[str, ...]
    joint_names: tuple[str, ...]
    body_names: tuple[str, ...]
    root: int
    first: Tensor
    length: Tensor
    frames: MotionFrames
    embedding: Tensor | None = None
    tokenizer_sha256: str = ""

    @classmethod
    def of(
        cls,
        clips: Iterable[RobotClip],
        fps: float,
        *,
        robot: RobotModel | None = None,
        joint_names: Sequence[str] | None = None,
        body_names: Sequence[str] | None = None,
        device: str | torch.device = "cpu",
    ) -> MotionLibrary:
        """The library of some clips, which are read one after another and not kept.

        Bodies are where forward kinematics puts them, in float64; velocities are central differences within a clip,
        one-sided at its ends.

        Args:
            clips: any number, of any rates; those of another are resampled by time, each alone (see `summary`).
            fps: of the library: the policy's steps a second.
            robot: whose motion it is, by default the G1.
            joint_names: order of the joints, by default the robot's own (MuJoCo's).
            body_names: links to keep, by default those that are tracked; the root must be among them.
            device: where the tensors are kept.

        Raises:
            MotionError: no clips, two of one name, one that lacks a joint or is too short, or a rate that cannot be.
            ValueError: unknown joint or body names, or bodies without the root.
        """
        require_rate(fps)
        robot = robot or load_robot()
        joint_names = tuple(joint_names or robot.joint_names)
        body_names = tuple(body_names or robot.tracked)
        joints, bodies = index_by_name(robot.joint_names, joint_names), robot.link_indices(body_names)
        (root,) = index_by_name(body_names, robot.link_names[:1])
        rates, lengths, licences = dict[str, float](), list[int](), set[str]()
        parts: list[list[Tensor]] = [[] for _ in MotionFrames._fields]

        def checked() -> Iterator[RobotClip]:
            for clip in clips:
                if clip.name in rates:
                    raise MotionError(f"two clips are called '{clip.name}': give each a name of its own")
                rates[clip.name] = clip.fps
                licences.add(clip.provenance.licence)
                ready = _checked(clip, fps, robot)
                lengths.append(len(ready))
                yield ready

        for chunk in _chunks(checked()):
            for part, values in zip(parts, _kinematics(chunk, robot, joints, bodies, device), strict=True):
                part.append(values)
        if not rates:
            raise MotionError("no clips: a motion library needs one at least")
        # field after field, so that no more than one is held twice
        frames = MotionFrames(*(_joined(part) for part in parts))
        length = torch.tensor(lengths, device=device)
        return cls(
            names=tuple(rates),
            fps=float(fps),
            source_fps=tuple(rates.values()),
            licences=tuple(sorted(licences - {""})),
            joint_names=joint_names,
            body_names=body_names,
            root=root,
            first=length.cumsum(0) - length,
            length=length,
            frames=frames,
        )

    def __len__(self) -> int:
        return len(self.names)

    def index(self, clip: Tensor, frame: Tensor) -> Tensor:
        """Where in `frames` the frames of clips are: indices of any shapes that broadcast, in whose shape they come.

        A frame beyond a clip's end is its last, one before its beginning its first: clips never run into one another.
        """
        return self.first[clip] + torch.minimum(frame.clamp(min=0), self.length[clip] - 1)

    def at(self, clip: Tensor, frame: Tensor) -> MotionFrames:
        """The motion at frames of clips, see `index`."""
        index = self.index(clip, frame)
        return MotionFrames(*(values[index] for values in self.frames))

    @property
    def bytes(self) -> int:
        """Memory of the frames, and of the latents where they are kept."""
        return sum(values.nbytes for values in (*self.frames, self.embedding) if values is not None)

    def summary(self) -> str:
        """One line: how much motion there is, what was resampled, and the memory it takes."""
        minutes = float(self.length.sum()) / self.fps / 60
        other = Counter(rate for rate in self.source_fps if rate != self.fps)
        resampled = ", ".join(f"{count} from {rate:g} fps" for rate, count in sorted(other.items()))
        return (
            f"{len(self)} clips, {minutes:.1f} min at {self.fps:g} fps"
            f"{f' (resampled: {resampled})' if resampled else ''}, {self.bytes / 1e6:.1f} MB"
        )


def _checked(clip: RobotClip, fps: float, robot: RobotModel) -> RobotClip:
    """The clip at the library's rate with the robot's joints in its order."""
    try:
        clip = resample(clip.with_joint_order(robot.joint_names), fps)
        if len(clip) < MIN_FRAMES:
            raise MotionError(f"too short, {len(clip)} frame at {fps:g} fps, expected {MIN_FRAMES} at least")
    except MotionError as error:
        raise MotionError(f"clip '{clip.name}': {error}") from error
    return clip


def _chunks(clips: Iterable[RobotClip]) -> Iterator[list[RobotClip]]:
    """Whole clips, as many as make a chunk of frames."""
    chunk, frames = list[RobotClip](), 0
    for clip in clips:
        chunk.append(clip)
        frames += len(clip)
        if frames >= _CHUNK:
            yield chunk
            chunk, frames = [], 0
    if chunk:
        yield chunk


def _kinematics(
    clips: Sequence[RobotClip], robot: RobotModel, joints: list[int], bodies: list[int], device: str | torch.device
) -> MotionFrames:
    """The frames of clips of one rate, one clip behind another."""

    def joined(values: list[np.ndarray]) -> Tensor:
        return torch.as_tensor(np.concatenate(values, dtype=np.float64), device=device)

    lengths = torch.tensor([len(clip) for clip in clips], device=device)
    last = (lengths.cumsum(0) - 1).repeat_interleave(lengths)
    first = last + 1 - lengths.repeat_interleave(lengths)
    frame = torch.arange(len(last), device=device)
    after, before = torch.minimum(frame + 1, last), torch.maximum(frame - 1, first)
    rate = (clips[0].fps / (after - before))[:, None, None]

    joint_pos = joined([clip.joint_pos for clip in clips])
    root_pos, root_quat = joined([clip.root_pos_w for clip in clips]), joined([clip.root_quat_w for clip in clips])
    poses = forward_kinematics(robot, joint_pos, root_pos, root_quat)
    pos, rot, joint_pos = poses.pos[:, bodies], poses.rot[:, bodies], joint_pos[:, joints]
    quat = roma.rotmat_to_unitquat(rot)
    turn = roma.quat_product(quat[after], roma.quat_conjugation(quat[before]))
    values = MotionFrames(
        joint_pos=joint_pos,
        joint_vel=(joint_pos[after] - joint_pos[before]) * rate[..., 0],
        body_pos_w=pos,
        body_quat_w=roma.quat_xyzw_to_wxyz(quat),
        body_lin_vel_w=(pos[after] - pos[before]) * rate,
        body_ang_vel_w=roma.unitquat_to_rotvec(turn) * rate,
    )
    return MotionFrames(*(value.float() for value in values))


def _joined(parts: list[Tensor]) -> Tensor:
    whole = torch.cat(parts)
    parts.clear()
    return whole
