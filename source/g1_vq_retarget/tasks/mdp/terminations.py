"""When an episode has failed, (N,) bool each."""

from __future__ import annotations

from torch import Tensor

from g1_vq_retarget.tasks.mdp.frames import upright


def bad_anchor_pos(anchor_pos_w: Tensor, robot_anchor_pos_w: Tensor, threshold: float) -> Tensor:
    """The anchors (N, 3) are further apart than the threshold, m."""
    return (anchor_pos_w - robot_anchor_pos_w).norm(dim=-1) > threshold


def bad_anchor_pos_z_only(anchor_pos_w: Tensor, robot_anchor_pos_w: Tensor, threshold: float) -> Tensor:
    """Their heights are."""
    return (anchor_pos_w - robot_anchor_pos_w)[:, 2].abs() > threshold


def bad_anchor_ori(anchor_quat_w: Tensor, robot_anchor_quat_w: Tensor, threshold: float) -> Tensor:
    """The anchors (N, 4) lean differently: gravity's z in the one's frame and the other's (-1 upright) differ by more.

    Heading does not matter.
    """
    return (upright(anchor_quat_w) - upright(robot_anchor_quat_w)).abs() > threshold


def bad_motion_body_pos(body_pos_relative_w: Tensor, robot_body_pos_w: Tensor, threshold: float) -> Tensor:
    """Any body (N, L, 3) is further than the threshold, m, from where the motion has it (see `relative_body_poses`)."""
    return ((body_pos_relative_w - robot_body_pos_w).norm(dim=-1) > threshold).any(-1)


def bad_motion_body_pos_z_only(body_pos_relative_w: Tensor, robot_body_pos_w: Tensor, threshold: float) -> Tensor:
    """Any body's height is."""
    return ((body_pos_relative_w - robot_body_pos_w)[..., 2].abs() > threshold).any(-1)
