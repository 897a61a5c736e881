"""The bodies that the admin API takes and gives, around the views: one struct per route, so that all are described."""

from typing import Annotated, Any, Literal

import msgspec

from appliance.control.audit import Entry
from appliance.control.destination_views import DestinationView
from appliance.control.views import DeadView, HeldView, ReplayView, SourceView
from appliance.deliver.outcome import Result

Number = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]

# What comes in -------------------------------------------------------------------------------------------------


class Expecting(msgspec.Struct, kw_only=True):
    """What a destructive action expects to find; where it finds another number, nothing is done."""

    expect: int | None = None
    """Required; left out, the answer says the number."""


class DeadAction(Expecting, kw_only=True):
    """Which dead letters: by id, or by a filter."""

    query: str = ""
    ids: list[Number] = []


class EditAction(Expecting, kw_only=True):
    """An event in place of a dead letter's original."""

    event: msgspec.Raw
    """A JSON object with the same messageId and the same person."""


class ReplayOrder(msgspec.Struct):
    """What to deliver again."""

    destination: str
    from_ms: Number
    """Received at this time or later; wall time."""
    to_ms: Number
    """Received before this time."""
    type: str = ""
    event: str = ""
    """Name of the event; `*` stands for anything."""
    user: str = ""
    """userId or anonymousId."""


# What goes out -------------------------------------------------------------------------------------------------


class Mishap(msgspec.Struct):
    """Why a request was not done."""

    code: str
    """One word for programs: invalid, unauthorized, forbidden, not_found, changed, refused, key_reused, ..."""
    message: str
    """What happened, and what was kept."""
    next: str = ""
    """What to do about it."""


class Failed(msgspec.Struct, omit_defaults=True):
    """Every error."""

    error: Mishap


class WhoAmI(msgspec.Struct):
    """What the token that asks may do."""

    name: str
    role: str
    payloads: bool
    version: str
    appliance: str


class Ready(msgspec.Struct):
    """Whether an event sent now would reach every destination."""

    ready: bool
    waiting_for: list[str]


class Sources(msgspec.Struct):
    sources: list[SourceView]


class SourceKey(msgspec.Struct):
    name: str
    write_key: str


class RotatedKey(msgspec.Struct):
    """A new write key."""

    name: str
    write_key: str
    old_valid_until_ms: int
    """The former key is accepted until then."""


class SourceDone(msgspec.Struct):
    source: str
    done: str


class Destinations(msgspec.Struct):
    """A page of destinations, in the order of the configuration, parked ones last."""

    destinations: list[DestinationView]
    after: str
    """Where the next page begins; "" at the end."""
    total: int


class SettingView(msgspec.Struct, kw_only=True):
    """One key of the configuration."""

    key: str
    """As it would stand in the file: `destinations.crm.url`."""
    value: Any
    """In force now; a secret is ***."""
    default: Any
    """null where there is none."""
    doc: str
    origin: Literal["file", "default", "generated"]
    file: str
    """Where it stands; "" where it stands nowhere."""
    line: int
    """0: it stands nowhere."""
    restart: bool
    """Whether a change takes effect at the next start only."""


class DestinationDetail(DestinationView, kw_only=True):
    """A destination with its configuration."""

    config: list[SettingView]


class DestinationDone(msgspec.Struct):
    destination: str
    done: str


class Tested(msgspec.Struct):
    destination: str
    result: Result


class Forgotten(msgspec.Struct):
    destination: str
    forgotten: int
    """Held events that went with it."""


class Drained(msgspec.Struct):
    destination: str
    hastened: int
    """People who are tried now."""


class WarehouseReloaded(msgspec.Struct):
    destination: str
    first_sequence: int
    last_sequence: int
    lost: int
    """Sequences before the first that the warehouse lacks as well, and the log does not hold any more."""


class Held(msgspec.Struct):
    """A page of the people who wait at a destination, the longest waiting first."""

    people: int
    held: list[HeldView]
    after: str
    """Where the next page begins; "" at the end."""


class HeldJobView(msgspec.Struct, kw_only=True):
    """One event that waits."""

    sequence: int
    part: int
    attempts: int
    next_try_ms: int
    first_failed_ms: int
    error: str
    message_id: str
    type: str
    event: str
    bytes: int
    payload: msgspec.Raw
    """As it will be delivered; null without the right to see payloads."""


class HeldJobs(msgspec.Struct):
    """What waits of one person, in order."""

    person: str
    jobs: list[HeldJobView]


class Replays(msgspec.Struct):
    replays: list[ReplayView]


class ReplaySize(msgspec.Struct):
    """What a replay of a range would be about."""

    events_max: int
    """At most so many events; gaps and other times at its ends count."""


class ReplayStarted(msgspec.Struct):
    replay: str
    events_max: int


class ReplayCancelled(msgspec.Struct):
    replay: str
    cancelled: bool


class DeadPage(msgspec.Struct):
    dead: list[DeadView]
    """With `full=1` each holds what one asked for alone holds."""
    after: int
    """Where the next page begins; 0 at the end."""


class DeadCount(msgspec.Struct):
    """What an action on these dead letters would be about."""

    count: int
    people: int
    destinations: int
    oldest_ms: int
    """Burial of the oldest; 0 where there is none."""


class DeadDone(msgspec.Struct):
    done: str
    count: int


class RefusedView(msgspec.Struct, kw_only=True):
    """Input that never became an event."""

    id: int
    received_ms: int
    source: str
    client: str
    reason: str
    bytes: int
    body: str
    """Its beginning; "" without the right to see payloads."""


class RefusedPage(msgspec.Struct):
    refused: list[RefusedView]
    after: int
    """Where the next page begins; 0 at the end."""


class RecordView(msgspec.Struct, kw_only=True):
    """An event of the log."""

    sequence: int
    received_ms: int
    source: str
    type: str
    event: str
    message_id: str
    user_id: str
    anonymous_id: str
    client: str
    sent_at: str
    flags: int
    payload: msgspec.Raw
    """null without the right to see payloads."""


class Settings(msgspec.Struct, kw_only=True):
    """The configuration in force."""

    file: str
    """"" where it runs without one."""
    settings: list[SettingView]


class Change(msgspec.Struct, kw_only=True):
    """One key that a re-load would change."""

    key: str
    running: Any
    file: Any
    restart: bool


class FaultView(msgspec.Struct, kw_only=True):
    """Why a re-load would be refused."""

    line: int
    key: str
    message: str
    hint: str


class ConfigDiff(msgspec.Struct, kw_only=True):
    file: str
    changes: list[Change]
    faults: list[FaultView]


class Reloaded(msgspec.Struct):
    changes: list[str]


class LogLine(msgspec.Struct, kw_only=True):
    id: int
    when_ms: int
    level: str
    logger: str
    event: str
    fields: dict[str, Any]


class LogLines(msgspec.Struct):
    logs: list[LogLine]
    after: int
    """Ask for what comes after this."""


class AuditPage(msgspec.Struct):
    """A page of the audit trail, newest first."""

    audit: list[Entry]
    before: str
    """Where the next, older page begins; "" at the end."""


def without_sample(result: Result) -> Result:
    """A result for those who may not see payloads."""
    return msgspec.structs.replace(result, sample="")
