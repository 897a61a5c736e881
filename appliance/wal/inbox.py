"""Work on its way to the writer thread: appends as tickets, changes in call order, one lock between the threads."""

import asyncio
import concurrent.futures
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from appliance.core.event import Record, Refused
from appliance.wal.transaction import Transaction
from appliance.wal.types import Appended

_SOON_S = 0.1
"""How long a `soon` change may wait for a commit with events."""
_CHANGES_MAX = 512
"""Changes per transaction; the rest goes with the next."""


class Ticket:
    """One append, or one lot of refused input, until its commit."""

    __slots__ = ("behind", "duplicates", "error", "future", "ids", "number", "records", "refused", "size")

    def __init__(
        self,
        number: int,
        future: "asyncio.Future[Any]",
        size: int,
        records: list[Record],
        ids: list[bytes],
        duplicates: int = 0,
        behind: "list[Ticket] | None" = None,
        refused: list[Refused] | None = None,
    ) -> None:
        self.number = number
        """What its ids have in the window until it is committed."""
        self.future, self.size, self.records, self.ids = future, size, records, ids
        self.duplicates = duplicates
        self.behind = behind
        """Earlier tickets that carry an id of this one as well: it succeeds only if they do."""
        self.refused = refused
        self.error: Exception | None = None
        """Why its own commit failed."""

    def outcome(self) -> Appended | None:
        """What the future resolves to."""
        return None if self.refused is not None else Appended(len(self.records), self.duplicates)


class Change:
    """One change function and its future."""

    __slots__ = ("due_s", "function", "future")

    def __init__(self, function: Callable[[Transaction], Any], soon: bool) -> None:
        self.function = function
        self.future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.future.set_running_or_notify_cancel()  # whoever stops waiting for it does not undo it
        self.due_s = time.monotonic() + (_SOON_S if soon else 0.0)


class Work(NamedTuple):
    """What the writer takes in one go; nothing of both kinds: a timer was due, or it is time to stop."""

    tickets: list[Ticket]
    changes: list[Change]


class Inbox:
    """The queue between loops and the writer."""

    def __init__(self, group_bytes_max: int, group_delay_s: float) -> None:
        self._group_bytes_max, self.group_delay_s = group_bytes_max, group_delay_s
        self._target = 1
        """Appends that make a group complete before its delay is over."""
        self._taken = 0
        """Appends of the group under way."""
        self._group_due_s = 0.0
        """When the delay of the waiting group is over."""
        self._lock = threading.Lock()
        self._arrived = threading.Condition(self._lock)
        self._tickets: deque[Ticket] = deque()
        self._changes: deque[Change] = deque()
        self._due_s = float("inf")
        """When the first waiting change must go."""
        self._held_until_s = 0.0
        self._waiting_until_s: float | None = None
        """Set while the writer waits: until when."""
        self._closed: Exception | None = None
        self._stopping = False
        self.ticket_bytes = 0
        """Bytes of tickets that the writer has not taken."""

    def offer(self, ticket: Ticket) -> bool:
        """Queue an append; returns whether `nudge` must be called in `group_delay_s`, because the writer sleeps on."""
        with self._lock:
            if self._closed is not None:
                raise self._closed
            if not self._tickets:
                self._group_due_s = time.monotonic() + self.group_delay_s
            self._tickets.append(ticket)
            self.ticket_bytes += ticket.size
            if self._waiting_until_s is None:
                return False
            if self._is_group():
                self._arrived.notify()
                return False
            return len(self._tickets) == 1 and self._waiting_until_s > self._group_due_s

    def nudge(self) -> None:
        """Wake the writer for a group whose delay is over."""
        with self._lock:
            if self._tickets and self._waiting_until_s is not None:
                self._arrived.notify()

    def submit(self, change: Change) -> None:
        """Queue a change; after `close` its future fails at once."""
        with self._lock:
            if self._closed is None:
                self._changes.append(change)
                if change.due_s < self._due_s:
                    self._due_s = change.due_s
                    if self._waiting_until_s is not None and change.due_s < self._waiting_until_s:
                        self._arrived.notify()
                return
        change.future.set_exception(self._closed)

    def take(self, wake_s: float) -> Work:
        """Wait for work, at most until `wake_s` (monotonic seconds; infinity: for ever); in call order.

        Under load a group is worth waiting for: each commit costs the same for one append as for many. As many appends
        as were under way lately (in the last group, and waiting when it was done) are likely to come again, so a group
        is complete at three quarters of them, or when its first has waited for `group_delay_s`. One or two clients
        never wait.
        """
        with self._lock:
            if self._taken:
                self._target, self._taken = max((self._taken + len(self._tickets)) * 3 // 4, 1), 0
            while not self._stopping:
                now_s = time.monotonic()
                due_s = max(self._due_s, self._held_until_s)
                if self._tickets:
                    if self._is_group():
                        break
                    due_s = min(due_s, self._group_due_s)
                if due_s <= now_s or wake_s <= now_s:
                    break
                self._waiting_until_s = min(due_s, wake_s)
                timeout = None if self._waiting_until_s == float("inf") else self._waiting_until_s - now_s
                self._arrived.wait(timeout)
                self._waiting_until_s = None
            return Work(self._take_tickets(), self._take_changes())

    def put_back(self, changes: list[Change], retry_s: float) -> None:
        """Return changes that could not be made now; none is handed out for `retry_s` unless the log stops."""
        with self._lock:
            self._changes.extendleft(reversed(changes))
            self._held_until_s = time.monotonic() + retry_s
            self._due_s = 0.0 if self._changes else float("inf")

    def stop(self) -> None:
        """Let the writer drain the queue and end."""
        with self._lock:
            self._stopping = True
            self._held_until_s = 0.0
            self._arrived.notify()

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    def close(self, error: Exception) -> Work:
        """Refuse everything from here on; returns all that was queued."""
        with self._lock:
            self._closed = error
            left = Work(list(self._tickets), list(self._changes))
            self._tickets.clear()
            self._changes.clear()
            self.ticket_bytes = 0
            return left

    def _is_group(self) -> bool:
        return len(self._tickets) >= self._target or self.ticket_bytes >= self._group_bytes_max

    def _take_tickets(self) -> list[Ticket]:
        taken: list[Ticket] = []
        size = 0
        while self._tickets and (not taken or size + self._tickets[0].size <= self._group_bytes_max):
            ticket = self._tickets.popleft()
            taken.append(ticket)
            size += ticket.size
        self.ticket_bytes -= size
        self._taken = len(taken)
        return taken

    def _take_changes(self) -> list[Change]:
        if not self._changes or (time.monotonic() < self._held_until_s and not self._stopping):
            return []
        taken = [self._changes.popleft() for _ in range(min(len(self._changes), _CHANGES_MAX))]
        self._due_s = min((change.due_s for change in self._changes), default=float("inf"))
        return taken
