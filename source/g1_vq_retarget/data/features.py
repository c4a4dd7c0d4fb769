"""Which numbers of a motion the model sees, and how they become a motion again."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from g1_vq_retarget.motion import HumanClip, Orientation, Provenance, RobotClip, integrate_root, root_features
from g1_vq_retarget.motion.mirror import mirrored_joints, mirrored_names
from g1_vq_retarget.motion.root import heading
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.robot import RobotModel, load_robot

# Features that hardly move in the training data are not blown up: what moves them later (another skeleton's wrists,
# say) would drown the rest. Units: rad for joints, none for 6D rotations, as `root_columns` for the root.
MIN_STD = {"robot": 1e-3, "human": 0.05, "root": 1e-3}


def robot_root(clip: RobotClip, orientation: Orientation = "up") -> np.ndarray:
    """(T, R) root stream of a robot clip; heights in m, velocities in m/s, rad/s."""
    return root_features(clip.root_pos_w, clip.body_rotation, clip.fps, orientation)


def human_root(clip: HumanClip, orientation: Orientation = "up") -> np.ndarray:
    """(T, R) root stream of a human clip in leg lengths: heights and velocities over the length of the legs.

    A tall and a short actor, a file in metres and one in centimetres give the same features.
    """
    return root_features(clip.root_pos_w / clip.leg_length, clip.body_rotation, clip.fps, orientation)


def deviation(values: np.ndarray, kind: str) -> np.ndarray:
    """(D,) standard deviation over all frames of windows (N, T, D), kept above `MIN_STD[kind]`."""
    flat = values.reshape(-1, values.shape[-1])
    return np.maximum(flat.std(axis=0, dtype=np.float64), MIN_STD[kind])


# A rotation mirrored in x = 0 is M R M with M = diag(-1, 1, 1): the signs of its first two columns, and of the
# root stream, which a mirror in y = 0 changes where it points left or turns about an axis that does not.
_MIRRORED_6D = np.array([1.0, -1.0, -1.0, -1.0, 1.0, 1.0])
_MIRRORED_ROOT: dict[Orientation, np.ndarray] = {
    "up": np.array([1.0, 1.0, -1.0, 1.0, 1.0, -1.0, -1.0]),
    "expmap": np.array([1.0, -1.0, 1.0, 1.0, -1.0, -1.0]),
}


class FeatureMirror(NamedTuple):
    """Left and right exchanged in normalised features: `features[..., columns] * scale + shift`."""

    columns: list[int]
    scale: Tensor
    shift: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Mirror features (..., D)."""
        return features[..., self.columns] * self.scale.to(features) + self.shift.to(features)


def _feature_mirror(
    columns: list[int], signs: np.ndarray, mean: list[float], std: list[float], orientation: Orientation
) -> FeatureMirror:
    if len(mean) > len(columns):  # the root stream stands behind
        columns = [*columns, *range(len(columns), len(mean))]
        signs = np.concatenate([signs, _MIRRORED_ROOT[orientation]])
    center, scale = np.asarray(mean), np.asarray(std)
    factor, shift = signs * scale[columns] / scale, (signs * center[columns] - center) / scale
    return FeatureMirror(columns, torch.from_numpy(factor), torch.from_numpy(shift))


@dataclass(frozen=True)
class FeatureSpec:
    """What stands in the columns of the model's input and output, and how it is normalised.

    Robot features: joint angles (rad) in the order of `joint_names`, then, if `root`, the root stream.
    Human features: 21 local rotations as 6D, then, if `root`, the root stream in leg lengths.

    Attributes:
        robot: name of the robot's link table, empty for joints of which there is none.
        joint_names: J robot joints.
        fps: frames a second of every window.
        root: whether the root streams are part of the features.
        robot_mean, robot_std, human_mean, human_std: one number a column, from the training split.
        orientation: how the root streams tell the body's leaning.
    """

    robot: str
    joint_names: list[str]
    fps: float
    root: bool
    robot_mean: list[float]
    robot_std: list[float]
    human_mean: list[float]
    human_std: list[float]
    orientation: Orientation = "up"

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        return cls(**values)

    def robot_model(self) -> RobotModel | None:
        """The link table of the robot, if there is one."""
        return load_robot(self.robot) if self.robot else None

    def mirrors(self) -> tuple[FeatureMirror, FeatureMirror]:
        """How normalised features of a robot with a link table, and of a human, change when left and right are
        exchanged."""
        columns, signs = mirrored_joints(load_robot(self.robot))
        bodies = mirrored_names(HUMAN_JOINTS[1:])
        turned = [6 * body + entry for body in bodies for entry in range(6)]
        rotated = np.tile(_MIRRORED_6D, len(bodies))
        robot = _feature_mirror(list(columns), signs, self.robot_mean, self.robot_std, self.orientation)
        return robot, _feature_mirror(turned, rotated, self.human_mean, self.human_std, self.orientation)

    @property
    def joints(self) -> int:
        """J; the root stream's columns come after."""
        return len(self.joint_names)

    def robot_features(self, clip: RobotClip) -> np.ndarray:
        """(T, D) normalised features of a clip at `fps`, any joint order; MotionError names a joint it lacks."""
        joints = clip.with_joint_order(self.joint_names).joint_pos
        features = np.concatenate([joints, robot_root(clip, self.orientation)], axis=1) if self.root else joints
        return (features - self.robot_mean) / self.robot_std

    def human_features(self, clip: HumanClip) -> np.ndarray:
        """(T, H) normalised features of a clip at `fps`."""
        rotations = clip.rotation_features()
        features = np.concatenate([rotations, human_root(clip, self.orientation)], axis=1) if self.root else rotations
        return (features - self.human_mean) / self.human_std

    def robot_clip(self, features: np.ndarray, name: str, start: RootStart, provenance: Provenance) -> RobotClip:
        """The motion of normalised robot features (T, D), its root placed in the world.

        Without a root stream in the features the root stays where `start` puts it, upright.
        """
        values = features * np.asarray(self.robot_std) + self.robot_mean
        root, orientation = values[:, self.joints :], self.orientation
        if not self.root:
            root, orientation = np.tile([start.height, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (len(values), 1)), "up"
        pos, rotation = integrate_root(root, self.fps, (start.x, start.y), start.yaw, orientation)
        return RobotClip(
            name=name,
            fps=self.fps,
            root_pos_w=pos,
            root_quat_w=rotation.as_quat(scalar_first=True),
            joint_names=tuple(self.joint_names),
            joint_pos=values[:, : self.joints],
            provenance=provenance,
        )


@dataclass(frozen=True)
class RootStart:
    """Where a decoded motion begins: place (m) and heading (rad); `height` only serves models without a root stream."""

    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0
    height: float = 0.8

    @property
    def is_finite(self) -> bool:
        """Whether all four are finite numbers."""
        values = (self.x, self.y, self.yaw, self.height)
        return all(isinstance(value, int | float) and math.isfinite(value) for value in values)

    @classmethod
    def of(cls, clip: RobotClip | HumanClip, height: float) -> Self:
        """The place and heading of a clip's first frame."""
        x, y, _ = (float(value) for value in clip.root_pos_w[0])
        return cls(x, y, float(heading(clip.body_rotation[:1])[0]), height)

    @classmethod
    def after(cls, human: HumanClip, robot: RobotModel) -> Self:
        """Where a robot begins that does as a human: with the human's heading, the place shrunk by the legs' ratio."""
        start, ratio = cls.of(human, robot.default_root_height), robot.leg_length / human.leg_length
        return replace(start, x=ratio * start.x, y=ratio * start.y)
