"""Where robot frames go: sockets, and Redis as TWIST reads it."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from g1_vq_retarget.errors import UserError
from g1_vq_retarget.retarget.live import RobotFrame
from g1_vq_retarget.streaming.addresses import Address
from g1_vq_retarget.streaming.messages import write_robot
from g1_vq_retarget.streaming.sender import Link, Sender
from g1_vq_retarget.streaming.twist import Layout

if TYPE_CHECKING:
    import redis

# How long a consumer may take for a frame, s, before it is cut off and sought again.
PATIENCE = 0.5
# What may lie between a TCP consumer and us, bytes: some frames, so that what a slow one reads is not old.
_BUFFER = 8192


class Told(NamedTuple):
    """A robot frame on its way out.

    Attributes:
        tick: its number.
        seconds: its time since the stream began.
        frame: the pose.
        before: the pose of the tick before.
    """

    tick: int
    seconds: float
    frame: RobotFrame
    before: RobotFrame


def sink(address: Address, joint_names: Sequence[str], fps: float, layout: Layout) -> Sender[Told]:
    """A consumer at an address: JSON to TCP and UDP, a controller's keys to Redis.

    Args:
        address: of the consumer.
        joint_names: of the frames' joints.
        fps: frames a second.
        layout: keys and values for Redis.

    Raises:
        UserError: Redis without its client installed.
    """
    if address.scheme == "redis":
        client = redis_client(address)
        return Sender(str(address), lambda: RedisLink(client, joint_names, fps, layout))
    kind = TCPLink if address.scheme == "tcp" else UDPLink
    return Sender(str(address), lambda: kind(address, joint_names))


class UDPLink(Link[Told]):
    """A datagram a frame; nobody tells whether it arrives."""

    def __init__(self, address: Address, joint_names: Sequence[str]) -> None:
        family, kind, protocol, _, place = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, kind, protocol)
        # the port's being closed comes back as an error of the next datagram, which tells that nobody is there
        self._socket.connect(place)
        self._joint_names = joint_names

    def send(self, item: Told) -> None:
        self._socket.send(write_robot(item.frame, item.tick, item.seconds, self._joint_names))

    def close(self) -> None:
        self._socket.close()


class TCPLink(Link[Told]):
    """A line a frame, to a consumer that listens."""

    def __init__(self, address: Address, joint_names: Sequence[str]) -> None:
        self._socket = socket.create_connection((address.host, address.port), timeout=PATIENCE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._joint_names = joint_names

    def send(self, item: Told) -> None:
        readable, _, _ = select.select([self._socket], [], [], 0)
        if readable and not self._socket.recv(4096):
            raise ConnectionResetError("the consumer hung up")
        self._socket.sendall(write_robot(item.frame, item.tick, item.seconds, self._joint_names) + b"\n")

    def close(self) -> None:
        self._socket.close()


class RedisLink(Link[Told]):
    """The keys of a controller, all of a frame in one request."""

    def __init__(self, client: redis.Redis, joint_names: Sequence[str], fps: float, layout: Layout) -> None:
        self._client = client
        self._joint_names, self._fps, self._layout = joint_names, fps, layout

    def send(self, item: Told) -> None:
        import redis

        pose = self._layout.pose(item.frame, item.before, self._joint_names, self._fps)
        pipeline = self._client.pipeline(transaction=True)  # a controller reads hands and body of the same frame
        for key, value in self._layout.values(pose, int(time.time() * 1000)).items():
            pipeline.set(key, value)
        try:
            pipeline.execute()
        except redis.RedisError as error:
            raise ConnectionError(str(error)) from error

    def close(self) -> None:
        self._client.close()


def redis_client(address: Address) -> redis.Redis:
    """A client that gives up within `PATIENCE` and tries nothing twice; it connects when it is used.

    Raises:
        UserError: the client is not installed.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise UserError(
            f"{address}: needs the client of Redis; install it with: pip install 'g1_vq_retarget[streaming]'"
        ) from error
    return redis.Redis(
        host=address.host,
        port=address.port,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
