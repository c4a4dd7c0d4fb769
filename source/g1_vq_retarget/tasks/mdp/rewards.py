"""Rewards of tracking, (N,) each: those ending in `_exp` are 1 without error, the others are costs."""

from __future__ import annotations

import torch
from torch import Tensor

from g1_vq_retarget.tasks.mdp.frames import angle_between


def motion_global_anchor_position_error_exp(anchor_pos_w: Tensor, robot_anchor_pos_w: Tensor, std: float) -> Tensor:
    """exp(-d² / std²), d the distance (m) of the anchors (N, 3)."""
    return torch.exp(-(anchor_pos_w - robot_anchor_pos_w).square().sum(-1) / std**2)


def motion_global_anchor_orientation_error_exp(
    anchor_quat_w: Tensor, robot_anchor_quat_w: Tensor, std: float
) -> Tensor:
    """exp(-a² / std²), a the angle (rad) between the anchors (N, 4)."""
    return torch.exp(-angle_between(anchor_quat_w, robot_anchor_quat_w).square() / std**2)


def motion_relative_body_position_error_exp(
    body_pos_relative_w: Tensor, robot_body_pos_w: Tensor, std: float
) -> Tensor:
    """exp(-mean d² / std²) over bodies (N, L, 3), the motion's as of `relative_body_poses`."""
    return _mean_square_exp(body_pos_relative_w - robot_body_pos_w, std)


def motion_relative_body_orientation_error_exp(
    body_quat_relative_w: Tensor, robot_body_quat_w: Tensor, std: float
) -> Tensor:
    """exp(-mean a² / std²) over bodies (N, L, 4), the motion's as of `relative_body_poses`."""
    return torch.exp(-angle_between(body_quat_relative_w, robot_body_quat_w).square().mean(-1) / std**2)


def motion_global_body_linear_velocity_error_exp(
    body_lin_vel_w: Tensor, robot_body_lin_vel_w: Tensor, std: float
) -> Tensor:
    """exp(-mean |v - v'|² / std²) over bodies (N, L, 3), m/s, of the same points of the links."""
    return _mean_square_exp(body_lin_vel_w - robot_body_lin_vel_w, std)


def motion_global_body_angular_velocity_error_exp(
    body_ang_vel_w: Tensor, robot_body_ang_vel_w: Tensor, std: float
) -> Tensor:
    """exp(-mean |w - w'|² / std²) over bodies (N, L, 3), rad/s."""
    return _mean_square_exp(body_ang_vel_w - robot_body_ang_vel_w, std)


def action_rate_l2(action: Tensor, prev_action: Tensor) -> Tensor:
    """Sum of squared changes of the policy's output (N, A)."""
    return (action - prev_action).square().sum(-1)


def joint_pos_limits(joint_pos: Tensor, soft_joint_pos_limits: Tensor) -> Tensor:
    """Sum of what joints (N, J) are beyond their soft limits (..., J, 2), rad."""
    lower, upper = soft_joint_pos_limits.unbind(-1)
    return ((lower - joint_pos).clamp(min=0) + (joint_pos - upper).clamp(min=0)).sum(-1)


def undesired_contacts(force_history: Tensor, threshold: float) -> Tensor:
    """BeyondMimic's: how many bodies were touched at any of the last T substeps, by more than the threshold, N.

    `force_history`: (N, T, L, 3), as Isaac Lab's contact sensors hold it.
    """
    return (force_history.norm(dim=-1) > threshold).any(1).sum(-1).float()


def self_collision_cost(force_history: Tensor, force_threshold: float) -> Tensor:
    """mjlab's: at how many of the last T substeps any contact of the robot with itself exceeded the threshold, N.

    `force_history`: (N, C, T, 3) of C contacts, as mjlab's contact sensors hold it.
    """
    return (force_history.norm(dim=-1) > force_threshold).any(1).sum(-1).float()


def _mean_square_exp(error: Tensor, std: float) -> Tensor:
    return torch.exp(-error.square().sum(-1).mean(-1) / std**2)
