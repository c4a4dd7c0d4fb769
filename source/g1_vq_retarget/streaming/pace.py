"""A loop's ticks at a steady rate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# Ticks that are missed by less are made up for, one after the other, s; more are skipped. Three ticks: a robot that
# gets many at once moves faster than its limits, which are kept from tick to tick.
GAP = 0.06


class Pace:
    """Ticks at the times start, start + 1/fps, start + 2/fps, …: what one is late by, the next is not.

        pace = Pace(50)
        while True:
            deadline = pace.wait()

    Args:
        fps: ticks a second.
        clock: what time it is, s; never goes back.
        sleep: waits for some seconds.

    Attributes:
        ticks: how many there have been.
        late: those that began more than 1/fps after their time.
        skipped: those that there have not been, since the loop was more than `GAP` behind.
    """

    def __init__(
        self, fps: float, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self.fps = fps
        self.clock = clock
        self._sleep = sleep
        self._start: float | None = None
        self.ticks = self.late = self.skipped = 0

    def wait(self) -> float:
        """Sleep until the next tick; its time by the clock, s, however late it is."""
        if self._start is None:
            self._start = self.clock()
        behind = self.clock() - self._deadline
        if behind > GAP:
            self.skipped += math.floor(behind * self.fps)
        deadline = self._deadline
        while (left := deadline - self.clock()) > 0:
            self._sleep(left)
        self.late += self.clock() - deadline > 1 / self.fps
        self.ticks += 1
        return deadline

    @property
    def _deadline(self) -> float:
        assert self._start is not None
        return self._start + (self.ticks + self.skipped) / self.fps
