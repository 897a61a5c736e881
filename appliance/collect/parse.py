"""From the bytes of a body to events and refusals; pure, and never raises.

An event is never decoded as a whole: a batch is cut into the bytes of its events, and of each only the header fields
are read. What is no strict JSON, or would take long, gets None here and goes to the second parser, `repair.py`.

Source: contract/http.md, Answers and What becomes of an event.
"""

import uuid
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from appliance.core import json_text
from appliance.core.event import MESSAGE_ID_SET, REPAIRED, TYPE_SET, Record
from appliance.core.id_text import clean_id, id_of, text_of

TYPES = {name: name for name in ("identify", "track", "page", "screen", "group", "alias", "merge")}
REFUSALS_KEPT_MAX = 1_000
"""So many refused events of one body keep their bytes; the others are only counted."""
EVENTS_MAX = 50_000
"""A batch of more is refused whole: a packet of a few KB could hold millions of them, each with its own cost."""
SENT_AT_CHARACTERS_MAX = 64
COMMAS_MAX = 400_000
"""A body with more may hold so many tiny elements that a list of them all would cost 100 MB."""
SCAN_BYTES_MAX = 16 * 1024
"""A larger event that may be nested too deeply goes to the second parser: finding out takes long on an event loop."""


class Refusal(NamedTuple):
    """Why something did not become an event."""

    status: int
    words: str
    """The answer's body, as in the contract."""
    detail: str = ""
    """For the operator."""

    @property
    def reason(self) -> str:
        """As the refused store keeps it."""
        return f"{self.words}: {self.detail}" if self.detail else self.words


INVALID_JSON = Refusal(400, "invalid json")
TOO_DEEP = INVALID_JSON._replace(detail="nested too deeply")
INVALID_EVENT = Refusal(400, "event is not a valid rudder event")
UNKNOWN_TYPE = INVALID_EVENT._replace(detail=f"its type is none of {', '.join(TYPES)}")
NO_ID = Refusal(400, "request neither has anonymousId nor userId")
EMPTY_BATCH = Refusal(400, "empty batch payload")
TOO_LARGE = Refusal(413, "request size exceeds max limit")
TOO_MANY = TOO_LARGE._replace(detail=f"more than {EVENTS_MAX} events in one batch")


class Envelope(NamedTuple):
    """What the server knows of a request before it reads the body."""

    source: str
    received_ms: int
    client: str
    """The client's address."""
    sent_at: str = ""
    """The `SentAt` header; a batch's own `sentAt` wins over it."""

    def sent(self, at: str) -> "Envelope":
        """The same with this time, where it can be one; every record of the batch will carry it, so it is short."""
        return self._replace(sent_at=at) if 0 < len(at) <= SENT_AT_CHARACTERS_MAX else self


class Limits(NamedTuple):
    """What one event may be."""

    event_bytes_max: int
    depth_max: int


class Parsed(NamedTuple):
    """All that stood in a body, in order."""

    records: list[Record]
    refused: list[tuple[Refusal, bytes]]
    """What did not become an event, with its bytes; the first REFUSALS_KEPT_MAX."""
    refused_count: int
    """How many did not, all counted."""
    repaired_count: int = 0
    """How many records carry REPAIRED."""
    is_whole: bool = False
    """The body as a whole is refused, so the client is told. Bad events in a batch are only kept."""


class _Head(msgspec.Struct, rename="camel", gc=False):
    """The fields of an event that the log needs, in the form nearly all clients send."""

    type: str | None = None
    message_id: str | None = None
    anonymous_id: str | None = None
    user_id: str | None = None


class _PlainHead(msgspec.Struct, rename="camel", gc=False):
    """The same fields of an event that needs nothing done."""

    type: Literal["identify", "track", "page", "screen", "group", "alias", "merge"]
    message_id: str
    anonymous_id: str | None = None
    user_id: str | None = None


class _AnyHead(msgspec.Struct, rename="camel", gc=False):
    """The same fields, whatever they are."""

    type: msgspec.Raw = msgspec.Raw()
    message_id: msgspec.Raw = msgspec.Raw()
    anonymous_id: msgspec.Raw = msgspec.Raw()
    user_id: msgspec.Raw = msgspec.Raw()


class _Batch(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw] | None = None
    sent_at: msgspec.Raw = msgspec.Raw()


