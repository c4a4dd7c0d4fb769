"""The G1 of 23 joints: which of the 29 it lacks.

TWIST, PHC, ASAP and PBHC train on the G1 of 29 joints with both wrists welded at 0 rad: g1_29dof_anneal_23dof in ASAP's
and PBHC's configuration, g1_custom_collision_with_fixed_hand in TWIST's. Unitree also sells a G1 with 23 motors,
g1_23dof_rev_1_0, which is another robot: it has wrist_roll, and no waist_roll and waist_pitch.
"""

from __future__ import annotations

from collections.abc import Sequence

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.robot.model import RobotModel

WRIST_JOINTS = tuple(f"{side}_wrist_{axis}_joint" for side in ("left", "right") for axis in ("roll", "pitch", "yaw"))


def joints_of_width(robot: RobotModel, joints: Sequence[str], width: int) -> tuple[str, ...]:
    """The names of so many columns: all of some joints, in their order, or all but the robot's six wrist joints.

    Args:
        robot: for messages.
        joints: names of the robot's joints, in any order.
        width: number of columns.

    Raises:
        UserError: any other width.
    """
    fewer = tuple(name for name in joints if name not in WRIST_JOINTS)
    known = {len(names): names for names in (fewer, tuple(joints))}
    if width not in known:
        widths = " or ".join(f"{count}" for count in sorted(known))
        raise UserError(f"has {width} joints, expected {widths} ({robot.title}, without or with its wrists)")
    return known[width]
