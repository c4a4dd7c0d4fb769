"""A motion with everything needed to read it: names, rate, units, frames, origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS, joint_poses, leg_length
from g1_vq_retarget.robot.model import index_by_name

# Quaternions further from unit length than this are refused; nearer ones are normalised.
QUATERNION_TOLERANCE = 0.01


class MotionError(UserError):
    """A motion that cannot be: wrong shapes, values that are no numbers, no rate. Readers name the file before it."""


@dataclass(frozen=True)
class Provenance:
    """Where a motion comes from.

    Attributes:
        source: file name or a word such as "decoded".
        sha256: hash of the source file, empty where there is none.
        licence: licence of the motion as far as known, empty if unknown.
    """

    source: str = ""
    sha256: str = ""
    licence: str = ""


def require_rate(fps: float) -> None:
    """Refuse frames a second that no motion has: 0.01 to 100,000 is far beyond what does."""
    if not (np.isfinite(fps) and 0.01 <= fps <= 1e5):
        raise MotionError(f"fps must be a positive number between 0.01 and 100000, it is {fps:g}")


@dataclass(frozen=True)
class Clip:
    """What every motion has.

    Attributes:
        name: name of the clip, by default the stem of its file.
        fps: frames a second, > 0.
        root_pos_w: (T, 3) position of the root in the world, m, z up.
        root_quat_w: (T, 4) orientation of the root in the world, wxyz.
        provenance: where it comes from.
    """

    name: str
    fps: float
    root_pos_w: np.ndarray
    root_quat_w: np.ndarray
    provenance: Provenance = field(default_factory=Provenance, kw_only=True)

    def __post_init__(self) -> None:
        require_rate(self.fps)
        frames = len(self.root_pos_w)
        if frames == 0:
            raise MotionError("the motion has no frames")
        _check("root_pos_w", self.root_pos_w, (frames, 3))
        _check("root_quat_w", self.root_quat_w, (frames, 4))
        object.__setattr__(self, "root_quat_w", _unit("root_quat_w", self.root_quat_w))

    def __len__(self) -> int:
        return len(self.root_pos_w)

    @property
    def duration(self) -> float:
        """Time from the first frame to the last, s."""
        return (len(self) - 1) / self.fps

    @property
    def root_rotation(self) -> Rotation:
        """T rotations of the root."""
        return Rotation.from_quat(self.root_quat_w, scalar_first=True)

    @property
    def body_rotation(self) -> Rotation:
        """T rotations of the root as a body frame with x forward, y left, z up."""
        return self.root_rotation


@dataclass(frozen=True)
class RobotClip(Clip):
    """Motion of a robot.

    Attributes:
        joint_names: J names, in the order of the columns of `joint_pos`.
        joint_pos: (T, J) joint angles, rad.
    """

    joint_names: tuple[str, ...]
    joint_pos: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.joint_names)) != len(self.joint_names):
            raise MotionError("joint_names holds a name twice")
        _check("joint_pos", self.joint_pos, (len(self), len(self.joint_names)))

    def __getitem__(self, frames: slice) -> Self:
        """The part of the clip that a slice of frames names."""
        return replace(
            self,
            root_pos_w=self.root_pos_w[frames],
            root_quat_w=self.root_quat_w[frames],
            joint_pos=self.joint_pos[frames],
        )

    def with_joint_order(self, joint_names: Sequence[str]) -> Self:
        """The same motion with its columns in another order, by name.

        Raises:
            MotionError: a name is absent.
        """
        try:
            columns = index_by_name(self.joint_names, joint_names)
        except ValueError as error:
            raise MotionError(f"joint order: {error}") from error
        return replace(self, joint_names=tuple(joint_names), joint_pos=self.joint_pos[:, columns])


@dataclass(frozen=True)
class HumanClip(Clip):
    """Motion of a human, as SMPL's pelvis and 21 joints.

    `root_quat_w` turns SMPL's pelvis frame (x left, y up, z forward) into the world.

    Attributes:
        joint_quat: (T, 21, 4) local rotations in `HUMAN_JOINTS[1:]` order, wxyz; identity in a T-pose.
        rest_offsets: (22, 3) each joint in its parent's frame in the T-pose, m; pelvis row zero.
    """

    joint_quat: np.ndarray
    rest_offsets: np.ndarray

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("joint_quat", self.joint_quat, (len(self), len(HUMAN_JOINTS) - 1, 4))
        _check("rest_offsets", self.rest_offsets, (len(HUMAN_JOINTS), 3))
        object.__setattr__(self, "joint_quat", _unit("joint_quat", self.joint_quat))

    def __getitem__(self, frames: slice) -> Self:
        """The part of the clip that a slice of frames names."""
        return replace(
            self,
            root_pos_w=self.root_pos_w[frames],
            root_quat_w=self.root_quat_w[frames],
            joint_quat=self.joint_quat[frames],
        )

    @property
    def body_rotation(self) -> Rotation:
        return self.root_rotation * BODY_AXES

    @property
    def leg_length(self) -> float:
        """Hip to knee to ankle, m."""
        return leg_length(self.rest_offsets)

    @property
    def local_rotations(self) -> Rotation:
        """T * 21 local rotations, frame after frame."""
        return Rotation.from_quat(self.joint_quat.reshape(-1, 4), scalar_first=True)

    @property
    def joint_pos_w(self) -> np.ndarray:
        """(T, 22, 3) joint positions in the world, m."""
        return self._joint_poses_w[0]

    @property
    def joint_rot_w(self) -> np.ndarray:
        """(T, 22, 3, 3) orientations of the joints' frames in the world, rotation matrices."""
        return self._joint_poses_w[1]

    @cached_property
    def _joint_poses_w(self) -> tuple[np.ndarray, np.ndarray]:
        return joint_poses(self.root_pos_w, self.root_rotation, self.local_rotations, self.rest_offsets)

    def rotation_features(self) -> np.ndarray:
        """(T, 126) the 21 local rotations as 6D: the first two columns of each matrix, one after the other.

        Zhou et al. 2019, "On the Continuity of Rotation Representations in Neural Networks".
        """
        matrices = self.local_rotations.as_matrix()
        return matrices[:, :, :2].transpose(0, 2, 1).reshape(len(self), -1)


def _check(key: str, values: np.ndarray, shape: tuple[int, ...]) -> None:
    if np.shape(values) != shape:
        raise MotionError(f"{key} has shape {np.shape(values)}, expected {shape}")
    finite = np.isfinite(values).reshape(shape[0], -1).all(axis=1)
    if not finite.all():
        raise MotionError(f"{key} is not a finite number at frame {int(np.argmin(finite))}")


def _unit(key: str, quat: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(quat, axis=-1)
    wrong = (np.abs(norm - 1) > QUATERNION_TOLERANCE).reshape(len(quat), -1).any(axis=1)
    if wrong.any():
        frame = int(np.argmax(wrong))
        raise MotionError(
            f"{key} is no unit quaternion at frame {frame}: norm {np.ravel(norm[frame])[0]:.3f}, expected 1 within 1 %"
        )
    return np.asarray(quat, dtype=float) / norm[..., None]
