"""SONIC's folder (GR00T-WholeBodyControl): a clip as tables with a header row, as the robot's controller plays it.

joint_pos.csv and joint_vel.csv (T, J) in Isaac Lab's order; body_pos.csv (T, 3 B) and body_quat.csv (T, 4 B) wxyz, the
root first; body_lin_vel.csv and body_ang_vel.csv (T, 3 B), which may be missing. metadata.txt tells which bodies: the
line after "Body part indexes:" holds their places in Isaac Lab's order. The rate is 50 Hz and not told.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from g1_vq_retarget.files import existing_file, replacing_folder, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.body_states import BodyStates, Keys, identified, states_of
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.csv_table import read_headed_table, write_table
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.orders import JointOrder, QuatOrder
from g1_vq_retarget.robot.model import RobotModel

FPS = 50.0
MARK = "joint_pos.csv"
_KEYS = Keys(
    joint_pos=MARK,
    joint_vel="joint_vel.csv",
    body_pos="body_pos.csv",
    body_quat="body_quat.csv",
    body_lin_vel="body_lin_vel.csv",
    body_ang_vel="body_ang_vel.csv",
    body_names="metadata.txt",
)
_REQUIRED = (_KEYS.joint_pos, _KEYS.joint_vel, _KEYS.body_pos, _KEYS.body_quat)
_OPTIONAL = (_KEYS.body_lin_vel, _KEYS.body_ang_vel)
_INDEXES = "Body part indexes:"


def write_sonic_folder(clip: RobotClip, path: str | Path, robot: RobotModel) -> None:
    """Write a clip at its own rate, which the folder does not tell (SONIC plays 50 Hz): `robot.tracked` as bodies.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the folder cannot be written, or something stands there that is no such folder.
    """
    states = states_of(clip, robot, "isaac", "centre of mass", link_names=robot.tracked)
    frames, bodies = len(clip), len(robot.tracked)
    indexes = " ".join(str(robot.link_names_isaac.index(link)) for link in robot.tracked)
    with replacing_folder(path) as folder:
        for key, values, kind in (
            (_KEYS.joint_pos, states.joint_pos, "joint_{}"),
            (_KEYS.joint_vel, states.joint_vel, "joint_vel_{}"),
        ):
            write_table(folder / key, values, [kind.format(joint) for joint in range(values.shape[1])], fmt="%.8f")
        for key, values, kind, axes in (
            (_KEYS.body_pos, states.body_pos, "body_{}_{}", "xyz"),
            (_KEYS.body_quat, states.body_quat, "body_{}_{}", "wxyz"),
            (_KEYS.body_lin_vel, states.body_lin_vel, "body_{}_vel_{}", "xyz"),
            (_KEYS.body_ang_vel, states.body_ang_vel, "body_{}_angvel_{}", "xyz"),
        ):
            header = [kind.format(body, axis) for body in range(bodies) for axis in axes]
            write_table(folder / key, np.asarray(values).reshape(frames, -1), header, fmt="%.8f")
        (folder / _KEYS.body_names).write_text(
            f"Metadata for: {clip.name}\n{'=' * 30}\n\n{_INDEXES}\n[{indexes}]\n\nTotal timesteps: {frames}\n",
            encoding="utf-8",
        )


def read_sonic_folder(
    path: str | Path,
    robot: RobotModel,
    joint_order: JointOrder | None = None,
    *,
    fps: float | None = None,
    quat_order: QuatOrder | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> RobotClip:
    """Read the joints and the root of a folder; they come in `robot.joint_names` order.

    The order of joints and quaternions is that in which forward kinematics meets the stored bodies; with the root as
    the only body, that in which the robot stands on the ground.

    Args:
        path: the folder.
        robot: whose joints and links they are.
        joint_order: order of the joints, in place of evidence; the format's is "isaac".
        fps: frames a second, which the folder does not tell; 50 if not given.
        quat_order: order of the quaternions' components, in place of evidence; the format's is "wxyz".
        licence: licence of the motion, for its provenance.
        findings: is told what the folder left open, and what settled it.

    Raises:
        UserError: a file of the folder is missing or empty.
        MotionError: tables of different lengths or unexpected widths, bodies without the root in front, an order that
            evidence does not settle, a rate that joint_vel.csv contradicts, impossible values.
    """
    path = Path(path)
    for name in (*_REQUIRED, _KEYS.body_names):
        existing_file(path / name)
    tables, sums = dict[str, np.ndarray](), list[str]()
    for name in (*_REQUIRED, *(name for name in _OPTIONAL if (path / name).exists())):
        with naming(path / name):
            tables[name] = read_headed_table(existing_file(path / name))[1]
        sums.append(f"{sha256_of(path / name)}  {name}\n")
    with naming(path):
        names = _body_names(path / _KEYS.body_names, robot)
        frames, bodies = len(tables[_KEYS.joint_pos]), len(names)
        for name, table in tables.items():
            width = len(robot.joints) if "joint" in name else bodies * (4 if name == _KEYS.body_quat else 3)
            if table.shape != (frames, width):
                raise MotionError(f"{name} has shape {table.shape}, expected ({frames}, {width})")
        poses = {name: table.reshape(frames, bodies, -1) for name, table in tables.items() if "body" in name}
        clip, found = identified(
            BodyStates(
                fps=FPS if fps is None else float(fps),
                joint_pos=tables[_KEYS.joint_pos],
                joint_vel=tables[_KEYS.joint_vel],
                body_pos=poses[_KEYS.body_pos],
                body_quat=poses[_KEYS.body_quat],
                body_lin_vel=poses.get(_KEYS.body_lin_vel),
                body_ang_vel=poses.get(_KEYS.body_ang_vel),
                joint_names=None,
                body_names=names,
                keys=_KEYS,
            ),
            robot,
            path,
            Provenance(path.name, hashlib.sha256("".join(sums).encode()).hexdigest(), licence),
            joint_order=joint_order,
            quat_order=quat_order,
            point="centre of mass",
        )
    if findings is not None:
        how = "convention" if fps is None else "caller"
        findings += [replace(finding, how=how) if finding.question == "fps" else finding for finding in found]
    return clip


def _body_names(path: Path, robot: RobotModel) -> tuple[str, ...]:
    """The links that metadata.txt tells, the root first; what is no link of the robot is called by its number."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    line = next((number for number, line in enumerate(lines) if _INDEXES in line), None)
    numbers = [] if line is None else re.findall(r"\d+", "".join(lines[line + 1 : line + 2]))
    if not numbers or int(numbers[0]) != 0:
        raise MotionError(f"{path.name} lacks a line {_INDEXES!r} and below it the bodies' numbers, the root's 0 first")
    links = dict(enumerate(robot.link_names_isaac))
    return tuple(links.get(int(number), f"body {number}") for number in numbers)
