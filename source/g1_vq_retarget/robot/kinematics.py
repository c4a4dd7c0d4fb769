"""Batched, differentiable forward kinematics over a link table."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import roma
import torch
from torch import Tensor

from g1_vq_retarget.robot.model import RobotModel


class BodyPoses(NamedTuple):
    """Where every link is, in the robot's link order.

    Attributes:
        pos: (..., L, 3) origins, m.
        rot: (..., L, 3, 3) rotation matrices.
    """

    pos: Tensor
    rot: Tensor

    @property
    def quat_wxyz(self) -> Tensor:
        """(..., L, 4) unit quaternions."""
        return roma.quat_xyzw_to_wxyz(roma.rotmat_to_unitquat(self.rot))


def forward_kinematics(
    robot: RobotModel, joint_pos: Tensor, root_pos: Tensor | None = None, root_quat_wxyz: Tensor | None = None
) -> BodyPoses:
    """Link poses from joint angles.

    Args:
        robot: the link table.
        joint_pos: (..., J) rad, in `robot.joint_names` order.
        root_pos: (..., 3) m; with `root_quat_wxyz` the poses are in the world, without them in the root's frame.
        root_quat_wxyz: (..., 4) unit quaternion of the root.

    Returns:
        Poses of all links, differentiable in every argument, on the device and in the dtype of `joint_pos`.
    """
    if joint_pos.shape[-1] != len(robot.joints):
        raise ValueError(f"joint_pos has {joint_pos.shape[-1]} columns, {robot.title} has {len(robot.joints)} joints")

    def constant(values: object) -> Tensor:
        return torch.as_tensor(np.asarray(values), dtype=joint_pos.dtype, device=joint_pos.device)

    offset_pos = constant([link.pos for link in robot.links])
    offset_rot = roma.unitquat_to_rotmat(
        roma.quat_normalize(roma.quat_wxyz_to_xyzw(constant([link.quat_wxyz for link in robot.links])))
    )
    axis = constant([joint.axis for joint in robot.joints])
    # (..., J, 3, 3): the turn of each hinge, in its parent's frame
    hinge = offset_rot[1:] @ roma.rotvec_to_rotmat(axis * joint_pos.unsqueeze(-1))

    batch = joint_pos.shape[:-1]
    pos = [joint_pos.new_zeros(*batch, 3) if root_pos is None else root_pos]
    rot = [
        torch.eye(3, dtype=joint_pos.dtype, device=joint_pos.device).expand(*batch, 3, 3)
        if root_quat_wxyz is None
        else roma.unitquat_to_rotmat(roma.quat_normalize(roma.quat_wxyz_to_xyzw(root_quat_wxyz)))
    ]
    for link, parent in enumerate(robot.parents[1:], start=1):
        pos.append(pos[parent] + (rot[parent] @ offset_pos[link].unsqueeze(-1)).squeeze(-1))
        rot.append(rot[parent] @ hinge[..., link - 1, :, :])
    return BodyPoses(torch.stack(pos, dim=-2), torch.stack(rot, dim=-3))
