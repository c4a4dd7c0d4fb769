"""Joints and bodies of every frame, as several formats hold them: which order they are in, and are they consistent.

Forward kinematics in the right order of joints, bodies and quaternion puts the links where the file says; in another it
does not. Stored velocities are the differences of stored positions at the right rate, of the links' origins or of their
centres of mass.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion.clip import QUATERNION_TOLERANCE, MotionError, Provenance, RobotClip
from g1_vq_retarget.motion.formats.checks import check_limits, require_robot_joints
from g1_vq_retarget.motion.formats.evidence import Finding, Measure, agree
from g1_vq_retarget.motion.formats.ground import ground_measures
from g1_vq_retarget.motion.formats.npz import number, numbers, words
from g1_vq_retarget.motion.formats.orders import JOINT_ORDERS, QUAT_ORDERS, TO_WXYZ, JointOrder, QuatOrder, names_in
from g1_vq_retarget.motion.time import angular_velocity, velocity
from g1_vq_retarget.robot.kinematics import BodyPoses, forward_kinematics
from g1_vq_retarget.robot.model import RobotModel, index_by_name

VelocityPoint = Literal["centre of mass", "link origin"]

_JOINT_FLAG, _QUAT_FLAG = "--joint-order isaac|mujoco", "--quat-order xyzw|wxyz"
_FK = "farthest link under forward kinematics, m"
# Enough frames to tell orders apart, few enough to be quick.
_FRAMES = 200
# Forward kinematics in the right order comes nearer to the stored bodies than this, m, and in any other order at least
# so many times less near.
_UNNAMED_FITS, _MARGIN = 0.01, 2.0
# With names, or an order that the caller tells, links of another revision of the robot may be further off.
_NAMED_FITS, _TOLD_FITS = 0.05, 0.1
# The stored velocities may differ from the differences of the positions by this much of them.
_RATE_TOLERANCE = 0.05
# What is slower than this, rad/s or m/s, tells no rate.
_MOVING = 0.1


@dataclass(frozen=True)
class Keys:
    """What a format calls its arrays."""

    joint_pos: str = "joint_pos"
    joint_vel: str = "joint_vel"
    body_pos: str = "body_pos_w"
    body_quat: str = "body_quat_w"
    body_lin_vel: str = "body_lin_vel_w"
    body_ang_vel: str = "body_ang_vel_w"
    joint_names: str = "joint_names"
    body_names: str = "body_names"

    @property
    def required(self) -> tuple[str, ...]:
        return ("fps", self.joint_pos, self.joint_vel, self.body_pos, self.body_quat)

    @property
    def optional(self) -> tuple[str, ...]:
        return (self.body_lin_vel, self.body_ang_vel, self.joint_names, self.body_names, "licence")


@dataclass(frozen=True)
class BodyStates:
    """What a file holds, in its own order.

    Attributes:
        fps: frames a second, as the file tells.
        joint_pos, joint_vel: (T, J) rad, rad/s.
        body_pos: (T, L, 3) m, in the world.
        body_quat: (T, L, 4), in whatever order of components.
        body_lin_vel: (T, L, 3) m/s, of whatever point, or None.
        body_ang_vel: (T, L, 3) rad/s, or None.
        joint_names, body_names: names of the columns, None where the file tells none.
        keys: names of the arrays, for messages.
    """

    fps: float
    joint_pos: np.ndarray
    joint_vel: np.ndarray
    body_pos: np.ndarray
    body_quat: np.ndarray
    body_lin_vel: np.ndarray | None
    body_ang_vel: np.ndarray | None
    joint_names: tuple[str, ...] | None
    body_names: tuple[str, ...] | None
    keys: Keys = Keys()


def states_from(arrays: Mapping[str, np.ndarray], keys: Keys) -> BodyStates:
    """The states under a format's keys, all of them finite numbers. Raises MotionError, naming key and frame."""
    given = (keys.joint_pos, keys.joint_vel, keys.body_pos, keys.body_quat, keys.body_lin_vel, keys.body_ang_vel)
    values = {key: _finite(arrays, key) for key in given if key in arrays}
    return BodyStates(
        fps=number(arrays, "fps"),
        joint_pos=values[keys.joint_pos],
        joint_vel=values[keys.joint_vel],
        body_pos=values[keys.body_pos],
        body_quat=values[keys.body_quat],
        body_lin_vel=values.get(keys.body_lin_vel),
        body_ang_vel=values.get(keys.body_ang_vel),
        joint_names=words(arrays, keys.joint_names) if keys.joint_names in arrays else None,
        body_names=words(arrays, keys.body_names) if keys.body_names in arrays else None,
        keys=keys,
    )


