"""What a tracking policy sees, without noise; the last action, which needs no mathematics, comes besides."""

from __future__ import annotations

import torch
from torch import Tensor

from g1_vq_retarget.tasks.mdp.frames import first_two_columns, inverse, multiply, rotate


def command(joint_pos: Tensor, joint_vel: Tensor) -> Tensor:
    """(N, 2J) the motion's joints: angles, then velocities.

    Of several frames (N, H, J), as of `MotionCursor.ahead`, (N, H * 2J), frame after frame.
    """
    return torch.cat([joint_pos, joint_vel], dim=-1).flatten(1)


def motion_anchor_pos_b(robot_anchor_pos_w: Tensor, robot_anchor_quat_w: Tensor, anchor_pos_w: Tensor) -> Tensor:
    """(N, 3) the motion's anchor in the frame of the robot's, m; of several frames (N, H, 3), (N, H * 3)."""
    robot_pos, robot_quat = _beside(robot_anchor_pos_w, anchor_pos_w), _beside(robot_anchor_quat_w, anchor_pos_w)
    return rotate(inverse(robot_quat), anchor_pos_w - robot_pos).flatten(1)


def motion_anchor_ori_b(robot_anchor_quat_w: Tensor, anchor_quat_w: Tensor) -> Tensor:
    """(N, 6) its orientation there, see `first_two_columns`; of several frames (N, H, 4), (N, H * 6)."""
    robot_quat = _beside(robot_anchor_quat_w, anchor_quat_w)
    return first_two_columns(multiply(inverse(robot_quat), anchor_quat_w)).flatten(1)


def robot_body_pos_b(robot_anchor_pos_w: Tensor, robot_anchor_quat_w: Tensor, robot_body_pos_w: Tensor) -> Tensor:
    """(N, L * 3) the robot's bodies (N, L, 3) in the frame of its anchor, m; a critic's."""
    return motion_anchor_pos_b(robot_anchor_pos_w, robot_anchor_quat_w, robot_body_pos_w)


def robot_body_ori_b(robot_anchor_quat_w: Tensor, robot_body_quat_w: Tensor) -> Tensor:
    """(N, L * 6) their orientations (N, L, 4) there; a critic's."""
    return motion_anchor_ori_b(robot_anchor_quat_w, robot_body_quat_w)


def base_lin_vel(root_quat_w: Tensor, root_lin_vel_w: Tensor) -> Tensor:
    """(N, 3) velocity of the root in its own frame, m/s."""
    return rotate(inverse(root_quat_w), root_lin_vel_w)


def base_ang_vel(root_quat_w: Tensor, root_ang_vel_w: Tensor) -> Tensor:
    """(N, 3) angular velocity of the root in its own frame, rad/s."""
    return rotate(inverse(root_quat_w), root_ang_vel_w)


def joint_pos_rel(joint_pos: Tensor, default_joint_pos: Tensor) -> Tensor:
    """(N, J) joint angles from the default pose, rad."""
    return joint_pos - default_joint_pos


def joint_vel_rel(joint_vel: Tensor, default_joint_vel: Tensor | float = 0.0) -> Tensor:
    """(N, J) joint velocities from the default ones, rad/s."""
    return joint_vel - default_joint_vel


def _beside(values: Tensor, several: Tensor) -> Tensor:
    """(N, D), or (N, 1, D) beside (N, H, D')."""
    return values[:, None] if several.ndim > values.ndim else values
