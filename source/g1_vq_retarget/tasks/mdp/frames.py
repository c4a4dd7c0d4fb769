"""Turning and moving between frames; quaternions w x y z, of unit length, in any leading dimensions that broadcast."""

from __future__ import annotations

from typing import NamedTuple

import roma
import torch
from torch import Tensor


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """The turn `right`, then `left`."""
    left, right = torch.broadcast_tensors(left, right)
    return roma.quat_xyzw_to_wxyz(roma.quat_product(roma.quat_wxyz_to_xyzw(left), roma.quat_wxyz_to_xyzw(right)))


def inverse(quat: Tensor) -> Tensor:
    """The turn back."""
    return torch.cat([quat[..., :1], -quat[..., 1:]], dim=-1)


def rotate(quat: Tensor, vector: Tensor) -> Tensor:
    """Vectors (..., 3), turned."""
    quat = quat.expand(*torch.broadcast_shapes(quat.shape[:-1], vector.shape[:-1]), 4)
    return roma.quat_action(roma.quat_wxyz_to_xyzw(quat), vector.expand(*quat.shape[:-1], 3), is_normalized=True)


def angle_between(one: Tensor, other: Tensor) -> Tensor:
    """(...) angle of the turn from one to the other, rad, in [0, pi]."""
    return roma.unitquat_geodesic_distance(one, other)  # in any order of components


def yaw(quat: Tensor) -> Tensor:
    """The turn about z alone that gives the x axis the heading it has, as a quaternion."""
    w, x, y, z = quat.unbind(-1)
    half = 0.5 * torch.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    nothing = torch.zeros_like(half)
    return torch.stack([half.cos(), nothing, nothing, half.sin()], dim=-1)


def upright(quat: Tensor) -> Tensor:
    """(...) height of the turned z axis: 1 upright, 0 lying, -1 upside down."""
    return 1 - 2 * (quat[..., 1] ** 2 + quat[..., 2] ** 2)


def first_two_columns(quat: Tensor) -> Tensor:
    """(..., 6) of the rotation matrix, row after row as in BeyondMimic; this package's features go by column."""
    matrix = roma.unitquat_to_rotmat(roma.quat_wxyz_to_xyzw(quat))
    return matrix[..., :2].flatten(-2)


class BodyPoses(NamedTuple):
    """pos_w (N, L, 3) m, quat_w (N, L, 4)."""

    pos_w: Tensor
    quat_w: Tensor


def relative_body_poses(
    body_pos_w: Tensor,
    body_quat_w: Tensor,
    anchor_pos_w: Tensor,
    anchor_quat_w: Tensor,
    robot_anchor_pos_w: Tensor,
    robot_anchor_quat_w: Tensor,
) -> BodyPoses:
    """The motion's bodies moved to where the robot is: its anchor over the robot's, with the robot's heading.

    Only x, y and yaw are the robot's; the height and lean stay the motion's.

    Args:
        body_pos_w, body_quat_w: (N, L, 3), (N, L, 4) of the motion.
        anchor_pos_w, anchor_quat_w: (N, 3), (N, 4) of the motion.
        robot_anchor_pos_w, robot_anchor_quat_w: (N, 3), (N, 4) of the robot.
    """
    turn = yaw(multiply(robot_anchor_quat_w, inverse(anchor_quat_w)))[:, None]
    place = torch.cat([robot_anchor_pos_w[:, :2], anchor_pos_w[:, 2:]], dim=-1)[:, None]
    return BodyPoses(place + rotate(turn, body_pos_w - anchor_pos_w[:, None]), multiply(turn, body_quat_w))
