"""What the link table must say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from g1_vq_retarget.robot import forward_kinematics, index_by_name, load_robot

ROBOT = load_robot()

# MuJoCo indices in Isaac Lab's order, as public deployments of 29-joint policies list them.
ISAAC_FROM_MUJOCO = [
    *(0, 6, 12, 1, 7, 13, 2, 8, 14, 3, 9, 15, 22, 4, 10, 16, 23, 5, 11, 17, 24, 18, 25, 19, 26, 20, 27, 21, 28)
]


def test_joint_i_moves_link_i_plus_1() -> None:
    assert [link.joint for link in ROBOT.links] == [None, *ROBOT.joints]


def test_parents_stand_before_their_children() -> None:
    assert ROBOT.parents[0] == -1
    assert all(parent < link for link, parent in enumerate(ROBOT.parents))


def test_mujoco_order_is_limb_by_limb() -> None:
    leg = ["hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll"]
    arm = ["shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw"]
    names = [
        *(f"{side}_{part}" for side in ("left", "right") for part in leg),
        *("waist_yaw", "waist_roll", "waist_pitch"),
        *(f"{side}_{part}" for side in ("left", "right") for part in arm),
    ]
    assert ROBOT.joint_names == tuple(f"{name}_joint" for name in names)


def test_isaac_order_is_the_known_permutation() -> None:
    assert [ROBOT.joint_names.index(name) for name in ROBOT.joint_names_isaac] == ISAAC_FROM_MUJOCO


def test_isaac_links_are_the_pelvis_and_then_the_links_of_isaac_joints() -> None:
    link_of = {link.joint.name: link.name for link in ROBOT.links if link.joint}
    assert ROBOT.link_names_isaac == ("pelvis", *(link_of[joint] for joint in ROBOT.joint_names_isaac))


@pytest.mark.parametrize(
    ("one", "other"),
    [(ROBOT.joint_names, ROBOT.joint_names_isaac), (ROBOT.link_names, ROBOT.link_names_isaac)],
    ids=["joints", "links"],
)
def test_going_to_isaac_order_and_back_changes_nothing(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    values = np.arange(len(one))
    there = values[index_by_name(one, other)]
    assert not np.array_equal(there, values)
    assert np.array_equal(there[index_by_name(other, one)], values)


def test_index_by_name_brings_columns_into_the_wanted_order() -> None:
    assert index_by_name(["a", "b", "c"], ["c", "a"]) == [2, 0]


@pytest.mark.parametrize(("have", "culprit"), [(["a", "b"], "z"), (["a", "z", "z"], "z")])
def test_index_by_name_names_what_is_absent_or_doubled(have: list[str], culprit: str) -> None:
    with pytest.raises(ValueError, match=culprit):
        index_by_name(have, ["a", "z"])


def test_default_pose_lies_within_the_limits() -> None:
    lower, upper = ROBOT.limits.T
    assert (lower < upper).all()
    assert ((lower < ROBOT.default_joint_pos) & (ROBOT.default_joint_pos < upper)).all()


def test_named_links_exist() -> None:
    ROBOT.link_indices([*ROBOT.feet, *ROBOT.hands, *ROBOT.tracked, ROBOT.anchor])


def test_leg_length_is_hip_to_knee_to_ankle_in_straight_lines() -> None:
    pos = forward_kinematics(ROBOT, torch.zeros(29, dtype=torch.float64)).pos
    hip, knee, ankle = pos[ROBOT.link_indices(["right_hip_pitch_link", "right_knee_link", "right_ankle_roll_link"])]
    length = (knee - hip).norm() + (ankle - knee).norm()
    assert ROBOT.leg_length == pytest.approx(length.item(), abs=1e-4)


def test_armature_is_the_rotor_inertia_seen_through_the_gears() -> None:
    # Motor 5020, gears 46/18 + 1 and 56/16 + 1: 1.39e-5 * 16^2 + 1.7e-6 * 4.5^2 + 1.69e-5 = 3.609725e-3 kg m^2.
    elbow = next(joint for joint in ROBOT.joints if joint.name == "left_elbow_joint")
    assert elbow.motor.armature == pytest.approx(3.609725e-3, rel=1e-9)
    # Two such motors move the ankle through a linkage.
    ankle = next(joint for joint in ROBOT.joints if joint.name == "left_ankle_roll_joint")
    assert ankle.motor.armature == pytest.approx(2 * 3.609725e-3, rel=1e-9)
    assert ankle.motor.effort == 2 * elbow.motor.effort
