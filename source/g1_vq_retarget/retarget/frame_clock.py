"""Human frames that come when they will, onto the ticks of a clock.

A sender's frames come at its own rate, jittered, doubled, late or not at all; a retargeter that holds a state wants
exactly one frame every 1/fps. `FrameClock` stands between: frames go in with the sender's time stamps, and each tick
asks for the pose of one instant, `delay` ago.

- An instant between two frames is interpolated: positions linearly, rotations by slerp.
- An instant after the newest frame is missing. It is extrapolated at the speed of the last frames, for at most
  `extrapolate` after the newest one, and then held. When frames are there again, what the guess was off by fades within
  `catch_up`.
- After `gap` without a frame the stream is lost: there is no pose until frames come again, and then a new stretch
  begins, for which the retargeter is reset. So it is when the sender's clock leaps by more than `gap`.
- A frame with the time stamp of the newest one, or an older one, is doubled and dropped. A frame whose instant has been
  shown already is late; it is used for what comes after it.

The sender's clock need not be ours: the smallest difference between arrival and time stamp within `WINDOW` tells how
they differ (as one-way clock filters do, Moon et al. 1999, "Estimation and Removal of Clock Skew"). Where that changes,
shown time runs at most 10 % faster or slower than ours, and never back.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget.live import HumanFrame

# How long a frame's delay on the way is remembered, s: some frames of the quickest are among those of half a second.
WINDOW = 0.5
# How much faster or slower than ours shown time may run.
_SLEW = 0.1
# The share of a tick by which rounding may put an instant behind the frame that it is.
_ROUNDING = 0.01


# A stream is not lost for less, s.
LEAST_GAP = 0.1


@dataclass(frozen=True)
class ClockConfig:
    """What is done about time stamps."""

    delay: float = 0.02
    """How far behind the newest frames the shown instant lies, s: one period of the sender, and what its frames
    jitter by. With less, more is extrapolated; with 0, all that is not on a tick."""
    extrapolate: float = 0.06
    """How far after the newest frame motion is carried on at its speed, s; then the pose is held. After 60 ms dancers'
    wrists are off by 3 cm on the average, in place of 8 if they are held; after 140 ms by 13."""
    catch_up: float = 0.1
    """How long what was guessed fades into what came, s."""
    gap: float = 0.5
    """How long without frames until the stream is lost, s: a step takes that long, so a longer pose cannot be held."""

    def __post_init__(self) -> None:
        for name in ("delay", "extrapolate", "catch_up", "gap"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise UserError(f"clock.{name} must be a number of seconds, 0 or more; it is {value:g}")
        if self.gap < LEAST_GAP:
            raise UserError(f"clock.gap must be at least {LEAST_GAP:g} s, some periods of a sender; it is {self.gap:g}")
        if self.extrapolate > self.gap:
            raise UserError(f"clock.extrapolate is {self.extrapolate:g} s and clock.gap {self.gap:g} s; make it less")


@dataclass
class FrameCounts:
    """What became of frames, and of ticks.

    Attributes:
        received: frames that came and were new.
        doubled: frames with the time stamp of the newest one or an older one, dropped.
        late: frames whose instant had been shown.
        extrapolated: ticks whose pose was carried on from the frames before.
        held: ticks whose pose was held, after that.
        lost: ticks without a pose, since no stream had begun or it was lost.
        stretches: how often a stream began.
    """

    received: int = 0
    doubled: int = 0
    late: int = 0
    extrapolated: int = 0
    held: int = 0
    lost: int = 0
    stretches: int = 0

    @property
    def missing(self) -> int:
        """Ticks of a stream for which there was no frame."""
        return self.extrapolated + self.held


class Tick(NamedTuple):
    """What a tick shows.

    Attributes:
        frame: the pose; None while there is no stream.
        first: a new stretch begins with it: reset what holds a state.
        delay: by how long the pose is older than what would arrive now without delay, s.
    """

    frame: HumanFrame | None
    first: bool = False
    delay: float = 0.0


class _Change(NamedTuple):
    """What leads from one pose to another: (3,) m, and the turns (22, 3) of pelvis and joints, rotation vectors."""

    pos: np.ndarray
    turns: np.ndarray


class FrameClock:
    """One pose each tick, of frames that come when they will; see this module.

    Args:
        fps: ticks a second; `tick` is called once every 1/fps.
        config: delays and gaps.

    Attributes:
        counts: what became of frames and ticks.
    """

    def __init__(self, fps: float, config: ClockConfig | None = None) -> None:
        self.fps = fps
        self.config = config or ClockConfig()
        self.counts = FrameCounts()
        self._stamps: list[float] = []
        self._frames: list[HumanFrame] = []
        self._newest = -np.inf  # time stamp, of frames that are left out, too
        self._lags: deque[tuple[float, float]] = deque()
        self._shown: float | None = None
        self._guessed_from: float | None = None
        self._held = False
        self._error: _Change | None = None
        self._fading = 0.0

    def add(self, frame: HumanFrame, arrived: float, stamp: float | None = None) -> None:
        """A frame that came.

        Args:
            frame: the pose.
            arrived: when it came, s, by the clock that `tick` is called by.
            stamp: when it was measured, s, by the sender's clock; None where the sender tells none: when it came.
        """
        stamp, gap = arrived if stamp is None else stamp, self.config.gap
        if self._newest - gap < stamp <= self._newest:
            self.counts.doubled += 1
            return
        if stamp < self._newest or (self._lags and arrived - stamp < self._lag - gap):
            self._lags.clear()  # another clock tells the time stamps
            self._lose()
        elif self._shown is None and stamp > self._newest + gap:
            self._lose()  # what came before the silence is of no use
        while self._lags and self._lags[-1][1] >= arrived - stamp:
            self._lags.pop()
        self._lags.append((arrived, arrived - stamp))
        while self._lags[0][0] < arrived - WINDOW:
            self._lags.popleft()
        self.counts.received += 1
        self.counts.late += int(self._shown is not None and stamp < self._shown + self._rounding)
        self._newest = stamp
        self._stamps.append(stamp)
        self._frames.append(frame)

    def tick(self, now: float) -> Tick:
        """What is shown at the next tick, at `now` (s)."""
        target = now - self._lag - self.config.delay if self._lags else 0.0
        if self._shown is not None:
            self._advance(self._shown, target)
        first = self._shown is None and self._begin(target)
        if self._shown is None:
            self.counts.lost += 1
            return Tick(None)
        frame = self._faded(self._shown)
        self._drop_old(self._shown)
        return Tick(frame, first, now - self._lag - self._shown)

    @property
    def _lag(self) -> float:
        """The least of the recent differences between arrival and time stamp, s."""
        return self._lags[0][1]

    @property
    def _rounding(self) -> float:
        return _ROUNDING / self.fps

    def _lose(self) -> None:
        self._stamps.clear()
        self._frames.clear()
        self._shown = self._guessed_from = self._error = None

    def _advance(self, shown: float, target: float) -> None:
        """Show the next instant; none, if the target has leapt or there has been no frame for long."""
        step, gap = 1 / self.fps, self.config.gap
        after = shown + min(max(target - shown, (1 - _SLEW) * step), (1 + _SLEW) * step)
        if abs(target - shown - step) > gap or after - self._newest > gap:
            self._lose()
        else:
            self._shown = after

    def _begin(self, target: float) -> bool:
        """Begin a stretch, if there are frames about the target."""
        rounding = self._rounding
        if not self._stamps or target < self._stamps[0] - rounding:
            return False
        if target > self._newest + self.config.gap:
            return False
        self._shown = target
        self.counts.stretches += 1
        return True

    def _faded(self, instant: float) -> HumanFrame:
        """The pose of an instant, led to from what was guessed before."""
        reach = self.config.extrapolate
        pose = self._pose(instant, len(self._stamps) - 1, reach)
        if self._guessed_from is not None and self._guessed_from < self._newest:
            # a guess that was not yet held would have gone on
            reach += 0 if self._held else 1 / self.fps
            guess = self._pose(instant, bisect_right(self._stamps, self._guessed_from) - 1, reach)
            if self._error is not None:
                guess = _moved(guess, self._error, self._fading)
            self._error, self._fading = _change(pose, guess), 1.0
        ahead = instant - self._newest
        self._guessed_from = self._newest if ahead > self._rounding else None
        self._held = ahead > self.config.extrapolate + self._rounding
        self.counts.held += int(self._held)
        self.counts.extrapolated += int(ahead > self._rounding and not self._held)
        if self._error is None:
            return pose
        self._fading -= 1 / (self.fps * self.config.catch_up) if self.config.catch_up else 1.0
        if self._fading <= 0:
            self._error = None
            return pose
        return _moved(pose, self._error, self._fading)

    def _pose(self, instant: float, last: int, reach: float) -> HumanFrame:
        """The pose of an instant, as told by the frames up to the one numbered `last`, for at most `reach` after it."""
        if instant <= self._stamps[last]:
            after = min(bisect_right(self._stamps, instant), last)
            before = max(after - 1, 0)
        else:
            # frames may come in bursts: two that are nearer than half a tick tell no speed
            before, after = bisect_right(self._stamps, self._stamps[last] - 0.5 / self.fps) - 1, last
            instant = min(instant, self._stamps[last] + reach)
        if before < 0 or before == after:
            return self._frames[after]
        start, end = self._stamps[before], self._stamps[after]
        change = _change(self._frames[before], self._frames[after])
        return _moved(self._frames[before], change, (instant - start) / (end - start))

    def _drop_old(self, instant: float) -> None:
        """Leave out the frames that no later instant needs; those that tell the speed stay."""
        needed = min(instant, self._newest - 1 / self.fps)
        count = max(bisect_right(self._stamps, needed) - 1, 0)
        del self._stamps[:count], self._frames[:count]


def _rotations(frame: HumanFrame) -> Rotation:
    return Rotation.from_quat(np.vstack([frame.root_quat_w, frame.joint_quat]), scalar_first=True)


def _change(start: HumanFrame, end: HumanFrame) -> _Change:
    """What leads from one pose to another, each joint the short way."""
    turns = (_rotations(start).inv() * _rotations(end)).as_rotvec()
    return _Change(np.subtract(end.root_pos_w, start.root_pos_w), turns)


def _moved(frame: HumanFrame, change: _Change, share: float) -> HumanFrame:
    """The pose a share of a change later: 1 is all of it, and more goes on beyond."""
    quat = (_rotations(frame) * Rotation.from_rotvec(share * change.turns)).as_quat(scalar_first=True)
    return HumanFrame(frame.root_pos_w + share * change.pos, quat[0], quat[1:])
