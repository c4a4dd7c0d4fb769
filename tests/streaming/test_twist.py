from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from g1_vq_retarget.retarget.live import RobotFrame
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.streaming.twist import layout

ROBOT = load_robot()
NAMES = ROBOT.joint_names
NUMBERED = np.arange(29) / 100


def frame(pos: tuple[float, float, float], rotation: Rotation, joint_pos: np.ndarray = NUMBERED) -> RobotFrame:
    return RobotFrame(np.array(pos), rotation.as_quat(scalar_first=True), joint_pos)


def facing(yaw: float) -> Rotation:
    return Rotation.from_euler("Z", yaw)


def test_twist_reads_33_values_the_root_first() -> None:
    """Facing left, 0.02 s apart: 2 cm to the left are 1 m/s forward; 1 cm up is 0.5 m/s; 0.03 rad are 1.5 rad/s."""
    before = frame((0, 0, 0.7), facing(np.pi / 2 - 0.03))
    now = frame((0, 0.02, 0.71), facing(np.pi / 2))
    pose = layout("twist").pose(now, before, NAMES, 50.0)
    np.testing.assert_allclose(pose[:8], [0.71, 0, 0, np.pi / 2, 1.0, 0, 0.5, 1.5], atol=1e-12)
    # all joints but pitch and yaw of the wrists; the wrists' rolls are 19 and 24 of the joints
    left, right = NAMES.index("left_wrist_roll_joint"), NAMES.index("right_wrist_roll_joint")
    expected = [*NUMBERED[: left + 1], *NUMBERED[left + 3 : right + 1]]
    np.testing.assert_allclose(pose[8:], expected)
    assert (pose[8 + 19], pose[8 + 24]) == (NUMBERED[left], NUMBERED[right])
    assert pose.shape == (33,)


def test_twist2_reads_35_values_along_the_floor() -> None:
    before = frame((0, 0, 0.7), facing(np.pi / 2 - 0.03))
    now = frame((-0.01, 0.02, 0.71), facing(np.pi / 2))
    pose = layout("twist2").pose(now, before, NAMES, 50.0)
    np.testing.assert_allclose(pose[:6], [1.0, 0.5, 0.71, 0, 0, 1.5], atol=1e-12)
    np.testing.assert_allclose(pose[6:], NUMBERED)
    assert pose.shape == (35,)


def test_roll_and_pitch_are_told_without_the_heading() -> None:
    rotation = Rotation.from_euler("ZYX", [2.0, 0.3, -0.2])
    pose = layout("twist2").pose(frame((0, 0, 0.7), rotation), frame((0, 0, 0.7), rotation), NAMES, 50.0)
    np.testing.assert_allclose(pose[:6], [0, 0, 0.7, -0.2, 0.3, 0], atol=1e-12)


def test_speed_is_told_in_the_frame_of_the_leaning_root() -> None:
    """Pitched forward by 0.5 rad and going along the world's x."""
    rotation = Rotation.from_euler("Y", 0.5)
    pose = layout("twist").pose(frame((0.02, 0, 0.7), rotation), frame((0, 0, 0.7), rotation), NAMES, 50.0)
    np.testing.assert_allclose(pose[4:7], [np.cos(0.5), 0, np.sin(0.5)], atol=1e-12)


def test_joints_are_found_by_name() -> None:
    here = frame((0, 0, 0.7), facing(0))
    turned_round = here._replace(joint_pos=here.joint_pos[::-1])
    for name in ("twist", "twist2"):
        pose = layout(name).pose(here, here, NAMES, 50.0)
        np.testing.assert_array_equal(layout(name).pose(turned_round, turned_round, NAMES[::-1], 50.0), pose)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("twist", {"action_mimic_g1": 33, "action_hand_g1": 14}),
        (
            "twist2",
            {
                "action_body_unitree_g1_with_hands": 35,
                "action_hand_left_unitree_g1_with_hands": 7,
                "action_hand_right_unitree_g1_with_hands": 7,
                "action_neck_unitree_g1_with_hands": 2,
            },
        ),
    ],
)
def test_every_key_is_a_json_list_of_its_length(name: str, keys: dict[str, int]) -> None:
    told = layout(name)  # type: ignore[arg-type]
    here = frame((0, 0, 0.7), facing(0))
    values = told.values(told.pose(here, here, NAMES, 50.0), 1_234)
    assert values.pop("t_action", "1234") == "1234"
    assert {key: len(json.loads(value)) for key, value in values.items()} == keys


@pytest.mark.parametrize(("name", "height", "roll"), [("twist", 0.793, 0.2), ("twist2", 0.8, 0.4)])
def test_the_default_pose_is_the_controllers_own(name: str, height: float, roll: float) -> None:
    standing = layout(name).standing  # type: ignore[arg-type]
    joints = np.array([standing.joints[joint] for joint in NAMES])
    leg, arm = [-0.2, 0, 0, 0.4, -0.2, 0], [0, roll, 0, 1.2, 0, 0, 0]
    np.testing.assert_array_equal(joints, [*leg, *leg, 0, 0, 0, *arm, 0, -roll, *arm[2:]])
    assert standing.height == height
    assert (joints >= ROBOT.limits[:, 0]).all()
    assert (joints <= ROBOT.limits[:, 1]).all()
