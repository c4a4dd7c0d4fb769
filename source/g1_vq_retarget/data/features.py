"""Which numbers of a motion the model sees, and how they become a motion again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self

import numpy as np

from g1_vq_retarget.motion import ROOT_FEATURES, HumanClip, Provenance, RobotClip, integrate_root, root_features
from g1_vq_retarget.motion.root import heading

# Features that hardly move in the training data are not blown up: what moves them later (another skeleton's wrists,
# say) would drown the rest. Units: rad for joints, none for 6D rotations, as `ROOT_FEATURES` for the root.
MIN_STD = {"robot": 1e-3, "human": 0.05, "root": 1e-3}


def robot_root(clip: RobotClip) -> np.ndarray:
    """(T, 7) root stream of a robot clip; heights in m, velocities in m/s, rad/s."""
    return root_features(clip.root_pos_w, clip.body_rotation, clip.fps)


def human_root(clip: HumanClip) -> np.ndarray:
    """(T, 7) root stream of a human clip in leg lengths: heights and velocities over the length of the legs.

    A tall and a short actor, a file in metres and one in centimetres give the same features.
    """
    return root_features(clip.root_pos_w / clip.leg_length, clip.body_rotation, clip.fps)


def deviation(values: np.ndarray, kind: str) -> np.ndarray:
    """(D,) standard deviation over all frames of windows (N, T, D), kept above `MIN_STD[kind]`."""
    flat = values.reshape(-1, values.shape[-1])
    return np.maximum(flat.std(axis=0, dtype=np.float64), MIN_STD[kind])


@dataclass(frozen=True)
class FeatureSpec:
    """What stands in the columns of the model's input and output, and how it is normalised.

    Robot features: joint angles (rad) in the order of `joint_names`, then, if `root`, the root stream.
    Human features: 21 local rotations as 6D, then, if `root`, the root stream in leg lengths.

    Attributes:
        robot: name of the robot's link table.
        joint_names: J robot joints.
        fps: frames a second of every window.
        root: whether the root streams are part of the features.
        robot_mean, robot_std, human_mean, human_std: one number a column, from the training split.
    """

    robot: str
    joint_names: list[str]
    fps: float
    root: bool
    robot_mean: list[float]
    robot_std: list[float]
    human_mean: list[float]
    human_std: list[float]

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Self:
        return cls(**values)

    @property
    def joints(self) -> int:
        """J; the root stream's columns come after."""
        return len(self.joint_names)

    def robot_features(self, clip: RobotClip) -> np.ndarray:
        """(T, D) normalised features of a clip at `fps`, any joint order; MotionError names a joint it lacks."""
        joints = clip.with_joint_order(self.joint_names).joint_pos
        features = np.concatenate([joints, robot_root(clip)], axis=1) if self.root else joints
        return (features - self.robot_mean) / self.robot_std

    def human_features(self, clip: HumanClip) -> np.ndarray:
        """(T, H) normalised features of a clip at `fps`."""
        rotations = clip.rotation_features()
        features = np.concatenate([rotations, human_root(clip)], axis=1) if self.root else rotations
        return (features - self.human_mean) / self.human_std

    def robot_clip(self, features: np.ndarray, name: str, start: RootStart, provenance: Provenance) -> RobotClip:
        """The motion of normalised robot features (T, D), its root placed in the world.

        Without a root stream in the features the root stays where `start` puts it, upright.
        """
        values = features * np.asarray(self.robot_std) + self.robot_mean
        if self.root:
            root = values[:, self.joints :]
        else:
            root = np.tile([start.height, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], (len(values), 1))
        pos, rotation = integrate_root(root, self.fps, (start.x, start.y), start.yaw)
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

    @classmethod
    def of(cls, clip: RobotClip | HumanClip, height: float) -> Self:
        """The place and heading of a clip's first frame."""
        x, y, _ = (float(value) for value in clip.root_pos_w[0])
        return cls(x, y, float(heading(clip.body_rotation[:1])[0]), height)


__all__ = ["ROOT_FEATURES", "FeatureSpec", "RootStart", "deviation", "human_root", "robot_root"]
