"""The human body this package speaks of: SMPL's pelvis and 21 joints."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

# SMPL's order. In the rest pose (a T-pose) every local rotation is the identity and every frame has
# x to the body's left, y up, z forward (Loper et al. 2015).
HUMAN_JOINTS: tuple[str, ...] = (
    "pelvis",
    "left_hip",
    "right_hip",
    "spine1",
    "left_knee",
    "right_knee",
    "spine2",
    "left_ankle",
    "right_ankle",
    "spine3",
    "left_foot",
    "right_foot",
    "neck",
    "left_collar",
    "right_collar",
    "head",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
)
HUMAN_PARENTS: tuple[int, ...] = (-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19)

# Columns: the body's forward, left and up, written in SMPL's pelvis frame. `root_rotation * BODY_AXES` is therefore
# the orientation of a robot-like body frame (x forward, y left, z up).
BODY_AXES = Rotation.from_matrix(np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]))


def leg_length(rest_offsets: np.ndarray) -> float:
    """Hip to knee to ankle, mean of both legs, in the units of `rest_offsets` (22, 3)."""
    bones = ("left_knee", "left_ankle", "right_knee", "right_ankle")
    indices = [HUMAN_JOINTS.index(name) for name in bones]
    return float(np.linalg.norm(rest_offsets[indices], axis=1).sum() / 2)


def joint_poses(
    root_pos: np.ndarray, root_rotation: Rotation, local_rotations: Rotation, rest_offsets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Forward kinematics of the human body.

    Args:
        root_pos: (T, 3) pelvis.
        root_rotation: T rotations of the pelvis.
        local_rotations: T * 21 rotations, frame after frame, joints in `HUMAN_JOINTS[1:]` order.
        rest_offsets: (22, 3) each joint in its parent's frame, in the rest pose; the pelvis row is not used.

    Returns:
        Positions (T, 22, 3) and rotation matrices (T, 22, 3, 3) of the joints, in the frame that the root stands in.
    """
    frames = len(root_pos)
    local = local_rotations.as_matrix().reshape(frames, 21, 3, 3)
    rot = [root_rotation.as_matrix()]
    pos = [np.asarray(root_pos, dtype=float)]
    for joint, parent in enumerate(HUMAN_PARENTS[1:], start=1):
        pos.append(pos[parent] + rot[parent] @ rest_offsets[joint])
        rot.append(rot[parent] @ local[:, joint - 1])
    return np.stack(pos, axis=1), np.stack(rot, axis=1)