def identified(
    states: BodyStates,
    robot: RobotModel,
    path: Path,
    provenance: Provenance,
    *,
    joint_order: JointOrder | None = None,
    quat_order: QuatOrder | None = None,
    point: VelocityPoint | None = None,
) -> tuple[RobotClip, list[Finding]]:
    """The clip that a file holds, in `robot.joint_names` order, its orders settled and its rate and values checked.

    With it comes what the file left open, and what settled it.

    Args:
        states: what the file holds.
        robot: whose joints and links they are.
        path: the file, for the clip's name and for warnings.
        provenance: of the clip.
        joint_order: order of the joints, in place of the file's names or of evidence.
        quat_order: order of the quaternions' components, in place of evidence.
        point: whose velocity the format stores by convention; by default the centre of mass in Isaac Lab's order and
            the link's origin in MuJoCo's.

    Raises:
        MotionError: wrong shapes, an order that evidence does not settle, names that the bodies contradict, an fps that
            the velocities contradict, impossible values. Does not name the file.
    """
    told = list[Finding]()
    _check_shapes(states, robot)
    orders: dict[str, tuple[str, ...]]
    if joint_order is not None:
        orders = {joint_order: names_in(robot, joint_order)[0]}
    elif states.joint_names is not None:
        orders = {"by name": states.joint_names}
    else:
        orders = {order: names_in(robot, order)[0] for order in JOINT_ORDERS}
    quats = QUAT_ORDERS if quat_order is None else (quat_order,)
    bodies = _body_orders(states, robot)
    root = bodies[0].index(robot.link_names[0])
    candidates: dict[str, dict[QuatOrder, RobotClip]] = {
        joints: {
            quat: RobotClip(
                name=path.stem,
                fps=states.fps,
                root_pos_w=states.body_pos[:, root],
                root_quat_w=states.body_quat[:, root][:, TO_WXYZ[quat]],
                joint_names=names,
                joint_pos=states.joint_pos,
                provenance=provenance,
            ).with_joint_order(robot.joint_names)
            for quat in quats
        }
        for joints, names in orders.items()
    }
    _check_quaternions(states)
    named = joint_order is None and states.joint_names is not None
    if set(robot.feet) | set(robot.hands) <= set(bodies[0]):
        joints, quat = _settled_by_bodies(candidates, states, bodies, robot, joint_order, quat_order, told)
    else:
        joints, quat = _settled_by_ground(candidates, named, joint_order, quat_order, robot, told)
    clip = candidates[joints][quat]
    told.append(_rate(states))
    if states.body_lin_vel is not None:
        order = bodies[0] if len(bodies) == 1 else _nearest(clip, states, bodies, robot)[1]
        isaac = orders[joints] == robot.joint_names_isaac
        usual: VelocityPoint = point or ("centre of mass" if isaac else "link origin")
        told.append(_velocity_point(states, order, quat, robot, usual, path))
    check_limits(clip, robot, path)
    return clip, told


def quat_order_of(findings: Sequence[Finding]) -> QuatOrder:
    """The order of quaternions that `identified` found."""
    answers = [finding.answer for finding in findings if "quaternion order" in finding.question]
    return next(order for order in QUAT_ORDERS if any(answer.endswith(order) for answer in answers))


