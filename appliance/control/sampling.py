"""What is looked at when there is more than can be shown: evenly, and counted. Pure."""

from threading import Lock
from typing import NamedTuple


class Left(NamedTuple):
    """What was left out of a stretch of events."""

    one_in: int
    """One of so many was looked at."""
    events: int
    """So many were not."""


def spots(after: int, last: int, count: int) -> list[int]:
    """At most `count` sequences in (after, last], evenly apart, ascending; the last one among them."""
    apart = max(1, -(-(last - after) // count))
    return list(range(last, after, -apart))[::-1]


def left_out(seen: int, shown: int) -> Left:
    """What it means that `shown` of `seen` were looked at."""
    return Left(-(-seen // shown) if shown else max(1, seen), seen - shown)


class Thinner:
    """Lets at most `events_max` pass between two calls of `taken`, one in as many as the last stretch calls for.

    Any thread.
    """

    def __init__(self, events_max: int) -> None:
        self._events_max, self._one_in = events_max, 1
        self._seen = self._passed = self._turn = 0
        self._lock = Lock()

    def passes(self) -> bool:
        """Whether this event is looked at; costs the same for all."""
        with self._lock:
            self._seen += 1
            self._turn += 1
            if self._turn < self._one_in or self._passed >= self._events_max:
                return False
            self._turn, self._passed = 0, self._passed + 1
            return True

    def taken(self) -> Left:
        """What was left out since the last call."""
        with self._lock:
            left = left_out(self._seen, self._passed)
            self._one_in = max(1, -(-self._seen // self._events_max))
            self._seen = self._passed = 0
            return left
