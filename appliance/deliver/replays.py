"""Where in the log a replay begins and ends."""

from collections.abc import Container, Mapping

from appliance.wal.log import DamagedBlock, Log, Progress, ReplayCursor

SLACK_MS = 60_000
"""An event counts as received when its head came, and stands in the log where its body was whole."""


def planned(log: Log, destination: str, received_ms: range, criteria: Mapping[str, str], now_ms: int) -> ReplayCursor:
    """A replay of what was received in `received_ms` (wall time); blocking, it may read a minute of the log.

    The criteria are exact to the millisecond, the range of the log in which they are looked for is a little wider.

    Raises:
        ValueError: the log has no event of that time.
    """
    first = log.sequence_at(received_ms.start - SLACK_MS)
    until = min(log.sequence_at(received_ms.stop + SLACK_MS), log.last_sequence)
    if not _holds(log, first, until, received_ms):
        raise ValueError("the log holds no event of that time; `sternpost wal stats` shows what it still has")
    window = {"from_ms": str(received_ms.start), "to_ms": str(received_ms.stop)}
    return ReplayCursor(
        destination=destination,
        low=first - 1,
        until=until,
        criteria={**criteria, **window},
        started_ms=now_ms,
        progress=Progress(low=first - 1, read=first - 1),
    )


def fresh_name(destination: str, taken: Container[str]) -> str:
    """The destination's name and the lowest number that is free."""
    return next(name for number in range(1, 1 << 30) if (name := f"{destination}#{number}") not in taken)


def _holds(log: Log, first: int, until: int, received_ms: range) -> bool:
    """Whether the log has an event of that time; ends at the first."""
    after = first - 1
    while after < until:
        try:
            blocks = log.read(after)
        except DamagedBlock as damage:
            after = damage.last_sequence
            continue
        if not blocks:
            return False
        if any(record.received_ms in received_ms for block in blocks for record in block.records):
            return True
        after = blocks[-1].last_sequence
    return False
