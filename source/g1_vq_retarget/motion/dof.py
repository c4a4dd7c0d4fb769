"""Clips of the G1's 29 joints and of the 23 without the wrists, one made of the other by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion.clip import MotionError, RobotClip
from g1_vq_retarget.robot.dof import WRIST_JOINTS, joints_of_width
from g1_vq_retarget.robot.model import RobotModel


def to_dof(clip: RobotClip, width: int, robot: RobotModel) -> RobotClip:
    """The clip with so many joints, in the robot's order: 29, or 23 without the wrists.

    Wrists that the clip lacks come in at 0 rad, where the robots of 23 joints hold them; wrists too many are dropped.
    The joints that both have are the same numbers.

    Raises:
        MotionError: another width, or the clip has other joints than the robot, or lacks more than the wrists.
    """
    try:
        wanted = joints_of_width(robot, robot.joint_names, width)
    except UserError as error:
        raise MotionError(f"clip {clip.name!r}: {error}") from error
    odd = set(clip.joint_names) ^ set(robot.joint_names)
    if odd - set(WRIST_JOINTS):
        raise MotionError(f"clip {clip.name!r} does not have the joints of {robot.title}: {', '.join(sorted(odd))}")
    columns = dict(zip(clip.joint_names, clip.joint_pos.T, strict=True))
    still = np.zeros(len(clip))
    return replace(
        clip,
        joint_names=wanted,
        joint_pos=np.stack([columns.get(name, still) for name in wanted], axis=1),
    )
