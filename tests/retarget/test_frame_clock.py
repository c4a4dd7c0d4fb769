from __future__ import annotations

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget.frame_clock import ClockConfig, FrameClock, Tick
from g1_vq_retarget.retarget.live import HumanFrame
from streams import FPS, STEP, human_frame, turn_of
from synthetic import human_clip

SPEED, TURNING = 1.5, 0.5  # m/s, rad/s
# of a sender's clock against ours
OFFSET = 1000.0


def at(time: float) -> HumanFrame:
    """A body that goes and turns steadily."""
    return human_frame(SPEED * time, TURNING * time)


def stream(clock: FrameClock, times: np.ndarray, ticks: int, late: np.ndarray | float = 0.0) -> list[Tick]:
    """Ticks of a clock to which steady motion is sent at some times, to arrive some time later."""
    arrivals = times + late
    order, given, shown = np.argsort(arrivals, kind="stable"), 0, []
    for tick in range(ticks):
        now = tick * STEP
        while given < len(order) and arrivals[order[given]] <= now:
            index = order[given]
            time = float(times[index])
            clock.add(at(time), float(arrivals[index]), time + OFFSET)
            given += 1
        shown.append(clock.tick(now))
    return shown


def pose(tick: Tick) -> HumanFrame:
    assert tick.frame is not None
    return tick.frame


# Rates and jitter


@pytest.mark.parametrize("rate", [24.0, 30.0, 50.0, 60.0, 90.0, 119.88, 240.0])
def test_any_rate_comes_out_as_the_same_motion(rate: float) -> None:
    clock = FrameClock(FPS, ClockConfig(delay=0.05))
    shown = stream(clock, np.arange(0, 4, 1 / rate), 150)
    first = next(index for index, tick in enumerate(shown) if tick.frame is not None)
    assert first * STEP == pytest.approx(0.05, abs=STEP)
    assert [tick.first for tick in shown[first:]] == [True] + [False] * (149 - first)
    assert clock.counts.missing == clock.counts.doubled == clock.counts.late == 0
    assert_steady_after(shown, first, delay=0.05)
    np.testing.assert_allclose([tick.delay for tick in shown[first:]], 0.05)


def test_frames_on_the_ticks_come_out_as_they_are() -> None:
    clip = human_clip(60, fps=FPS)
    clock = FrameClock(FPS, ClockConfig(delay=0))
    for index in range(60):
        now = 7.3 + index / FPS
        clock.add(HumanFrame.of(clip, index), now, index / FPS)
        frame = pose(clock.tick(now))
        np.testing.assert_allclose(frame.joint_quat, clip.joint_quat[index], atol=1e-9)
        np.testing.assert_allclose(frame.root_pos_w, clip.root_pos_w[index], atol=1e-9)
    assert clock.counts.missing == clock.counts.lost == 0


def test_jitter_within_the_delay_is_not_seen() -> None:
    jitter = np.random.default_rng(0).uniform(0, 0.015, 250)
    jitter[::20] = 0  # so that the sender's clock is known exactly
    clock = FrameClock(FPS, ClockConfig(delay=0.04))
    shown = stream(clock, np.arange(250) * STEP, 240, jitter)
    assert_steady_after(shown, 2, delay=0.04)
    assert clock.counts.missing == clock.counts.late == 0


def assert_steady_after(shown: list[Tick], first: int, delay: float) -> None:
    for index, tick in enumerate(shown[first:], start=first):
        assert pose(tick).root_pos_w[0] == pytest.approx(SPEED * (index * STEP - delay), abs=1e-9)
        assert turn_of(pose(tick)) == pytest.approx(TURNING * (index * STEP - delay), abs=1e-9)


def test_a_sender_without_time_stamps_is_taken_at_its_arrivals() -> None:
    clock, shown = FrameClock(FPS, ClockConfig(delay=0.02)), Tick(None)
    for tick in range(20):
        clock.add(at(tick * STEP), tick * STEP)
        shown = clock.tick(tick * STEP)
    assert pose(shown).root_pos_w[0] == pytest.approx(SPEED * 18 * STEP)


def test_shown_time_never_leaps_when_the_way_gets_longer() -> None:
    """From the second second on, frames take 30 ms more; soon they are waited for."""
    times = np.arange(600) * STEP
    clock = FrameClock(FPS, ClockConfig(delay=0.02))
    shown = stream(clock, times, 590, np.where(times > 1, 0.03, 0.0))
    steps = np.diff([pose(tick).root_pos_w[0] for tick in shown[1:]]) / (SPEED * STEP)
    assert steps.min() > 0.85
    assert steps.max() < 1.15
    assert shown[-1].delay == pytest.approx(0.02, abs=1e-9)
    assert clock.counts.stretches == 1
    late = clock.counts.late
    assert 20 <= late <= 40  # until the quicker ones of half a second ago are forgotten, and time is brought back


