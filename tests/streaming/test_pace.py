from __future__ import annotations

import pytest

from g1_vq_retarget.streaming.pace import Pace


class Time:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now = 100.0

    def work(self, seconds: float) -> None:
        self.now += seconds


def paced() -> tuple[Pace, Time]:
    time = Time()
    return Pace(50, clock=lambda: time.now, sleep=time.work), time


def test_ticks_are_a_fiftieth_apart_whatever_is_done_between() -> None:
    pace, time = paced()
    for tick in range(100):
        assert pace.wait() == pytest.approx(100 + tick / 50)
        assert time.now == pytest.approx(100 + tick / 50)
        time.work(0.001 * (tick % 15))
    assert (pace.ticks, pace.late, pace.skipped) == (100, 0, 0)


def test_what_is_late_is_told_and_made_up_for() -> None:
    pace, time = paced()
    pace.wait()
    time.work(0.075)  # 55, 35 and 15 ms behind, of which more than 20 count
    deadlines = [pace.wait() for _ in range(5)]
    assert deadlines == pytest.approx([100.02, 100.04, 100.06, 100.08, 100.1])
    assert pace.late == 2
    assert time.now == pytest.approx(100.1)
    assert pace.skipped == 0


def test_a_tick_that_is_less_than_a_tick_late_is_not_late() -> None:
    pace, time = paced()
    for _ in range(10):
        pace.wait()
        time.work(0.039)
        pace.wait()
    assert pace.late == 0


def test_a_robot_does_not_get_many_ticks_at_once() -> None:
    """Its limits are kept from tick to tick: what is made up for in no time would break them."""
    pace, time = paced()
    pace.wait()
    time.work(0.48)
    begin = time.now
    ticks = 0
    while time.now < begin + 0.06:
        pace.wait()
        ticks += 1
    assert ticks <= 5
    assert pace.skipped == 23


def test_after_a_long_time_ticks_are_skipped_and_told() -> None:
    pace, time = paced()
    pace.wait()
    time.work(10.0)
    assert pace.wait() == pytest.approx(110.0)
    assert pace.skipped == 499
    assert pace.wait() == pytest.approx(110.02)
    assert pace.ticks + pace.skipped == 502


def test_a_sleep_that_ends_early_is_gone_on_with() -> None:
    time = Time()
    pace = Pace(50, clock=lambda: time.now, sleep=lambda seconds: time.work(min(seconds, 0.003)))
    pace.wait()
    pace.wait()
    assert time.now == pytest.approx(100.02)
