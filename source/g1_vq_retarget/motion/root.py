"""The root stream: where a body is and goes, told without its place or heading in the world."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.motion.clip import Clip

Orientation = Literal["up", "expmap"]
# How the body leans, told without its heading. up: the world's up axis in the body's frame (unit vector). expmap: the
# exponential map (rotation vector, rad) of the swing, the rotation without its twist about z: it has no z component.
# Unlike the up axis it jumps where the body passes through upside down.
_ORIENTATIONS: dict[Orientation, tuple[str, ...]] = {"up": ("up_x", "up_y", "up_z"), "expmap": ("swing_x", "swing_y")}


def root_columns(orientation: Orientation = "up") -> tuple[str, ...]:
    """Columns of the root stream: height (m), orientation without heading, planar velocity in the heading frame
    (m/s, forward and left), turning rate (rad/s)."""
    return ("height", *_ORIENTATIONS[orientation], "vel_forward", "vel_left", "yaw_rate")


ROOT_FEATURES = root_columns()


def heading(body_rotation: Rotation) -> np.ndarray:
    """(T,) heading, rad: the twist about the world's z axis in the swing-twist split of each rotation.

    Unlike the yaw of the forward axis, it stays defined when the body lies on its back or belly; it is undefined
    only upside down, where 0 is returned.
    """
    quat = body_rotation.as_quat(scalar_first=True)
    return np.arctan2(2 * quat[:, 0] * quat[:, 3], quat[:, 0] ** 2 - quat[:, 3] ** 2)


def root_features(
    pos_w: np.ndarray, body_rotation: Rotation, fps: float, orientation: Orientation = "up"
) -> np.ndarray:
    """(T, R) root stream, columns `root_columns(orientation)`.

    Velocity and turning rate are forward differences, so that `integrate_root` returns to the same poses; the last
    frame repeats the one before (zero for a single frame).

    Args:
        pos_w: (T, 3) root position in the world, m.
        body_rotation: T rotations of the body frame (x forward, y left, z up).
        fps: frames a second.
        orientation: how the body's leaning is told.
    """
    frames = len(pos_w)
    yaw = heading(body_rotation)
    if orientation == "up":
        lean = body_rotation.inv().apply(np.array([0.0, 0.0, 1.0]))
    else:
        lean = (_about_z(-yaw) * body_rotation).as_rotvec()[:, :2]
    rates = np.zeros((frames, 3))
    if frames > 1:
        place = _on_floor(pos_w)
        step = (place[1:] - place[:-1]) * np.exp(-1j * yaw[:-1])
        rates[:-1, 0], rates[:-1, 1] = np.real(step) * fps, np.imag(step) * fps
        rates[:-1, 2] = _wrap(np.diff(yaw)) * fps
        rates[-1] = rates[-2]
    return np.concatenate([pos_w[:, 2:], lean, rates], axis=1)


def integrate_root(
    features: np.ndarray,
    fps: float,
    start_xy: tuple[float, float] = (0.0, 0.0),
    start_yaw: float = 0.0,
    orientation: Orientation = "up",
) -> tuple[np.ndarray, Rotation]:
    """Place a root stream in the world: the inverse of `root_features`.

    Args:
        features: (T, R) root stream, columns `root_columns(orientation)`; the up axis need not have unit length.
        fps: frames a second.
        start_xy, start_yaw: place (m) and heading (rad) of the first frame.
        orientation: how the body's leaning is told.

    Returns:
        Position (T, 3) in the world and T rotations of the body frame.
    """
    lean, velocity, yaw_rate = features[:, 1:-3], _on_floor(features[:-1, -3:-1]), features[:-1, -1]
    yaw = np.cumsum(np.concatenate([[start_yaw], yaw_rate / fps]))
    place = np.cumsum(np.concatenate([[complex(*start_xy)], velocity * np.exp(1j * yaw[:-1]) / fps]))
    pos = np.stack([np.real(place), np.imag(place), features[:, 0]], axis=1)
    swing = _swing(lean) if orientation == "up" else Rotation.from_rotvec(np.pad(lean, ((0, 0), (0, 1))))
    return pos, _about_z(yaw) * swing


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


def _on_floor(xy: np.ndarray) -> np.ndarray:
    """(T,) x + iy of (T, 2 or more): turned about z by multiplying with exp(i angle)."""
    return xy[:, 0] + 1j * xy[:, 1]


def _about_z(angle: np.ndarray) -> Rotation:
    return Rotation.from_rotvec(np.multiply.outer(angle, [0.0, 0.0, 1.0]))


def _wrap(angle: np.ndarray) -> np.ndarray:
    return (angle + np.pi) % (2 * np.pi) - np.pi