# Doubled, late, missing


def test_doubled_and_older_frames_are_dropped_and_told() -> None:
    clock, clean = FrameClock(FPS), FrameClock(FPS)
    for tick in range(50):
        now = tick * STEP
        for one in (clock, clean):
            one.add(at(now), now, now)
        if tick:
            clock.add(human_frame(99.0), now, now)
            clock.add(human_frame(99.0), now, now - STEP)
        same, expected = clock.tick(now), clean.tick(now)
        if expected.frame is not None:
            np.testing.assert_array_equal(pose(same).root_pos_w, expected.frame.root_pos_w)
    assert clock.counts.doubled == 98
    assert clock.counts.received == 50


def run_with_gap(seconds: float, config: ClockConfig | None = None) -> tuple[FrameClock, list[Tick]]:
    """Three seconds of steady motion without the frames from the first second on for some seconds."""
    clock = FrameClock(FPS, config or ClockConfig(delay=0))
    times = np.arange(150) * STEP
    return clock, stream(clock, times[(times < 1 + 1e-9) | (times > 1 + seconds + 1e-9)], 150)


def test_a_short_gap_is_carried_on_at_the_speed_of_before() -> None:
    clock, shown = run_with_gap(0.06)
    assert_steady_after(shown, 0, delay=0)
    assert (clock.counts.extrapolated, clock.counts.held, clock.counts.stretches) == (3, 0, 1)
    assert clock.counts.missing == 3


def test_after_60_ms_the_pose_is_held_and_what_was_missed_is_caught_up_with() -> None:
    clock, shown = run_with_gap(0.2)
    x = np.array([pose(tick).root_pos_w[0] for tick in shown])
    np.testing.assert_allclose(x[53:61], SPEED * 1.06)  # held from 1.06 s to 1.2 s
    assert (clock.counts.extrapolated, clock.counts.held) == (3, 7)
    # back at tick 61, off by 0.16 s of way, of which a fifth is made up for each tick
    missed = SPEED * (1.22 - 1.06)
    np.testing.assert_allclose(x[61:66], SPEED * np.arange(61, 66) * STEP - missed * np.array([0.8, 0.6, 0.4, 0.2, 0]))
    np.testing.assert_allclose(x[66:], SPEED * np.arange(66, 150) * STEP)


def test_a_gap_that_ends_before_its_frame_is_due_leaves_no_trace() -> None:
    """With a delay of three ticks, the frame after two missing ones is there in time to be led to."""
    clock, shown = run_with_gap(0.04, ClockConfig(delay=0.06))
    assert clock.counts.missing == 0
    assert_steady_after(shown, 3, delay=0.06)


def test_after_half_a_second_the_stream_is_lost_and_begins_anew() -> None:
    clock, shown = run_with_gap(0.8)
    lost = [index for index, tick in enumerate(shown) if tick.frame is None]
    assert lost == list(range(76, 91))  # from 0.5 s after the frame of 1 s to the one after 1.8 s
    assert [index for index, tick in enumerate(shown) if tick.first] == [0, 91]
    assert clock.counts.lost == 15
    assert clock.counts.stretches == 2
    assert_steady_after(shown, 91, delay=0)  # nothing is left of the guess


def test_a_late_frame_is_told_and_used_for_what_follows() -> None:
    times, late = np.arange(100) * STEP, np.zeros(100)
    late[50] = 0.035
    clock = FrameClock(FPS, ClockConfig(delay=0))
    shown = stream(clock, np.delete(times, 51), 95, np.delete(late, 51))
    assert clock.counts.late == 1
    assert_steady_after(shown, 0, delay=0)


def test_one_frame_alone_is_held() -> None:
    clock = FrameClock(FPS, ClockConfig(delay=0))
    clock.add(at(0), 0, 0)
    assert {float(pose(clock.tick(tick * STEP)).root_pos_w[0]) for tick in range(25)} == {0.0}


def test_frames_in_bursts_tell_no_wild_speed() -> None:
    """Two frames a tick, a tenth of a millisecond and 1 cm apart: that is no 100 m/s."""
    clock = FrameClock(FPS, ClockConfig(delay=0))
    for tick in range(10):
        for index in (0, 1):
            now = tick * STEP + 1e-4 * index
            clock.add(human_frame(SPEED * tick * STEP + 0.01 * index), now, now)
        clock.tick(tick * STEP + 1e-4)
    x = [pose(clock.tick((10 + tick) * STEP)).root_pos_w[0] for tick in range(5)]
    assert np.ptp(x) < 0.1


