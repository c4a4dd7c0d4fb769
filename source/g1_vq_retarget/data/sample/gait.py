"""Where the feet go: from a wanted course to steps that stand still on the floor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from g1_vq_retarget.data.sample.body import ANKLE_HEIGHT, BALL, HEEL, about
from g1_vq_retarget.motion.time import runs

# By speed (m/s): strides a second (cadence grows with speed), and the share of a stride that a foot stands. Below a
# half, both feet are in the air in between: running.
SPEEDS = (0.0, 0.6, 1.2, 1.8, 2.4, 3.2)
STRIDE_RATE = (0.72, 0.80, 0.97, 1.10, 1.32, 1.42)
STANCE_SHARE = (0.68, 0.65, 0.61, 0.56, 0.42, 0.36)
# Where in the stride a body at rest is: in the middle of the time both feet stand.
REST_PHASE = (STANCE_SHARE[0] - 0.5) / 2


@dataclass(frozen=True)
class Course:
    """What is wanted, at each of T times.

    Attributes:
        velocity: (T, 3) ahead and left, m/s, and turning, rad/s.
        stepping: (T,) whether the feet may leave the floor.
        places: (T, 2, 2) where each foot stands seen from the path, ahead and left, m.
        turnout: (T, 2) how far each foot is turned to the left, rad.
    """

    velocity: np.ndarray
    stepping: np.ndarray
    places: np.ndarray
    turnout: np.ndarray


@dataclass(frozen=True)
class Steps:
    """What comes of it, at each of T times; left before right.

    Attributes:
        path, yaw: (T, 2) m and (T,) rad: the course in the world.
        phase: (T,) strides since the start; the left foot lands at whole numbers, the right one half a stride later.
        ankles: (T, 2, 3) position in the world, m.
        feet: (T, 2, 2) pitch (toes down) and yaw in the world, rad.
        standing: (T, 2) whether the ball of the foot is held still by the floor.
    """

    path: np.ndarray
    yaw: np.ndarray
    phase: np.ndarray
    ankles: np.ndarray
    feet: np.ndarray
    standing: np.ndarray


def take_steps(course: Course, rate: float) -> Steps:
    """Steps along a course that begins and ends at rest, `rate` times a second."""
    yaw = np.cumsum(course.velocity[:, 2]) / rate
    path = np.cumsum(turned(yaw, course.velocity[:, :2]), axis=0) / rate
    speed = np.linalg.norm(course.velocity[:, :2], axis=1)
    phase = _phase(speed, course.stepping, rate)
    ankles, feet = np.zeros((len(yaw), 2, 3)), np.zeros((len(yaw), 2, 2))
    standing = np.zeros((len(yaw), 2), dtype=bool)
    for side in range(2):
        stands = _stands(phase + side / 2, speed) | ~course.stepping
        standing[:, side] = stands
        place = path + turned(yaw, course.places[:, side])
        for begin, end in runs(stands):
            # midway: the body passes over the foot in the middle of its stance
            where = place[begin:end].mean(axis=0)
            feet[begin:end, side, 1] = (yaw + course.turnout[:, side])[begin:end].mean()
            feet[begin:end, side, 0] = _roll(end - begin, rate, *course.velocity[[begin, end - 1], 0])
            ankles[begin:end, side] = _rolling_ankle(where, feet[begin:end, side])
        for begin, end in runs(~stands):
            _swing(ankles[:, side], feet[:, side], begin, end, float(speed[begin:end].mean()))
    return Steps(path, yaw, phase, ankles, feet, standing)


def smoothstep(x: np.ndarray) -> np.ndarray:
    """From 0 to 1 with velocity and acceleration zero at both ends, constant outside (minimum jerk)."""
    x = np.clip(x, 0.0, 1.0)
    return x**3 * (10 - 15 * x + 6 * x**2)


def _phase(speed: np.ndarray, stepping: np.ndarray, rate: float) -> np.ndarray:
    advance = np.where(stepping, np.interp(speed, SPEEDS, STRIDE_RATE) / rate, 0.0)
    for begin, end in runs(stepping):
        # whole steps, so that both feet stand when the body comes to rest
        strides = advance[begin:end].sum()
        advance[begin:end] *= max(round(2 * strides), 1) / 2 / strides
    return REST_PHASE + np.cumsum(advance)


def _stands(phase: np.ndarray, speed: np.ndarray) -> np.ndarray:
    """(T,) whether a foot that lands at whole numbers of the phase is down; once up, it stays so until the next."""
    stride = np.floor(phase)
    leaves = phase - stride >= np.interp(speed, SPEEDS, STANCE_SHARE)
    return np.maximum.accumulate(np.where(leaves, stride, -1)) < stride


def _roll(frames: int, rate: float, speed_in: float, speed_out: float) -> np.ndarray:
    """(frames,) pitch of a standing foot: it lands on the heel, lies flat, and leaves over the ball."""
    time, seconds = np.arange(frames) / rate, frames / rate
    landing, leaving = min(0.12, 0.25 * seconds), min(0.30, 0.5 * seconds)
    heel = 0.3 * np.clip(speed_in / 1.2, 0, 1) * (1.0 if speed_in < 2 else 0.3)
    toe = 0.8 * np.clip(speed_out / 1.2, 0, 1)
    lift = ((time - seconds) / leaving + 1).clip(0)
    return -heel * (1 - smoothstep(time / landing)) + toe * lift**2


def _rolling_ankle(where: np.ndarray, foot: np.ndarray) -> np.ndarray:
    """(T, 3) ankle of a foot that rolls (pitch and yaw, (T, 2)) about its heel or its ball, flat above `where`."""
    yaw = about("z", foot[:, 1])
    turn = yaw * about("y", foot[:, 0])
    pivot = np.where(foot[:, :1] > 0, BALL, HEEL)
    return np.append(where, ANKLE_HEIGHT) + yaw.apply(pivot) - turn.apply(pivot)


def _swing(ankles: np.ndarray, feet: np.ndarray, begin: int, end: int, speed: float) -> None:
    """Fill in a swing between two stances, with the velocities that these leave and take up."""
    u = np.arange(1, end - begin + 1)[:, None] / (end - begin + 1)
    for values in (ankles, feet):
        before, after = values[begin - 1], values[end]
        leave = (before - values[begin - 2]) * (end - begin + 1)
        land = (values[end + 1] - after) * (end - begin + 1)
        # Hermite's cubic
        values[begin:end] = (
            (1 + 2 * u) * (1 - u) ** 2 * before
            + u * (1 - u) ** 2 * leave
            + u**2 * (3 - 2 * u) * after
            - u**2 * (1 - u) * land
        )
    height = 0.05 + 0.10 * max(speed - 1.5, 0)
    ankles[begin:end, 2] += height * 16 * (u * (1 - u))[:, 0] ** 2
    # toes and heels clear the floor
    turn = about("y", feet[begin:end, 0])
    sole = np.minimum(turn.apply(BALL)[:, 2] - BALL[2], turn.apply(HEEL)[:, 2] - HEEL[2])
    ankles[begin:end, 2] = np.maximum(ankles[begin:end, 2], ANKLE_HEIGHT - sole)


def turned(yaw: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(T, 2) vectors turned by (T,) angles."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    return np.stack([cos * vectors[:, 0] - sin * vectors[:, 1], sin * vectors[:, 0] + cos * vectors[:, 1]], axis=1)
