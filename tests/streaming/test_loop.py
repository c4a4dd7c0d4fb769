from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

from g1_vq_retarget.retarget.frame_clock import ClockConfig, FrameClock
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.streaming.loop import Report, run
from g1_vq_retarget.streaming.pace import Pace
from g1_vq_retarget.streaming.robot_stream import RobotStream, SafetyConfig, Standing, warm_up
from g1_vq_retarget.streaming.sender import Link, Sender
from g1_vq_retarget.streaming.sinks import Told
from g1_vq_retarget.streaming.sources import Arrived, FileSource
from streams import FPS, STEP, FakeLive
from synthetic import human_clip

ROBOT = load_robot()
SAFETY = SafetyConfig(stand=0.2, blend=0.2, give_up=0.6, stand_down=0.4)


class Keeping(Link[Told]):
    """A consumer that keeps what it gets, as soon as it is free to."""

    def __init__(self, free: threading.Event) -> None:
        self.got: list[Told] = []
        self.free = free

    def send(self, item: Told) -> None:
        self.free.wait()
        self.got.append(item)

    def close(self) -> None: ...


def quick_pace() -> tuple[Pace, list[float]]:
    """A pace whose time only passes where the loop waits."""
    now = [50.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds
        threading.Event().wait(0.0005)  # so that consumers' threads get their turn

    return Pace(FPS, clock=lambda: now[0], sleep=sleep), now


def streamed(
    frames: int = 50, seconds: float | None = None, stop_at: int | None = None, stuck_until: int = 0
) -> tuple[Report, list[Told], FakeLive]:
    live = FakeLive(lookahead=3)
    clock = FrameClock(FPS, ClockConfig(delay=0))
    stream = RobotStream(live, ROBOT, Standing.of(ROBOT), clock, SAFETY)
    free, stop = threading.Event(), threading.Event()
    consumer = Keeping(free)
    sender = Sender("consumer", lambda: consumer)
    source, polls = FileSource(human_clip(frames, fps=FPS), wait=SAFETY.stand), [0]
    poll = source.poll

    def counted(now: float) -> list[Arrived]:
        polls[0] += 1
        if polls[0] == stop_at:
            stop.set()
        if polls[0] > stuck_until:
            free.set()
        return poll(now)

    source.poll = counted  # type: ignore[method-assign]
    report = run(source, stream, [sender], quick_pace()[0], stop, seconds)
    return report, consumer.got, live


def test_a_file_is_stood_before_streamed_and_stood_down_from(capsys: pytest.CaptureFixture[str]) -> None:
    report, got, live = streamed()
    assert live.pushes == 50
    # 10 ticks of standing, 50 of motion, 20 of the way back, the first of which is the motion's last
    assert report.ticks == 10 + 50 + 20
    assert (report.late, report.skipped) == (0, 0)
    assert (report.frames.received, report.frames.missing, report.frames.stretches) == (50, 0, 1)
    np.testing.assert_array_equal(got[0].frame.joint_pos, ROBOT.default_joint_pos)
    np.testing.assert_allclose(got[-1].frame.joint_pos, ROBOT.default_joint_pos)
    # what a tick is, and what was before it
    assert got[-1].tick == 79
    assert got[-1].seconds == pytest.approx(79 * STEP)
    for one, after in pairwise(got):
        if after.tick == one.tick + 1:
            assert after.before is one.frame
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1
    assert said[0].startswith("1 s 50.0 Hz, latency p50 60.0 p99 60.0 ms | human ")  # the look-ahead
    assert "0 doubled 0 late 0 missing 0 bad 1 stretches | ticks 0 late 0 skipped | consumer " in said[0]


def test_every_tick_is_sent_or_told_as_dropped_whatever_the_consumer_does() -> None:
    for report, got, _ in (streamed(), streamed(stuck_until=60)):
        counts = report.consumers["consumer"]
        assert counts.given == report.ticks == 80
        assert counts.sent == len(got)
        assert counts.sent + counts.dropped == 80
    assert counts.dropped >= 58  # it was given the first and, 60 ticks later, the latest


def test_time_up_and_ctrl_c_lead_to_the_default_pose_too() -> None:
    for report, got, _ in (streamed(500, seconds=0.6), streamed(500, stop_at=31)):
        assert report.ticks == 31 + 20
        np.testing.assert_allclose(got[-1].frame.joint_pos, ROBOT.default_joint_pos)
        assert got[-1].frame.root_pos_w[2] == ROBOT.default_root_height


def test_whatever_fails_the_robot_is_led_to_where_it_can_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Told] = []
    monkeypatch.setattr(Keeping, "send", lambda self, item: seen.append(item))

    def broken(self: FakeLive, frame: object) -> None:
        self.pushes += 1
        if self.pushes == 20:
            raise RuntimeError("no such device")

    monkeypatch.setattr(FakeLive, "push", broken)
    with pytest.raises(RuntimeError, match="no such device"):
        streamed()
    np.testing.assert_allclose(seen[-1].frame.joint_pos, ROBOT.default_joint_pos)
    assert seen[-1].tick == 10 + 19 + 20 - 1


def test_a_report_is_plain_values() -> None:
    report, _, _ = streamed()
    content = report.as_dict()
    assert content["ticks"] == 80
    assert content["latency_ms"] == pytest.approx({"p50": 60.0, "p99": 60.0, "largest": 60.0})
    assert content["frames"] == vars(report.frames)
    assert content["consumers"] == {"consumer": report.consumers["consumer"]._asdict()}


def test_warming_up_leaves_a_retargeter_reset() -> None:
    live = FakeLive()
    warm_up(live, 10)
    assert (live.pushes, live.resets) == (10, 1)
