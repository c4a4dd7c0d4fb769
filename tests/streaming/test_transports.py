"""Frames over real sockets on this machine."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget.live import HumanFrame, RobotFrame
from g1_vq_retarget.robot import load_robot
from g1_vq_retarget.streaming import sender as sender_module
from g1_vq_retarget.streaming import sources as sources_module
from g1_vq_retarget.streaming.addresses import Address, parse_address
from g1_vq_retarget.streaming.messages import LARGEST, HumanMessage, write_human
from g1_vq_retarget.streaming.sender import Sender
from g1_vq_retarget.streaming.sinks import Told, sink
from g1_vq_retarget.streaming.sources import Arrived, FileSource, NetworkSource, TCPSource, UDPSource, network_source
from g1_vq_retarget.streaming.twist import layout
from streams import FPS, human_frame
from synthetic import human_clip, rest_offsets

ROBOT = load_robot()
LOOPBACK = "127.0.0.1"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(sender_module, "LONGEST_WAIT", 0.05)
    monkeypatch.setattr(sources_module, "_LOOK", 0.02)
    monkeypatch.setattr(sources_module, "SILENCE", 0.3)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def polled(source: NetworkSource, count: int) -> list[Arrived]:
    got: list[Arrived] = []
    until(lambda: got.extend(source.poll(0.0)) or len(got) >= count)
    return got


def message(number: int, **more: np.ndarray) -> bytes:
    return write_human(HumanMessage(float(number), human_frame(number), **more))


def x_of(arrived: list[Arrived]) -> list[float]:
    return [float(one.frame.root_pos_w[0]) for one in arrived]


# Human frames in


@pytest.fixture(params=["udp", "tcp"])
def source(request: pytest.FixtureRequest) -> Iterator[NetworkSource]:
    source = network_source(Address(request.param, LOOPBACK, 0))
    yield source
    source.close()
    assert not source._thread.is_alive()


@pytest.fixture
def tcp() -> Iterator[TCPSource]:
    source = TCPSource(Address("tcp", LOOPBACK, 0))
    yield source
    source.close()


def connected(source: NetworkSource) -> Callable[[bytes], object]:
    """Sends a message to a source."""
    assert isinstance(source, UDPSource | TCPSource)
    if isinstance(source, UDPSource):
        way = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        way.connect((LOOPBACK, source.port))
        return way.send
    line = socket.create_connection((LOOPBACK, source.port))
    return lambda data: line.sendall(data + b"\n")


def test_frames_come_in_their_order_with_their_time_stamps(source: NetworkSource) -> None:
    send, before = connected(source), time.monotonic()
    for number in range(20):
        send(message(number))
    got = polled(source, 20)
    assert x_of(got) == list(range(20))
    assert [one.stamp for one in got] == list(range(20))
    arrivals = [one.arrived for one in got]
    assert before <= arrivals[0]
    assert arrivals == sorted(arrivals)
    assert source.poll(0.0) == []


def test_the_first_skeleton_is_the_actors(source: NetworkSource) -> None:
    send = connected(source)
    send(write_human(HumanMessage(None, None, rest_offsets())))
    send(message(1, rest_offsets=2 * rest_offsets()))
    assert len(polled(source, 1)) == 1
    np.testing.assert_array_equal(source.rest_offsets, rest_offsets())


def test_what_is_no_frame_is_counted_and_the_first_reason_kept(source: NetworkSource) -> None:
    send = connected(source)
    for data in (b"nonsense", b"{}", b"\xff"):
        send(data)
    send(message(4))
    assert x_of(polled(source, 1)) == [4]
    assert source.bad == 3
    assert "no JSON" in source.complaint


def test_a_line_may_come_in_pieces_and_several_at_once(tcp: TCPSource) -> None:
    with socket.create_connection((LOOPBACK, tcp.port)) as line:
        data = b"".join(message(number) + b"\r\n" for number in range(3)) + b"\n"
        for start in range(0, len(data), 700):
            line.sendall(data[start : start + 700])
            time.sleep(0.001)
        assert x_of(polled(tcp, 3)) == [0, 1, 2]
    assert tcp.bad == 0


def test_when_one_sender_has_gone_the_next_may_come(tcp: TCPSource) -> None:
    for number in (1, 2):
        with socket.create_connection((LOOPBACK, tcp.port)) as line:
            line.sendall(message(number) + b"\n" + message(9)[:50])  # and it breaks off
            assert x_of(polled(tcp, 1)) == [number]


def test_a_sender_that_is_silent_gives_way_to_the_next(tcp: TCPSource) -> None:
    with socket.create_connection((LOOPBACK, tcp.port)), socket.create_connection((LOOPBACK, tcp.port)) as second:
        second.sendall(message(2) + b"\n")
        assert x_of(polled(tcp, 1)) == [2]


def test_a_line_without_an_end_is_cut_off(tcp: TCPSource) -> None:
    with socket.create_connection((LOOPBACK, tcp.port)) as line:
        line.sendall(b"x" * (3 * LARGEST))
        until(lambda: tcp.bad == 1)
    assert x_of(polled_after_reconnecting(tcp)) == [5]


def polled_after_reconnecting(tcp: TCPSource) -> list[Arrived]:
    with socket.create_connection((LOOPBACK, tcp.port)) as line:
        line.sendall(message(5) + b"\n")
        return polled(tcp, 1)


def test_a_port_that_is_taken_is_refused(tcp: TCPSource) -> None:
    with pytest.raises(UserError, match="cannot listen there"):
        TCPSource(Address("tcp", LOOPBACK, tcp.port))


# A file


def test_a_file_gives_each_frame_at_its_time() -> None:
    clip = human_clip(50, fps=FPS)
    source, got = FileSource(clip, wait=0.1), []
    for tick in range(60):
        now = 3.7 + tick / FPS
        assert source.ended == (tick >= 55)
        arrived = source.poll(now)
        assert len(arrived) == (5 <= tick < 55)
        assert all(one.arrived == pytest.approx(now) for one in arrived)
        got += arrived
    for index, one in enumerate(got):
        np.testing.assert_array_equal(one.frame.joint_quat, HumanFrame.of(clip, index).joint_quat)
    np.testing.assert_allclose(np.diff([one.stamp for one in got]), 1 / FPS)


def test_a_file_that_is_repeated_pauses_between() -> None:
    source = FileSource(human_clip(10, fps=FPS), loop=True, pause=1.0)
    times = [tick / FPS for tick in range(200) if source.poll(tick / FPS)]
    expected = [start + frame / FPS for start in (0, 1.2, 2.4, 3.6) for frame in range(10)]
    np.testing.assert_allclose(times, expected)
    assert not source.ended


# Robot frames out


def told(tick: int) -> Told:
    frame = RobotFrame(np.array([tick, 0.0, 0.75]), np.array([1.0, 0, 0, 0]), ROBOT.default_joint_pos)
    return Told(tick, tick / FPS, frame, frame)


def sender_to(scheme: str, port: int) -> Sender[Told]:
    return sink(Address(scheme, LOOPBACK, port), ROBOT.joint_names, FPS, layout("twist"))


def free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as server:
        return server.getsockname()[1]


def test_udp_frames_arrive() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as consumer:
        consumer.bind((LOOPBACK, 0))
        consumer.settimeout(10)
        sender = sender_to("udp", consumer.getsockname()[1])
        for tick in range(5):
            sender.put(told(tick))
            assert json.loads(consumer.recv(LARGEST))["tick"] == tick
        sender.close()


def test_tcp_frames_arrive_a_line_each_and_after_its_return_the_consumer_gets_them_again() -> None:
    port = free_port()
    sender = sender_to("tcp", port)
    sender.put(told(0))
    until(lambda: sender.counts.dropped == 1)  # nobody there
    for _ in range(2):
        with socket.create_server((LOOPBACK, port)) as server:
            server.settimeout(10)
            sender.put(told(1))
            consumer, _ = server.accept()
            with consumer, consumer.makefile() as lines:
                assert json.loads(lines.readline())["tick"] == 1
                sender.put(told(2))
                assert json.loads(lines.readline())["tick"] == 2
        failures = sender.failures
        until(lambda: sender.put(told(3)) or sender.failures > failures)  # noqa: B023
    sender.close()
    given, sent, dropped, waiting = sender.counts
    assert given == sent + dropped + waiting


def test_a_tcp_consumer_that_stops_reading_is_cut_off_and_comes_back() -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(10)
        sender = sender_to("tcp", server.getsockname()[1])
        sender.put(told(0))
        stuck, _ = server.accept()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        before = time.monotonic()
        until(lambda: sender.put(told(1)) or sender.failures > 0)
        assert time.monotonic() - before < 9
        assert sender.counts.dropped > 0
        sender.put(told(7))
        again, _ = server.accept()
        with again, again.makefile() as lines:
            assert json.loads(lines.readline())["tick"] in (1, 7)
        stuck.close()
        sender.close()


def test_threads_end_with_their_senders() -> None:
    before = threading.active_count()
    sender = sender_to("tcp", free_port())
    sender.put(told(0))
    sender.close()
    until(lambda: threading.active_count() == before)


# Addresses


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("tcp://10.0.0.2:9000", Address("tcp", "10.0.0.2", 9000)),
        ("udp://:9000", Address("udp", "127.0.0.1", 9000)),
        ("redis://localhost", Address("redis", "localhost", 6379)),
        ("redis://robot:6380/frames", Address("redis", "robot", 6380, "frames")),
    ],
)
def test_addresses_are_read(text: str, address: Address) -> None:
    assert parse_address(text, "--sink") == address


@pytest.mark.parametrize("text", ["tcp://host", "http://host:80", "9000", "udp://host:port", "tcp://host:99999"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="--sink"):
        parse_address(text, "--sink")
