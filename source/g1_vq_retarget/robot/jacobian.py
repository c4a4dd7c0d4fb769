"""How points of a robot move with its root and its joints."""

from __future__ import annotations

from functools import cache

import numpy as np

from g1_vq_retarget.robot.kinematics import BodyPoses
from g1_vq_retarget.robot.model import RobotModel

# The columns of a Jacobian: the root's place, its turn as a rotation vector in the world's frame, and the joints.
PLACE, TURN, ROOT = slice(0, 3), slice(3, 6), 6


def point_jacobian(
    robot: RobotModel, poses: BodyPoses, frame: np.ndarray, link: np.ndarray, point_w: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """How points that are fixed to links move in the world: their geometric Jacobian.

    Args:
        robot: the link table.
        poses: (T, L) of the links in the world.
        frame: (K,) which of the T poses each point is of.
        link: (K,) which of the L links it is fixed to.
        point_w: (K, 3) where it is, m.
        joints: (N,) indices of the joints that move.

    Returns:
        (K, 3, 6 + N) metres a metre or a radian.
    """
    pos, rot = poses.pos.numpy(), poses.rot.numpy()
    # the root turns about the axes of the world, through its own origin
    axes = np.tile(np.eye(3), (len(pos), 1, 1))
    hinges = np.array([joint.axis for joint in robot.joints])[joints]
    axes = np.concatenate([axes, np.einsum("tjab,jb->tja", rot[:, joints + 1], hinges)], axis=1)
    origins = np.concatenate([np.repeat(pos[:, :1], 3, axis=1), pos[:, joints + 1]], axis=1)
    turns = np.ones((len(robot.links), 3 + len(joints)), dtype=bool)
    turns[:, 3:] = moved_by(robot)[:, joints]
    x, y, z = np.moveaxis(point_w[:, None] - origins[frame], -1, 0)
    along_x, along_y, along_z = np.moveaxis(axes[frame] * turns[link][..., None], -1, 0)
    jacobian = np.empty((len(point_w), 3, ROOT + len(joints)))
    jacobian[:, :, PLACE] = np.eye(3)
    # written out: np.cross takes ten times as long
    jacobian[:, 0, 3:] = along_y * z - along_z * y
    jacobian[:, 1, 3:] = along_z * x - along_x * z
    jacobian[:, 2, 3:] = along_x * y - along_y * x
    return jacobian


@cache
def moved_by(robot: RobotModel) -> np.ndarray:
    """(L, J) whether a joint moves a link."""
    moves = np.zeros((len(robot.links), len(robot.joints)), dtype=bool)
    for link, parent in enumerate(robot.parents[1:], start=1):
        moves[link] = moves[parent]
        moves[link, link - 1] = True
    return moves
