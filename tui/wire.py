"""What the admin API says, as the console reads it: missing fields take defaults, unknown ones are passed over.

Times ending in `_ms` are wall time (milliseconds since 1970) unless they are called an age.
"""

from typing import Any

import msgspec

from tui.wire_people import Group as Group
from tui.wire_people import Id as Id
from tui.wire_people import Link as Link
from tui.wire_people import Member as Member
from tui.wire_people import Merge as Merge
from tui.wire_people import Parting as Parting
from tui.wire_people import PersonDetail as PersonDetail
from tui.wire_records import AuditEntry as AuditEntry
from tui.wire_records import AuditPage as AuditPage
from tui.wire_records import Change as Change
from tui.wire_records import Diff as Diff
from tui.wire_records import Fault as Fault
from tui.wire_records import LogLine as LogLine
from tui.wire_records import LogLines as LogLines
from tui.wire_records import Setting as Setting
from tui.wire_records import Settings as Settings

NOTHING = msgspec.Raw(b"null")


class Whoami(msgspec.Struct):
    """Whose token this is, and what it may do."""

    name: str = ""
    role: str = "admin"
    payloads: bool = True
    version: str = ""
    appliance: str = ""


class Source(msgspec.Struct):
    name: str
    enabled: bool = True
    state: str = ""
    requests_total: int = 0
    accepted_total: int = 0
    duplicates_total: int = 0
    refused_total: int = 0
    repaired_total: int = 0
    last_received_ms: int = 0
    accepted_per_s: float | None = None
    refused_5m: int | None = None

    @property
    def standing(self) -> str:
        return self.state or ("running" if self.enabled else "disabled")


class ErrorKind(msgspec.Struct):
    """Errors of a destination with the same words."""

    reason: str = ""
    count: int = 0
    last_ms: int = 0
    sample: str = ""


class Breaker(msgspec.Struct, frozen=True):
    state: str = "closed"
    cause: str = ""
    opened_ms: int = 0
    next_probe_ms: int = 0


class Destination(msgspec.Struct):
    name: str
    plugin: str = ""
    kind: str = "destination"
    state: str = ""
    enabled: bool = True
    sequence_low: int = 0
    lag_events: int = 0
    oldest_undelivered_age_ms: int = 0
    held_people: int = 0
    held_events: int = 0
    in_flight: int = 0
    delivered_total: int = 0
    failed_total: int = 0
    aborted_total: int = 0
    filtered_total: int = 0
    delivered_per_s: float | None = None
    failed_5m: int | None = None
    latency_p50_ms: float = 0.0
    latency_p95_ms: float = 0.0
    last_error: str = ""
    last_error_ms: int = 0
    last_error_sample: str = ""
    breaker: Breaker = Breaker()
    errors: list[ErrorKind] = []
    sources: list[str] = []
    config: list[Setting] = []
    hung: int = 0
    next_step: str = ""

    @property
    def queued(self) -> int:
        """Events that have yet to arrive: behind the cursor, and held."""
        return self.lag_events + self.held_events


class Destinations(msgspec.Struct):
    destinations: list[Destination] = []
    after: str = ""
    total: int | None = None


class Held(msgspec.Struct):
    """One person who waits at a destination."""

    person: str = ""
    sequence: int = 0
    part: int = 0
    attempts: int = 0
    next_try_ms: int = 0
    first_failed_ms: int = 0
    error: str = ""
    events: int = 0
    bytes: int = 0


class HeldPage(msgspec.Struct):
    people: int = 0
    held: list[Held] = []
    after: str | int = ""


class Replay(msgspec.Struct):
    name: str
    destination: str = ""
    sequence_low: int = 0
    sequence_until: int = 0
    events_left: int = 0
    delivered: int = 0
    criteria: dict[str, str] = {}


class Replays(msgspec.Struct):
    replays: list[Replay] = []


class ReplayStarted(msgspec.Struct):
    replay: str = ""
    events_max: int = 0


class Pile(msgspec.Struct, frozen=True):
    """Things kept beside the log: how many, how large."""

    count: int = 0
    bytes: int = 0
    bytes_max: int = 0


class LogStats(msgspec.Struct, frozen=True):
    """The write-ahead log's figures."""

    log_id: str = ""
    state: str = "running"
    fill: float = 0.0
    bytes: int = 0
    bytes_max: int = 0
    file_bytes: int = 0
    first_sequence: int = 0
    last_sequence: int = 0
    oldest_ms: int = 0
    """Age of the oldest block kept."""
    blocks: int = 0
    block_bytes: int = 0
    retention_s: float = 0.0
    dedup_ids: int = 0
    held: Pile = Pile()
    dead: Pile = Pile()
    refused: Pile = Pile()
    events_total: int = 0
    event_bytes_total: int = 0
    stored_bytes_total: int = 0
    duplicates_total: int = 0
    commits_total: int = 0
    commit_p50_ms: float = 0.0
    commit_p99_ms: float = 0.0
    queue_bytes: int = 0
    queue_bytes_max: int = 0
    dead_evicted_total: int = 0
    refused_evicted_total: int = 0
    events_dropped_total: int = 0
    ballast: bool = True
    quarantined: str = ""
    full_in_s: float | None = None


