"""Unitree's CSV: no header, one row a frame, x y z (m), quaternion x y z w, joint angles (rad) in MuJoCo order.

The format tells no rate. Unitree published its LAFAN1 retargeting in it at 30 fps, so that is its default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import check_limits, naming, require_robot_joints
from g1_vq_retarget.robot.model import RobotModel

FPS = 30.0
QuatOrder = Literal["xyzw", "wxyz"]
_XYZW_TO_WXYZ = [3, 0, 1, 2]
_WXYZ_TO_XYZW = [1, 2, 3, 0]


def read_unitree_csv(
    path: str | Path,
    *,
    robot: RobotModel,
    fps: float = FPS,
    licence: str = "",
    quat_order: QuatOrder | None = None,
) -> RobotClip:
    """Read a clip; its joints are in `robot.joint_names` order.

    Args:
        path: the file, with 7 + J columns.
        robot: whose joints the columns are.
        fps: frames a second, which the file does not tell.
        licence: licence of the motion, for its provenance.
        quat_order: order of the quaternion's columns. Kimodo writes the same columns w first. Without it the order is
            Unitree's x y z w, and a motion that is upside down in it but upright with w first is refused.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: a row or cell that cannot be, a quaternion that is none, no positive fps, joints far beyond limits.
    """
    path = existing_file(path)
    with naming(path):
        table = _table(path, (*"xyz", *(f"q{axis}" for axis in quat_order or "xyzw"), *robot.joint_names))
        quat = table[:, 3:7]
        if quat_order is None:
            _refuse_w_first(quat)
        clip = RobotClip(
            name=path.stem,
            fps=float(fps),
            root_pos_w=table[:, :3],
            root_quat_w=quat if quat_order == "wxyz" else quat[:, _XYZW_TO_WXYZ],
            joint_names=robot.joint_names,
            joint_pos=table[:, 7:],
            provenance=Provenance(path.name, sha256_of(path), licence),
        )
        check_limits(clip, robot, path)
    return clip


def write_unitree_csv(clip: RobotClip, path: str | Path, robot: RobotModel) -> None:
    """Write a clip at its own rate, which the file does not tell: say `clip.fps` where you hand it on.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the file cannot be written.
    """
    ordered = require_robot_joints(clip, robot)
    table = np.concatenate([ordered.root_pos_w, ordered.root_quat_w[:, _WXYZ_TO_XYZW], ordered.joint_pos], axis=1)
    with replacing(path) as temporary:
        np.savetxt(temporary, table, fmt="%.7f", delimiter=",")


def _table(path: Path, columns: tuple[str, ...]) -> np.ndarray:
    """(T, len(columns)) the cells as finite numbers; blank lines are skipped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise MotionError("not a text file, expected comma-separated numbers") from None
    rows = [line for line in lines if line.strip()]
    if not rows:
        raise MotionError("the motion has no frames")
    try:
        table = np.loadtxt(rows, delimiter=",", ndmin=2, comments=None)
    except ValueError:
        raise _first_fault(lines, columns) from None
    if table.shape[1] != len(columns) or not np.isfinite(table).all():
        raise _first_fault(lines, columns)
    return table


def _first_fault(lines: list[str], columns: tuple[str, ...]) -> MotionError:
    """The first row that is short, or cell that is no number. Slow, and only walked when there is one."""
    frame = -1
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        frame += 1
        cells = line.split(",")
        if len(cells) != len(columns):
            return MotionError(
                f"line {number} (frame {frame}) has {len(cells)} columns, expected {len(columns)}: "
                f"x y z, quaternion x y z w, {len(columns) - 7} joint angles"
            )
        for column, (name, cell) in enumerate(zip(columns, cells, strict=True), start=1):
            try:
                finite = np.isfinite(float(cell))
            except ValueError:
                finite = False
            if not finite:
                return MotionError(
                    f"line {number} (frame {frame}), column {column} ({name}) holds {cell.strip()!r}, "
                    "expected a finite number"
                )
    return MotionError("not comma-separated numbers")


def _refuse_w_first(quat: np.ndarray) -> None:
    """Refuse (T, 4) rows that turn the robot over if read x y z w, and set it upright if read w x y z."""

    def mean_up_z(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.mean(1 - 2 * (x**2 + y**2)))

    # Unitree's 40 LAFAN1 clips, falls included, lie above 0.55; read in the wrong order they lie below 0.25
    if mean_up_z(quat[:, 0], quat[:, 1]) < 0.3 and mean_up_z(quat[:, 1], quat[:, 2]) > 0.5:
        raise MotionError(
            "the robot is upside down if the quaternion in columns 4 to 7 is x y z w, and upright if it is w x y z: "
            "say which with --quat-order xyzw or --quat-order wxyz"
        )
