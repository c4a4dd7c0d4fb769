"""Robot motion as 36 columns without a header: Unitree's CSV and Kimodo's.

One row a frame: x y z (m), quaternion, joint angles (rad) in MuJoCo order. Unitree writes the quaternion x y z w,
Kimodo w x y z, and nothing in a file says which: the ground does. Neither tells its rate. Unitree published its LAFAN1
retargeting in it at 30 fps, and Kimodo generates at 30, so that is the default.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import check_limits, naming, require_robot_joints
from g1_vq_retarget.motion.formats.csv_table import read_table, write_table
from g1_vq_retarget.motion.formats.evidence import Finding, agree
from g1_vq_retarget.motion.formats.ground import ground_measures
from g1_vq_retarget.motion.formats.orders import (
    FROM_WXYZ,
    JOINT_ORDERS,
    QUAT_ORDERS,
    TO_WXYZ,
    JointOrder,
    QuatOrder,
    names_in,
)
from g1_vq_retarget.robot.model import RobotModel

FPS = 30.0


def read_unitree_csv(
    path: str | Path,
    *,
    robot: RobotModel,
    fps: float | None = None,
    licence: str = "",
    quat_order: QuatOrder | None = None,
    joint_order: JointOrder | None = None,
    findings: list[Finding] | None = None,
) -> RobotClip:
    """Read a clip of Unitree's or Kimodo's; its joints are in `robot.joint_names` order.

    Without `quat_order` the order is the one in which the robot stands on the ground and does not drag its feet over
    it, see `ground_measures`. The joints are weighed in Isaac Lab's order, too, so that a file of shuffled columns is
    not read as one of the format.

    Args:
        path: the file, with 7 + J columns.
        robot: whose joints the columns are.
        fps: frames a second, which the file does not tell; 30 if not given.
        licence: licence of the motion, for its provenance.
        quat_order: order of the quaternion's columns: "xyzw" is Unitree's, "wxyz" Kimodo's. With it the joints are in
            MuJoCo order unless told.
        joint_order: order of the joints' columns, "mujoco" in both formats.
        findings: is told what the file left open, and what settled it.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: a row or cell that cannot be, a quaternion that is none, no positive fps, joints far beyond limits,
            an order that the ground does not settle.
    """
    path = existing_file(path)
    with naming(path):
        told = Finding("fps", f"{FPS if fps is None else fps:g}", "convention" if fps is None else "caller")
        fps = float(FPS if fps is None else fps)
        columns = (*"xyz", *(f"q{axis}" for axis in quat_order or "xyzw"), *robot.joint_names)
        table = read_table(path, columns, f"x y z, quaternion x y z w or w x y z, {len(robot.joints)} joint angles")
        provenance = Provenance(path.name, sha256_of(path), licence)

        def clip_in(joints: JointOrder, quat: QuatOrder) -> RobotClip:
            return RobotClip(
                name=path.stem,
                fps=fps,
                root_pos_w=table[:, :3],
                root_quat_w=table[:, 3:7][:, TO_WXYZ[quat]],
                joint_names=names_in(robot, joints)[0],
                joint_pos=table[:, 7:],
                provenance=provenance,
            ).with_joint_order(robot.joint_names)

        if quat_order is not None:
            clip = clip_in(joint_order or "mujoco", quat_order)
            settled = Finding("joint and quaternion order", f"{joint_order or 'mujoco'} {quat_order}", "caller")
        else:
            orders = JOINT_ORDERS if joint_order is None else (joint_order,)
            candidates = {f"{joints} {quat}": clip_in(joints, quat) for joints in orders for quat in QUAT_ORDERS}
            settled = _settled(candidates, robot, path)
            clip = candidates[settled.answer]
        check_limits(clip, robot, path)
    if findings is not None:
        findings += [settled, told]
    return clip


def write_unitree_csv(clip: RobotClip, path: str | Path, robot: RobotModel, quat_order: QuatOrder = "xyzw") -> None:
    """Write a clip at its own rate, which the file does not tell: say `clip.fps` where you hand it on.

    Args:
        clip: with exactly the robot's joints.
        path: the file.
        robot: whose order the joints are written in.
        quat_order: "xyzw" for Unitree's CSV, "wxyz" for Kimodo's.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the file cannot be written.
    """
    ordered = require_robot_joints(clip, robot)
    quat = ordered.root_quat_w[:, FROM_WXYZ[quat_order]]
    table = np.concatenate([ordered.root_pos_w, quat, ordered.joint_pos], axis=1)
    with replacing(path) as temporary:
        write_table(temporary, table)


def _settled(candidates: dict[str, RobotClip], robot: RobotModel, path: Path) -> Finding:
    """The reading that the ground tells. Raises MotionError if it does not."""
    try:
        return agree(
            "joint and quaternion order",
            ground_measures(candidates, robot),
            flag="--quat-order xyzw (Unitree) or wxyz (Kimodo)",
        )
    except MotionError:
        # an angle out of range explains it more simply
        check_limits(next(iter(candidates.values())), robot, path)
        raise