class _Outer(msgspec.Struct, rename="camel"):
    batch: msgspec.Raw = msgspec.Raw()
    write_key: msgspec.Raw = msgspec.Raw()


_HEAD, _ANY_HEAD = msgspec.json.Decoder(_Head), msgspec.json.Decoder(_AnyHead)
_PLAIN_HEAD = msgspec.json.Decoder(_PlainHead)
_BATCH, _OUTER = msgspec.json.Decoder(_Batch), msgspec.json.Decoder(_Outer)
_VALUE = msgspec.json.Decoder(msgspec.Raw)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def parse_event(body: bytes, type: str, envelope: Envelope, limits: Limits) -> Parsed | None:
    """One event on a route that says its type; None where the second parser has to look at it."""
    body = body.strip(b" \t\r\n")
    if not body:
        return refused(INVALID_JSON._replace(detail="the body is empty"), body)
    if _is_heavy(body, limits) or not is_strict(body):
        return None
    return take_one(body, 0, type, envelope, limits)


def parse_batch(body: bytes, envelope: Envelope, limits: Limits) -> Parsed | None:
    """A body `{"batch": [...]}`, each event with a type of its own; None where the second parser has to look at it."""
    if len(body) > COMMAS_MAX and body.count(b",") > COMMAS_MAX:
        return None
    try:
        if not body.isascii():
            body.decode()
        batch = _BATCH.decode(body)
    except msgspec.ValidationError:
        return _misshapen(body)
    except _UNREADABLE:
        return None if body.strip(b" \t\r\n") else refused(INVALID_JSON._replace(detail="the body is empty"), body)
    if not batch.batch:
        return refused(EMPTY_BATCH, body)
    if len(batch.batch) > EVENTS_MAX:
        return refused(TOO_MANY, body)
    envelope = envelope.sent(text_of(bytes(batch.sent_at)))
    raws = list(map(bytes, batch.batch))
    if max(map(len, raws)) > SCAN_BYTES_MAX and any(_is_heavy(raw, limits) for raw in raws):
        return None
    parsed = _take_plain(raws, envelope, limits) if _is_plain(body) else None
    return parsed or take([(raw, 0) for raw in raws], envelope, limits)


def refused(refusal: Refusal, body: bytes) -> Parsed:
    """The whole body is refused."""
    return Parsed([], [(refusal, body)], 1, is_whole=True)


def is_strict(body: bytes) -> bool:
    """Whether it is one JSON value in valid UTF-8, without lone surrogates, that a recursive decoder can read."""
    try:
        if not body.isascii():
            body.decode()
        _VALUE.decode(body)
    except _UNREADABLE:
        return False
    return True


def take_one(raw: bytes, flags: int, type: str, envelope: Envelope, limits: Limits) -> Parsed:
    """Make a record of the only event of a body; arguments as for `take`, and the route's type."""
    made = _record(raw, flags, type, envelope, limits)
    return Parsed([made], [], 0, int(bool(flags & REPAIRED))) if isinstance(made, Record) else refused(made, raw)


def take(events: Iterable[tuple[bytes, int]], envelope: Envelope, limits: Limits) -> Parsed:
    """Make records of a batch's events, each of which says its own type.

    Args:
        events: each one strict JSON value without space around it (or nested too deeply for a decoder), with flags for
            its record.

    Raises:
        ValueError: by `events` itself.
    """
    records: list[Record] = []
    refusals: list[tuple[Refusal, bytes]] = []
    refused_count = repaired_count = 0
    for raw, flags in events:
        made = _record(raw, flags, "", envelope, limits)
        if isinstance(made, Record):
            records.append(made)
            repaired_count += flags == REPAIRED
            continue
        refused_count += 1
        if len(refusals) < REFUSALS_KEPT_MAX:
            refusals.append((made, raw))
    return Parsed(records, refusals, refused_count, repaired_count)


def write_key(body: bytes) -> str:
    """The `writeKey` that a body carries, beside the batch or on its first event; "" where it carries none."""
    try:
        if not body.isascii():
            body.decode()
        outer = _OUTER.decode(body)
        if not outer.write_key and outer.batch:
            outer = _OUTER.decode(next(json_text.elements(bytes(outer.batch)), b"{}"))
        return text_of(bytes(outer.write_key))
    except (*_UNREADABLE, ValueError):
        return ""


