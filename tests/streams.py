"""What tests of streaming have in common: human frames to tell apart, and a retargeter without a network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.retarget.live import HumanFrame, RobotFrame
from g1_vq_retarget.robot import load_robot
from synthetic import data_folder, save_started, tiny_model

FPS = 50.0
STEP = 1 / FPS


def human_frame(x: float, turn: float = 0.0) -> HumanFrame:
    """A body at some x (m), all of whose joints, and whose pelvis, have turned about z by some angle (rad)."""
    quat = Rotation.from_rotvec([0.0, 0.0, turn]).as_quat(scalar_first=True)
    return HumanFrame(np.array([x, 0.0, 0.9]), quat, np.tile(quat, (21, 1)))


def turn_of(frame: HumanFrame) -> float:
    """The angle of `human_frame`, rad, of pelvis and joints alike."""
    turns = Rotation.from_quat(np.vstack([frame.root_quat_w, frame.joint_quat]), scalar_first=True).as_rotvec()
    np.testing.assert_allclose(turns[:, :2], 0, atol=1e-12)
    np.testing.assert_allclose(turns[:, 2], turns[0, 2], atol=1e-12)
    return float(turns[0, 2])


class FakeLive:
    """A `LiveRetargeter` whose robot goes where the human goes and bends all joints by `bend` rad a metre of it."""

    def __init__(self, lookahead: int = 0, bend: float = 0.1, rest_offsets: np.ndarray | None = None) -> None:
        self.fps = FPS
        self.robot = load_robot()
        self.joint_names = self.robot.joint_names
        self.lookahead = lookahead
        self.bend = bend
        self.resets = self.pushes = 0
        self._frames: list[HumanFrame] = []

    def reset(self) -> None:
        self.resets += 1
        self._frames.clear()

    def push(self, frame: HumanFrame) -> RobotFrame | None:
        self.pushes += 1
        self._frames.append(frame)
        if len(self._frames) <= self.lookahead:
            return None
        x, y, _ = self._frames.pop(0).root_pos_w
        joints = np.clip(self.robot.default_joint_pos + self.bend * x, *self.robot.limits.T)
        return RobotFrame(np.array([x, y, 0.75]), np.array([1.0, 0, 0, 0]), joints)


def causal_checkpoint(folder: Path, downsample: int = 4) -> Path:
    """The checkpoint of an untrained causal model of a few thousand numbers."""
    config = tiny_model("predictive", downsample)
    config.network.causal = True
    config.network.robot_encoder = "klt"
    config.root_scale = 0.4
    return save_started(folder / "causal.safetensors", data_folder(folder / "data"), config)
