"""The NPZ that tracking policies are trained on: joints and bodies of every frame, as BeyondMimic and mjlab want them.

Keys: fps (1,), joint_pos and joint_vel (T, J), body_pos_w (T, L, 3), body_quat_w (T, L, 4) wxyz, body_lin_vel_w and
body_ang_vel_w (T, L, 3). BeyondMimic's files, made in Isaac Lab, and mjlab's have the same keys and are incompatible:
joints and bodies stand in other orders, and the linear velocity belongs to each link's centre of mass in the one, to
its origin in the other. Neither tells its names; we always add joint_names and body_names. holosoma's files have these
keys with the root in front of the joints, seulzx's smplx_datasets have them beside the human's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import Provenance, RobotClip
from g1_vq_retarget.motion.formats.body_states import Keys, arrays_of, identified, quat_order_of, states_from, states_of
from g1_vq_retarget.motion.formats.checks import naming
from g1_vq_retarget.motion.formats.evidence import Finding
from g1_vq_retarget.motion.formats.holosoma_npz import check_root, split_root
from g1_vq_retarget.motion.formats.npz import read_arrays, write_arrays
from g1_vq_retarget.motion.formats.orders import JointOrder, QuatOrder
from g1_vq_retarget.robot.model import RobotModel

Flavour = Literal["isaac", "mjlab"]
_KEYS = Keys()


def write_tracking_npz(clip: RobotClip, path: str | Path, robot: RobotModel, flavour: Flavour) -> None:
    """Write a clip at its own rate, in float32.

    Args:
        clip: with exactly the robot's joints.
        path: the file.
        robot: gives the bodies, by forward kinematics.
        flavour: "isaac" for Isaac Lab's order and the velocity of the centres of mass, "mjlab" for MuJoCo's order and
            the velocity of the links' origins.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the file cannot be written.
    """
    if flavour == "isaac":
        states = states_of(clip, robot, "isaac", "centre of mass")
    else:
        states = states_of(clip, robot, "mujoco", "link origin")
    write_arrays(path, arrays_of(states, np.float32) | {"licence": np.array(clip.provenance.licence)})


def read_tracking_npz(
    path: str | Path,
    robot: RobotModel,
    joint_order: JointOrder | None = None,
    *,
    quat_order: QuatOrder | None = None,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> RobotClip:
    """Read the joints and the root of a tracking file; they come in `robot.joint_names` order.

    The names in the file decide the order of its columns, and the bodies must not contradict them. Without them it is
    the order in which forward kinematics meets the stored bodies; so is the order of the quaternions' components.

    Args:
        path: the file.
        robot: whose joints and links they are.
        joint_order: order of the joints, in place of names and evidence.
        quat_order: order of the quaternions' components, in place of evidence; the format's is wxyz.
        licence: licence of the motion, for its provenance, where the file does not tell it.
        findings: is told what the file left open, and what settled it.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: a missing key, a wrong width, an order that forward kinematics does not settle, names that it
            contradicts, an fps that contradicts the stored velocities, impossible values.
    """
    path = existing_file(path)
    with naming(path):
        arrays = read_arrays(path, _KEYS.required, _KEYS.optional)
        provenance = Provenance(path.name, sha256_of(path), str(arrays.get("licence", "")) or licence)
        states, root = split_root(states_from(arrays, _KEYS), robot)
        clip, found = identified(
            states,
            robot,
            path,
            provenance,
            joint_order=joint_order,
            quat_order=quat_order,
            point=None if root is None else "centre of mass",
        )
        if root is not None:
            check_root(root, clip, quat_order_of(found))
            found.append(Finding("columns of joint_pos", "root in front, as in holosoma", "file"))
    if findings is not None:
        findings += found
    return clip
