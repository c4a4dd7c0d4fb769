"""GMR's and TWIST's pickles: one clip of a root and joints, and where the bodies are in the root's frame.

Keys: fps, root_pos (T, 3) m, root_rot (T, 4) xyzw, dof_pos (T, J) rad in MuJoCo order, local_body_pos (T, L, 3) m and
link_body_list, L names; either of the last two may be None. GMR has 29 joints, TWIST the 23 without the wrists. GMR
computes local_body_pos by forward kinematics with the root at the origin and not turned: smplx_to_robot_dataset.py and
kinematics_model.py in YanjieZe/GMR. Some tools add joint_names or dof_names.

Others' programs read these files by pickle, so they are written as pickles: of strings, numbers and arrays only. Our
own formats are never pickled.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.dof import to_dof
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding, settle
from g1_vq_retarget.motion.formats.orders import FROM_WXYZ, JointOrder, QuatOrder
from g1_vq_retarget.motion.formats.plain_pickle import write_pickle
from g1_vq_retarget.motion.formats.root_and_joints import (
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
from g1_vq_retarget.robot.kinematics import forward_kinematics
from g1_vq_retarget.robot.model import RobotModel, index_by_name

KEYS = ("fps", "root_pos", "root_rot", "dof_pos")
# In the right order of joints the links are no further from the stored bodies than this, m, and in another order at
# least so many times further. Robots of another revision have links a little elsewhere.
_FITS, _MARGIN = 0.05, 2.0
_FRAMES = 200


def read_gmr_pkl(
    path: str | Path,
    robot: RobotModel,
    *,
    joint_order: JointOrder | None = None,
    quat_order: QuatOrder | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> RobotClip:
    """Read a clip of GMR's or TWIST's; it has the robot's joints, in its order. No code in the file is run.

    Wrists that a file of 23 joints lacks are at 0 rad, where TWIST's robot holds them. The order of the joints is the
    one in which forward kinematics meets local_body_pos, if the file has it; the order of the quaternion, and without
    bodies that of the joints, is the one in which the robot stands on the ground and does not drag its feet over it.

    Args:
        path: the file.
        robot: whose joints and links they are.
        joint_order: order of the joints, in place of evidence; "mujoco" by the format's convention.
        quat_order: order of the quaternion, in place of evidence; "xyzw" by the format's convention.
        licence: licence of the motion, for its provenance.
        findings: is told what the file left open, and what settled it.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: not such a pickle, or one that asks for code; a missing key, another number of joints than 29 or
            23, impossible values, an order that evidence does not settle.
    """
    path = existing_file(path)
    with naming(path):
        contents = read_pickle(path)
        if not isinstance(contents, dict):
            raise MotionError(f"holds {type(contents).__name__}, expected a dict with the keys {', '.join(KEYS)}")
        arrays = {"root_pos": rows(contents, "root_pos", 3), "root_rot": rows(contents, "root_rot", 4)}
        arrays["dof_pos"] = rows(contents, "dof_pos")
        require_frames(arrays)
        require_unit(arrays["root_rot"], "root_rot")
        held = RootAndJoints(
            number_in(contents, "fps"),
            *arrays.values(),
            joint_names=words_in(contents, "joint_names") or words_in(contents, "dof_names"),
        )
        provenance = Provenance(path.name, sha256_of(path), licence)
        readings = held.readings(robot, path.stem, provenance, joint_order, quat_order)
        readings, by_bodies = _settled_by_bodies(readings, contents, robot, path, told=joint_order is not None)
        clip, found = settled(readings, [], robot, path, held.joint_pos.shape[1])
    if findings is not None:
        findings += [*by_bodies, *found]
    return clip


def write_gmr_pkl(
    clip: RobotClip, path: str | Path, robot: RobotModel, flavour: Literal["gmr", "twist"] = "gmr"
) -> None:
    """Write a clip at its own rate, in float64; the bodies are the links of our table, in float32 as GMR has them.

    GMR's own files tell bodies without joints, too, such as left_rubber_hand and left_toe_link: they are no links here.

    Args:
        clip: with the robot's joints, or those without the wrists.
        path: the file.
        robot: gives the bodies, by forward kinematics.
        flavour: "gmr" for 29 joints, "twist" for the 23 without the wrists: a warning tells if those move.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the file cannot be written.
    """
    clip = to_dof(clip, len(robot.joints), robot)
    ordered = clip
    if flavour == "twist":
        ordered = without_wrists(clip, path, robot)
        clip = to_dof(ordered, len(robot.joints), robot)
    contents = {
        "fps": clip.fps,
        "root_pos": clip.root_pos_w,
        "root_rot": clip.root_quat_w[:, FROM_WXYZ["xyzw"]],
        "dof_pos": ordered.joint_pos,
        "local_body_pos": forward_kinematics(robot, torch.from_numpy(clip.joint_pos)).pos.numpy().astype(np.float32),
        "link_body_list": list(robot.link_names),
    }
    write_pickle(path, contents)


def _settled_by_bodies(
    readings: Mapping[str, RobotClip], contents: Mapping[Any, Any], robot: RobotModel, path: Path, *, told: bool
) -> tuple[dict[str, RobotClip], list[Finding]]:
    """The readings whose joints put the links where local_body_pos says; all, if the file does not say it."""
    names = words_in(contents, "link_body_list")
    if names is None or contents.get("local_body_pos") is None:
        return dict(readings), []
    stored = numbers_in(contents, "local_body_pos")
    frames = len(next(iter(readings.values())))
    if stored.shape != (frames, len(names), 3):
        raise MotionError(f"local_body_pos has shape {stored.shape}, expected {(frames, len(names), 3)}")
    require_finite(stored, "local_body_pos")
    links = [name for name in robot.link_names if name in names]
    if not {*robot.feet, *robot.hands} <= set(links):
        return dict(readings), []
    chosen = np.unique(np.linspace(0, frames - 1, _FRAMES).astype(int))
    stored = stored[chosen][:, index_by_name(names, links)]
    residuals = {}
    for reading, clip in readings.items():
        poses = forward_kinematics(robot, torch.from_numpy(clip.joint_pos[chosen])).pos.numpy()
        apart = np.linalg.norm(poses[:, robot.link_indices(links)] - stored, axis=-1)
        residuals[_joints(reading)] = float(apart.mean(axis=0).max())
    measure = "farthest link from local_body_pos under forward kinematics, m"
    if told:
        ((order, residual),) = residuals.items()
        if residual > _FITS:
            warnings.warn(f"{path}: in {order} order the {measure}, is {residual:.3g}", stacklevel=3)
        return dict(readings), []
    finding = settle(
        "joint order", residuals, fits=_FITS, margin=_MARGIN, measure=measure, flag="--joint-order mujoco|isaac"
    )
    return {reading: clip for reading, clip in readings.items() if _joints(reading) == finding.answer}, [finding]


def _joints(reading: str) -> str:
    """The joint order in the name of a reading."""
    return reading.rpartition(" ")[0]
