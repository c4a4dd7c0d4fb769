from __future__ import annotations

import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.robot.dof import WRIST_JOINTS, joints_of_width

# the joints of ASAP's g1_29dof_anneal_23dof, in its order
ANNEALED = [
    *(f"left_{name}_joint" for name in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")),
    *(f"right_{name}_joint" for name in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")),
    *(f"waist_{name}_joint" for name in ("yaw", "roll", "pitch")),
    *(f"left_{name}_joint" for name in ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")),
    *(f"right_{name}_joint" for name in ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow")),
]


def test_the_g1_without_wrists_has_the_23_joints_of_those_who_train_on_it() -> None:
    robot = load_robot()
    assert list(joints_of_width(robot, robot.joint_names, 23)) == ANNEALED
    assert joints_of_width(robot, robot.joint_names, 29) == robot.joint_names
    assert {*robot.joint_names} - {*ANNEALED} == {*WRIST_JOINTS}


def test_another_order_stays_in_its_order() -> None:
    robot = load_robot()
    fewer = joints_of_width(robot, robot.joint_names_isaac, 23)
    assert [name for name in robot.joint_names_isaac if name in fewer] == list(fewer)
    assert set(fewer) == set(ANNEALED)


@pytest.mark.parametrize("width", [0, 22, 27, 28, 36])
def test_another_width_is_refused(width: int) -> None:
    robot = load_robot()
    with pytest.raises(UserError, match=rf"has {width} joints, expected 23 or 29 \(Unitree G1"):
        joints_of_width(robot, robot.joint_names, width)
