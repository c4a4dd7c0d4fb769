"""A stream to consumers that are slow, dead, and come and go, from an actor with gaps: whatever they do, each tick's
frame is sent to each of them or told as dropped. Four seconds here; ten minutes, of the script, in `make test-stream`.

Nothing is asserted of how late ticks are, since that is for the machine to say; it is told.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from g1_vq_retarget.retarget.frame_clock import ClockConfig, FrameClock
from g1_vq_retarget.retarget.live import HumanFrame
from g1_vq_retarget.streaming.addresses import Address, parse_address
from g1_vq_retarget.streaming.loop import run
from g1_vq_retarget.streaming.messages import HumanMessage, write_human
from g1_vq_retarget.streaming.pace import Pace
from g1_vq_retarget.streaming.robot_stream import RobotStream, SafetyConfig
from g1_vq_retarget.streaming.sinks import sink
from g1_vq_retarget.streaming.sources import UDPSource
from g1_vq_retarget.streaming.twist import layout
from redis_servers import RedisServer
from running import SCRIPTS
from streams import FPS, FakeLive, causal_checkpoint
from synthetic import human_clip

LOOPBACK = "127.0.0.1"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as free:
        free.bind((LOOPBACK, 0))
        return free.getsockname()[1]


class Consumer(threading.Thread):
    """Listens at a port for some seconds and is away for some, again and again, pausing after each line."""

    def __init__(self, ended: threading.Event, here: float, away: float = 0.0, pause: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.port = free_port()
        self.visits: list[list[int]] = []
        self._ended, self._here, self._away, self._pause = ended, here, away, pause
        self.start()

    def run(self) -> None:
        while not self._ended.is_set():
            with socket.create_server((LOOPBACK, self.port)) as server:
                # small, so that a slow one is soon behind and what it reads is not old
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
                server.settimeout(0.1)
                self._serve(server, time.monotonic() + self._here)
            self._ended.wait(self._away)

    def _serve(self, server: socket.socket, until: float) -> None:
        while not self._ended.is_set() and time.monotonic() < until:
            try:
                way, _ = server.accept()
            except TimeoutError:
                continue
            with way, way.makefile() as lines:
                way.settimeout(5)
                self.visits.append([])
                try:
                    while not self._ended.is_set() and time.monotonic() < until:
                        line = lines.readline()
                        if not line.endswith("\n"):  # cut off
                            break
                        self.visits[-1].append(json.loads(line)["tick"])
                        self._ended.wait(self._pause)
                except OSError:
                    pass


def act(port: int, ended: threading.Event, period: float) -> None:
    """Send frames at 60 Hz, jittered and every seventh twice; in each period none for a while, twice."""
    clip, rng, sent, start = human_clip(600, fps=60.0), np.random.default_rng(0), 0, time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        while not ended.wait(max(start + sent / 60 - time.monotonic(), 0) + rng.uniform(0, 0.004)):
            now = time.monotonic() - start
            sent = max(sent + 1, int(now * 60))
            within = now % period / period
            if 0.3 < within < 0.35 or 0.5 < within < 0.5 + 0.8 / period:
                continue
            skeleton = clip.rest_offsets if sent % 60 == 0 else None
            message = write_human(HumanMessage(time.time(), HumanFrame.of(clip, sent % 600), skeleton))
            for _ in range(1 + (sent % 7 == 0)):
                way.sendto(message, (LOOPBACK, port))


def trouble(server: RedisServer, ended: threading.Event, period: float) -> None:
    """In each period Redis is frozen for a while, and then dead for a while."""
    while not ended.wait(0.2 * period):
        server.freeze()
        ended.wait(0.2 * period)
        server.thaw()
        if not ended.wait(0.2 * period):
            server.stop()
            ended.wait(0.2 * period)
            server.start()


@contextmanager
def world(server: RedisServer, period: float) -> Iterator[tuple[int, list[str], list[Consumer]]]:
    """The actor's port, the consumers' addresses, the slow and the returning one."""
    ended, port = threading.Event(), free_port(socket.SOCK_DGRAM)
    slow, returning = Consumer(ended, here=1e6, pause=0.15), Consumer(ended, period / 2, away=period / 4)
    ports = slow.port, returning.port, free_port()
    threads = [
        threading.Thread(target=act, args=(port, ended, period)),
        threading.Thread(target=trouble, args=(server, ended, period)),
    ]
    for thread in threads:
        thread.start()
    try:
        addresses = [server.address, *(f"tcp://{LOOPBACK}:{consumer}" for consumer in ports)]
        yield port, addresses, [slow, returning]
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def check(report: dict, addresses: list[str], consumers: list[Consumer], seconds: float, periods: int) -> None:
    redis, slow, returning, dead = (report["consumers"][address] for address in addresses)
    # each tick of the time, and those of the way back to the default pose
    if report["skipped"] == 0:
        assert report["ticks"] == round(seconds * FPS) + 1 + round(0.4 * FPS)
    for counts in (redis, slow, returning, dead):
        assert counts["given"] == report["ticks"]
        assert counts["sent"] + counts["dropped"] == report["ticks"]
    assert dead["sent"] == 0
    assert 0 < slow["sent"] < slow["given"]
    assert 0 < redis["sent"] < redis["given"]
    assert 0 < returning["sent"] < returning["given"]
    for consumer, counts in zip(consumers, (slow, returning), strict=True):
        got = [tick for visit in consumer.visits for tick in visit]
        assert got == sorted(set(got))
        assert len(got) <= counts["sent"]
    assert len([visit for visit in consumers[1].visits if visit]) >= periods
    assert report["frames"]["doubled"] > 0
    assert report["frames"]["extrapolated"] > 0
    assert report["frames"]["stretches"] >= periods
    print(json.dumps(report, indent=2))


def test_four_seconds_of_trouble_cost_no_tick(redis_server: RedisServer) -> None:
    seconds, live = 4.0, FakeLive()
    with world(redis_server, period=2.0) as (port, addresses, consumers):
        source = UDPSource(Address("udp", LOOPBACK, port))
        told = layout("twist")
        safety = SafetyConfig(stand=0.2, blend=0.2, give_up=0.4, stand_down=0.4)
        stream = RobotStream(live, live.robot, told.standing, FrameClock(FPS, ClockConfig(delay=0.03)), safety)
        sinks = [sink(parse_address(text, "--sink"), live.joint_names, FPS, told) for text in addresses]
        report = run(source, stream, sinks, Pace(FPS), threading.Event(), seconds)
        source.close()
    check(report.as_dict(), addresses, consumers, seconds, periods=1)


@pytest.mark.stream
def test_ten_minutes_of_trouble_cost_no_tick(redis_server: RedisServer, tmp_path: Path) -> None:
    seconds, period = float(os.environ.get("STREAM_SECONDS", "600")), 20.0
    checkpoint, out = causal_checkpoint(tmp_path), tmp_path / "report.json"
    with world(redis_server, period) as (port, addresses, consumers):
        command = [
            sys.executable, SCRIPTS / "stream.py", "--checkpoint", checkpoint, "--source", f"udp://{LOOPBACK}:{port}",
            "--sink", *addresses, "--seconds", f"{seconds}", "--json", out, "--safety.stand-down", "0.4",
        ]  # fmt: skip
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    print(*done.stdout.splitlines()[-4:], sep="\n")
    check(json.loads(out.read_text()), addresses, consumers, seconds, periods=int(seconds / period) - 1)
