"""Where frames come from and go to: tcp://HOST:PORT, udp://HOST:PORT, redis://HOST:PORT/CHANNEL."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from g1_vq_retarget.errors import UserError

_PORTS = {"tcp": None, "udp": None, "redis": 6379}


class Address(NamedTuple):
    """A place on the network; `path` is what stands behind the port, without its slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}" + (f"/{self.path}" if self.path else "")


def parse_address(text: str, flag: str) -> Address:
    """An address; without a host it is this machine, without a port that of Redis.

    Args:
        text: what the user wrote.
        flag: where, for messages.

    Raises:
        UserError: none of these, or no port.
    """
    expected = f"{flag} {text}: expected tcp://HOST:PORT, udp://HOST:PORT or redis://HOST:PORT"
    try:
        parts = urlsplit(text)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"{expected} ({error})") from error
    if scheme not in _PORTS:
        raise UserError(expected)
    port = _PORTS[scheme] if port is None else port
    if port is None:
        raise UserError(f"{expected}; the port is missing")
    return Address(scheme, host or "127.0.0.1", port, parts.path.strip("/"))
