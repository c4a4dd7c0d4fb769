"""Orders that joints, links and quaternions stand in."""

from __future__ import annotations

from typing import Literal

from g1_vq_retarget.robot.model import RobotModel

JointOrder = Literal["mujoco", "isaac"]
QuatOrder = Literal["xyzw", "wxyz"]
JOINT_ORDERS: tuple[JointOrder, ...] = ("mujoco", "isaac")
QUAT_ORDERS: tuple[QuatOrder, ...] = ("xyzw", "wxyz")

# Columns that bring a quaternion's components from an order to w x y z, and back.
TO_WXYZ: dict[QuatOrder, list[int]] = {"xyzw": [3, 0, 1, 2], "wxyz": [0, 1, 2, 3]}
FROM_WXYZ: dict[QuatOrder, list[int]] = {"xyzw": [1, 2, 3, 0], "wxyz": [0, 1, 2, 3]}


def names_in(robot: RobotModel, order: JointOrder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Joint names and link names of a robot in MuJoCo's order (depth first) or Isaac Lab's (breadth first)."""
    if order == "isaac":
        return robot.joint_names_isaac, robot.link_names_isaac
    return robot.joint_names, robot.link_names
