"""PHC's, ASAP's and PBHC's pickles of retargeted motion: several clips of a root and joints in a file.

A dict clip -> {root_trans_offset (T, 3) m, pose_aa (T, 1 + J + bodies without joints, 3), dof (T, J) rad, root_rot
(T, 4) xyzw, smpl_joints, fps}, written by joblib. pose_aa tells root and joints once more, as rotation vectors in
MuJoCo's order of bodies. J is 23: the G1's 29 joints without the wrists; 29 is read, too. Source: fit_smpl_motion.py of
PHC and ASAP. Some files hold the inner dict alone, and many lack smpl_joints, which are the human's and not read.

Others' programs read these files by joblib, so they are written as pickles: of strings, numbers and arrays only. Our
own formats are never pickled.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding, Measure
from g1_vq_retarget.motion.formats.orders import FROM_WXYZ, JointOrder, QuatOrder
from g1_vq_retarget.motion.formats.plain_pickle import write_pickle
from g1_vq_retarget.motion.formats.root_and_joints import (
    FLAG,
    RootAndJoints,
    require_finite,
    require_frames,
    require_unit,
    rows,
    settled,
    without_wrists,
    words_in,
)
from g1_vq_retarget.motion.formats.safe_pickle import number_in, numbers_in, read_pickle
from g1_vq_retarget.robot.dof import joints_of_width
from g1_vq_retarget.robot.model import RobotModel

KEYS = ("fps", "root_trans_offset", "root_rot", "dof")
# pose_aa tells the same pose, rad, but for rounding.
_FITS, _MARGIN = 0.02, 3.0
# Rows of pose_aa behind the joints' in ASAP's and PBHC's files: both hands and the head.
_BODIES_WITHOUT_JOINTS = 3


def read_phc_pkl(
    path: str | Path,
    robot: RobotModel,
    *,
    joint_order: JointOrder | None = None,
    quat_order: QuatOrder | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> list[RobotClip]:
    """Read the clips of a file, in its order; they have the robot's joints, in its order. No code in the file is run.

    Wrists that a file of 23 joints lacks are at 0 rad, where PHC's robot holds them. Orders are those in which the pose
    is that of pose_aa, if the file has it, and in which the robot stands on the ground and does not drag its feet.

    Args:
        path: the file, as joblib or pickle write it, compressed or not.
        robot: whose joints they are.
        joint_order: order of the joints, in place of evidence; "mujoco" by the format's convention.
        quat_order: order of the quaternion, in place of evidence; "xyzw" by the format's convention.
        licence: licence of the motion, for its provenance.
        findings: is told what the file left open, and what settled it.

    Returns:
        Clips at one rate, named as in the file; what no file name may have is replaced by "_".

    Raises:
        UserError: no file there, or it is empty.
        MotionError: not such a pickle, or one that asks for code; no clips, clips of different rates, a missing key,
            another number of joints than 29 or 23, impossible values, an order that evidence does not settle.
    """
    path = existing_file(path)
    with naming(path):
        contents = read_pickle(path)
        if isinstance(contents, dict) and "root_trans_offset" in contents:
            contents = {path.stem: contents}
        if not isinstance(contents, dict) or not contents:
            raise MotionError("holds no clips, expected a dict of them")
        provenance = Provenance(path.name, sha256_of(path), licence)
        clips, found = list[RobotClip](), list[Finding]()
        for key, held in contents.items():
            with naming(f"clip {str(key)[:80]!r}"):
                if not isinstance(held, dict):
                    raise MotionError(f"is {type(held).__name__}, expected a dict with the keys {', '.join(KEYS)}")
                clip, told = _clip(held, _file_name(str(key)), robot, path, provenance, joint_order, quat_order)
            clips.append(clip)
            found += [finding for finding in told if finding not in found]
        _require_one_rate(clips)
        names = [clip.name for clip in clips]
        if len(set(names)) != len(names):
            raise MotionError("holds clips whose names are the same as names of files")
    if findings is not None:
        findings += found
    return clips


def write_phc_pkl(clips: Sequence[RobotClip], path: str | Path, robot: RobotModel) -> None:
    """Write clips with the 23 joints without the wrists, in float32; a warning tells if those move.

    smpl_joints is left away: a robot's clip has no human.

    Args:
        clips: of one rate and of different names, with the robot's joints or those without the wrists.
        path: the file, for `joblib.load`.
        robot: gives the axes of the joints.

    Raises:
        MotionError: no clips, clips of the same name or of different rates, or of other joints than the robot's.
        UserError: the file cannot be written.
    """
    if not clips or len({clip.name for clip in clips}) != len(clips):
        raise MotionError("no clips to write, or two of the same name")
    _require_one_rate(clips)
    contents = {}
    for clip in clips:
        fewer = without_wrists(clip, path, robot)
        turns = [
            clip.root_rotation.as_rotvec()[:, None],
            fewer.joint_pos[:, :, None] * _axes(fewer.joint_names, robot),
            np.zeros((len(clip), _BODIES_WITHOUT_JOINTS, 3)),
        ]
        contents[clip.name] = {
            "root_trans_offset": clip.root_pos_w.astype(np.float32),
            "pose_aa": np.concatenate(turns, axis=1).astype(np.float32),
            "dof": fewer.joint_pos.astype(np.float32),
            "root_rot": clip.root_quat_w[:, FROM_WXYZ["xyzw"]].astype(np.float32),
            "fps": int(clip.fps) if clip.fps == int(clip.fps) else clip.fps,
        }
    write_pickle(path, contents)


def _clip(
    held: Mapping[Any, Any],
    name: str,
    robot: RobotModel,
    path: Path,
    provenance: Provenance,
    joint_order: JointOrder | None,
    quat_order: QuatOrder | None,
) -> tuple[RobotClip, list[Finding]]:
    arrays = {key: rows(held, key, width) for key, width in (("root_trans_offset", 3), ("root_rot", 4), ("dof", None))}
    require_frames(arrays)
    require_unit(arrays["root_rot"], "root_rot")
    names = words_in(held, "joint_names") or words_in(held, "dof_names")
    states = RootAndJoints(number_in(held, "fps"), *arrays.values(), joint_names=names)
    readings = states.readings(robot, name, provenance, joint_order, quat_order)
    width = states.joint_pos.shape[1]
    measures = [_pose_measure(readings, held, robot, path, width)] if held.get("pose_aa") is not None else []
    return settled(readings, measures, robot, path, width)


def _pose_measure(
    readings: Mapping[str, RobotClip], held: Mapping[Any, Any], robot: RobotModel, path: Path, width: int
) -> Measure:
    """How far root and joints of each reading are from those in pose_aa, rad, the farthest one's mean over frames."""
    pose = numbers_in(held, "pose_aa")
    frames = len(next(iter(readings.values())))
    if pose.ndim == 2 and pose.shape[1] % 3 == 0:
        pose = pose.reshape(len(pose), -1, 3)
    if pose.ndim != 3 or len(pose) != frames or pose.shape[1] < 1 + width or pose.shape[2] != 3:
        raise MotionError(f"pose_aa has shape {pose.shape}, expected ({frames}, {1 + width} or more, 3)")
    require_finite(pose, "pose_aa")
    root = Rotation.from_rotvec(pose[:, 0])
    names = joints_of_width(robot, robot.joint_names, width)
    joints = (pose[:, 1 : 1 + width] * _axes(names, robot)).sum(axis=-1)
    residuals = {}
    for reading, clip in readings.items():
        turn = (root.inv() * clip.root_rotation).magnitude().mean()
        bend = np.abs(clip.with_joint_order(names).joint_pos - joints).mean(axis=0).max()
        residuals[reading] = float(max(turn, bend))
    measure = Measure("root or joint farthest from pose_aa, rad", residuals, fits=_FITS, margin=_MARGIN)
    # zeros stand where a converter had nothing to tell
    if not measure.fitting and pose.any():
        if len(readings) > 1:
            raise MotionError(
                f"pose_aa is of another pose than root_rot and dof in any order ({measure}): say it with {FLAG}"
            )
        warnings.warn(f"{path}: pose_aa is of another pose than root_rot and dof ({measure})", stacklevel=4)
    return measure


def _axes(names: Sequence[str], robot: RobotModel) -> np.ndarray:
    """(J, 3) axes of joints."""
    axes = {joint.name: joint.axis for joint in robot.joints}
    return np.array([axes[name] for name in names])


def _require_one_rate(clips: Sequence[RobotClip]) -> None:
    for clip in clips:
        if clip.fps != clips[0].fps:
            raise MotionError(
                f"clips of different rates: {clips[0].name!r} at {clips[0].fps:g} fps, {clip.name!r} at {clip.fps:g}; "
                "write a file for each rate"
            )


def _file_name(key: str) -> str:
    """The key as a name that a file can have, in its folder."""
    return re.sub(r"[^\w. ()+=,@-]", "_", key).strip(" .")[:200] or "clip"
