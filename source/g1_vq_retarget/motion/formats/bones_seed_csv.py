"""BONES-SEED's CSV of the G1: a header, centimetres and degrees, at 120 fps.

Columns: Frame; root_translateX, Y, Z (cm); root_rotateX, Y, Z (degrees, about the world's axes, x first: extrinsic
xyz); <joint>_dof (degrees) for every joint, in MuJoCo order. The file tells no rate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.files import existing_file, replacing, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import check_limits, naming, require_robot_joints
from g1_vq_retarget.motion.formats.csv_table import read_headed_table, write_table
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.ground import ground_measures
from g1_vq_retarget.robot.model import RobotModel

FPS = 120.0
_FRAME = "Frame"
_TRANSLATE = tuple(f"root_translate{axis}" for axis in "XYZ")
_ROTATE = tuple(f"root_rotate{axis}" for axis in "XYZ")
_DOF = "_dof"


def read_bones_seed_csv(
    path: str | Path,
    *,
    robot: RobotModel,
    fps: float | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> RobotClip:
    """Read a clip; its joints are in `robot.joint_names` order, by name. Columns beside the robot's are not read.

    Args:
        path: the file.
        robot: whose joints are wanted.
        fps: frames a second, which the file does not tell; 120 if not given.
        licence: licence of the motion, for its provenance.
        findings: is told what the file left open, and what settled it.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: a missing column, a cell that is no number, frames left out with no rate told, joints far beyond
            limits, or a motion that stands on the ground only if read in another way than the header says.
    """
    path = existing_file(path)
    with naming(path):
        columns, table = read_headed_table(path)
        wanted = (_FRAME, *_TRANSLATE, *_ROTATE, *(joint + _DOF for joint in robot.joint_names))
        missing = [column for column in wanted if column not in columns]
        if missing:
            raise MotionError(f"lacks the columns {', '.join(missing)}; it holds {', '.join(columns)}")
        values = dict(zip(columns, table.T, strict=True))
        steps = np.diff(values[_FRAME])
        if fps is None and (steps != 1).any():
            row = int(np.argmax(steps != 1))
            raise MotionError(
                f"{_FRAME} goes from {values[_FRAME][row]:g} to {values[_FRAME][row + 1]:g} and not by 1, so the rate "
                f"is not {FPS:g} fps: say it with --fps"
            )
        turns = np.stack([values[column] for column in _ROTATE], axis=1)

        def clip_in(joint_names: tuple[str, ...], axes: str) -> RobotClip:
            return RobotClip(
                name=path.stem,
                fps=float(FPS if fps is None else fps),
                root_pos_w=np.stack([values[column] for column in _TRANSLATE], axis=1) / 100,
                root_quat_w=Rotation.from_euler(axes, turns, degrees=True).as_quat(scalar_first=True),
                joint_names=joint_names,
                joint_pos=np.deg2rad(np.stack([values[joint + _DOF] for joint in robot.joint_names], axis=1)),
                provenance=Provenance(path.name, sha256_of(path), licence),
            ).with_joint_order(robot.joint_names)

        told = "as named, extrinsic xyz"
        readings = {
            told: clip_in(robot.joint_names, "xyz"),
            "as named, intrinsic xyz": clip_in(robot.joint_names, "XYZ"),
            "columns in Isaac Lab's order": clip_in(_misnamed(columns, robot), "xyz"),
        }
        measures = ground_measures(readings, robot)
        other = next((measure for measure in measures if measure.answer not in (None, told)), None)
        if other is not None:
            raise MotionError(
                f"the motion stands on the ground only if read {other.answer} ({other}): correct the file"
            )
        clip = readings[told]
        check_limits(clip, robot, path)
    if findings is not None:
        tells = next((measure for measure in measures if measure.answer == told), None)
        findings += [
            Finding("joint order", "by name", "file"),
            Finding("root rotation", "extrinsic xyz", "convention")
            if tells is None
            else Finding("root rotation", "extrinsic xyz", "evidence", dict(tells.residuals), tells.name),
            Finding("fps", f"{clip.fps:g}", "convention" if fps is None else "caller"),
        ]
    return clip


def write_bones_seed_csv(clip: RobotClip, path: str | Path, robot: RobotModel) -> None:
    """Write a clip at its own rate, which the file does not tell: say `clip.fps` where you hand it on.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the file cannot be written.
    """
    clip = require_robot_joints(clip, robot)
    header = (_FRAME, *_TRANSLATE, *_ROTATE, *(joint + _DOF for joint in robot.joint_names))
    turns = clip.root_rotation.as_euler("xyz", degrees=True)
    columns = [np.arange(len(clip)), 100 * clip.root_pos_w, turns, np.rad2deg(clip.joint_pos)]
    with replacing(path) as temporary:
        write_table(temporary, np.column_stack(columns), header, fmt="%.7f")


def _misnamed(columns: tuple[str, ...], robot: RobotModel) -> tuple[str, ...]:
    """Names of the robot's joints' columns if the header were wrong, and the columns in Isaac Lab's order."""
    places = [column.removesuffix(_DOF) for column in columns if column.removesuffix(_DOF) in robot.joint_names]
    renamed = dict(zip(places, robot.joint_names_isaac, strict=True))
    return tuple(renamed[joint] for joint in robot.joint_names)
