"""The NPZ that Isaac Lab's adversarial motion priors (AMP) are trained on: named joints and bodies of every frame.

Keys: fps (), dof_names (J,), body_names (L,), dof_positions and dof_velocities (T, J), body_positions (T, L, 3),
body_rotations (T, L, 4) wxyz, body_linear_velocities and body_angular_velocities (T, L, 3); float32. Isaac Lab sets a
root's velocity at its centre of mass, and that is what we write.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import Provenance, RobotClip
from g1_vq_retarget.motion.formats.body_states import Keys, arrays_of, identified, states_from, states_of
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.npz import read_arrays, write_arrays
from g1_vq_retarget.motion.formats.orders import JointOrder, QuatOrder
from g1_vq_retarget.robot.model import RobotModel

_KEYS = Keys(
    joint_pos="dof_positions",
    joint_vel="dof_velocities",
    body_pos="body_positions",
    body_quat="body_rotations",
    body_lin_vel="body_linear_velocities",
    body_ang_vel="body_angular_velocities",
    joint_names="dof_names",
)


def write_amp_npz(clip: RobotClip, path: str | Path, robot: RobotModel) -> None:
    """Write a clip at its own rate, in float32, in Isaac Lab's order.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the file cannot be written.
    """
    states = replace(states_of(clip, robot, "isaac", "centre of mass"), keys=_KEYS)
    told = {"fps": np.array(clip.fps), "licence": np.array(clip.provenance.licence)}
    write_arrays(path, arrays_of(states, np.float32) | told)


def read_amp_npz(
    path: str | Path,
    robot: RobotModel,
    joint_order: JointOrder | None = None,
    *,
    quat_order: QuatOrder | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> RobotClip:
    """Read the joints and the root, by name; what the file leaves open is settled as by `read_tracking_npz`.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: as `read_tracking_npz`, or the file has no names.
    """
    path = existing_file(path)
    with naming(path):
        names = (_KEYS.joint_names, _KEYS.body_names)
        arrays = read_arrays(path, (*_KEYS.required, *names), _KEYS.optional)
        provenance = Provenance(path.name, sha256_of(path), str(arrays.get("licence", "")) or licence)
        clip, found = identified(
            states_from(arrays, _KEYS),
            robot,
            path,
            provenance,
            joint_order=joint_order,
            quat_order=quat_order,
            point="centre of mass",
        )
    if findings is not None:
        findings += found
    return clip
