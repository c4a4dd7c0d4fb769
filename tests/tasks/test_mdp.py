"""Every term of the tracking task on a case worked by hand; quaternions are w x y z."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from g1_vq_retarget.tasks.mdp import BEYONDMIMIC, MJLAB, frames, observations, relative_body_poses, rewards
from g1_vq_retarget.tasks.mdp import terminations as failed

HALF = math.sqrt(0.5)
IDENTITY = (1.0, 0.0, 0.0, 0.0)
LEFT = (HALF, 0.0, 0.0, HALF)  # a quarter turn about z: x becomes y
FORWARD = (HALF, 0.0, HALF, 0.0)  # about y: z becomes x
OVER = (0.0, 1.0, 0.0, 0.0)  # upside down


def t(*rows: object) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def about(axis: str, angle: float) -> tuple[float, ...]:
    return (math.cos(angle / 2), *(math.sin(angle / 2) * (axis == name) for name in "xyz"))


def near(got: Tensor, *want: object) -> None:
    torch.testing.assert_close(got, t(*want), atol=1e-6, rtol=1e-5)


def test_frames() -> None:
    near(frames.rotate(t(LEFT), t((1, 2, 3))), (-2, 1, 3))
    near(frames.rotate(frames.multiply(t(LEFT), t(FORWARD)), t((0, 0, 1))), (0, 1, 0))  # FORWARD first
    near(frames.rotate(frames.inverse(t(LEFT)), t((0, 1, 0))), (1, 0, 0))
    near(frames.angle_between(t(about("x", 0.3), LEFT), -t(about("x", -0.4), LEFT)), 0.7, 0.0)
    near(frames.yaw(frames.multiply(t(about("z", 0.7)), t(about("y", 0.4)))), about("z", 0.7))
    near(frames.upright(t(IDENTITY, LEFT, FORWARD, OVER, about("x", 0.5))), 1, 1, 0, -1, math.cos(0.5))
    near(frames.first_two_columns(t(LEFT)), (0, -1, 1, 0, 0, 0))


def test_bodies_move_under_the_robots_anchor_and_keep_height_and_lean() -> None:
    """The motion's anchor leans, at (1, 1, 1); the robot's has turned left besides, fallen, and is at (5, 0, 0.2)."""
    lean = t(about("y", 0.4))
    robot = frames.multiply(t(LEFT), lean)
    bodies = t([(1, 1, 1), (2, 1, 0.5)])
    quats = torch.stack([lean, t(IDENTITY)], dim=1)
    got = relative_body_poses(bodies, quats, t((1, 1, 1)), lean, t((5, 0, 0.2)), robot)
    near(got.pos_w, [(5, 0, 1), (5, 1, 0.5)])
    torch.testing.assert_close(got.quat_w, torch.stack([robot, t(LEFT)], dim=1))


def test_rewards() -> None:
    one = math.exp(-1)
    # 0.3 m apart at a width of 0.3
    near(
        rewards.motion_global_anchor_position_error_exp(t((0, 0.3, 1), (0, 0, 1)), t((0, 0, 1), (0, 0, 1)), 0.3), one, 1
    )
    near(rewards.motion_global_anchor_orientation_error_exp(t(about("z", 0.4)), t(IDENTITY), 0.4), one)
    # squares are averaged over bodies: of 0.6 m and 0, half of 0.36, which is 2 * 0.3²
    still = t([(0, 0, 0), (1, 1, 1)])
    near(rewards.motion_relative_body_position_error_exp(t([(0, 0, 0.6), (1, 1, 1)]), still, 0.3), math.exp(-2))
    turned = t([about("x", 0.8), IDENTITY])
    near(rewards.motion_relative_body_orientation_error_exp(turned, t([IDENTITY, IDENTITY]), 0.4), math.exp(-2))
    near(rewards.motion_global_body_linear_velocity_error_exp(t([(1, 1, 0), (1, 1, 1)]), still, 1.0), one)
    near(rewards.motion_global_body_angular_velocity_error_exp(t([(3, 4, 0), (1, 1, 1)]), still, 5.0), math.exp(-0.5))


def test_costs() -> None:
    near(rewards.action_rate_l2(t((1, 2, 3)), t((1, 0, 2))), 5)
    limits = t((-1, 1), (0, 2))
    near(rewards.joint_pos_limits(t((0.5, 1), (-1.5, 2.25), (1.5, -0.5)), limits), 0, 0.75, 1)
    # (N, T, L, 3): the first body touched at both substeps counts once, the second only lightly
    forces = torch.zeros(2, 2, 3, 3)
    forces[0, :, 0] = t((0, 3, 4))
    forces[0, 1, 1] = t((0, 0, 0.9))
    forces[1, 0, 0, 2] = forces[1, 1, 2, 0] = -2
    near(rewards.undesired_contacts(forces, threshold=1.0), 1, 2)
    # (N, C, T, 3): two contacts at one substep count once
    contacts = torch.zeros(2, 2, 3, 3)
    contacts[0, :, 1] = t((0, 30, 40))
    contacts[1, 0, 0, 0] = contacts[1, 1, 2, 0] = 11
    contacts[1, 0, 1, 0] = 9
    near(rewards.self_collision_cost(contacts, force_threshold=10.0), 1, 2)


def test_terminations() -> None:
    robot = t((0, 0, 1), (0, 0, 1))
    assert failed.bad_anchor_pos(t((0.3, 0, 1), (0.2, 0, 1)), robot, 0.25).tolist() == [True, False]
    assert failed.bad_anchor_pos_z_only(t((9, 0, 1.2), (0, 0, 0.7)), robot, 0.25).tolist() == [False, True]
    # heading is no matter; lying or upside down beside upright is 1 and 2
    motion = t(LEFT, FORWARD, OVER, about("x", 0.5))
    assert failed.bad_anchor_ori(motion, t(IDENTITY).expand(4, 4), 0.8).tolist() == [False, True, True, False]
    bodies = t([(0, 0, 0), (0, 0.3, 0.2)], [(0, 0, 0.1), (0, 0, -0.3)])
    assert failed.bad_motion_body_pos(bodies, torch.zeros(2, 2, 3), 0.25).tolist() == [True, True]
    assert failed.bad_motion_body_pos_z_only(bodies, torch.zeros(2, 2, 3), 0.25).tolist() == [False, True]


def test_observations() -> None:
    near(observations.command(t((1, 2)), t((3, 4))), (1, 2, 3, 4))
    # the robot stands at (1, 0, 0) and looks along y
    place, heading = t((1, 0, 0)), t(LEFT)
    near(observations.motion_anchor_pos_b(place, heading, t((1, 2, 3))), (2, 0, 3))
    near(observations.motion_anchor_ori_b(heading, t(IDENTITY)), (0, 1, -1, 0, 0, 0))
    near(observations.motion_anchor_ori_b(heading, heading), (1, 0, 0, 1, 0, 0))
    near(observations.motion_anchor_ori_b(heading, t(FORWARD)), (0, 1, 0, 0, -1, 0))
    near(observations.robot_body_pos_b(place, heading, t([(1, 2, 3), (1, 0, 0)])), (2, 0, 3, 0, 0, 0))
    quats = t([IDENTITY, LEFT])
    near(observations.robot_body_ori_b(heading, quats), (0, 1, -1, 0, 0, 0, 1, 0, 0, 1, 0, 0))
    near(observations.base_lin_vel(heading, t((0, 2, 1))), (2, 0, 1))
    near(observations.base_ang_vel(heading, t((1, 0, 3))), (0, -1, 3))
    near(observations.joint_pos_rel(t((1, 2)), t((0.5, 0))), (0.5, 2))
    near(observations.joint_vel_rel(t((1, 2))), (1, 2))


def test_several_frames_ahead_come_one_after_another() -> None:
    place, heading = t((1, 0, 0), (0, 0, 0)), t(LEFT, IDENTITY)
    positions = t([(1, 2, 3), (1, 0, 1)], [(1, 2, 3), (4, 5, 6)])
    near(observations.motion_anchor_pos_b(place, heading, positions), (2, 0, 3, 0, 0, 1), (1, 2, 3, 4, 5, 6))
    turns = t([IDENTITY, LEFT], [IDENTITY, IDENTITY])
    still = (1, 0, 0, 1, 0, 0)
    near(observations.motion_anchor_ori_b(heading, turns), (0, 1, -1, 0, 0, 0, *still), (*still, *still))
    near(observations.command(t([(1, 2), (3, 4)]), t([(5, 6), (7, 8)])), (1, 2, 5, 6, 3, 4, 7, 8))


def test_mjlabs_terms_are_beyondmimics_but_for_the_contacts() -> None:
    mine, theirs = list(BEYONDMIMIC.rewards.items()), list(MJLAB.rewards.items())
    assert [term for _, term in mine[:-1]] == [term for _, term in theirs[:-1]]
    renamed = {name: other for (name, _), (other, _) in zip(mine, theirs, strict=True) if name != other}
    assert renamed == {
        "motion_global_anchor_pos": "motion_global_root_pos",
        "motion_global_anchor_ori": "motion_global_root_ori",
        "undesired_contacts": "self_collisions",
    }
    assert (MJLAB.terminations, MJLAB.noise) == (BEYONDMIMIC.terminations, BEYONDMIMIC.noise)


@pytest.mark.parametrize("preset", [BEYONDMIMIC, MJLAB], ids=["beyondmimic", "mjlab"])
def test_a_preset_names_parameters_that_its_functions_have(preset) -> None:
    for term in preset.rewards.values():
        names = term.function.__code__.co_varnames[: term.function.__code__.co_argcount]
        assert names[len(names) - len(term.params) :] == tuple(term.params)
    assert all(term.function.__code__.co_varnames[2] == "threshold" for term in preset.terminations.values())
    assert set(preset.without_state_estimation) < set(preset.noise)
