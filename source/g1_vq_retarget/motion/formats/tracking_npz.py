"""The NPZ that tracking policies are trained on: joints and bodies of every frame, as BeyondMimic and mjlab want them.

Keys: fps (1,), joint_pos and joint_vel (T, J), body_pos_w (T, L, 3), body_quat_w (T, L, 4) wxyz, body_lin_vel_w and
body_ang_vel_w (T, L, 3). BeyondMimic's files, made in Isaac Lab, and mjlab's have the same keys and are incompatible:
joints and bodies stand in other orders, and the linear velocity belongs to each link's centre of mass in the one, to
its origin in the other. Neither tells its names; we always add joint_names and body_names.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from g1_vq_retarget.files import existing_file, sha256_of
from g1_vq_retarget.motion.clip import MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import check_limits, naming, require_robot_joints
from g1_vq_retarget.motion.formats.evidence import Finding, settle
from g1_vq_retarget.motion.formats.npz import number, numbers, read_arrays, words, write_arrays
from g1_vq_retarget.motion.time import angular_velocity, velocity
from g1_vq_retarget.robot.kinematics import BodyPoses, forward_kinematics
from g1_vq_retarget.robot.model import RobotModel, index_by_name

Flavour = Literal["isaac", "mjlab"]
JointOrder = Literal["isaac", "mujoco"]

# Forward kinematics in the right order comes nearer to the stored bodies than this, m.
_RESIDUAL_TOLERANCE = 0.01
# and in any other order at least so many times less near.
_RESIDUAL_MARGIN = 2.0
# The stored velocities may differ from the differences of the positions by this much of them.
_RATE_TOLERANCE = 0.05


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
    clip = require_robot_joints(clip, robot)
    joint_names, body_names = _names(robot, "isaac" if flavour == "isaac" else "mujoco")
    joints, bodies = index_by_name(robot.joint_names, joint_names), robot.link_indices(body_names)
    poses = _bodies(robot, clip.joint_pos, clip.root_pos_w, clip.root_quat_w)
    pos, rot = poses.pos.numpy(), poses.rot.numpy()
    point = pos
    if flavour == "isaac":
        point = pos + np.einsum("tlij,lj->tli", rot, np.array([link.com for link in robot.links]))
    values = {
        "joint_pos": clip.joint_pos[:, joints],
        "joint_vel": velocity(clip.joint_pos, clip.fps)[:, joints],
        "body_pos_w": pos[:, bodies],
        "body_quat_w": poses.quat_wxyz.numpy()[:, bodies],
        "body_lin_vel_w": velocity(point, clip.fps)[:, bodies],
        "body_ang_vel_w": angular_velocity(rot, clip.fps)[:, bodies],
    }
    told = {"fps": np.array([clip.fps]), "joint_names": np.array(joint_names), "body_names": np.array(body_names)}
    told["licence"] = np.array(clip.provenance.licence)
    write_arrays(path, told | {key: value.astype(np.float32) for key, value in values.items()})


def read_tracking_npz(
    path: str | Path,
    robot: RobotModel,
    joint_order: JointOrder | None = None,
    *,
    licence: str = "",
    findings: list[Finding] | None = None,
) -> RobotClip:
    """Read the joints and the root of a tracking file; they come in `robot.joint_names` order.

    The names in the file decide the order of its columns. Without them `joint_order` does, and without that the order
    in which forward kinematics meets the stored bodies.

    Args:
        findings: is told how the joint order was settled.

    Raises:
        UserError: no file there, or it is empty.
        MotionError: a missing key, a wrong width, an order that forward kinematics does not settle, an fps that
            contradicts the stored joint velocities, impossible values.
    """
    path = existing_file(path)
    with naming(path):
        arrays = read_arrays(
            path,
            ("fps", "joint_pos", "joint_vel", "body_pos_w", "body_quat_w"),
            ("joint_names", "body_names", "licence"),
        )
        licence = licence or str(arrays.get("licence", ""))
        joint_pos, joint_vel = numbers(arrays, "joint_pos"), numbers(arrays, "joint_vel")
        body_pos, body_quat = numbers(arrays, "body_pos_w"), numbers(arrays, "body_quat_w")
        body_names = words(arrays, "body_names") if "body_names" in arrays else None
        width = len(words(arrays, "joint_names")) if "joint_names" in arrays else len(robot.joints)
        _check_shapes(joint_pos, joint_vel, body_pos, body_quat, width, body_names)
        root = 0 if body_names is None else _root(body_names, robot)

        def clip_in(joint_names: tuple[str, ...]) -> RobotClip:
            return RobotClip(
                name=path.stem,
                fps=number(arrays, "fps"),
                root_pos_w=body_pos[:, root],
                root_quat_w=body_quat[:, root],
                joint_names=joint_names,
                joint_pos=joint_pos,
                provenance=Provenance(path.name, sha256_of(path), licence),
            ).with_joint_order(robot.joint_names)

        if "joint_names" in arrays:
            clip = clip_in(words(arrays, "joint_names"))
            finding = Finding("joint order", "by name", "file")
        elif joint_order is not None:
            clip = clip_in(_names(robot, joint_order)[0])
            finding = Finding("joint order", joint_order, "caller")
        else:
            candidates = {order: clip_in(_names(robot, order)[0]) for order in get_args(JointOrder)}
            finding = _settled(candidates, body_pos, body_names, robot)
            clip = candidates[finding.answer]
        if findings is not None:
            findings.append(finding)
        _check_rate(joint_pos, joint_vel, clip.fps)
        check_limits(clip, robot, path)
    return clip


def _names(robot: RobotModel, order: JointOrder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Joint names and link names in an order."""
    if order == "isaac":
        return robot.joint_names_isaac, robot.link_names_isaac
    return robot.joint_names, robot.link_names


