"""What the admin API says: wire structs, and how they are made of the parts' own.

Times ending in `_ms` are wall time (milliseconds since 1970) unless they are called an age.
"""

import json
import re
from typing import Any

import msgspec

from appliance.control.destination_views import DestinationView, wall_ms
from appliance.control.ports import SourceStatus
from appliance.core.event import Event, Record, event_name, unpack_event
from appliance.wal.types import DeadLetter, HeldHead, HeldJob, LogStats, ReplayCursor

NOTHING = msgspec.Raw(b"null")
"""In place of a payload that may not be seen."""
_RECORD = msgspec.msgpack.Decoder(Record)
_CODE = re.compile(r"\b(?:HTTP |status )([1-5]\d\d)\b")


class SourceView(msgspec.Struct, kw_only=True):
    """A source; counts are since the start of the process."""

    name: str
    enabled: bool
    state: str
    """running, paused (by an operator: 503, clients keep their events) or disabled (404)."""
    accepted_per_s: float
    """Events, over the last 10 s."""
    refused_5m: int
    """Events refused in the last five minutes."""
    requests_total: int
    accepted_total: int
    duplicates_total: int
    refused_total: int
    repaired_total: int
    last_received_ms: int


class HeldView(msgspec.Struct, kw_only=True):
    """One person who waits at a destination."""

    person: str
    sequence: int
    part: int
    attempts: int
    next_try_ms: int
    first_failed_ms: int
    error: str
    events: int
    bytes: int


class ReplayView(msgspec.Struct, kw_only=True):
    name: str
    destination: str
    sequence_low: int
    sequence_until: int
    events_left: int
    """At most; gaps count."""
    delivered: int
    criteria: dict[str, str]


class DeadView(msgspec.Struct, kw_only=True):
    """A dead letter as a line of a list."""

    id: int
    destination: str
    person: str
    sequence: int
    part: int
    stage: str
    reason: str
    kind: str
    code: int | None
    attempts: int
    buried_ms: int
    source: str
    type: str
    event: str
    message_id: str
    user_id: str
    anonymous_id: str
    received_ms: int


class DeadDetail(DeadView, kw_only=True):
    """A dead letter with all that is kept of it."""

    first_failed_ms: int
    sample: str
    """What was sent and what came back; "" without the right to see payloads."""
    payload: msgspec.Raw
    """As it was delivered; the original where it never came so far. null without the right to see payloads."""
    original: msgspec.Raw
    """As the client sent it; null without the right to see payloads."""


class RefusedReload(msgspec.Struct, frozen=True):
    """A re-load that was refused: what runs is not what stands in the file."""

    when_ms: int
    """Wall time."""
    file: str
    faults: list[str]
    """FILE:LINE: KEY: what is wrong, each; all of them."""


class Overview(msgspec.Struct, kw_only=True):
    """Is data coming in, is it safe, is it leaving, what is ill."""

    appliance: str
    """Name of the machine."""
    role: str
    """Of the token that asks."""
    version: str
    pid: int
    started_ms: int
    now_ms: int
    config_file: str
    data: str
    collect_url: str
    health: str
    """well, degraded or failed."""
    sick: list[str]
    refused_reload: RefusedReload | None
    """The last re-load, where it was refused; null after one that was not."""
    sources: list[SourceView]
    log: LogStats
    dead_total: int
    """Dead letters kept now."""
    refused_total: int
    """Refused input kept now."""
    destinations: list[DestinationView]
    replays: list[ReplayView]


def wire(value: Any) -> bytes:
    """JSON of structs; ids with lone surrogates, which UTF-8 cannot carry, go out as escapes."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value, enc_hook=_unraw), default=_unraw).encode()


def source_view(status: SourceStatus) -> SourceView:
    """A source's figures."""
    state = "disabled" if not status.enabled else "paused" if status.paused else "running"
    names = set(SourceView.__struct_fields__) - {"state"}
    return SourceView(state=state, **{name: getattr(status, name) for name in names})


