"""Against a real redis-server."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from g1_vq_retarget.retarget.live import RobotFrame
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.streaming import sender as sender_module
from g1_vq_retarget.streaming import sinks as sinks_module
from g1_vq_retarget.streaming.addresses import parse_address
from g1_vq_retarget.streaming.messages import HumanMessage, write_human
from g1_vq_retarget.streaming.sender import Sender
from g1_vq_retarget.streaming.sinks import Told, sink
from g1_vq_retarget.streaming.sources import RedisSource
from g1_vq_retarget.streaming.twist import LayoutName, layout
from redis_servers import RedisServer
from streams import FPS, STEP, human_frame
from synthetic import rest_offsets

ROBOT = load_robot()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(sender_module, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(sinks_module, "PATIENCE", 0.2)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)


def told(tick: int) -> Told:
    """The robot goes forward, 1 cm a tick."""

    def frame(number: int) -> RobotFrame:
        return RobotFrame(np.array([0.01 * number, 0.0, 0.75]), np.array([1.0, 0, 0, 0]), ROBOT.default_joint_pos)

    return Told(tick, tick * STEP, frame(tick), frame(tick - 1))


def sender_to(server: RedisServer, name: LayoutName = "twist") -> Sender[Told]:
    return sink(parse_address(server.address, "--sink"), ROBOT.joint_names, FPS, layout(name))


def assert_accounted(sender: Sender[Told]) -> None:
    given, sent, dropped, waiting = sender.counts
    assert given == sent + dropped + waiting


@pytest.mark.parametrize(("name", "key", "forward"), [("twist", "action_mimic_g1", 4), ("twist2", None, 0)])
def test_the_controllers_keys_are_set(
    redis_server: RedisServer, name: LayoutName, key: str | None, forward: int
) -> None:
    sender, told_as = sender_to(redis_server, name), layout(name)
    sender.put(told(3))
    sender.close()
    assert sender.counts.sent == 1
    assert key in (None, told_as.body)
    pose = np.array(redis_server.read(told_as.body))
    np.testing.assert_allclose(pose, told_as.pose(told(3).frame, told(3).before, ROBOT.joint_names, FPS))
    assert pose[forward] == pytest.approx(0.5)
    for other, value in told_as.others.items():
        assert redis_server.read(other) == value
    if told_as.time is not None:
        assert abs(redis_server.read(told_as.time) - 1000 * time.time()) < 60_000


def test_a_frozen_server_costs_frames_and_no_time_and_gets_the_latest_when_it_thaws(redis_server: RedisServer) -> None:
    sender = sender_to(redis_server)
    sender.put(told(0))
    until(lambda: sender.counts.sent == 1)
    redis_server.freeze()
    longest, tick = 0.0, 0
    while sender.failures < 2:
        tick += 1
        before = time.monotonic()
        sender.put(told(tick))
        longest = max(longest, time.monotonic() - before)
        time.sleep(0.002)
    assert longest < 0.15  # less than a single time-out
    assert sender.counts.dropped > 50
    assert_accounted(sender)
    redis_server.thaw()
    sent = sender.counts.sent
    until(lambda: sender.put(told(77)) or sender.counts.sent > sent)
    sender.close()
    assert_accounted(sender)


def test_a_server_that_dies_and_returns_is_found_again(redis_server: RedisServer) -> None:
    sender = sender_to(redis_server)
    for _ in range(2):
        sent = sender.counts.sent
        until(lambda: sender.put(told(1)) or sender.counts.sent > sent)  # noqa: B023
        redis_server.stop()
        failures = sender.failures
        until(lambda: sender.put(told(2)) or sender.failures > failures + 1)  # noqa: B023
        redis_server.start()
    sent = sender.counts.sent
    until(lambda: sender.put(told(5)) or sender.counts.sent > sent)
    sender.close()
    assert_accounted(sender)
    assert len(redis_server.read("action_mimic_g1")) == 33


def test_human_frames_come_over_a_channel_and_again_after_the_server_was_gone(redis_server: RedisServer) -> None:
    source = RedisSource(parse_address(f"{redis_server.address}/actor", "--source"))
    got: list[float] = []

    def publish(number: int) -> None:
        with redis_server.client() as client:
            client.publish("actor", write_human(HumanMessage(float(number), human_frame(number), rest_offsets())))
            client.publish("other", b"nothing of ours")
        got.extend(float(one.frame.root_pos_w[0]) for one in source.poll(0.0))

    until(lambda: publish(1) or got)
    redis_server.stop()
    redis_server.start()
    got.clear()
    until(lambda: publish(2) or 2.0 in got)
    np.testing.assert_array_equal(source.rest_offsets, rest_offsets())
    assert source.bad == 0
    source.close()
