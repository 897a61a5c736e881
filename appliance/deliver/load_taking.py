"""What goes into one load: a range of the log, or dead letters that come again; and its halves."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from appliance.core import logs
from appliance.core.event import Event, Record, unpack_event
from appliance.deliver.ports import Pipeline
from appliance.wal.log import DamagedBlock, HeldJob, Log

READ_BYTES = 1 << 20
"""Bytes of records taken from the log at once."""
_LOG = logs.logger("deliver")


class Item(NamedTuple):
    """One event, and where it comes from."""

    event: Event
    record: Record | None
    """None for what was held."""
    held: HeldJob | None = None
    """A dead letter that was requeued."""


class Piece(NamedTuple):
    """What goes in at once."""

    first: int
    """Of the range that it stands for."""
    last: int
    """The cursor once it is in; 0: it moves no cursor."""
    items: list[Item]
    filtered: int = 0
    """Of the range, what does not go to this warehouse."""
    damage: str = ""
    """Why nothing of the range could be read."""

    def halves(self) -> tuple["Piece", "Piece"]:
        """Two pieces that come to the same; the first one's cursor is at its last event."""
        middle = len(self.items) // 2
        border = self.items[middle - 1].event.sequence if self.last else 0
        return (
            Piece(self.first, border, self.items[:middle]),
            Piece(border + 1 if self.last else 0, self.last, self.items[middle:], self.filtered),
        )


class Settled(Protocol):
    """How far a warehouse is."""

    @property
    def low(self) -> int:
        """Everything up to here is settled."""
        ...

    @property
    def above(self) -> set[int]:
        """Settled above it."""
        ...


def taken_piece(
    log: Log,
    pipeline: Pipeline,
    settled: Settled,
    goes: Callable[[Record], bool],
    end: int,
    events_max: int,
    bytes_max: int,
) -> Piece:
    """What comes next in the log, up to `end`; any thread.

    Args:
        events_max: no more events.
        bytes_max: no more bytes of events, but for the last one.
    """
    after, upto, size, seen = settled.low, settled.low, 0, 0
    items: list[Item] = []
    while upto < end and len(items) < events_max and size < bytes_max:
        try:
            blocks = log.read(upto, READ_BYTES)
        except DamagedBlock as damage:
            if items or upto > after:
                break
            last = min(damage.last_sequence, end)
            _LOG.error("block_skipped", error=str(damage), first=upto + 1, last=last, advice="sternpost wal verify")
            return Piece(max(damage.first_sequence, upto + 1), last, [], 0, f"damaged block: {damage}")
        if not blocks:
            upto = end
            break
        for record in [record for block in blocks for record in block.records if record.sequence > upto]:
            if record.sequence > end or len(items) >= events_max or size >= bytes_max:
                break
            upto, seen = record.sequence, seen + bool(record.source)
            if record.sequence not in settled.above and goes(record):
                items.append(Item(pipeline.bare(record), record))
                size += len(record.raw)
        else:
            upto = min(end, blocks[-1].last_sequence)
    return Piece(after + 1, upto, items, seen - len(items))


def held_piece(log: Log, key: str, events_max: int) -> Piece:
    """What was requeued; any thread."""
    items: list[Item] = []
    for head in log.held_heads(key):
        for job in log.held_jobs(key, head.lane, events_max - len(items)):
            items.append(Item(unpack_event(job.event), None, job))
        if len(items) >= events_max:
            break
    return Piece(0, 0, items)
