"""The human side of tracking NPZ files that hold SMPL-X poses: the key smplx_pose_body of `seulzx/smplx_datasets`.

The robot's side is a tracking NPZ, see `tracking_npz`. The poses are the local rotations of SMPL-X's 21 body joints, as
axis-angle (T, 63) or (T, 21, 3), or as six numbers a joint (T, 126) or (T, 21, 6). The human's root is not in the file.

Six numbers are two columns or two rows of the rotation's matrix, in one of three orders. The producer of those files
(`extend_datasets.py` of github.com/Beat-in-our-hearts/whole_body_tracking) takes the first two columns and flattens
them row by row, r00 r01 r10 r11 r20 r21: "interleaved". Zhou et al. 2019 put one column after the other, "columns", and
pytorch3d one row after the other, "rows". The first is told from the others by lengths and angles of the two vectors.
Columns and rows are each other's inverse rotations, equally orthonormal, and are told apart by the body: knees bend
backwards and elbows forwards.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.files import existing_file
from g1_vq_retarget.motion.clip import HumanClip, MotionError
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding, settle
from g1_vq_retarget.motion.formats.npz import numbers, read_arrays
from g1_vq_retarget.motion.formats.tracking_npz import JointOrder, read_tracking_npz
from g1_vq_retarget.motion.skeleton import BODY_AXES, HUMAN_JOINTS
from g1_vq_retarget.robot.kinematics import forward_kinematics
from g1_vq_retarget.robot.model import RobotModel

RotationOrder = Literal["interleaved", "columns", "rows"]

KEY = "smplx_pose_body"
_JOINTS = len(HUMAN_JOINTS) - 1

# Two vectors of a rotation matrix may be so far off unit length and a right angle.
_ORTHONORMAL = 0.01
# Of the bending of knees and elbows, so much at most goes the way they cannot: capture and skeleton are not exact.
_BACKWARD = 0.25
# Less bending than this, rad, tells nothing.
_BENDING = 0.05

# The way each joint bends, as an axis in its own frame (x left, y up, z forward in the T-pose).
_FLEXION = {
    "left_knee": (1.0, 0.0, 0.0),
    "right_knee": (1.0, 0.0, 0.0),
    "left_elbow": (0.0, -1.0, 0.0),
    "right_elbow": (0.0, 1.0, 0.0),
}

# A body of 1.75 m, since the files tell no shape: each joint in its parent's frame, the left side's, m.
_BODY = {
    "pelvis": (0.0, 0.0, 0.0),
    "hip": (0.09, -0.08, 0.0),
    "knee": (0.0, -0.42, 0.0),
    "ankle": (0.0, -0.42, -0.02),
    "foot": (0.03, -0.06, 0.13),
    "spine1": (0.0, 0.11, -0.02),
    "spine2": (0.0, 0.13, 0.0),
    "spine3": (0.0, 0.06, 0.0),
    "neck": (0.0, 0.21, -0.03),
    "head": (0.0, 0.09, 0.05),
    "collar": (0.08, 0.11, -0.02),
    "shoulder": (0.10, 0.03, 0.0),
    "elbow": (0.26, 0.0, 0.0),
    "wrist": (0.25, 0.0, 0.0),
}


def read_smplx_npz(
    path: str | Path,
    robot: RobotModel,
    rotation_order: RotationOrder | None = None,
    joint_order: JointOrder | None = None,
    *,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> HumanClip:
    """Read the human side of a tracking NPZ with SMPL-X poses, with the robot's root in the place of the human's.

    The root faces as the robot's does, and its place is the robot's, enlarged so that a standing human's pelvis is
    where the robot's is. The skeleton is one of 1.75 m: the file tells none.

    Args:
        path: the file.
        robot: whose root it is.
        rotation_order: order of six numbers a joint; without it the file's own numbers settle it.
        joint_order: order of the robot's joints, see `read_tracking_npz`.
        licence: licence of the motion.
        findings: what was open and is settled is added here.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: as `read_tracking_npz`; poses of another shape or length; six numbers that are no rotation, or
            whose order nothing settles.
    """
    path = existing_file(path)
    body = read_tracking_npz(path, robot, joint_order, licence=licence, findings=findings)
    with naming(path):
        values = numbers(read_arrays(path, (KEY,)), KEY)
        if not np.isfinite(values).all():
            raise MotionError(f"{KEY} is not a finite number at frame {np.argwhere(~np.isfinite(values))[0, 0]}")
        shapes = ((63,), (_JOINTS, 3), (126,), (_JOINTS, 6))
        if values.shape[1:] not in shapes:
            told = ", ".join(f"(T, {', '.join(map(str, shape))})" for shape in shapes)
            raise MotionError(f"{KEY} has shape {values.shape}, expected one of {told}")
        if len(values) != len(body):
            raise MotionError(f"{KEY} has {len(values)} frames, joint_pos {len(body)}: expected the same")
        values = values.reshape(len(values), _JOINTS, -1)
        if values.shape[-1] == 3:
            rotations = Rotation.from_rotvec(values.reshape(-1, 3))
        else:
            finding = _settle_order(values, rotation_order)
            if findings is not None:
                findings.append(finding)
            rotations = Rotation.from_matrix(_matrices(values, finding.answer).reshape(-1, 3, 3))
        bending = _backward_bending(rotations)
        if bending > 1 - _BACKWARD:
            raise MotionError(
                f"{KEY}: {100 * bending:.0f} % of the bending of knees and elbows goes the way they cannot; these are "
                "not SMPL-X's local rotations, or --rotation-order is not theirs"
            )
        return HumanClip(
            name=path.stem,
            fps=body.fps,
            root_pos_w=body.root_pos_w * (_ankle_drop(_rest_offsets()) / _robot_ankle_drop(robot)),
            root_quat_w=(body.root_rotation * BODY_AXES.inv()).as_quat(scalar_first=True),
            joint_quat=rotations.as_quat(scalar_first=True).reshape(len(body), _JOINTS, 4),
            rest_offsets=_rest_offsets(),
            provenance=body.provenance,
        )


def _settle_order(values: np.ndarray, told: RotationOrder | None) -> Finding:
    """Which numbers of (T, 21, 6) are which of the matrix."""
    question, flag = f"order of the six numbers of {KEY}", f"--rotation-order {'|'.join(get_args(RotationOrder))}"
    if told is not None:
        off = _off_orthonormal(values, told)
        if off > _ORTHONORMAL:
            raise MotionError(f"{KEY} holds no rotations in the order {told}: {off:.3g} off unit length or right angle")
        return Finding(question, told, "caller")
    misfit = {order: _off_orthonormal(values, order) for order in ("interleaved", "columns")}
    measure = "off unit length or a right angle"
    if misfit["columns"] > _ORTHONORMAL:  # and so are rows
        return settle(question, misfit, fits=_ORTHONORMAL, margin=2.0, measure=measure, flag=flag)
    both = {
        order: _backward_bending(Rotation.from_matrix(_matrices(values, order).reshape(-1, 3, 3)))
        for order in ("columns", "rows")
    }
    if misfit["interleaved"] <= _ORTHONORMAL:  # all joints at rest, or the like
        both["interleaved"] = 0.5
    measure = "share of the bending of knees and elbows that goes the way they cannot"
    return settle(question, both, fits=_BACKWARD, margin=2.0, measure=measure, flag=flag)


def _matrices(values: np.ndarray, order: str) -> np.ndarray:
    """(T, 21, 3, 3) rotation matrices of (T, 21, 6) numbers, made orthonormal."""
    first, second = _vectors(values, order)
    first = first / np.linalg.norm(first, axis=-1, keepdims=True)
    second = second - (first * second).sum(-1, keepdims=True) * first
    second = second / np.linalg.norm(second, axis=-1, keepdims=True)
    columns = np.stack([first, second, np.cross(first, second)], axis=-1)
    return columns.swapaxes(-1, -2) if order == "rows" else columns


def _vectors(values: np.ndarray, order: str) -> tuple[np.ndarray, np.ndarray]:
    if order == "interleaved":
        return values[..., 0::2], values[..., 1::2]
    return values[..., :3], values[..., 3:]


def _off_orthonormal(values: np.ndarray, order: str) -> float:
    """How far two vectors are off unit length and a right angle, the worst of all frames and joints."""
    first, second = _vectors(values, order)
    lengths = np.stack([np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1)])
    return float(max(np.abs(lengths - 1).max(), np.abs((first * second).sum(-1)).max()))


def _backward_bending(rotations: Rotation) -> float:
    """Of the bending of knees and elbows, the share that goes the way they cannot; a half where they hardly bend.

    Args:
        rotations: T * 21 local rotations, frame after frame.
    """
    turns = rotations.as_rotvec().reshape(-1, _JOINTS, 3)
    joints = [HUMAN_JOINTS[1:].index(joint) for joint in _FLEXION]
    angles = (turns[:, joints] * np.array(list(_FLEXION.values()))).sum(-1)
    if np.abs(angles).mean() < _BENDING:
        return 0.5
    return float(np.maximum(-angles, 0).sum() / np.abs(angles).sum())


def _rest_offsets() -> np.ndarray:
    offsets = []
    for name in HUMAN_JOINTS:
        side, _, joint = name.partition("_")
        offsets.append(_BODY[joint or name] * np.array((-1 if side == "right" else 1, 1, 1)))
    return np.array(offsets)


def _ankle_drop(rest: np.ndarray) -> float:
    """From the pelvis down to the ankles of a standing human, m."""
    chain = [HUMAN_JOINTS.index(f"left_{joint}") for joint in ("hip", "knee", "ankle")]
    return float(-rest[chain, 1].sum())


def _robot_ankle_drop(robot: RobotModel) -> float:
    """From the pelvis down to the feet of a robot with all joints at zero, m."""
    root = torch.tensor([[0.0, 0.0, 0.0]], dtype=torch.float64), torch.tensor([[1.0, 0, 0, 0]], dtype=torch.float64)
    poses = forward_kinematics(robot, torch.zeros(1, len(robot.joints), dtype=torch.float64), *root)
    feet = robot.link_indices([leg[-1] for leg in robot.legs])
    return float(-poses.pos[0, feet, 2].mean())
