"""The past delivered again: where a replay begins and ends, and a dead letter as a job anew. Pure but for reading."""

from collections.abc import Mapping

import msgspec

from appliance.core.event import Record, pack_event
from appliance.deliver.ports import Pipeline
from appliance.wal.log import Block, DamagedBlock, DeadLetter, HeldJob, Log, Progress, ReplayCursor

LATE_MS = 60_000
"""An event is stamped when its request comes in and stored when its body is whole: not always in the same order."""
LOOK_BYTES = 1 << 20
"""A range of that size is looked through at once for an event of the time, so that an empty one is refused."""
_RECORD = msgspec.msgpack.Decoder(Record)


def replay_range(log: Log, from_ms: int, to_ms: int) -> tuple[int, int]:
    """First and last sequence of the blocks that may hold what was received in [from_ms, to_ms).

    Raises:
        ValueError: the log holds nothing of that time.
    """
    first = log.sequence_at(from_ms - LATE_MS)
    end = _blocks_after(log, log.sequence_at(to_ms + LATE_MS) - 1, 1)
    until = end[0].last_sequence if end else log.last_sequence  # that block may begin before and hold what is wanted
    seen = _blocks_after(log, first - 1, LOOK_BYTES)
    whole = seen and seen[-1].last_sequence >= until
    times = (record.received_ms for block in seen for record in block.records)
    if until < first or (whole and not any(from_ms <= received_ms < to_ms for received_ms in times)):
        raise ValueError("the log holds no event of that time; `sternpost wal stats` shows what it still has")
    return first, until


def new_replay(
    log: Log, destination: str, from_ms: int, to_ms: int, criteria: Mapping[str, str], now_ms: int
) -> ReplayCursor:
    """The cursor of a replay of what was received in [from_ms, to_ms), at its beginning.

    It spans every block that may hold such an event; which ones are of that time, the criteria tell exactly.

    Raises:
        ValueError: the log holds nothing of that time.
    """
    first, until = replay_range(log, from_ms, to_ms)
    return ReplayCursor(
        destination=destination,
        low=first - 1,
        until=until,
        criteria={**criteria, "from_ms": str(from_ms), "to_ms": str(to_ms)},
        started_ms=now_ms,
        progress=Progress(low=first - 1, read=first - 1),
    )


def _blocks_after(log: Log, after: int, bytes_max: int) -> list[Block]:
    """The next blocks; none where there are none, or where they cannot be read."""
    try:
        return log.read(after, bytes_max)
    except DamagedBlock:
        return []


def revived(letter: DeadLetter, edited: Record | None, pipeline: Pipeline, log_now_ms: int) -> HeldJob:
    """The job anew: the original event through the present pipeline, or as it was where the original is gone.

    Args:
        edited: takes the place of the original.
    """
    lane, packed = letter.lane, letter.event
    if letter.record:
        lane, event = pipeline.event(edited or _RECORD.decode(letter.record))
        packed = pack_event(event)
    return HeldJob(
        destination=letter.destination,
        lane=lane,
        sequence=letter.sequence,
        part=letter.part,
        attempts=0,
        next_try_ms=0,
        first_failed_ms=0,
        held_ms=log_now_ms,
        error="requeued",
        event=packed,
    )
