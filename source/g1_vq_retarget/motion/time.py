"""Resampling by time, and finite differences."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Literal, TypeVar

import numpy as np
from scipy.interpolate import CubicSpline, make_interp_spline
from scipy.spatial.transform import Rotation, Slerp

from g1_vq_retarget.motion.clip import HumanClip, RobotClip, require_rate

Interpolation = Literal["linear", "cubic"]
AnyClip = TypeVar("AnyClip", RobotClip, HumanClip)


def resampled_length(frames: int, fps_in: float, fps_out: float) -> int:
    """How many of the times 0, 1/fps_out, 2/fps_out, … lie strictly below the last frame, (frames - 1) / fps_in.

    At an unchanged rate a clip keeps all its frames, and a clip of one frame keeps it.
    """
    if frames == 1 or fps_in == fps_out:
        return frames
    # exact: 0.02 s steps against 1/30 s frames meet again and again, and rounding would decide the last one
    ratio = Fraction(fps_out).limit_denominator(10**6) / Fraction(fps_in).limit_denominator(10**6)
    return math.ceil((frames - 1) * ratio)


def resample(clip: AnyClip, fps: float, interpolation: Interpolation = "cubic") -> AnyClip:
    """The clip at another rate, on the times 0, 1/fps, … strictly below its last frame.

    Positions and joint angles are interpolated linearly or by a cubic spline (not-a-knot), rotations by slerp.
    """
    require_rate(fps)
    frames = resampled_length(len(clip), clip.fps, fps)
    if len(clip) == 1 or fps == clip.fps:
        return replace(clip, fps=float(fps))
    times_in = np.arange(len(clip)) / clip.fps
    times = np.arange(frames) / fps

    def vectors(values: np.ndarray) -> np.ndarray:
        if interpolation == "linear" or len(values) < 4:
            return make_interp_spline(times_in, values, k=1)(times)
        return CubicSpline(times_in, values)(times)

    def rotations(quat_wxyz: np.ndarray) -> np.ndarray:
        key = Rotation.from_quat(quat_wxyz, scalar_first=True)
        return Slerp(times_in, key)(times).as_quat(scalar_first=True)

    changes = {
        "fps": float(fps),
        "root_pos_w": vectors(clip.root_pos_w),
        "root_quat_w": rotations(clip.root_quat_w),
    }
    if isinstance(clip, RobotClip):
        changes["joint_pos"] = vectors(clip.joint_pos)
    else:
        joints = range(clip.joint_quat.shape[1])
        changes["joint_quat"] = np.stack([rotations(clip.joint_quat[:, joint]) for joint in joints], axis=1)
    return replace(clip, **changes)


def runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """First frame, and the one after the last, of each run of true values in a mask (T,)."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(int), 1)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def velocity(values: np.ndarray, fps: float) -> np.ndarray:
    """(T, ...) rate of change a second: central differences, one-sided at both ends; zero for a single frame."""
    if len(values) == 1:
        return np.zeros_like(values, dtype=float)
    return np.gradient(values, 1 / fps, axis=0)


def angular_velocity(rotations: np.ndarray, fps: float) -> np.ndarray:
    """(T, ..., 3) angular velocity in the outer frame, rad/s, of rotation matrices (T, ..., 3, 3).

    Central differences (the turn from the frame before to the frame after), one-sided at both ends.
    """
    frames = len(rotations)
    if frames == 1:
        return np.zeros(rotations.shape[:-1])
    after = np.minimum(np.arange(frames) + 1, frames - 1)
    before = np.maximum(np.arange(frames) - 1, 0)
    turn = rotations[after] @ np.swapaxes(rotations[before], -1, -2)
    rotvec = Rotation.from_matrix(turn.reshape(-1, 3, 3)).as_rotvec().reshape(rotations.shape[:-1])
    seconds = (after - before) / fps
    return rotvec / seconds.reshape(-1, *[1] * (rotvec.ndim - 1))
