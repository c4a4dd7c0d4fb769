from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion import HumanClip, Provenance, RobotClip
from g1_vq_retarget.robot import RobotModel, load_robot
from synthetic import grounded

FRAMES = 120
FPS = 30.0


@pytest.fixture(scope="session")
def robot() -> RobotModel:
    return load_robot()


@pytest.fixture
def robot_clip(robot: RobotModel) -> RobotClip:
    """Smooth motion of every joint within its limits, the root turning, the lower foot on the floor."""
    waves = _waves(np.random.default_rng(0))
    middle, half = robot.limits.mean(axis=1), np.ptp(robot.limits, axis=1) / 2
    clip = RobotClip(
        name="waving",
        fps=FPS,
        root_pos_w=waves(3) * 0.3 + (1.0, -2.0, 0.8),
        root_quat_w=Rotation.from_rotvec(waves(3) * 0.6).as_quat(scalar_first=True),
        joint_names=robot.joint_names,
        joint_pos=middle + 0.9 * half * waves(len(robot.joints)),
        provenance=Provenance("waving.csv", "c0ffee", "CC0"),
    )
    return grounded(clip)


@pytest.fixture
def human_clip() -> HumanClip:
    """Smooth motion of every joint of a lopsided body."""
    rng = np.random.default_rng(1)
    waves = _waves(rng)
    local = Rotation.from_rotvec(waves(21 * 3).reshape(-1, 3) * 0.5).as_quat(scalar_first=True)
    offsets = rng.uniform(-0.4, 0.4, size=(22, 3))
    offsets[0] = 0
    return HumanClip(
        name="breathing",
        fps=FPS,
        root_pos_w=waves(3) * 0.3 + (1.0, -2.0, 0.9),
        root_quat_w=Rotation.from_rotvec(waves(3) * 0.6).as_quat(scalar_first=True),
        joint_quat=local.reshape(FRAMES, 21, 4),
        rest_offsets=offsets,
        provenance=Provenance("breathing.bvh", "decaf", "CC0"),
    )


def _waves(rng: np.random.Generator):
    """A maker of (FRAMES, columns) sines within -1 and 1, each of another frequency and phase."""
    time = np.arange(FRAMES)[:, None] / FPS

    def waves(columns: int) -> np.ndarray:
        return np.sin(2 * np.pi * rng.uniform(0.1, 0.6, columns) * time + rng.uniform(0, 2 * np.pi, columns))

    return waves
