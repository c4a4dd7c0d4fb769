"""A consumer that may be slow, dead or away, without the loop noticing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)

# Between attempts to connect, s: the first, and the longest, each twice the one before.
FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0


class Link(Protocol[T_contra]):
    """An open way to a consumer. What fails raises OSError, within a second."""

    def send(self, item: T_contra) -> None: ...
    def close(self) -> None: ...


class Counts(NamedTuple):
    """What became of the items of a sender: `given == sent + dropped + waiting`.

    Attributes:
        given: items it was given.
        sent: items the consumer's side took.
        dropped: items that gave way to later ones, or whose sending failed.
        waiting: items of which neither is known yet; at most one waits, and one is on its way.
    """

    given: int
    sent: int
    dropped: int
    waiting: int


class Sender(Generic[T]):
    """Sends the latest of what it is given, from a thread of its own.

    There is room for one item. What is given while the consumer is busy takes the place of what waits there, so a slow
    consumer gets fewer items, and none that is old; a dead one gets none, and is sought again at growing intervals.

    Args:
        name: of the consumer, for messages.
        connect: opens a way to it.

    Attributes:
        failures: attempts to connect or to send that failed.
        last_error: what the last failure said.
    """

    def __init__(self, name: str, connect: Callable[[], Link[T]]) -> None:
        self.name = name
        self.failures = 0
        self.last_error = ""
        self._connect = connect
        self._link: Link[T] | None = None
        self._slot: list[T] = []
        self._given = self._sent = self._dropped = 0
        self._busy = False
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"sender {name}", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> Counts:
        """What has become of the items until now."""
        with self._changed:
            return Counts(self._given, self._sent, self._dropped, len(self._slot) + self._busy)

    def put(self, item: T) -> None:
        """Give an item; returns at once."""
        with self._changed:
            self._given += 1
            self._dropped += len(self._slot)
            self._slot = [item]
            self._changed.notify()

    def close(self, patience: float = 2.0) -> None:
        """Send what waits, if the consumer takes it within some seconds, and end."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(patience)

    def _run(self) -> None:
        wait, not_before = FIRST_WAIT, 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._slot or self._closing)
                # what comes while waiting for the next attempt takes the place of what came before
                self._changed.wait_for(lambda: self._closing, max(not_before - time.monotonic(), 0.0))
                if not self._slot:
                    break
                (item,), self._slot, self._busy = self._slot, [], True
            error = self._attempt(item)
            with self._changed:
                self._busy = False
                self._sent += error is None
                self._dropped += error is not None
            if error is None:
                wait, not_before = FIRST_WAIT, 0.0
            else:
                self.failures += 1
                self.last_error = str(error) if isinstance(error, OSError) else repr(error)
                not_before, wait = time.monotonic() + wait, min(2 * wait, LONGEST_WAIT)
        self._hang_up()

    def _attempt(self, item: T) -> Exception | None:
        try:
            if self._link is None:
                self._link = self._connect()
            self._link.send(item)
        except Exception as error:  # an end of this thread would be told to nobody; so it is counted, and told
            self._hang_up()
            return error
        return None

    def _hang_up(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            with suppress(Exception):  # it is given up anyway
                link.close()