def _bodies(robot: RobotModel, joint_pos: np.ndarray, root_pos: np.ndarray, root_quat_wxyz: np.ndarray) -> BodyPoses:
    return forward_kinematics(robot, *(torch.from_numpy(a) for a in (joint_pos, root_pos, root_quat_wxyz)))


def _check_shapes(
    joint_pos: np.ndarray,
    joint_vel: np.ndarray,
    body_pos: np.ndarray,
    body_quat: np.ndarray,
    width: int,
    body_names: tuple[str, ...] | None,
) -> None:
    if joint_pos.ndim != 2 or joint_pos.shape[1] != width:
        raise MotionError(f"joint_pos has shape {joint_pos.shape}, expected (frames, {width})")
    if joint_vel.shape != joint_pos.shape:
        raise MotionError(f"joint_vel has shape {joint_vel.shape}, joint_pos {joint_pos.shape}")
    frames = len(joint_pos)
    bodies = body_pos.shape[1] if body_names is None and body_pos.ndim == 3 else len(body_names or ())
    for key, values, size in (("body_pos_w", body_pos, 3), ("body_quat_w", body_quat, 4)):
        if bodies == 0 or values.shape != (frames, bodies, size):
            raise MotionError(f"{key} has shape {values.shape}, expected ({frames}, {bodies or 'bodies'}, {size})")


def _root(body_names: tuple[str, ...], robot: RobotModel) -> int:
    if robot.link_names[0] not in body_names:
        raise MotionError(f"body_names lacks the root {robot.link_names[0]}: {', '.join(body_names)}")
    return body_names.index(robot.link_names[0])


def _settled(
    candidates: dict[JointOrder, RobotClip], body_pos: np.ndarray, body_names: tuple[str, ...] | None, robot: RobotModel
) -> Finding:
    """The order in which the links lie where the file says. Raises MotionError if it is not exactly one."""
    residuals = {}
    for order, clip in candidates.items():
        have = _names(robot, order)[1] if body_names is None else body_names
        if body_pos.shape[1] != len(have) or set(robot.link_names) - set(have):
            raise MotionError(
                f"no joint_names, and {body_pos.shape[1]} bodies that are not the {len(robot.links)} links of "
                f"{robot.title} cannot tell the order: say it with --joint-order isaac|mujoco"
            )
        # enough frames to tell the orders apart, few enough to be quick
        frames = np.unique(np.linspace(0, len(clip) - 1, 200).astype(int))
        poses = _bodies(robot, clip.joint_pos[frames], clip.root_pos_w[frames], clip.root_quat_w[frames])
        stored = body_pos[frames][:, index_by_name(have, robot.link_names)]
        residuals[order] = float(np.linalg.norm(poses.pos.numpy() - stored, axis=-1).mean(axis=0).max())
    return settle(
        "joint order",
        residuals,
        fits=_RESIDUAL_TOLERANCE,
        margin=_RESIDUAL_MARGIN,
        measure="farthest link under forward kinematics, m",
        flag="--joint-order isaac|mujoco",
    )


def _check_rate(joint_pos: np.ndarray, joint_vel: np.ndarray, fps: float) -> None:
    """Refuse a rate at which the joints do not move as fast as stored. Columns need only be in the same order."""
    if not np.isfinite(joint_vel).all():
        raise MotionError(f"joint_vel is not a finite number at frame {np.argwhere(~np.isfinite(joint_vel))[0, 0]}")
    difference = velocity(joint_pos, fps)[1:-1]
    moving = np.abs(difference) > 0.1
    if not moving.any():
        return
    ratio = np.median(joint_vel[1:-1][moving] / difference[moving])
    if abs(ratio - 1) > _RATE_TOLERANCE:
        raise MotionError(
            f"fps is {fps:g}, but joint_vel is {ratio:.2f} times the differences of joint_pos at that rate: "
            f"it fits {fps * ratio:.4g} fps; correct the key fps"
        )
