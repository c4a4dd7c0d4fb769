"""Left and right exchanged: the motion as a mirror in the plane y = 0 shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion.clip import HumanClip, RobotClip
from g1_vq_retarget.motion.skeleton import HUMAN_JOINTS
from g1_vq_retarget.robot.model import RobotModel, index_by_name

AnyClip = TypeVar("AnyClip", RobotClip, HumanClip)


def mirror(clip: AnyClip, robot: RobotModel) -> AnyClip:
    """The mirrored clip. `robot` tells which hinges change their sign; a human clip does not use it."""
    pos = clip.root_pos_w * (1, -1, 1)
    if isinstance(clip, RobotClip):
        columns, signs = mirrored_joints(robot)
        ordered = clip.with_joint_order(robot.joint_names)
        joint_pos = (ordered.joint_pos[:, columns] * signs)[:, index_by_name(robot.joint_names, clip.joint_names)]
        # a rotation about an axis in the mirror plane turns the other way
        return replace(clip, root_pos_w=pos, root_quat_w=clip.root_quat_w * (1, -1, 1, -1), joint_pos=joint_pos)
    joints = mirrored_names(HUMAN_JOINTS[1:])
    # SMPL's lateral axis is x: mirror in x = 0 inside the body, in y = 0 outside it
    matrix = np.diag([1.0, -1.0, 1.0]) @ clip.root_rotation.as_matrix() @ np.diag([-1.0, 1.0, 1.0])
    root = Rotation.from_matrix(matrix).as_quat(scalar_first=True)
    rest = clip.rest_offsets[mirrored_names(HUMAN_JOINTS)] * (-1, 1, 1)
    quat = clip.joint_quat[:, joints] * (1, 1, -1, -1)
    return replace(clip, root_pos_w=pos, root_quat_w=root, joint_quat=quat, rest_offsets=rest)


def mirrored_joints(robot: RobotModel) -> tuple[list[int], np.ndarray]:
    """Columns and signs such that `joint_pos[..., columns] * signs` is the mirrored pose.

    A hinge whose axis lies in the mirror plane (x or z) turns the other way; one along y keeps its sense.
    """
    columns = mirrored_names(robot.joint_names)
    axes = np.array([joint.axis for joint in robot.joints])
    return columns, np.where(np.abs(axes[:, 1]) > 0.5, 1.0, -1.0)


def mirrored_names(names: Sequence[str]) -> list[int]:
    """Index of each name's twin with left_ and right_ exchanged (its own index for a name without a side)."""
    swap = {"left_": "right_", "right_": "left_"}
    twins = [next((swap[side] + name[len(side) :] for side in swap if name.startswith(side)), name) for name in names]
    return index_by_name(names, twins)
