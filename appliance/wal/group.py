"""Events that go to disk together: one block, its ids, and the refused input beside it."""

from typing import Protocol

from appliance.core.event import Record, Refused
from appliance.wal import block
from appliance.wal.clock import LogClock
from appliance.wal.inbox import Ticket


class Ends(Protocol):
    """Where the log goes on."""

    next_sequence: int
    """Never given twice, not even when the commit fails: a gap is legal."""
    position: int
    events: int
    """Events ever committed."""
    clock: LogClock


class Group:
    """One commit's events, encoded."""

    __slots__ = ("bytes", "event_bytes", "ids", "log_ms", "raw_bytes", "records", "refused", "tickets", "value")

    def __init__(self, tickets: list[Ticket], records: list[Record], ends: Ends) -> None:
        self.tickets, self.records = tickets, records
        self.ids: list[bytes] = []
        self.refused: list[Refused] = []
        for ticket in tickets:
            self.ids += ticket.ids
            self.refused += ticket.refused or ()
        self.log_ms = ends.clock.now_ms()
        self.value, self.raw_bytes = b"", 0
        if records:
            self.value, self.raw_bytes = block.encode(records, self.ids, self.log_ms, ends.position, ends.events)
        refused_bytes = sum([len(one.body) for one in self.refused])
        self.event_bytes = sum([len(record.raw) for record in records])
        self.bytes = len(self.value) + refused_bytes


def prepare(tickets: list[Ticket], ends: Ends) -> tuple[Group | None, list[tuple[Ticket, Exception]]]:
    """Number the events and encode them; a ticket that cannot be encoded is returned with its error, alone."""
    if not tickets:
        return None, []
    try:
        return _group(tickets, ends), []
    except (ValueError, OverflowError, TypeError):
        good: list[Ticket] = []
        broken: list[tuple[Ticket, Exception]] = []
        for ticket in tickets:
            try:
                _group([ticket], ends)
                good.append(ticket)
            except (ValueError, OverflowError, TypeError) as error:
                broken.append((ticket, error))
        return (_group(good, ends) if good else None), broken


def _group(tickets: list[Ticket], ends: Ends) -> Group:
    records = tickets[0].records if len(tickets) == 1 else [record for ticket in tickets for record in ticket.records]
    sequence = ends.next_sequence
    for record in records:
        record.sequence = sequence
        sequence += 1
    ends.next_sequence = sequence
    return Group(tickets, records, ends)
