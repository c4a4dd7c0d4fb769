"""holosoma's NPZ: the keys of the tracking NPZ, with the root in front of the joints, in float64.

Keys: fps (1,), joint_pos (T, 7 + J): root position, root quaternion wxyz, joint angles; joint_vel (T, 6 + J): root
velocity and angular velocity, joint velocities; joint_names (J,) without the root; body_names with MuJoCo's world;
body_pos_w, body_quat_w wxyz, body_lin_vel_w of the centres of mass, body_ang_vel_w. MuJoCo order. Keys beside these,
such as an object's, are not read. `read_tracking_npz` reads it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from g1_vq_retarget.motion.clip import MotionError, RobotClip
from g1_vq_retarget.motion.formats.body_states import BodyStates, Keys, arrays_of, states_of
from g1_vq_retarget.motion.formats.npz import write_arrays
from g1_vq_retarget.motion.formats.orders import FROM_WXYZ, QuatOrder
from g1_vq_retarget.motion.time import angular_velocity, velocity
from g1_vq_retarget.robot.model import RobotModel

_KEYS = Keys()
_WORLD = "world"
# Columns of the root in joint_pos and in joint_vel.
_POSE, _VELOCITY = 7, 6
# The root in joint_pos may differ so much from that among the bodies: m, and length of a unit quaternion.
_ROOT_TOLERANCE = 1e-3


def write_holosoma_npz(clip: RobotClip, path: str | Path, robot: RobotModel) -> None:
    """Write a clip at its own rate, in float64.

    Raises:
        MotionError: the clip's joints are not the robot's.
        UserError: the file cannot be written.
    """
    states = states_of(clip, robot, "mujoco", "centre of mass")
    turn = angular_velocity(clip.root_rotation.as_matrix(), clip.fps)
    arrays = arrays_of(states, np.float64)
    arrays[_KEYS.joint_pos] = np.hstack([clip.root_pos_w, clip.root_quat_w, states.joint_pos])
    arrays[_KEYS.joint_vel] = np.hstack([velocity(clip.root_pos_w, clip.fps), turn, states.joint_vel])
    # the world's body rests at the origin
    still = {_KEYS.body_quat: [1.0, 0.0, 0.0, 0.0]}
    for key in (_KEYS.body_pos, _KEYS.body_quat, _KEYS.body_lin_vel, _KEYS.body_ang_vel):
        world = np.broadcast_to(still.get(key, [0.0, 0.0, 0.0]), (len(clip), 1, arrays[key].shape[-1]))
        arrays[key] = np.concatenate([world, arrays[key]], axis=1)
    arrays[_KEYS.body_names] = np.array([_WORLD, *robot.link_names])
    write_arrays(path, arrays | {"licence": np.array(clip.provenance.licence)})


def split_root(states: BodyStates, robot: RobotModel) -> tuple[BodyStates, np.ndarray | None]:
    """States without the root in front of the joints, and that root (T, 7); as they are, and None, if there is none."""
    joints = len(states.joint_names or robot.joints)
    widths = [values.shape[1] for values in (states.joint_pos, states.joint_vel) if values.ndim == 2]
    if widths != [_POSE + joints, _VELOCITY + joints]:
        return states, None
    joint_pos, joint_vel = states.joint_pos[:, _POSE:], states.joint_vel[:, _VELOCITY:]
    return replace(states, joint_pos=joint_pos, joint_vel=joint_vel), states.joint_pos[:, :_POSE]


def check_root(root: np.ndarray, clip: RobotClip, quat_order: QuatOrder) -> None:
    """Refuse (T, 7) of a root that is not the clip's, its quaternion in the order that the bodies' are in."""
    if len(root) != len(clip):
        raise MotionError(f"{_KEYS.joint_pos} has {len(root)} frames, the bodies {len(clip)}")
    quat = clip.root_quat_w[:, FROM_WXYZ[quat_order]]
    apart = np.linalg.norm(root[:, :3] - clip.root_pos_w, axis=1)
    # a quaternion and its negative are the same rotation
    turned = np.minimum(np.linalg.norm(root[:, 3:] - quat, axis=1), np.linalg.norm(root[:, 3:] + quat, axis=1))
    for what, misfit in (("position", apart), (f"quaternion (read {quat_order})", turned)):
        if not misfit.max() <= _ROOT_TOLERANCE:
            raise MotionError(
                f"the root's {what} in front of {_KEYS.joint_pos} is not that in {_KEYS.body_pos} and "
                f"{_KEYS.body_quat} at frame {int(np.argmax(misfit > _ROOT_TOLERANCE))}: correct the file"
            )
