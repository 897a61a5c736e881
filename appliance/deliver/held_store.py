"""What comes back from the held store: the lanes at a start, and their jobs when their turn comes."""

from collections.abc import Callable, Iterable

from appliance.core.event import unpack_event
from appliance.deliver.lane import Job
from appliance.deliver.queues import Queues
from appliance.wal.log import HeldJob, Log

LOAD_JOBS = 100
"""Jobs of one lane taken at once."""


def restore(queues: Queues, log: Log, key: str, current: Callable[[str], str]) -> None:
    """Take over what a former process left held under `key`.

    Args:
        current: the lane that takes a lane's events where the cursor stands. The store need not know that they are
            one: a dead letter may have been requeued into a lane long after its person was joined into another.
    """
    heads = log.held_heads(key)
    queues.restore([(head.lane, head.count, head.next_try_ms) for head in heads], log.joined(key))
    for head in heads:
        if (winner := current(head.lane)) != head.lane:
            queues.joined(head.lane, winner)


def stored_jobs(log: Log, key: str, members: Iterable[str]) -> list[Job]:
    """The first jobs of a lane with these members, in order.

    Raises:
        msgspec.DecodeError: the event of one is damaged.
    """
    rows = [row for member in members for row in log.held_jobs(key, member, LOAD_JOBS)]
    rows.sort(key=lambda row: (row.sequence, row.part))
    return [_job(row) for row in rows[:LOAD_JOBS]]


def _job(row: HeldJob) -> Job:
    event = unpack_event(row.event)
    return Job(
        row.lane,
        row.sequence,
        row.part,
        event,
        len(event.json),
        stored=True,
        attempts=row.attempts,
        first_failed_ms=row.first_failed_ms,
        error=row.error,
    )
