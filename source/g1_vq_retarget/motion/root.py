"""The root stream: where a body is and goes, told without its place or heading in the world."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion.clip import Clip

# Columns of the root stream: height (m), the world's up axis in the body's frame (unit vector),
# planar velocity in the heading frame (m/s, forward and left), turning rate (rad/s).
ROOT_FEATURES: tuple[str, ...] = ("height", "up_x", "up_y", "up_z", "vel_forward", "vel_left", "yaw_rate")


def heading(body_rotation: Rotation) -> np.ndarray:
    """(T,) heading, rad: the twist about the world's z axis in the swing-twist split of each rotation.

    Unlike the yaw of the forward axis, it stays defined when the body lies on its back or belly; it is undefined
    only upside down, where 0 is returned.
    """
    quat = body_rotation.as_quat(scalar_first=True)
    return np.arctan2(2 * quat[:, 0] * quat[:, 3], quat[:, 0] ** 2 - quat[:, 3] ** 2)


def root_features(pos_w: np.ndarray, body_rotation: Rotation, fps: float) -> np.ndarray:
    """(T, 7) root stream, columns `ROOT_FEATURES`.

    Velocity and turning rate are forward differences, so that `integrate_root` returns to the same poses; the last
    frame repeats the one before (zero for a single frame).

    Args:
        pos_w: (T, 3) root position in the world, m.
        body_rotation: T rotations of the body frame (x forward, y left, z up).
        fps: frames a second.
    """
    frames = len(pos_w)
    yaw = heading(body_rotation)
    up_b = body_rotation.inv().apply(np.array([0.0, 0.0, 1.0]))
    rates = np.zeros((frames, 3))
    if frames > 1:
        step = _about_z(-yaw[:-1]).apply(np.diff(pos_w, axis=0))
        rates[:-1, :2] = step[:, :2] * fps
        rates[:-1, 2] = _wrap(np.diff(yaw)) * fps
        rates[-1] = rates[-2]
    return np.concatenate([pos_w[:, 2:], up_b, rates], axis=1)


def integrate_root(
    features: np.ndarray, fps: float, start_xy: tuple[float, float] = (0.0, 0.0), start_yaw: float = 0.0
) -> tuple[np.ndarray, Rotation]:
    """Place a root stream in the world: the inverse of `root_features`.

    Args:
        features: (T, 7) root stream, columns `ROOT_FEATURES`; the up axis need not have unit length.
        fps: frames a second.
        start_xy, start_yaw: place (m) and heading (rad) of the first frame.

    Returns:
        Position (T, 3) in the world and T rotations of the body frame.
    """
    yaw = start_yaw + np.concatenate([[0.0], np.cumsum(features[:-1, 6] / fps)])
    turn = _about_z(yaw)
    step = turn[:-1].apply(np.pad(features[:-1, 4:6], ((0, 0), (0, 1)))) / fps
    pos = np.empty((len(features), 3))
    pos[:, :2] = np.asarray(start_xy) + np.concatenate([np.zeros((1, 2)), np.cumsum(step[:, :2], axis=0)])
    pos[:, 2] = features[:, 0]
    return pos, turn * _swing(features[:, 1:4])


def path_length(clip: Clip) -> float:
    """Length of the root's way over the ground, m, of its straight steps at 10 Hz.

    At that rate the sum follows the way and not the sway and jitter of single frames, which add up with the rate.
    """
    steps = np.arange(0, len(clip), max(1, round(clip.fps / 10)))
    return float(np.linalg.norm(np.diff(clip.root_pos_w[steps, :2], axis=0), axis=1).sum())


def _swing(up_b: np.ndarray) -> Rotation:
    """The rotation without twist about z that has `up_b` (T, 3) as the world's up axis in the body's frame."""
    up = up_b / np.linalg.norm(up_b, axis=1, keepdims=True).clip(1e-9)
    # the shortest turn from up_b to z: quaternion (1 + up . z, up x z), which has no z component
    quat = np.stack([1 + up[:, 2], up[:, 1], -up[:, 0], np.zeros(len(up))], axis=1)
    upside_down = quat[:, 0] < 1e-9
    quat[upside_down] = (0.0, 1.0, 0.0, 0.0)
    return Rotation.from_quat(quat, scalar_first=True)


def _about_z(angle: np.ndarray) -> Rotation:
    return Rotation.from_rotvec(np.multiply.outer(angle, [0.0, 0.0, 1.0]))


def _wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi
