"""What goes in and out of the write-ahead log: events in blocks, cursors, held jobs, dead letters, figures.

Times ending in `_ms` are on the log clock (`Log.log_now_ms`), except `received_ms`, which is wall time for people.
"""

from typing import NamedTuple

import msgspec

from appliance.core.errors import DamagedRecord
from appliance.core.event import Record, Refused


class Appended(NamedTuple):
    """Outcome of one append, known only once it is on disk."""

    accepted: int
    duplicates: int


class Block(msgspec.Struct, gc=False):
    """Events of one commit. Shared between threads through a cache: treat it and its records as read-only."""

    first_sequence: int
    last_sequence: int
    """At least the last record's sequence; gaps are legal."""
    records: list[Record]
    """Ascending by sequence."""


class DamagedBlock(DamagedRecord):
    """A block cannot be read; `first_sequence` to `last_sequence` is the range that is missing with it."""

    def __init__(self, reason: str, first_sequence: int, last_sequence: int) -> None:
        super().__init__(reason)
        self.first_sequence, self.last_sequence = first_sequence, last_sequence


class Progress(msgspec.Struct, array_like=True):
    """How far one destination is: every event up to `low` is settled, and further ones in `ranges`."""

    low: int = 0
    ranges: list[tuple[int, int]] = []
    """Settled above `low`: (first, last), both inclusive, ascending, not touching."""
    parts: dict[int, list[int]] = {}
    """Settled parts of events that are not settled as a whole."""
    read: int = 0
    """Highest sequence taken from the log."""
    misconfigured: str = ""
    """Why everybody is refused alike, while that is so: a restart must not have to find out at the cost of letters."""
    start: int = -1
    """Where it began: every event up to here was there before it; -1 where that was not noted yet."""


class HeldJob(msgspec.Struct, array_like=True):
    """A job that waits its turn behind a failed one, or is the failed one (the head of its lane)."""

    destination: str
    lane: str
    sequence: int
    part: int
    attempts: int
    next_try_ms: int
    first_failed_ms: int
    """0: has not failed yet."""
    held_ms: int
    error: str
    event: bytes
    """Packed by `core.event.pack_event`: as transformed."""
    replay: str = ""
    """Name of the replay that brought it; "" for live events."""


class HeldHead(msgspec.Struct, array_like=True):
    """The first job of a held lane, without its payload, and the size of the lane."""

    lane: str
    sequence: int
    part: int
    attempts: int
    next_try_ms: int
    first_failed_ms: int
    error: str
    count: int
    bytes: int


class DeadLetter(msgspec.Struct, array_like=True):
    """A job that was given up, with all that is needed to understand it and to try again."""

    id: int
    """0 until buried."""
    destination: str
    lane: str
    sequence: int
    part: int
    stage: str
    """deliver, process or load."""
    reason: str
    kind: str
    sample: str
    """What the other side answered, at most 4 KiB."""
    attempts: int
    first_failed_ms: int
    buried_ms: int
    """Wall time; 0: set when buried."""
    event: bytes
    """As `HeldJob.event`; empty where processing failed."""
    record: bytes
    """The original `Record`, msgpack."""


class DeadFilter(msgspec.Struct, frozen=True):
    """Which dead letters; an empty field matches all."""

    destination: str = ""
    lane: str = ""
    stage: str = ""
    kind: str = ""
    reason: str = ""
    """Part of the reason."""


class RefusedInput(msgspec.Struct, array_like=True):
    """Refused input as it stands in the store."""

    id: int
    refused: Refused


class ReplayCursor(msgspec.Struct, array_like=True):
    """A second reader of one destination; while it exists, nothing above `low` is trimmed."""

    destination: str
    low: int
    """Every event up to here is done."""
    until: int
    """Last sequence of the replay."""
    criteria: dict[str, str] = {}
    """What is replayed, in the words of the command (from, to, type, event, user)."""
    started_ms: int = 0
    delivered: int = 0
    progress: Progress | None = None
    """Finer position, where the reader keeps one."""


class Skip(msgspec.Struct, array_like=True):
    """A range that a destination did not wait for, its backlog being full, or could not read."""

    destination: str
    first_sequence: int
    last_sequence: int
    skipped_ms: int
    reason: str = ""


class Backlog(NamedTuple):
    """What lies before a destination."""

    events: int
    """Exact between blocks; within one, gaps count as settled."""
    bytes: int
    """Stored (compressed) bytes."""
    age_ms: int
    """Of the oldest block with something to read; 0 when there is none."""


class Found(NamedTuple):
    """Where an event stands in the log."""

    sequence: int
    record: Record


class Audit(msgspec.Struct, frozen=True):
    """The log dropped something, to stay within a budget or since it pinned events; an operator must see it."""

    action: str
    """dead_evicted, refused_evicted, events_dropped, quarantined, ballast_released, ballast_restored, replay_ended."""
    count: int
    bytes: int
    detail: str


class Pile(msgspec.Struct, frozen=True):
    """Size of one table and its budget; `bytes` are those it takes on disk."""

    count: int
    bytes: int
    bytes_max: int


class LogStats(msgspec.Struct, frozen=True, kw_only=True):
    """The log's figures, as status and metrics show them."""

    log_id: str
    state: str
    """running, full (budget), disk_full or failed."""
    fill: float
    """Share of the disk budget in use, 0 to 1."""
    bytes: int
    """In use, of `bytes_max`."""
    bytes_max: int
    file_bytes: int
    """Size of the file; LMDB reuses pages and never shrinks it."""
    first_sequence: int
    """0 when empty."""
    last_sequence: int
    oldest_ms: int
    """Age of the oldest block kept."""
    blocks: int
    block_bytes: int
    retention_s: float
    dedup_ids: int
    held: Pile
    dead: Pile
    refused: Pile
    events_total: int
    """Committed by this process."""
    event_bytes_total: int
    stored_bytes_total: int
    """Bytes of the blocks that they became."""
    duplicates_total: int
    commits_total: int
    commit_p50_ms: float
    commit_p99_ms: float
    queue_bytes: int
    """Accepted into memory, not yet on disk."""
    queue_bytes_max: int
    dead_evicted_total: int
    refused_evicted_total: int
    events_dropped_total: int
    """Dropped undelivered, by `on_full = "drop_oldest"`."""
    ballast: bool
    """Whether the ballast file is in place."""
    quarantined: str
    """Folder of a damaged store set aside, "" when there is none."""
    full_in_s: float | None
    """Estimate from the last hour's growth; None when it does not grow."""
