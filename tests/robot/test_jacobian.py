from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.robot.jacobian import moved_by, point_jacobian
from g1_vq_retarget.robot.kinematics import forward_kinematics

ROBOT = load_robot()
RNG = np.random.default_rng(0)
FRAMES, POINTS = 3, 40
FRAME, LINK = RNG.integers(FRAMES, size=POINTS), RNG.integers(len(ROBOT.links), size=POINTS)
OFFSET = RNG.normal(0, 0.1, (POINTS, 3))
POS, TURN = RNG.normal(size=(FRAMES, 3)), Rotation.from_rotvec(RNG.normal(size=(FRAMES, 3)))
LOWER, UPPER = ROBOT.limits.T
ANGLES = RNG.uniform(LOWER, UPPER, (FRAMES, len(ROBOT.joints)))


def points(change: np.ndarray) -> np.ndarray:
    """(POINTS, 3) after a change (35,) of every frame."""
    turned = (Rotation.from_rotvec(change[3:6]) * TURN).as_quat(scalar_first=True)
    poses = poses_of(ANGLES + change[6:], POS + change[:3], turned)
    return (
        poses.pos[FRAME, LINK] + torch.einsum("kab,kb->ka", poses.rot[FRAME, LINK], torch.from_numpy(OFFSET))
    ).numpy()


def poses_of(*values: np.ndarray):
    return forward_kinematics(ROBOT, *map(torch.from_numpy, values))


def test_it_is_how_points_move() -> None:
    poses = poses_of(ANGLES, POS, TURN.as_quat(scalar_first=True))
    joints = np.arange(len(ROBOT.joints))
    jacobian = point_jacobian(ROBOT, poses, FRAME, LINK, points(np.zeros(35)), joints)
    for column, way in enumerate(1e-6 * np.eye(35)):
        moved = (points(way) - points(-way)) / 2e-6
        np.testing.assert_allclose(jacobian[:, :, column], moved, atol=1e-8)
    some = np.array([3, 20, 4])
    part = point_jacobian(ROBOT, poses, FRAME, LINK, points(np.zeros(35)), some)
    np.testing.assert_array_equal(part, jacobian[:, :, [*range(6), 9, 26, 10]])


def test_a_leg_moves_its_own_foot_and_no_other() -> None:
    left, right = ROBOT.link_indices(ROBOT.feet)
    names = np.array(ROBOT.joint_names)
    assert all(name.startswith("left_") for name in names[moved_by(ROBOT)[left]])
    assert moved_by(ROBOT)[left].sum() == moved_by(ROBOT)[right].sum() == 6
    assert not moved_by(ROBOT)[0].any()