def states_of(
    clip: RobotClip, robot: RobotModel, order: JointOrder, point: VelocityPoint, link_names: tuple[str, ...] = ()
) -> BodyStates:
    """A clip's joints and bodies at its own rate, in an order, with wxyz quaternions.

    Args:
        clip: with exactly the robot's joints.
        robot: gives the bodies, by forward kinematics.
        order: of joints and bodies.
        point: whose linear velocity is stored.
        link_names: the bodies, in place of all in `order`.

    Raises:
        MotionError: the clip's joints are not the robot's.
    """
    clip = require_robot_joints(clip, robot)
    joint_names, body_names = names_in(robot, order)
    body_names = link_names or body_names
    joints, bodies = index_by_name(robot.joint_names, joint_names), robot.link_indices(body_names)
    poses = _poses(robot, clip)
    pos, rot = poses.pos.numpy(), poses.rot.numpy()
    moving = pos if point == "link origin" else pos + np.einsum("tlij,lj->tli", rot, _centres(robot))
    return BodyStates(
        fps=clip.fps,
        joint_pos=clip.joint_pos[:, joints],
        joint_vel=velocity(clip.joint_pos, clip.fps)[:, joints],
        body_pos=pos[:, bodies],
        body_quat=poses.quat_wxyz.numpy()[:, bodies],
        body_lin_vel=velocity(moving, clip.fps)[:, bodies],
        body_ang_vel=angular_velocity(rot, clip.fps)[:, bodies],
        joint_names=joint_names,
        body_names=body_names,
    )


def arrays_of(states: BodyStates, dtype: type[np.floating]) -> dict[str, np.ndarray]:
    """The arrays of states under the names of `states.keys`."""
    keys = states.keys
    values = {
        keys.joint_pos: states.joint_pos,
        keys.joint_vel: states.joint_vel,
        keys.body_pos: states.body_pos,
        keys.body_quat: states.body_quat,
        keys.body_lin_vel: states.body_lin_vel,
        keys.body_ang_vel: states.body_ang_vel,
    }
    names = {keys.joint_names: states.joint_names, keys.body_names: states.body_names}
    told = {"fps": np.array([states.fps])} | {key: np.array(value) for key, value in names.items() if value is not None}
    return told | {key: value.astype(dtype) for key, value in values.items() if value is not None}


def _check_shapes(states: BodyStates, robot: RobotModel) -> None:
    keys, width = states.keys, len(states.joint_names or robot.joints)
    if states.joint_pos.ndim != 2 or states.joint_pos.shape[1] != width:
        raise MotionError(f"{keys.joint_pos} has shape {states.joint_pos.shape}, expected (frames, {width})")
    if states.joint_vel.shape != states.joint_pos.shape:
        raise MotionError(
            f"{keys.joint_vel} has shape {states.joint_vel.shape}, {keys.joint_pos} {states.joint_pos.shape}"
        )
    frames = len(states.joint_pos)
    bodies = len(states.body_names or ())
    if states.body_names is None and states.body_pos.ndim == 3:
        bodies = states.body_pos.shape[1]
    values = [(keys.body_pos, states.body_pos, 3), (keys.body_quat, states.body_quat, 4)]
    values += [(keys.body_lin_vel, states.body_lin_vel, 3), (keys.body_ang_vel, states.body_ang_vel, 3)]
    for key, array, size in values:
        if array is not None and (bodies == 0 or array.shape != (frames, bodies, size)):
            raise MotionError(f"{key} has shape {array.shape}, expected ({frames}, {bodies or 'bodies'}, {size})")


def _check_quaternions(states: BodyStates) -> None:
    norm = np.linalg.norm(states.body_quat, axis=-1)
    wrong = np.argwhere(np.abs(norm - 1) > QUATERNION_TOLERANCE)
    if len(wrong):
        frame, body = wrong[0]
        name = f"body {body}" if states.body_names is None else states.body_names[body]
        raise MotionError(
            f"{states.keys.body_quat} is no unit quaternion at frame {frame} ({name}): "
            f"norm {norm[frame, body]:.3f}, expected 1 within 1 %"
        )


def _body_orders(states: BodyStates, robot: RobotModel) -> list[tuple[str, ...]]:
    """Orders that the bodies may stand in, the root in the same place in all of them."""
    if states.body_names is not None:
        if robot.link_names[0] not in states.body_names:
            raise MotionError(
                f"{states.keys.body_names} lacks the root {robot.link_names[0]}: {', '.join(states.body_names)}"
            )
        if len(set(states.body_names)) != len(states.body_names):
            raise MotionError(f"{states.keys.body_names} holds a name twice")
        return [states.body_names]
    count, links = states.body_pos.shape[1], [names_in(robot, order)[1] for order in JOINT_ORDERS]
    if count == len(robot.links):
        return links
    if count == len(robot.links) + 1:  # as MuJoCo counts bodies
        return [("world", *names) for names in links]
    return [(robot.link_names[0], *(f"body {body}" for body in range(1, count)))]


