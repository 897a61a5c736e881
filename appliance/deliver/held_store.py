"""What comes back from the held store: lanes, to the people of whom they are now; their jobs when their turn comes."""

from collections import deque
from collections.abc import Iterable

import msgspec

from appliance.core.event import unpack_event
from appliance.deliver.cursor import Cursor
from appliance.deliver.lane import Job
from appliance.deliver.ports import Pipeline
from appliance.deliver.queues import Queues
from appliance.wal.log import HeldJob, Log

LOAD_JOBS = 100
"""Jobs of one lane taken at once."""
STEP_LOOKS = 200
"""Lanes and jobs looked at before others have a turn."""


class Restored:
    """Held lanes that are to be joined to whoever takes their events now. Until that is done, nothing may go out.

    The store calls a lane as its person was called when the first of its events was held. Since then they may have
    been joined to another (a dead letter may even be requeued into a lane long after that), and the graph knows of it
    only once it has come to where the destination is: after a quarantine or a power cut it reads that part of the log
    again. And people may have been called otherwise altogether, by a graph that was lost, or without one; then whose
    events they are stands in the events alone.
    """

    def __init__(self, queues: Queues, log: Log, key: str, pipeline: Pipeline, cursor: Cursor) -> None:
        self._queues, self._log, self._key = queues, log, key
        self._pipeline, self._cursor = pipeline, cursor
        heads = log.held_heads(key)
        queues.restore([(head.lane, head.count, head.next_try_ms) for head in heads], log.joined(key))
        self._lanes = deque(head.lane for head in heads)
        self._after = (0, -1)
        """Position of the last job that was looked at in the first of the lanes."""

    @property
    def waiting(self) -> bool:
        """Whether there are lanes of which it is not known whose they are."""
        return bool(self._lanes)

    @property
    def ready(self) -> bool:
        """Whether the graph has come to where the destination was; there is a wake when it has."""
        return self._pipeline.reach >= min(self._cursor.taken, self._log.last_sequence)

    def again(self, lanes: Iterable[str]) -> None:
        """Jobs were put into these lanes from outside."""
        self._lanes += lanes

    def go_on(self) -> None:
        """Join some more of them, where it is `ready`."""
        looks = 0
        while self._lanes and looks < STEP_LOOKS and self.ready:
            looks += self._look_at(self._lanes[0])

    def _look_at(self, lane: str) -> int:
        """All of a lane that is called as people are now, else some more of its jobs; returns how much that was."""
        if self._pipeline.knows(lane):
            winner = self._pipeline.current(lane, self._cursor.read)
            if winner != lane:
                self._queues.joined(lane, winner)
            self._lanes.popleft()
            return 1
        rows = self._log.held_jobs(self._key, lane, LOAD_JOBS, self._after)
        for row in rows:
            self._await(lane, row)
        if len(rows) == LOAD_JOBS:
            self._after = rows[-1].sequence, rows[-1].part
        else:
            self._lanes.popleft()
            self._after = (0, -1)
        return 1 + len(rows)

    def _await(self, lane: str, row: HeldJob) -> None:
        """Whoever has the ids of this event waits until the lane is empty; it may hold events of several people."""
        try:
            event = unpack_event(row.event)
        except msgspec.DecodeError:
            return  # Whoever delivers it says so.
        for name in self._pipeline.lanes_of(event, self._cursor.read):
            self._queues.split(name, lane)


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
