"""Distances of capsules, against cases worked by hand and MuJoCo's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from g1_vq_retarget.robot import build_mjcf, forward_kinematics, load_robot
from g1_vq_retarget.robot.capsules import (
    LINKS_APART,
    capsules_of,
    clearance,
    colliding_pairs,
    joints_apart,
    segment_distance,
)

ROBOT = load_robot()
CAPSULES, PAIRS = capsules_of(ROBOT), colliding_pairs(ROBOT)
UNIT = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def random_poses(count: int) -> torch.Tensor:
    lower, upper = ROBOT.limits.T
    return torch.from_numpy(np.random.default_rng(0).uniform(lower, upper, (count, len(ROBOT.joints))))


@pytest.mark.parametrize(
    ("other", "distance"),
    [
        ([[0.5, -1.0, 2.0], [0.5, 1.0, 2.0]], 2.0),  # crossing
        ([[0.3, 3.0, 0.0], [0.7, 3.0, 0.0]], 3.0),  # parallel, side by side
        ([[0.7, 3.0, 0.0], [0.3, 3.0, 0.0]], 3.0),  # the other way round
        ([[4.0, 4.0, 0.0], [6.0, 4.0, 0.0]], 5.0),  # parallel, further on: 3, 4, 5
        ([[3.0, 0.0, 0.0], [2.0, 0.0, 0.0]], 1.0),  # in one line
        ([[0.5, 0.0, -1.0], [0.5, 0.0, 1.0]], 0.0),  # through one another
        ([[0.5, 1.0, 0.0], [0.5, 2.0, 0.0]], 1.0),  # an end against a side
        ([[-3.0, 4.0, 0.0], [-3.0, 9.0, 0.0]], 5.0),  # an end against an end
        ([[0.2, 0.0, 0.6], [0.2, 0.0, 0.6]], 0.6),  # a point
    ],
)
def test_distance_of_segments(other: list, distance: float) -> None:
    segments = torch.tensor(UNIT, dtype=torch.float64), torch.tensor(other, dtype=torch.float64)
    assert segment_distance(*segments).item() == pytest.approx(distance, abs=1e-6)
    assert segment_distance(*segments[::-1]).item() == pytest.approx(distance, abs=1e-6)


def test_no_two_points_of_segments_are_nearer_than_their_distance() -> None:
    segments = torch.from_numpy(np.random.default_rng(1).normal(size=(2, 300, 2, 3)))
    along = torch.linspace(0, 1, 101, dtype=torch.float64)[:, None]
    points = [segment[:, None, 0] + along * (segment[:, None, 1] - segment[:, None, 0]) for segment in segments]
    nearest = torch.cdist(points[0], points[1]).amin(dim=(1, 2))
    distance = segment_distance(segments[0], segments[1])
    assert (distance <= nearest + 1e-12).all()
    assert (nearest - distance).max() < 0.05  # a sample every hundredth of the way


def test_clearance_is_what_mujoco_measures_between_the_same_geoms() -> None:
    mujoco = pytest.importorskip("mujoco")
    model = mujoco.MjModel.from_xml_string(build_mjcf(ROBOT, floor=False))
    data = mujoco.MjData(model)
    poses = random_poses(12)
    root = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64).expand(12, 3)
    quat = torch.nn.functional.normalize(torch.tensor([0.8, 0.1, -0.3, 0.5], dtype=torch.float64), dim=0).expand(12, 4)
    ours = clearance(ROBOT, forward_kinematics(ROBOT, poses, root, quat))
    assert (ours < 0).any()
    for pose, value in zip(poses, ours, strict=True):
        data.qpos[:] = [*root[0], *quat[0], *pose]
        mujoco.mj_kinematics(model, data)
        theirs = [
            mujoco.mj_geomDistance(model, data, first, second, 10.0, None) + allowance
            for first, second, allowance in zip(
                PAIRS.first.tolist(), PAIRS.second.tolist(), PAIRS.allowance, strict=True
            )
        ]
        assert value.item() == pytest.approx(min(theirs), abs=1e-5)


def test_pairs_are_far_apart_along_the_tree_and_free_where_the_robot_is() -> None:
    links = {frozenset((ROBOT.link_names[CAPSULES.link[a]], ROBOT.link_names[CAPSULES.link[b]]))
             for a, b in zip(PAIRS.first, PAIRS.second, strict=True)}  # fmt: skip
    assert frozenset(("left_wrist_yaw_link", "right_wrist_yaw_link")) in links
    assert frozenset(("torso_link", "left_elbow_link")) in links
    assert frozenset(("left_knee_link", "left_ankle_roll_link")) not in links  # two joints apart, at the ankle
    assert all(len(pair) == 2 for pair in links)
    rest = torch.from_numpy(np.stack([ROBOT.default_joint_pos, np.zeros(len(ROBOT.joints))]))
    assert (clearance(ROBOT, forward_kinematics(ROBOT, rest)) >= 0).all()


def test_joints_between_links_are_counted_along_the_tree() -> None:
    def apart(first: str, second: str) -> int:
        return joints_apart(ROBOT, *ROBOT.link_indices([first, second]))

    assert apart("left_knee_link", "left_knee_link") == 0
    assert apart("left_knee_link", "left_ankle_roll_link") == 2
    assert apart("left_ankle_roll_link", "right_ankle_roll_link") == 12
    assert apart("torso_link", "left_hip_roll_link") == 5
    assert LINKS_APART == 3


def test_clearance_pushes_a_hand_out_of_the_body() -> None:
    pose = torch.tensor(ROBOT.default_joint_pos)
    for joint, angle in (("left_shoulder_roll_joint", -0.6), ("left_shoulder_yaw_joint", -1.2)):
        pose[ROBOT.joint_names.index(joint)] = angle
    pose.requires_grad_()
    inside = clearance(ROBOT, forward_kinematics(ROBOT, pose))
    inside.backward()
    assert inside < -0.01
    assert pose.grad is not None
    assert pose.grad.isfinite().all()
    better = (pose + 0.01 * pose.grad / pose.grad.norm()).detach()
    assert clearance(ROBOT, forward_kinematics(ROBOT, better)) > inside


def test_poses_come_in_any_batch() -> None:
    poses = random_poses(1100)  # more than are held at a time
    whole = clearance(ROBOT, forward_kinematics(ROBOT, poses))
    assert whole.shape == (1100,)
    folded = clearance(ROBOT, forward_kinematics(ROBOT, poses.reshape(11, 100, -1)))
    assert torch.equal(folded, whole.reshape(11, 100))
    assert clearance(ROBOT, forward_kinematics(ROBOT, poses[7])).item() == pytest.approx(whole[7].item())


def test_the_ends_lie_where_the_links_are() -> None:
    poses = random_poses(3)
    bodies = forward_kinematics(ROBOT, poses)
    ends = CAPSULES.ends_at(bodies)
    number = int(np.flatnonzero(CAPSULES.link == ROBOT.link_names.index("right_wrist_yaw_link"))[0])
    link = CAPSULES.link[number]
    by_hand = bodies.pos[:, link] + (bodies.rot[:, link] @ torch.tensor(CAPSULES.ends[number, 1]))
    torch.testing.assert_close(ends[:, number, 1], by_hand)