def _settled_by_bodies(
    candidates: Mapping[str, Mapping[QuatOrder, RobotClip]],
    states: BodyStates,
    bodies: list[tuple[str, ...]],
    robot: RobotModel,
    joint_order: JointOrder | None,
    quat_order: QuatOrder | None,
    findings: list[Finding],
) -> tuple[str, QuatOrder]:
    """The orders in which the links lie where the file says."""
    misfits = {
        joints: {quat: _nearest(clip, states, bodies, robot)[0] for quat, clip in clips.items()}
        for joints, clips in candidates.items()
    }
    nearest = {joints: min(by_quat.values()) for joints, by_quat in misfits.items()}
    if joint_order is not None:
        finding = Finding("joint order", joint_order, "caller", nearest, _FK)
    elif states.joint_names is not None:
        finding = Finding("joint order", "by name", "file", nearest, _FK)
        if not nearest["by name"] <= _NAMED_FITS:
            raise MotionError(
                f"{states.keys.joint_names} and {states.keys.body_pos} contradict each other ({_FK}: "
                f"{nearest['by name']:.3g}): correct the names, or overrule them with {_JOINT_FLAG}"
            )
    else:
        finding = agree("joint order", [Measure(_FK, nearest, _UNNAMED_FITS, _MARGIN)], flag=_JOINT_FLAG)
    findings.append(finding)
    by_quat = misfits[finding.answer]
    if quat_order is not None:
        findings.append(Finding("quaternion order", quat_order, "caller", by_quat, _FK))
        return finding.answer, quat_order
    settled = agree("quaternion order", [Measure(_FK, by_quat, _TOLD_FITS, _MARGIN)], flag=_QUAT_FLAG)
    findings.append(settled)
    return finding.answer, quat_order_of([settled])


def _settled_by_ground(
    candidates: Mapping[str, Mapping[QuatOrder, RobotClip]],
    named: bool,
    joint_order: JointOrder | None,
    quat_order: QuatOrder | None,
    robot: RobotModel,
    findings: list[Finding],
) -> tuple[str, QuatOrder]:
    """The orders in which the robot stands on the ground, of a file without hands and feet among its bodies."""
    names: dict[str, tuple[str, QuatOrder]] = {
        f"{joints} {quat}": (joints, quat) for joints, clips in candidates.items() for quat in clips
    }
    how = "caller" if joint_order is not None else "file" if named else None
    if how is not None and quat_order is not None:
        ((joints, quat),) = names.values()
        findings += [Finding("joint order", joints, how), Finding("quaternion order", quat, "caller")]
        return joints, quat
    clips = {name: candidates[joints][quat] for name, (joints, quat) in names.items()}
    flag = _QUAT_FLAG if how is not None else f"{_JOINT_FLAG}, {_QUAT_FLAG}"
    settled = agree("joint and quaternion order", ground_measures(clips, robot), flag=flag)
    findings.append(settled)
    return names[settled.answer]


def _nearest(
    clip: RobotClip, states: BodyStates, bodies: Sequence[tuple[str, ...]], robot: RobotModel
) -> tuple[float, tuple[str, ...]]:
    """How far the farthest link is from where the file says, m, mean over frames, in the nearest order of bodies."""
    frames = np.unique(np.linspace(0, len(clip) - 1, _FRAMES).astype(int))
    links = [link for link in robot.link_names if link in bodies[0]]
    pos, stored = _poses(robot, clip, frames).pos.numpy()[:, robot.link_indices(links)], states.body_pos[frames]
    misfits = [
        float(np.linalg.norm(pos - stored[:, index_by_name(names, links)], axis=-1).mean(axis=0).max())
        for names in bodies
    ]
    best = int(np.argmin(misfits))
    return misfits[best], bodies[best]