class RefusedReload(msgspec.Struct, frozen=True):
    """What runs is not what stands in the file."""

    when_ms: int = 0
    file: str = ""
    faults: list[str] = []


class Overview(msgspec.Struct):
    """Is data coming in, is it safe, is it leaving, what is ill."""

    version: str = ""
    started_ms: int = 0
    now_ms: int = 0
    config_file: str = ""
    data: str = ""
    collect_url: str = ""
    health: str = "well"
    sick: list[str] = []
    sources: list[Source] = []
    log: LogStats = LogStats()
    destinations: list[Destination] = []
    replays: list[Replay] = []
    appliance: str = ""
    role: str = ""
    dead_total: int | None = None
    refused_total: int | None = None
    refused_reload: RefusedReload | None = None


class Dead(msgspec.Struct):
    """A dead letter; payloads stay away where the token has no right to them."""

    id: int
    destination: str = ""
    person: str = ""
    sequence: int = 0
    part: int = 0
    stage: str = ""
    reason: str = ""
    kind: str = ""
    code: int | None = None
    attempts: int = 0
    buried_ms: int = 0
    source: str = ""
    type: str = ""
    event: str = ""
    message_id: str = ""
    user_id: str = ""
    anonymous_id: str = ""
    received_ms: int = 0
    first_failed_ms: int = 0
    sample: str = ""
    payload: msgspec.Raw = NOTHING
    original: msgspec.Raw = NOTHING


class DeadPage(msgspec.Struct):
    dead: list[Dead] = []
    after: int = 0


class DeadCount(msgspec.Struct):
    """What an action on dead letters would be about."""

    count: int = 0
    people: int = 0
    destinations: int = 0
    oldest_ms: int = 0


class Done(msgspec.Struct):
    """What an action answers with."""

    count: int = 0
    done: str | int | bool = ""
    hastened: int = 0
    forgotten: int = 0
    changes: list[str] = []
    write_key: str = ""
    old_valid_until_ms: int = 0
    result: dict[str, Any] = {}


class Event(msgspec.Struct):
    """An event of the tail, of a person or of a trace; the last fields only where it was delivered."""

    sequence: int = 0
    received_ms: int = 0
    source: str = ""
    type: str = ""
    event: str = ""
    message_id: str = ""
    user_id: str = ""
    anonymous_id: str = ""
    client: str = ""
    payload: msgspec.Raw = NOTHING
    part: int = 0
    destination: str | list[str] = ""
    state: str = ""
    reason: str = ""
    attempts: int = 0
    took_ms: float = 0.0
    replayed: bool = False
    sample: str = ""

    @property
    def person(self) -> str:
        return self.user_id or self.anonymous_id


class Sampled(msgspec.Struct):
    """What a tail left out: `missed` says events, `sampled` says one in how many."""

    events: int = 0
    one_in: int = 0
    events_left_out: int = 0


class Queue(msgspec.Struct):
    """Where one person stands at one destination."""

    destination: str = ""
    state: str = ""
    events: int = 0
    head: Held | None = None


class Person(msgspec.Struct):
    """Somebody who was found; `ids_total` is 0 where there is no person graph."""

    person: str = ""
    ids: dict[str, list[str]] = {}
    ids_total: int = 0
    queues: list[Queue] = []
    events: list[Event] = []


class People(msgspec.Struct):
    people: list[Person] = []
    scanned_events: int = 0
    complete: bool = True


class Standing(msgspec.Struct):
    """Where an event stands at one destination."""

    destination: str = ""
    state: str = ""
    words: str = ""
    attempts: int = 0
    next_try_ms: int = 0
    dead_id: int = 0
    sample: str = ""


class Traced(msgspec.Struct):
    event: Event = msgspec.field(default_factory=Event)
    collected: str = ""
    destinations: list[Standing] = []


class Trace(msgspec.Struct):
    """Everything that is known of a messageId."""

    message_id: str = ""
    events: list[Traced] = []
    refused: list[dict[str, Any]] = []


class Refusal(msgspec.Struct):
    """Why the API did not do it."""

    code: str = ""
    message: str = ""
    next: str = ""


class Refused(msgspec.Struct):
    error: Refusal = msgspec.field(default_factory=Refusal)


def raw(text: str) -> msgspec.Raw:
    """JSON as somebody wrote it, to be sent as it is.

    Raises:
        msgspec.DecodeError: it is none.
    """
    encoded = text.encode()
    msgspec.json.decode(encoded)
    return msgspec.Raw(encoded)
