"""Human frames in, robot frames out, tick after tick, and a line a second about it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from g1_vq_retarget.retarget.frame_clock import FrameCounts
from g1_vq_retarget.retarget.limits import LimitCounts
from g1_vq_retarget.streaming.pace import Pace
from g1_vq_retarget.streaming.robot_stream import RobotStream
from g1_vq_retarget.streaming.sender import Counts, Link, Sender
from g1_vq_retarget.streaming.sinks import Told
from g1_vq_retarget.streaming.sources import Source

# Latencies that are kept, an hour of them.
REMEMBERED = 180_000


@dataclass
class Report:
    """What a stream was like.

    Attributes:
        seconds: how long it took.
        ticks: robot frames it gave to each consumer.
        late: ticks that began more than a tick late.
        skipped: ticks that were left out, since the machine stood still.
        latencies: of the last `REMEMBERED` ticks that followed a human, from when the human's pose had come to when the
            robot's that shows it was given to the consumers, s.
        frames: what became of human frames.
        bad: messages that were none.
        limits: what was held back.
        consumers: what became of the frames for each, by name.
    """

    seconds: float
    ticks: int
    late: int
    skipped: int
    latencies: Sequence[float]
    frames: FrameCounts
    bad: int
    limits: LimitCounts
    consumers: dict[str, Counts] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """All of it as plain values; of the latencies, median, 99th percentile and largest, ms."""
        content: dict[str, object] = asdict(self)
        content["consumers"] = {name: counts._asdict() for name, counts in self.consumers.items()}
        del content["latencies"]
        if self.latencies:
            median, most, largest = (1000 * np.percentile(self.latencies, (50, 99, 100))).tolist()
            content["latency_ms"] = {"p50": median, "p99": most, "largest": largest}
        return content

    def line(self, rate: float, latencies: Sequence[float]) -> str:
        """All of it in a line: rate and latencies of a while, everything else since the beginning."""
        frames = self.frames
        consumers = "".join(f" | {name} {to.sent} sent {to.dropped} dropped" for name, to in self.consumers.items())
        return (
            f"{self.seconds:.0f} s {rate:.1f} Hz, {latency(latencies)} | human {frames.received} in "
            f"{frames.doubled} doubled {frames.late} late {frames.missing} missing {self.bad} bad "
            f"{frames.stretches} stretches | ticks {self.late} late {self.skipped} skipped{consumers}"
        )


def latency(seconds: Sequence[float]) -> str:
    """Median and 99th percentile, in ms."""
    if not seconds:
        return "latency -"
    median, most = 1000 * np.percentile(seconds, (50, 99))
    return f"latency p50 {median:.1f} p99 {most:.1f} ms"


class _Printing(Link[str]):
    """The terminal, which may be as slow as any other consumer."""

    def send(self, item: str) -> None:
        print(item, flush=True)

    def close(self) -> None: ...


def run(
    source: Source,
    stream: RobotStream,
    sinks: Sequence[Sender[Told]],
    pace: Pace,
    stop: threading.Event,
    seconds: float | None = None,
) -> Report:
    """Stream until the source ends, the time is up or `stop` is set; then lead the robot to its default pose.

    Prints a line a second. Closes the sinks, and leaves the source open. What fails on the way to a frame ends the
    stream in the same way, and is raised when the robot stands.

    Args:
        source: gives human frames.
        stream: makes robot frames of them.
        sinks: take them.
        pace: the ticks.
        stop: set it to end.
        seconds: how long to stream, by default until the source ends.
    """
    terminal = Sender("terminal", _Printing)
    latencies: deque[float] = deque(maxlen=REMEMBERED)
    lately: list[float] = []
    failure: Exception | None = None
    start: float | None = None
    before = None
    said, said_ticks, said_at = 0.0, 0, 0.0

    def report(at: float) -> Report:
        consumers = {sink.name: sink.counts for sink in sinks}
        counts = pace.ticks, pace.late, pace.skipped
        return Report(at, *counts, latencies, stream.clock.counts, source.bad, stream.limits, consumers)

    while True:
        deadline = pace.wait()
        if start is None:
            start, said_ticks, said_at = deadline, 1, pace.clock()
        elapsed = deadline - start
        for arrived in source.poll(deadline):
            stream.clock.add(*arrived)
        try:
            frame = stream.step(deadline)
        except Exception as error:
            # whatever it is, the robot is first led to where it can stand; which needs no human
            if stream.finishing:
                raise
            failure = error
            stream.finish()
            frame = stream.step(deadline)
        told = Told(pace.ticks + pace.skipped - 1, elapsed, frame, frame if before is None else before)
        for sink in sinks:
            sink.put(told)
        before = frame
        if stream.delay is not None:
            lately.append(pace.clock() - deadline + stream.delay)
            latencies.append(lately[-1])
        if elapsed - said >= 1:
            now = pace.clock()
            rate = (pace.ticks - said_ticks) / (now - said_at)
            terminal.put(report(elapsed).line(rate, lately))
            said, said_ticks, said_at = elapsed, pace.ticks, now
            lately = []
        if stop.is_set() or source.ended or (seconds is not None and elapsed >= seconds):
            stream.finish()
        if stream.at_rest and stream.finishing:
            break
    for sink in sinks:
        sink.close()
    terminal.close()
    if failure is not None:
        raise failure
    return report(pace.clock() - start)