# The sender's clock


@pytest.mark.parametrize("leap", [-OFFSET, -5.0, 5.0, 1e6])
def test_a_sender_that_begins_anew_is_a_new_stretch(leap: float) -> None:
    clock = FrameClock(FPS, ClockConfig(delay=0.02))
    shown = []
    for tick in range(100):
        now = tick * STEP
        clock.add(at(now), now, now + OFFSET + (leap if tick >= 50 else 0))
        shown.append(clock.tick(now))
    assert [index for index, tick in enumerate(shown) if tick.first] == [1, 51]
    assert clock.counts.doubled == 0
    assert_steady_after(shown, 51, delay=0.02)


def test_a_sender_that_repeats_its_last_frame_is_lost_for_good() -> None:
    clock, shown = FrameClock(FPS), Tick(None)
    for tick in range(400):
        now = tick * STEP
        clock.add(at(min(now, 1.0)), now, min(now, 1.0))
        shown = clock.tick(now)
    assert shown.frame is None
    assert clock.counts.stretches == 1
    assert clock.counts.doubled == 349


def test_clocks_that_drift_apart_are_followed() -> None:
    """A thousandth for ten seconds: 10 ms."""
    clock, shown, now = FrameClock(FPS, ClockConfig(delay=0.03)), Tick(None), 0.0
    for tick in range(500):
        now = tick * STEP
        clock.add(at(now), now, now * 1.001)
        shown = clock.tick(now)
    assert clock.counts.missing == 0
    assert pose(shown).root_pos_w[0] == pytest.approx(SPEED * (now - 0.03), abs=SPEED * 0.003)


def test_a_sender_whose_clock_is_slow_is_followed_and_its_frames_told_as_missing() -> None:
    """It counts 60 frames a second and sends 50: the newest frame is carried on from, time and again."""
    clock = FrameClock(FPS)
    shown = []
    for tick in range(200):
        clock.add(at(tick * STEP), tick * STEP, tick / 60)
        shown.append(clock.tick(tick * STEP))
    x = [pose(tick).root_pos_w[0] for tick in shown[100:]]
    np.testing.assert_allclose(x, SPEED * np.arange(100, 200) * STEP, atol=SPEED * 0.1)
    assert clock.counts.stretches == 1
    assert clock.counts.missing > 100


def test_a_loop_that_stood_still_begins_anew() -> None:
    clock = FrameClock(FPS, ClockConfig(delay=0.02))
    shown = []
    for tick in [*range(50), *range(100, 150)]:
        now = tick * STEP
        clock.add(at(now), now, now)
        shown.append(clock.tick(now))
    assert clock.counts.stretches == 2
    assert_same_x(shown[60:], np.arange(110, 150) * STEP - 0.02)


def assert_same_x(shown: list[Tick], times: np.ndarray) -> None:
    np.testing.assert_allclose([pose(tick).root_pos_w[0] for tick in shown], SPEED * times, atol=1e-9)


def test_memory_does_not_grow() -> None:
    clock = FrameClock(FPS)
    for tick in range(400):
        now = tick * STEP
        for part in (0.0, 0.005, 0.01, 0.015):
            clock.add(at(now + part), now + part, now + part)
        clock.tick(now)
    assert len(clock._frames) < 20
    assert len(clock._lags) < 500


def test_every_tick_is_accounted_for() -> None:
    """Whatever comes, a tick shows a pose of unit quaternions or is told as lost."""
    rng = np.random.default_rng(1)
    clock = FrameClock(FPS)
    now, shown = 0.0, 0
    for tick in range(500):
        now = tick * STEP
        for _ in range(rng.choice([0, 1, 1, 1, 2])):
            stamp = now - rng.exponential(0.02) + (0 if rng.random() > 0.01 else rng.normal(0, 3))
            clock.add(human_frame(*rng.normal(size=2)), now, stamp)
        result = clock.tick(now)
        if result.frame is not None:
            shown += 1
            quat = np.vstack([result.frame.root_quat_w, result.frame.joint_quat])
            np.testing.assert_allclose(np.linalg.norm(quat, axis=1), 1, atol=1e-9)
    assert shown + clock.counts.lost == 500
    assert shown > 50


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UserError, match=r"clock\.delay"):
        ClockConfig(delay=-1)
    with pytest.raises(UserError, match=r"clock\.gap"):
        ClockConfig(gap=float("nan"))
    with pytest.raises(UserError, match="make it less"):
        ClockConfig(extrapolate=0.6)