def _opens(raw: bytes) -> int:
    """How many brackets may open: it is nested no deeper than that."""
    if len(raw) > SCAN_BYTES_MAX:
        return raw.count(b"{") + raw.count(b"[")
    # Where few are found, leaving them out takes half the time of counting them (until Python 3.13).
    return len(raw) - len(raw.replace(b"{", b"")) + (len(raw) - len(raw.replace(b"[", b"")) if b"[" in raw else 0)


def _is_heavy(raw: bytes, limits: Limits) -> bool:
    return len(raw) > SCAN_BYTES_MAX and _opens(raw) > limits.depth_max


def _is_plain(body: bytes) -> bool:
    """Whether all text in it is printable ASCII without escapes, so that ids need no more than a trim."""
    return body.isascii() and b"\\" not in body and b"\x7f" not in body


def _take_plain(raws: list[bytes], envelope: Envelope, limits: Limits) -> Parsed | None:
    """As `take` for a plain body, at three quarters of the cost; None where an event has anything odd about it."""
    source, received_ms, client, sent_at = envelope
    event_bytes_max, depth_max = limits
    records: list[Record] = []
    try:
        heads = list(map(_PLAIN_HEAD.decode, raws))
    except msgspec.DecodeError:
        return None
    for raw, head in zip(raws, heads, strict=True):
        message_id, anonymous_id, user_id = head.message_id, head.anonymous_id, head.user_id
        anonymous_id = anonymous_id.strip() if anonymous_id else ""
        user_id = user_id.strip() if user_id else ""
        if (
            _opens(raw) > depth_max or len(raw) > event_bytes_max or not (anonymous_id or user_id)
            or not message_id or message_id.strip() != message_id
        ):  # fmt: skip
            return None
        records.append(
            Record(0, source, received_ms, client, head.type, anonymous_id, user_id, message_id, sent_at, 0, raw)
        )
    return Parsed(records, [], 0)


def _record(raw: bytes, flags: int, type: str, envelope: Envelope, limits: Limits) -> Record | Refusal:
    """The hot path of everything: written for few attribute look-ups and calls."""
    event_bytes_max, depth_max = limits
    if len(raw) > event_bytes_max:
        return TOO_LARGE._replace(detail=f"an event of {len(raw)} bytes")
    if _opens(raw) > depth_max and json_text.nested_deeper(raw, depth_max):
        return TOO_DEEP
    try:
        head = _HEAD.decode(raw)
    except msgspec.DecodeError:
        if raw[:1] != b"{":
            return INVALID_EVENT._replace(detail="it is no object")
        head, odd = _odd_head(raw)
        flags |= odd
    if not type:
        type = TYPES.get(head.type or "", "")
        if not type:
            return UNKNOWN_TYPE
    elif head.type != type:
        flags |= TYPE_SET
    anonymous_id, user_id, message_id = head.anonymous_id, head.user_id, head.message_id
    anonymous_id = clean_id(anonymous_id) if anonymous_id else ""
    user_id = clean_id(user_id) if user_id else ""
    if not anonymous_id and not user_id:
        return NO_ID
    trimmed = message_id.strip() if message_id else ""
    if trimmed != message_id or not trimmed:
        flags |= MESSAGE_ID_SET
        trimmed = trimmed or str(uuid.uuid4())
    source, received_ms, client, sent_at = envelope
    return Record(0, source, received_ms, client, type, anonymous_id, user_id, trimmed, sent_at, flags, raw)


def _odd_head(raw: bytes) -> tuple[_Head, int]:
    """The header of an event with fields of other types, and a flag where its messageId is one of them.

    Numbers become text, anything else counts as absent.
    """
    head = _ANY_HEAD.decode(raw)
    message_id = bytes(head.message_id)
    ids = (id_of(message_id), id_of(bytes(head.anonymous_id)), id_of(bytes(head.user_id)))
    return _Head(text_of(bytes(head.type)), *ids), 0 if message_id[:1] == b'"' else MESSAGE_ID_SET


def _misshapen(body: bytes) -> Parsed | None:
    """A body that is no object with a list of events; None where it is no strict JSON at all."""
    if not is_strict(body):
        return None
    try:
        batch = bytes(_OUTER.decode(body).batch)
    except msgspec.DecodeError:
        return refused(INVALID_EVENT._replace(detail="the body is no object"), body)
    return refused(EMPTY_BATCH._replace(detail=f"batch is no list but begins with {batch[:1].decode()}"), body)
