"""Where human frames come from: a file at its real rate, TCP, UDP, or a channel of Redis."""

from __future__ import annotations

import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import NamedTuple, Protocol

import numpy as np

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.motion import HumanClip
from g1_vq_retarget.retarget.live import HumanFrame
from g1_vq_retarget.streaming.addresses import Address
from g1_vq_retarget.streaming.messages import LARGEST, MessageError, read_human
from g1_vq_retarget.streaming.sender import FIRST_WAIT, LONGEST_WAIT
from g1_vq_retarget.streaming.sinks import redis_client

CHANNEL = "human_frame"
# A sender that says nothing for so long is taken for gone, and the next may connect, s.
SILENCE = 2.0
# How often threads look whether they are to end, s.
_LOOK = 0.2
# Frames that may wait for a tick: many seconds of them; the oldest give way.
_INBOX = 2000


class Arrived(NamedTuple):
    """A human frame that came: its pose, when it came by our clock, s, and its time stamp, s, or None."""

    frame: HumanFrame
    arrived: float
    stamp: float | None


class Source(Protocol):
    """What gives human frames.

    Attributes:
        name: for messages.
        bad: messages that were no frames.
        complaint: why the first of them was none.
        ended: there will be no more frames.
    """

    name: str
    bad: int
    complaint: str
    ended: bool

    def poll(self, now: float) -> list[Arrived]:
        """The frames that came since the last call."""
        ...

    def close(self) -> None: ...


class FileSource:
    """A clip at its rate.

    Args:
        clip: human motion, at the ticks' rate, so that every frame is shown as it is.
        wait: how long after the first call of `poll` it begins, s.
        loop: begin again when it ends, after a pause.
        pause: how long the pause is, s; so long that it is taken for a new stream.
    """

    def __init__(self, clip: HumanClip, wait: float = 0.0, loop: bool = False, pause: float = 1.0) -> None:
        self.name = clip.name
        self.bad, self.complaint, self.ended = 0, "", False
        self._clip, self._wait, self._loop = clip, wait, loop
        self._period = len(clip) / clip.fps + pause
        self._start: float | None = None
        self._given = 0

    def poll(self, now: float) -> list[Arrived]:
        if self._start is None:
            self._start = now
        arrived = []
        # a frame on a tick is there at that tick, whatever way both were rounded
        while not self.ended and (stamp := self._stamp(self._given)) <= now - self._start + 1e-6:
            frame = HumanFrame.of(self._clip, self._given % len(self._clip))
            arrived.append(Arrived(frame, self._start + stamp, stamp))
            self._given += 1
            self.ended = not self._loop and self._given == len(self._clip)
        return arrived

    def close(self) -> None: ...

    def _stamp(self, given: int) -> float:
        times, frame = divmod(given, len(self._clip))
        return self._wait + times * self._period + frame / self._clip.fps


class NetworkSource(ABC):
    """What comes over the network, received and read by a thread.

    Attributes:
        rest_offsets: (22, 3) the first skeleton that was told, m; None before.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.bad, self.complaint, self.ended = 0, "", False
        self.rest_offsets: np.ndarray | None = None
        self._inbox: deque[Arrived] = deque(maxlen=_INBOX)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._receive, name=f"source {name}", daemon=True)

    def poll(self, now: float) -> list[Arrived]:
        return [self._inbox.popleft() for _ in range(len(self._inbox))]

    def skeleton(self, stop: threading.Event) -> np.ndarray | None:
        """(22, 3) the actor's skeleton as soon as it is told, m; None if `stop` is set before."""
        while self.rest_offsets is None and not stop.wait(0.05):
            pass
        return self.rest_offsets

    def close(self) -> None:
        self._closing.set()
        self._thread.join(2 * _LOOK)

    @abstractmethod
    def _receive(self) -> None:
        """Take messages until `close`; runs in the thread."""

    def _take(self, data: bytes) -> None:
        """A message: a frame, or a complaint about what is none."""
        arrived = time.monotonic()
        try:
            message = read_human(data)
        except MessageError as error:
            self.bad += 1
            self.complaint = self.complaint or str(error)
            return
        if self.rest_offsets is None:
            self.rest_offsets = message.rest_offsets
        if message.frame is not None:
            self._inbox.append(Arrived(message.frame, arrived, message.stamp))


class UDPSource(NetworkSource):
    """A datagram a frame."""

    def __init__(self, address: Address) -> None:
        super().__init__(str(address))
        self._socket = _bound(address, socket.SOCK_DGRAM)
        self.port: int = self._socket.getsockname()[1]
        self._thread.start()

    def _receive(self) -> None:
        with self._socket:
            while not self._closing.is_set():
                try:
                    data = self._socket.recv(LARGEST)
                except TimeoutError:
                    continue
                self._take(data)


class TCPSource(NetworkSource):
    """A line a frame, of one sender at a time; when it has gone, or been silent for `SILENCE`, the next."""

    def __init__(self, address: Address) -> None:
        super().__init__(str(address))
        self._socket = _bound(address, socket.SOCK_STREAM)
        self._socket.listen()
        self.port: int = self._socket.getsockname()[1]
        self._thread.start()

    def _receive(self) -> None:
        with self._socket:
            while not self._closing.is_set():
                try:
                    sender, _ = self._socket.accept()
                except TimeoutError:
                    continue
                with sender:
                    sender.settimeout(_LOOK)
                    self._listen(sender)

    def _listen(self, sender: socket.socket) -> None:
        rest, heard = b"", time.monotonic()
        while not self._closing.is_set() and time.monotonic() - heard < SILENCE:
            try:
                data = sender.recv(LARGEST)
            except TimeoutError:
                continue
            except OSError:  # it went without a word; the next may come
                return
            if not data:
                return
            heard = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            for line in filter(None, map(bytes.strip, lines)):
                self._take(line)
            if len(rest) > LARGEST:
                self._take(rest)  # no frame is that long: a complaint
                return


class RedisSource(NetworkSource):
    """A message a frame, on a channel (PUBLISH)."""

    def __init__(self, address: Address) -> None:
        super().__init__(str(address))
        self._client = redis_client(address)
        self._channel = address.path or CHANNEL
        self._thread.start()

    def _receive(self) -> None:
        import redis

        wait = FIRST_WAIT
        while not self._closing.is_set():
            try:
                with self._client.pubsub(ignore_subscribe_messages=True) as channel:
                    channel.subscribe(self._channel)
                    while not self._closing.is_set():
                        message = channel.get_message(timeout=_LOOK)
                        wait = FIRST_WAIT
                        if message is not None:
                            self._take(message["data"])
            except redis.RedisError:
                self._closing.wait(wait)
                wait = min(2 * wait, LONGEST_WAIT)
        self._client.close()


def network_source(address: Address) -> NetworkSource:
    """What listens at an address.

    Raises:
        UserError: the address cannot be listened at, or Redis without its client installed.
    """
    kinds = {"tcp": TCPSource, "udp": UDPSource, "redis": RedisSource}
    return kinds[address.scheme](address)


def _bound(address: Address, kind: socket.SocketKind) -> socket.socket:
    try:
        family, _, protocol, _, place = socket.getaddrinfo(address.host, address.port, type=kind)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(place)
    except (OSError, UnicodeError) as error:
        raise UserError(f"{address}: cannot listen there ({error}); choose another host or port") from error
    bound.settimeout(_LOOK)
    return bound