def _rate(states: BodyStates) -> Finding:
    """The rate that the file tells. Raises MotionError if what moves does not move as fast as stored at that rate."""
    keys, fps = states.keys, states.fps
    pairs = [(keys.joint_vel, keys.joint_pos, states.joint_vel, states.joint_pos)]
    if states.body_lin_vel is not None:
        pairs.append((keys.body_lin_vel, keys.body_pos, states.body_lin_vel, states.body_pos))
    for velocities, positions, stored, pos in pairs:
        difference = velocity(pos, fps)[1:-1]
        moving = np.abs(difference) > _MOVING
        if not moving.any():
            continue
        ratio = float(np.median(stored[1:-1][moving] / difference[moving]))
        if abs(ratio - 1) > _RATE_TOLERANCE:
            raise MotionError(
                f"fps is {fps:g}, but {velocities} is {ratio:.2f} times the differences of {positions} at that rate: "
                f"it fits {fps * ratio:.4g} fps; correct the rate"
            )
        measure = f"{velocities} against the differences of {positions}, share"
        return Finding("fps", f"{fps:g}", "file", {f"{fps:g}": abs(ratio - 1)}, measure)
    return Finding("fps", f"{fps:g}", "file")


def _velocity_point(
    states: BodyStates,
    body_names: tuple[str, ...],
    quat_order: QuatOrder,
    robot: RobotModel,
    usual: VelocityPoint,
    path: Path,
) -> Finding:
    """Whose linear velocity the file stores: the links' origins' or their centres of mass'."""
    question, key = "point of the linear velocities", states.keys.body_lin_vel
    links = [link for link in robot.link_names if link in body_names]
    columns, frames = index_by_name(body_names, links), len(states.body_pos)
    if frames < 3 or states.body_lin_vel is None:
        return Finding(question, usual, "convention")
    middle = np.unique(np.linspace(1, frames - 2, _FRAMES).astype(int))
    stored = states.body_lin_vel[middle][:, columns]

    def centre(at: np.ndarray) -> np.ndarray:
        quat = states.body_quat[at][:, columns][..., TO_WXYZ[quat_order]]
        rotation = Rotation.from_quat(quat.reshape(-1, 4), scalar_first=True)
        arms = np.tile(_centres(robot)[robot.link_indices(links)], (len(at), 1, 1))
        return origin(at) + rotation.apply(arms.reshape(-1, 3)).reshape(arms.shape)

    def origin(at: np.ndarray) -> np.ndarray:
        return states.body_pos[at][:, columns]

    speed = {
        point: (place(middle + 1) - place(middle - 1)) * states.fps / 2
        for point, place in (("centre of mass", centre), ("link origin", origin))
    }
    misfits = {point: float(np.linalg.norm(stored - values, axis=-1).mean()) for point, values in speed.items()}
    fits = _MOVING * (1 + np.linalg.norm(speed["link origin"], axis=-1).mean())
    name = f"{key} against differences of positions, m/s"
    measure = Measure(name, misfits, fits=float(fits), margin=_MARGIN, noise=1e-3)
    if not measure.fitting:
        warnings.warn(
            f"{path}: {key} is neither the velocity of the links' origins nor of their centres of mass ({measure}); "
            "it is not used",
            stacklevel=2,
        )
    if measure.answer is None:
        return Finding(question, usual, "convention", misfits, name)
    if measure.answer != usual:
        warnings.warn(
            f"{path}: {key} is the velocity of the {measure.answer}, and a file in this order usually holds that of "
            f"the {usual} ({measure})",
            stacklevel=2,
        )
    return Finding(question, measure.answer, "evidence", misfits, name)


def _finite(arrays: Mapping[str, np.ndarray], key: str) -> np.ndarray:
    values = numbers(arrays, key)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        raise MotionError(f"{key} is not a finite number at frame {wrong[0][0] if wrong.shape[1] else 0}")
    return values


def _centres(robot: RobotModel) -> np.ndarray:
    """(L, 3) centres of mass in the links' frames, m."""
    return np.array([link.com for link in robot.links])


def _poses(robot: RobotModel, clip: RobotClip, frames: np.ndarray | slice = slice(None)) -> BodyPoses:
    """Where a clip of the robot's joints, in its order, puts the links."""
    values = (clip.joint_pos, clip.root_pos_w, clip.root_quat_w)
    return forward_kinematics(robot, *(torch.from_numpy(np.ascontiguousarray(part[frames])) for part in values))
