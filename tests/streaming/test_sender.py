from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from g1_vq_retarget.streaming import sender as module
from g1_vq_retarget.streaming.sender import Link, Sender


class Consumer(Link[int]):
    """Takes numbers, when it is let, and refuses while it is away."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.away = False
        self.open = threading.Event()
        self.open.set()
        self.asked = self.connections = self.closed = 0

    def connect(self) -> Consumer:
        if self.away:
            raise ConnectionRefusedError("nobody there")
        self.connections += 1
        return self

    def send(self, item: int) -> None:
        self.asked += 1
        self.open.wait(10)
        if self.away:
            raise ConnectionResetError("hung up")
        self.got.append(item)

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.02)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


class Broken(Link[int]):
    """A way whose sending fails as no way should, the first time."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.asked = 0

    def send(self, item: int) -> None:
        self.asked += 1
        if self.asked == 1:
            raise ValueError("cannot be told")
        self.got.append(item)

    def close(self) -> None:
        raise RuntimeError("nothing there to close")


def assert_accounted(sender: Sender[int]) -> None:
    given, sent, dropped, waiting = sender.counts
    assert given == sent + dropped + waiting


def test_a_ready_consumer_gets_everything() -> None:
    consumer = Consumer()
    sender = Sender("c", consumer.connect)
    for number in range(50):
        sender.put(number)
        until(lambda: sender.counts.waiting == 0)
    sender.close()
    assert consumer.got == list(range(50))
    assert (*sender.counts[1:3], consumer.connections, consumer.closed) == (50, 0, 1, 1)


def test_a_slow_consumer_gets_the_latest_and_the_loop_waits_for_nobody() -> None:
    consumer = Consumer()
    sender = Sender("c", consumer.connect)
    consumer.open.clear()
    sender.put(0)
    until(lambda: consumer.asked == 1)
    before = time.monotonic()
    for number in range(1, 1001):
        sender.put(number)
    assert time.monotonic() - before < 5  # it blocks for 10 s
    assert_accounted(sender)
    consumer.open.set()
    until(lambda: sender.counts.waiting == 0)
    assert consumer.got[0] == 0
    assert consumer.got[-1] == 1000
    assert sender.counts.sent + sender.counts.dropped == 1001
    assert sender.counts.sent == len(consumer.got) <= 3
    sender.close()


def test_a_dead_consumer_gets_nothing_and_is_sought_again() -> None:
    consumer = Consumer()
    consumer.away = True
    sender = Sender("c", consumer.connect)
    for number in range(20):
        sender.put(number)
        time.sleep(0.005)
    assert_accounted(sender)
    assert sender.counts.sent == 0
    assert sender.failures >= 2
    assert sender.last_error == "nobody there"
    consumer.away = False  # it returns
    until(lambda: sender.put(99) or sender.counts.sent > 0)
    assert set(consumer.got) == {99}
    sender.close()
    assert_accounted(sender)


def test_a_consumer_that_hangs_up_is_connected_to_anew() -> None:
    consumer = Consumer()
    sender = Sender("c", consumer.connect)
    sender.put(1)
    until(lambda: sender.counts.sent == 1)
    consumer.away = True
    sender.put(2)
    until(lambda: sender.counts.dropped == 1)
    consumer.away = False
    sender.put(3)
    until(lambda: sender.counts.sent == 2)
    assert consumer.got == [1, 3]
    assert consumer.connections == 2
    sender.close()


def test_waits_double_up_to_the_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.08)
    tried: list[float] = []

    def refuse() -> Consumer:
        tried.append(time.monotonic())
        raise ConnectionRefusedError("nobody there")

    sender = Sender("c", refuse)
    until(lambda: sender.put(0) or len(tried) == 5)
    for (earlier, later), least in zip(pairwise(tried), (0.02, 0.04, 0.08, 0.08), strict=True):
        assert later - earlier > 0.95 * least
    sender.close()


def test_the_last_item_is_sent_before_the_end() -> None:
    consumer = Consumer()
    sender = Sender("c", consumer.connect)
    for number in range(10):
        sender.put(number)
    sender.close()
    assert consumer.got[-1] == 9
    assert sender.counts.given == sender.counts.sent + sender.counts.dropped == 10


def test_the_end_does_not_wait_for_a_consumer_that_never_answers() -> None:
    consumer = Consumer()
    consumer.open.clear()
    sender = Sender("c", consumer.connect)
    sender.put(1)
    before = time.monotonic()
    sender.close(patience=0.05)
    assert time.monotonic() - before < 5
    assert_accounted(sender)
    consumer.open.set()


def test_a_failure_of_any_kind_is_told_and_does_not_end_the_sending() -> None:
    way = Broken()
    sender: Sender[int] = Sender("someone", lambda: way)
    sender.put(1)
    until(lambda: sender.failures == 1)
    sender.put(2)
    until(lambda: way.got == [2])
    assert sender.last_error == "ValueError('cannot be told')"
    sender.close()
    assert not sender._thread.is_alive()
    assert_accounted(sender)
