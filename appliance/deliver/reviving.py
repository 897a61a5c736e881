"""The past delivered again: where a replay begins and ends, and a dead letter as a job anew. Pure but for reading."""

from collections.abc import Mapping

import msgspec

from appliance.core.event import Record, pack_event
from appliance.deliver.ports import Pipeline
from appliance.wal.log import DeadLetter, HeldJob, Log, Progress, ReplayCursor

_RECORD = msgspec.msgpack.Decoder(Record)


def new_replay(
    log: Log, destination: str, from_ms: int, to_ms: int, criteria: Mapping[str, str], now_ms: int
) -> tuple[str, ReplayCursor]:
    """A replay of what was received in [from_ms, to_ms): its name, which is free, and its cursor at the beginning.

    Raises:
        ValueError: the log holds nothing of that time.
    """
    first, until = log.sequence_at(from_ms), log.sequence_at(to_ms) - 1
    if to_ms >= now_ms:
        until = log.last_sequence
    if until < first:
        raise ValueError("the log holds no event of that time; `sternpost wal stats` shows what it still has")
    taken = {int(key.rpartition("#")[2]) for key in log.replays() if key.startswith(f"{destination}#")}
    name = f"{destination}#{next(number for number in range(1, 1 << 30) if number not in taken)}"
    cursor = ReplayCursor(
        destination=destination,
        low=first - 1,
        until=until,
        criteria={**criteria, "from_ms": str(from_ms), "to_ms": str(to_ms)},
        started_ms=now_ms,
        progress=Progress(low=first - 1, read=first - 1),
    )
    return name, cursor


def revived(letter: DeadLetter, pipeline: Pipeline, log_now_ms: int) -> HeldJob:
    """The job anew: the original event through the present pipeline, or as it was where the original is gone."""
    lane, packed = letter.lane, letter.event
    if letter.record:
        lane, event = pipeline.event(_RECORD.decode(letter.record))
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
