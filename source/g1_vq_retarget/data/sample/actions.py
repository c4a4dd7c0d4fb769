"""What a body does: for each kind of motion how it moves over the ground and what trunk and arms do meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from g1_vq_retarget.data.sample.gait import STANCE_SHARE, smoothstep


@dataclass(frozen=True)
class Posture:
    """Trunk and arms at each of T times; left before right. Vectors of arms have x ahead, y outwards, z up.

    Attributes:
        hands, elbows: see `Goals`, but as if the trunk did not bend ahead: arms hang down whatever it does.
        palms, spine, head: see `Goals`.
        shift: (T, 3) of the pelvis off its course, ahead, left and up, m.
        lean: (T, 3) roll, pitch and yaw of the pelvis against its course, rad.
    """

    hands: np.ndarray
    elbows: np.ndarray
    palms: np.ndarray
    spine: np.ndarray
    head: np.ndarray
    shift: np.ndarray
    lean: np.ndarray

    @classmethod
    def sum(cls, postures: Sequence[Posture], weights: Sequence[np.ndarray]) -> Posture:
        """Weighted sum, a weight (T,) for each posture."""

        def total(key: str) -> np.ndarray:
            parts = [getattr(posture, key) for posture in postures]
            return np.sum([(w * part.T).T for w, part in zip(weights, parts, strict=True)], axis=0)

        return cls(**{field.name: total(field.name) for field in fields(cls)})


@dataclass(frozen=True)
class Moment:
    """When a posture is asked for: time (T,) s since the action began, strides (T,) and speed (T,) m/s of the gait."""

    time: np.ndarray
    phase: np.ndarray
    speed: np.ndarray


@dataclass(frozen=True)
class Action:
    """A stretch of one kind of motion.

    Attributes:
        seconds: how long.
        posture: trunk and arms.
        velocity: ahead and left, m/s, and turning, rad/s.
        stepping: whether the feet may leave the floor.
        places: where the feet stand, see `Course`, m.
        turnout: how far they are turned to the left, rad.
    """

    seconds: float
    posture: Callable[[Moment], Posture]
    velocity: tuple[float, float, float] = (0.0, 0.0, 0.0)
    stepping: bool = False
    places: tuple[tuple[float, float], tuple[float, float]] = ((-0.03, 0.09), (-0.03, -0.09))
    turnout: tuple[float, float] = (0.1, -0.1)


HANGING = np.array([0.02, 0.16, -0.955])
BEHIND, BELOW = np.array([-1.0, 0.3, -0.1]), np.array([-0.2, 0.5, -1.0])


def at_ease(time: np.ndarray) -> Posture:
    """Standing, arms down."""
    frames = len(time)
    zeros = np.zeros((frames, 3))
    hands, elbows = np.tile(HANGING, (frames, 2, 1)), np.tile(BEHIND, (frames, 2, 1))
    return Posture(hands, elbows, np.zeros((frames, 2)), zeros, zeros, zeros, zeros)


def stand(rng: Generator, seconds: float) -> Action:
    """Standing and looking around."""
    looks = rng.uniform((-0.1, -0.2, -0.7), (0.1, 0.25, 0.7), (int(seconds) + 1, 3))

    def posture(moment: Moment) -> Posture:
        return replace(at_ease(moment.time), head=_through(np.arange(len(looks)) + 0.5, looks, moment.time))

    return Action(seconds, posture)


def walk(rng: Generator, seconds: float) -> Action:
    """Walking ahead, straight or in a curve, arms against legs."""
    speed, turn = rng.uniform(0.5, 1.6), rng.choice([0.0, rng.uniform(-0.6, 0.6)])
    swing, bend = rng.uniform(0.25, 0.45), rng.uniform(0.0, 0.05)

    def posture(moment: Moment) -> Posture:
        angle = swing * np.minimum(moment.speed, 1.4)[:, None] * _opposite_legs(moment.phase)
        reach = 0.97 - bend - 0.08 * np.sin(angle).clip(0)
        hands = np.stack([reach * np.sin(angle), np.full_like(angle, 0.14), -reach * np.cos(angle)], axis=-1)
        return replace(at_ease(moment.time), hands=hands)

    return Action(seconds, posture, (speed, 0.0, turn), stepping=True)


def run(rng: Generator, seconds: float) -> Action:
    """Running ahead, elbows bent."""
    speed, turn = rng.uniform(2.3, 3.0), rng.choice([0.0, rng.uniform(-0.5, 0.5)])
    swing, lean = rng.uniform(0.45, 0.65), rng.uniform(0.08, 0.14)

    def posture(moment: Moment) -> Posture:
        effort = (moment.speed / 2.5).clip(0, 1)
        angle = 0.75 + swing * effort[:, None] * _opposite_legs(moment.phase)
        hands = np.stack([0.68 * np.sin(angle), 0.08 - 0.12 * np.sin(angle), -0.68 * np.cos(angle)], axis=-1)
        # highest in the air, lowest while a foot stands
        bounce = -0.035 * effort**2 * np.cos(4 * np.pi * (moment.phase - STANCE_SHARE[-1] / 2))
        return replace(
            at_ease(moment.time),
            hands=hands,
            elbows=np.tile([-1.0, 0.35, -0.6], (len(angle), 2, 1)),
            shift=_vectors(moment.time, z=bounce - 0.02 * effort),
            lean=_vectors(moment.time, y=lean * effort),
        )

    return Action(seconds, posture, (speed, 0.0, turn), True, ((-0.03, 0.05), (-0.03, -0.05)))


def side_step(rng: Generator, seconds: float) -> Action:
    """Steps to one side, knees bent, hands ready."""
    speed, ready = rng.choice([-1, 1]) * rng.uniform(0.25, 0.4), rng.uniform((0.35, 0.1, -0.6), (0.55, 0.3, -0.3))
    crouch = rng.uniform(0.03, 0.10)

    def posture(moment: Moment) -> Posture:
        frames = len(moment.time)
        return replace(
            at_ease(moment.time),
            hands=np.tile(ready, (frames, 2, 1)),
            elbows=np.tile([-0.8, 0.6, -0.6], (frames, 2, 1)),
            shift=_vectors(moment.time, z=np.full(frames, -crouch)),
            lean=_vectors(moment.time, y=np.full(frames, 2 * crouch)),
        )

    return Action(seconds, posture, (0.0, speed, 0.0), True, ((-0.03, 0.16), (-0.03, -0.16)))


def turn(rng: Generator, seconds: float) -> Action:
    """Turning on the spot."""
    rate = rng.choice([-1, 1]) * rng.uniform(0.6, 1.2)
    return Action(seconds, lambda moment: at_ease(moment.time), (0.0, 0.0, rate), stepping=True)


def wave(rng: Generator, seconds: float) -> Action:
    """Waving with the left hand, the right or both."""
    raised = np.array([[1, 0], [0, 1], [1, 1]][rng.integers(3)])
    rate, width, palm = rng.uniform(1.2, 2.2), rng.uniform(0.15, 0.3), rng.uniform((0.15, 0.4, 0.35), (0.4, 0.6, 0.7))
    against = rng.choice([-1.0, 1.0])

    def posture(moment: Moment) -> Posture:
        rest = at_ease(moment.time)
        beat = width * np.sin(2 * np.pi * rate * moment.time)
        up = np.stack([palm + _vectors(beat, y=sign * beat, z=-0.3 * beat**2) for sign in (1.0, against)], axis=1)
        chosen = raised[:, None]
        return replace(
            rest,
            hands=np.where(chosen, up, rest.hands),
            elbows=np.where(chosen, [-0.3, 0.7, -1.0], rest.elbows),
            spine=_vectors(beat, x=0.1 * np.full_like(beat, raised[1] - raised[0])),
        )

    return Action(seconds, posture)


def reach(rng: Generator, seconds: float) -> Action:
    """Reaching high, low, ahead and aside, with one hand or both."""
    beat_time = 0.9
    beats = int(seconds / beat_time)
    hands, trunk = np.tile(HANGING, (beats, 2, 1)), np.zeros((beats, 4))
    # spread over all directions, in any order
    reaches = range(0, beats - 1, 2)
    asides, ups = (rng.permutation(np.linspace(*ends, len(reaches))) for ends in ((-0.3, 1.1), (-0.9, 1.0)))
    for beat, aside, up in zip(reaches, asides, ups, strict=True):
        used = np.array([[1, 0], [0, 1], [1, 1]][rng.integers(3)], dtype=bool)
        aside, up = aside + rng.uniform(-0.2, 0.2), up + rng.uniform(-0.2, 0.2)
        direction = [np.cos(up) * np.cos(aside), np.cos(up) * np.sin(aside), np.sin(up)]
        hands[beat, used] = rng.uniform(0.75, 0.97) * np.array(direction)
        low = max(-up, 0)
        # roll, pitch and yaw of the spine towards the hand, and how far the knees give
        trunk[beat] = [0.0, 0.5 * low - 0.08, 0.35 * aside * (used[0] - 1.0 * used[1]), 0.12 * low]
        if rng.random() < 0.5:  # held for a while
            hands[beat + 1], trunk[beat + 1] = hands[beat], trunk[beat]
    times = 0.6 + beat_time * np.arange(beats) + rng.uniform(-0.1, 0.1, beats)

    def posture(moment: Moment) -> Posture:
        moved = _through(times, hands.reshape(beats, 6), moment.time).reshape(-1, 2, 3)
        spine = _through(times, trunk, moment.time)
        return replace(
            at_ease(moment.time),
            hands=moved,
            elbows=_elbows_of(moved),
            spine=spine[:, :3],
            head=0.3 * spine[:, :3],
            shift=_vectors(moment.time, z=-spine[:, 3]),
            lean=_vectors(moment.time, y=0.5 * spine[:, 1]),
        )

    return Action(seconds, posture, places=((-0.03, 0.13), (-0.03, -0.13)))


def squat(rng: Generator, seconds: float) -> Action:
    """Squatting several times, arms forward for balance."""
    depth, period = rng.uniform(0.22, 0.38), rng.uniform(2.0, 3.0)
    width, out = rng.uniform(0.14, 0.20), rng.uniform(0.15, 0.35)

    def posture(moment: Moment) -> Posture:
        times = moment.time.clip(0, period * int(seconds / period))
        down = smoothstep((1 - np.cos(2 * np.pi * times / period)) / 2)
        rest = at_ease(times)
        forward = np.array([0.88, 0.0, -0.05])
        return replace(
            rest,
            hands=rest.hands + down[:, None, None] * (forward - rest.hands),
            elbows=rest.elbows + down[:, None, None] * (BELOW - rest.elbows),
            spine=_vectors(times, y=0.25 * down),
            head=_vectors(times, y=-0.35 * down),
            shift=_vectors(times, x=-0.3 * depth * down, z=-depth * down),
            lean=_vectors(times, y=1.3 * depth * down),
        )

    return Action(seconds, posture, places=((-0.03, width), (-0.03, -width)), turnout=(out, -out))


def box(rng: Generator, seconds: float) -> Action:
    """Boxing: a guard, left foot ahead, and straight punches, hooks and uppercuts out of it."""
    guard = np.array([0.30, -0.10, 0.12])
    punches = {
        "straight": ([0.45, -0.1, 0.05], [0.96, -0.22, 0.08], 1.3),
        "hook": ([0.45, 0.45, 0.0], [0.72, -0.30, 0.10], 0.9),
        "uppercut": ([0.35, 0.0, -0.45], [0.60, -0.15, 0.30], -0.9),
    }
    times, hands, palms, yaws = [0.0], [np.tile(guard, (2, 1))], [np.zeros(2)], [0.0]
    while times[-1] < seconds - 1.0:
        side = int(rng.random() < 0.5)
        windup, hit, palm = punches[rng.choice(["straight", "straight", "hook", "uppercut"])]
        pause, pace = rng.uniform(0.1, 0.7), rng.uniform(0.9, 1.3)
        towards = 0.45 if side else -0.25
        # guard, wind-up, hit, guard again
        for step, place, twist, yaw in (
            (pause, guard, 0.0, 0.0),
            (0.15, windup, 0.2 * palm, -0.3 * towards),
            (0.20, hit, palm, towards),
            (0.32, guard, 0.0, 0.0),
        ):
            times.append(times[-1] + pace * step)
            hands.append(np.array([place if index == side else guard for index in range(2)]))
            palms.append(np.array([twist if index == side else 0.0 for index in range(2)]))
            yaws.append(yaw)
    bounce, rate = rng.uniform(0.01, 0.025), rng.uniform(1.4, 2.0)

    def posture(moment: Moment) -> Posture:
        moved = _through(times, np.reshape(hands, (-1, 6)), moment.time).reshape(-1, 2, 3)
        yaw = _through(times, np.array(yaws)[:, None], moment.time)[:, 0]
        give = -0.07 + bounce * np.sin(2 * np.pi * rate * moment.time)
        still = np.ones_like(yaw)
        return replace(
            at_ease(moment.time),
            hands=moved,
            elbows=np.tile(BELOW, (len(yaw), 2, 1)),
            palms=_through(times, np.array(palms), moment.time),
            spine=_vectors(yaw, y=0.12 * still, z=0.7 * yaw + 0.15),
            head=_vectors(yaw, y=0.1 * still, z=0.25 - 0.9 * yaw),
            shift=_vectors(yaw, x=0.06 * np.abs(yaw), z=give),
            lean=_vectors(yaw, y=0.06 * still, z=-0.4 + 0.3 * yaw),
        )

    return Action(seconds, posture, places=((0.15, 0.11), (-0.20, -0.11)), turnout=(-0.15, -0.7))


def stride_sway(moment: Moment) -> Posture:
    """What walking and running add: the pelvis over the standing foot and turning with the legs, the chest against."""
    ease, nothing = at_ease(moment.time), np.zeros((len(moment.time), 2, 3))
    effort = (moment.speed / 1.2).clip(0, 1.3)
    over_left = np.cos(2 * np.pi * (moment.phase - STANCE_SHARE[2] / 2))
    left_ahead = np.cos(2 * np.pi * moment.phase)
    sway = 0.025 * smoothstep(moment.speed / 0.3) / (1 + moment.speed**2)
    roll, yaw = 0.05 * effort * over_left, -0.10 * effort * left_ahead
    return replace(
        ease,
        hands=nothing,
        elbows=nothing,
        spine=_vectors(roll, x=-1.2 * roll, z=-1.8 * yaw),
        head=_vectors(roll, z=0.8 * yaw),
        shift=_vectors(roll, y=sway * over_left),
        lean=_vectors(roll, x=roll, y=0.04 * effort, z=yaw),
    )


def _elbows_of(hands: np.ndarray) -> np.ndarray:
    """(T, 2, 3) where elbows point: `BEHIND` if the arm hangs, otherwise as the smallest turn of it from there says."""
    along = hands.reshape(-1, 3) / np.linalg.norm(hands.reshape(-1, 3), axis=1, keepdims=True)
    # from down to along: the quaternion of the half-way direction
    turn = np.column_stack([1 - along[:, 2], np.cross([0.0, 0.0, -1.0], along)])
    return Rotation.from_quat(turn, scalar_first=True).apply(BEHIND).reshape(hands.shape)


def _opposite_legs(phase: np.ndarray) -> np.ndarray:
    """(T, 2) between -1 and 1: an arm is ahead while the leg of its side is behind."""
    ahead = np.cos(2 * np.pi * phase)
    return np.stack([-ahead, ahead], axis=1)


def _vectors(
    like: np.ndarray, x: np.ndarray | float = 0.0, y: np.ndarray | float = 0.0, z: np.ndarray | float = 0.0
) -> np.ndarray:
    """(T, 3) vectors of components (T,), as many as `like`."""
    return np.stack([np.broadcast_to(component, like.shape) for component in (x, y, z)], axis=-1)


def _through(times: Sequence[float] | np.ndarray, values: np.ndarray, when: np.ndarray) -> np.ndarray:
    """(T, D) from each of the values (K, D) to the next at these times, resting at each."""
    times = np.asarray(times)
    index = np.searchsorted(times, when).clip(1, len(times) - 1)
    share = smoothstep((when - times[index - 1]) / (times[index] - times[index - 1]))[:, None]
    return values[index - 1] * (1 - share) + values[index] * share
