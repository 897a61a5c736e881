"""The collector's side of an append: deduplication, backpressure, futures. Runs on the collector's loop alone.

An id is known for good only once it is on disk. Until then the window has it with the ticket that carries it: a
duplicate that comes in between gets a ticket behind that one, and succeeds or fails with it.
"""

import asyncio
from collections.abc import Callable

from appliance.core.errors import LogFailed, Overloaded
from appliance.core.event import Record, Refused
from appliance.wal.inbox import Inbox, Ticket
from appliance.wal.seen import Window, digests
from appliance.wal.types import Appended

_RECORD_OVERHEAD_BYTES = 256
"""What a record takes beside its raw bytes while it waits."""


class Intake:
    """Appends on their way into the inbox and their outcomes on the way back."""

    def __init__(
        self,
        inbox: Inbox,
        window: Window,
        queue_bytes_max: int,
        refusal: Callable[[], Exception | None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """`refusal` says why the writer takes no events at present."""
        self._inbox, self.window, self._refusal, self._loop = inbox, window, refusal, loop
        self._queue_bytes_max = queue_bytes_max
        self._tickets: dict[int, Ticket] = {}
        """Tickets with events and without an outcome, by the number that their ids have in the window."""
        self._number = 0
        self.queue_bytes = 0
        """Bytes of tickets without an outcome."""
        self.duplicates_total = 0

    def append(self, records: list[Record]) -> "asyncio.Future[Appended]":
        """See `Log.append`."""
        size = sum([len(record.raw) for record in records]) + _RECORD_OVERHEAD_BYTES * len(records)
        self._admit(size)
        future: asyncio.Future[Appended] = self._loop.create_future()
        number = self._number = self._number + 1
        given = len(records)
        ids, behind = digests(records), None
        fresh = dict.fromkeys(ids, number)
        if len(fresh) < given or not self.window.claim(fresh):
            records, ids, behind = self._without_duplicates(records, ids)
            self.window.claim(dict.fromkeys(ids, number))
        duplicates = given - len(ids)
        self.duplicates_total += duplicates
        if not ids and not behind:
            future.set_result(Appended(0, duplicates))
            return future
        ticket = Ticket(number, future, size, records, ids, duplicates, behind)
        try:
            self._offer(ticket)
        except LogFailed:
            self.window.renounce(ids)
            raise
        self._tickets[number] = ticket
        self.queue_bytes += size
        return future

    def refuse(self, refused: list[Refused]) -> "asyncio.Future[None]":
        """See `Log.refuse`."""
        size = sum([len(one.body) for one in refused]) + _RECORD_OVERHEAD_BYTES * len(refused)
        self._admit(size)
        future: asyncio.Future[None] = self._loop.create_future()
        self._offer(Ticket(0, future, size, [], [], refused=refused))
        self.queue_bytes += size
        return future

    def settle(self, tickets: list[Ticket], error: Exception | None, now_ms: int) -> None:
        """Resolve a group's futures; called on the loop, once per group, in commit order."""
        for ticket in tickets:
            self.queue_bytes -= ticket.size
            ticket.error = error
            self._tickets.pop(ticket.number, None)
            if ticket.ids and error is None:
                self.window.add(ticket.ids, now_ms)
            elif ticket.ids:
                self.window.renounce(ticket.ids)
            failure = error
            if ticket.behind is not None:
                failure = error or next((other.error for other in ticket.behind if other.error is not None), None)
                ticket.behind = None
            if ticket.future.done():  # its client has gone
                continue
            if failure is None:
                ticket.future.set_result(ticket.outcome())
            else:
                ticket.future.set_exception(failure)

    def _offer(self, ticket: Ticket) -> None:
        if self._inbox.offer(ticket):
            self._loop.call_later(self._inbox.group_delay_s, self._inbox.nudge)

    def _admit(self, size: int) -> None:
        refusal = self._refusal()
        if refusal is not None:
            raise refusal
        if self.queue_bytes and self.queue_bytes + size > self._queue_bytes_max:
            raise Overloaded(f"{self.queue_bytes} bytes of events wait for the disk; nothing was kept", 1)

    def _without_duplicates(
        self, records: list[Record], ids: list[bytes]
    ) -> tuple[list[Record], list[bytes], list[Ticket] | None]:
        """The records that are new, their ids, and the tickets that carry one of the others."""
        fresh: dict[bytes, Record] = {}
        behind: dict[int, Ticket] = {}
        for id_, record in zip(ids, records, strict=True):
            owner = self.window.owner(id_)
            if owner is None:
                fresh.setdefault(id_, record)
            elif owner:
                behind[owner] = self._tickets[owner]
        return list(fresh.values()), list(fresh), list(behind.values()) or None