def held_view(head: HeldHead, skew_ms: int) -> HeldView:
    """A held lane; `skew_ms` is wall time minus log time."""
    return HeldView(
        person=head.lane,
        sequence=head.sequence,
        part=head.part,
        attempts=head.attempts,
        next_try_ms=wall_ms(head.next_try_ms, skew_ms),
        first_failed_ms=wall_ms(head.first_failed_ms, skew_ms),
        error=head.error,
        events=head.count,
        bytes=head.bytes,
    )


def replay_view(name: str, cursor: ReplayCursor) -> ReplayView:
    """A replay under way."""
    return ReplayView(
        name=name,
        destination=cursor.destination,
        sequence_low=cursor.low,
        sequence_until=cursor.until,
        events_left=max(0, cursor.until - cursor.low),
        delivered=cursor.delivered,
        criteria=cursor.criteria,
    )


def dead_view(letter: DeadLetter) -> DeadView:
    """A dead letter without its payload."""
    return DeadView(**_dead_fields(letter))


def dead_detail(letter: DeadLetter, skew_ms: int, payloads: bool) -> DeadDetail:
    """A dead letter with its payload, where that may be seen; `skew_ms` is wall time minus log time."""
    original = original_of(letter)
    event = transformed_of(letter)
    raw = original.raw if original else b""
    return DeadDetail(
        **_dead_fields(letter),
        first_failed_ms=wall_ms(letter.first_failed_ms, skew_ms),
        sample=letter.sample if payloads else "",
        payload=raw_json(event.json if event else raw) if payloads else NOTHING,
        original=raw_json(raw) if payloads else NOTHING,
    )


def original_of(letter: DeadLetter) -> Record | None:
    """The event as it was collected; None where the letter does not hold it."""
    try:
        return _RECORD.decode(letter.record) if letter.record else None
    except msgspec.DecodeError:
        return None


def transformed_of(letter: DeadLetter) -> Event | None:
    """The event as it was delivered; None where it never came so far."""
    try:
        return unpack_event(letter.event) if letter.event else None
    except msgspec.DecodeError:
        return None


def event_of_held(job: HeldJob) -> str:
    """The messageId of a held job; "" where it cannot be read."""
    try:
        return unpack_event(job.event).message_id
    except msgspec.DecodeError:
        return ""


def code_of(reason: str) -> int | None:
    """The HTTP status that a reason names."""
    found = _CODE.search(reason)
    return int(found[1]) if found else None


def raw_json(payload: bytes) -> msgspec.Raw:
    """JSON to put into JSON as it is, on one line; what is none becomes a string."""
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
        payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.Raw(msgspec.json.encode(payload.decode("utf-8", "replace")))
    # Line breaks inside of strings are escaped, so those that are left are layout.
    return msgspec.Raw(payload.replace(b"\r", b" ").replace(b"\n", b" ").strip())


def record_view(record: Record, payloads: bool = True) -> dict[str, Any]:
    """An event of the log, with its bytes where those may be seen."""
    return {
        "sequence": record.sequence,
        "received_ms": record.received_ms,
        "source": record.source,
        "type": record.type,
        "event": event_name(record.raw),
        "message_id": record.message_id,
        "user_id": record.user_id,
        "anonymous_id": record.anonymous_id,
        "client": record.client,
        "sent_at": record.sent_at,
        "flags": record.flags,
        "payload": raw_json(record.raw) if payloads else NOTHING,
    }


def _dead_fields(letter: DeadLetter) -> dict[str, Any]:
    of = original_of(letter) or transformed_of(letter)
    payload = of.raw if isinstance(of, Record) else of.json if of else b""
    return {
        "id": letter.id,
        "destination": letter.destination,
        "person": letter.lane,
        "sequence": letter.sequence,
        "part": letter.part,
        "stage": letter.stage,
        "reason": letter.reason,
        "kind": letter.kind,
        "code": code_of(letter.reason) or code_of(letter.kind),
        "attempts": letter.attempts,
        "buried_ms": letter.buried_ms,
        "source": of.source if of else "",
        "type": of.type if of else "",
        "event": event_name(payload),
        "message_id": of.message_id if of else "",
        "user_id": of.user_id if of else "",
        "anonymous_id": of.anonymous_id if of else "",
        "received_ms": of.received_ms if of else 0,
    }


def _unraw(value: Any) -> Any:
    return json.loads(bytes(value)) if isinstance(value, msgspec.Raw) else str(value)
