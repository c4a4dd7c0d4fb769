"""29 joints and the 23 without the wrists: by name, and the same numbers for what both have."""

from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.motion import MotionError, RobotClip
from g1_vq_retarget.motion.dof import to_dof
from g1_vq_retarget.robot import RobotModel
from g1_vq_retarget.robot.dof import WRIST_JOINTS


def test_there_and_back_keeps_what_both_have(robot_clip: RobotClip, robot: RobotModel) -> None:
    fewer = to_dof(robot_clip, 23, robot)
    back = to_dof(fewer, 29, robot)
    assert (len(fewer.joint_names), back.joint_names) == (23, robot.joint_names)
    np.testing.assert_array_equal(to_dof(back, 23, robot).joint_pos, fewer.joint_pos)
    for name in robot.joint_names:
        have, want = (clip.joint_pos[:, clip.joint_names.index(name)] for clip in (back, robot_clip))
        np.testing.assert_array_equal(have, 0 * want if name in WRIST_JOINTS else want)


def test_columns_are_found_by_name(robot_clip: RobotClip, robot: RobotModel) -> None:
    turned = robot_clip.with_joint_order(robot.joint_names_isaac)
    for width in (23, 29):
        np.testing.assert_array_equal(
            to_dof(turned, width, robot).joint_pos, to_dof(robot_clip, width, robot).joint_pos
        )


def test_what_is_no_g1_is_refused(robot_clip: RobotClip, robot: RobotModel) -> None:
    with pytest.raises(MotionError, match="has 27 joints, expected 23 or 29"):
        to_dof(robot_clip, 27, robot)
    legs = robot_clip.with_joint_order(robot.joint_names[:12])
    with pytest.raises(MotionError, match=r"does not have the joints of .*left_elbow_joint"):
        to_dof(legs, 29, robot)
