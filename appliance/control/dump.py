"""The log as JSON lines: one event each, by time, type and filter. Blocking; online and offline alike."""

from collections.abc import Callable, Iterator
from typing import Protocol

from appliance.control import views
from appliance.core.event import Record
from appliance.wal.log import Block, DamagedBlock


class BlockStore(Protocol):
    """The reading side of a log."""

    def read(self, after: int, bytes_max: int = 256 * 1024) -> list[Block]: ...

    def sequence_at(self, received_ms: int) -> int: ...


def lines(
    log: BlockStore, from_ms: int, to_ms: int, wanted: Callable[[Record], bool], after: int = 0
) -> Iterator[bytes]:
    """JSON lines of the events received in [from_ms, to_ms), in sequence order; one `{"damaged": ...}` per lost range.

    Yields b"" now and then where nothing matches, so that the caller can stop.

    Args:
        after: only events above this sequence.
    """
    after = max(after, log.sequence_at(from_ms) - 1) if from_ms else after
    while True:
        try:
            blocks = log.read(after)
        except DamagedBlock as damaged:
            lost = {"damaged": str(damaged), "from": damaged.first_sequence, "to": damaged.last_sequence}
            yield views.wire(lost) + b"\n"
            after = damaged.last_sequence
            continue
        if not blocks:
            return
        for block in blocks:
            if block.records and all(record.received_ms >= to_ms for record in block.records):
                return
            fresh = [record for record in block.records if record.sequence > after]
            chosen = [record for record in fresh if from_ms <= record.received_ms < to_ms and wanted(record)]
            yield b"".join(views.wire(views.record_view(record)) + b"\n" for record in chosen)
        after = blocks[-1].last_sequence
