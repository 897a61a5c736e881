"""Bytes of a request to records for the log, or to refusals with their reason. Pure: no I/O, no clock.

The quick road of every request: one msgspec pass over the body, one over the head of each event. Where it cannot read
a body it says so with None, and `repair` takes over.
"""

import math
import re
import unicodedata
import uuid
from typing import NamedTuple

import msgspec

from appliance.core import json_text
from appliance.core.event import MESSAGE_ID_SET, TYPE_SET, Record

TYPES = frozenset({"identify", "track", "page", "screen", "group", "alias", "merge"})
REFUSALS_KEPT_MAX = 1_000
"""So many bad events of one body are kept; further ones are counted."""
NUMBER_CHARACTERS_MAX = 1_000
"""A number of more characters is no id."""


class Refusal(NamedTuple):
    """Why a body or an event is not taken."""

    status: int
    words: str
    """What the client is told; people search for it."""
    detail: str = ""
    """What the operator is told beside it."""

    @property
    def reason(self) -> str:
        """Words and detail in one line."""
        return f"{self.words}: {self.detail}" if self.detail else self.words


INVALID_JSON = Refusal(400, "invalid json")
TOO_DEEP = Refusal(400, "invalid json", "nested too deeply")
INVALID_EVENT = Refusal(400, "event is not a valid rudder event")
NO_ID = Refusal(400, "request neither has anonymousId nor userId")
EMPTY_BATCH = Refusal(400, "empty batch payload")
TOO_LARGE = Refusal(413, "request size exceeds max limit", "one event is too large")


class Envelope(NamedTuple):
    """What a request says of all its events."""

    source: str
    received_ms: int
    client: str
    sent_at: str = ""
    """The `SentAt` header; a batch's own `sentAt` wins over it."""


class Limits(NamedTuple):
    """What one event may be."""

    event_bytes_max: int
    depth_max: int


class Parsed(NamedTuple):
    """What became of a body."""

    records: list[Record]
    refused: list[tuple[Refusal, bytes]]
    """Bad events (or the whole body) and their bytes, the first REFUSALS_KEPT_MAX."""
    refused_count: int
    repaired_count: int
    is_whole: bool = False
    """The body as a whole is refused: the client is told. Bad events beside or without good ones are only kept."""


class _Head(msgspec.Struct, rename="camel", gc=False):
    type: str | None = None
    message_id: str | None = None
    anonymous_id: str | None = None
    user_id: str | None = None


class _Batch(msgspec.Struct, rename="camel", gc=False):
    batch: list[msgspec.Raw] | None = None
    sent_at: str | None = None


class _Key(msgspec.Struct, rename="camel", gc=False):
    write_key: str = ""


_HEAD, _BATCH, _KEY = msgspec.json.Decoder(_Head), msgspec.json.Decoder(_Batch), msgspec.json.Decoder(_Key)
_MEMBERS, _ANY = msgspec.json.Decoder(dict[str, msgspec.Raw]), msgspec.json.Decoder(msgspec.Raw)
_EVENTS = msgspec.json.Decoder(list[msgspec.Raw] | None)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# A backslash with what belongs to it: a pair of surrogates, a lone one (group 1), anything else.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_FILLERS = dict.fromkeys(map(ord, "\u034f\u115f\u1160\u17b4\u17b5\u2028\u2029\u2800\u3164\uffa0"))


def parse_event(body: bytes, type: str, envelope: Envelope, limits: Limits) -> Parsed | None:
    """The body of a single-event route; None where the quick parser cannot read it.

    Args:
        type: the route's; it wins over the event's own.
    """
    body = body.strip(b" \t\r\n")
    if not body:
        return refused(INVALID_JSON._replace(detail="the body is empty"), body)
    if not _is_text(body):
        return None
    try:
        made = make_record(body, type, envelope, limits, 0)
    except (msgspec.DecodeError, RecursionError):
        return None
    return refused(made, body) if isinstance(made, Refusal) else Parsed([made], [], 0, 0)


def parse_batch(body: bytes, envelope: Envelope, limits: Limits) -> Parsed | None:
    """The body of a batch route, event by event; None where the quick parser cannot read it."""
    if not _is_text(body):
        return None
    try:
        outer = _outer(body)
    except (msgspec.DecodeError, RecursionError):
        return None if body.strip() else refused(INVALID_JSON._replace(detail="the body is empty"), b"")
    if isinstance(outer, Refusal):
        return refused(outer, body)
    if outer.sent_at:
        envelope = envelope._replace(sent_at=outer.sent_at)
    records: list[Record] = []
    refusals: list[tuple[Refusal, bytes]] = []
    refused_count = 0
    for event in outer.batch or ():
        raw = bytes(event)
        made = make_record(raw, "", envelope, limits, 0)
        if isinstance(made, Record):
            records.append(made)
            continue
        refused_count += 1
        if len(refusals) < REFUSALS_KEPT_MAX:
            refusals.append((made, raw))
    return Parsed(records, refusals, refused_count, 0)


def refused(refusal: Refusal, body: bytes) -> Parsed:
    """The whole body is refused."""
    return Parsed([], [(refusal, body)], 1, 0, is_whole=True)


def write_key(body: bytes) -> str:
    """`writeKey` at the top level of a body; "" where it has none."""
    try:
        return _KEY.decode(body).write_key
    except (msgspec.DecodeError, RecursionError):
        return ""


def is_strict(raw: bytes) -> bool:
    """Whether this is JSON as everybody understands it: UTF-8, no NaN, no lone surrogate, not hundreds deep."""
    if not _is_text(raw):
        return False
    try:
        _ANY.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def text_of(value: bytes) -> str:
    """The text of a JSON string; "" for any other value."""
    return msgspec.json.decode(value, type=str) if value.startswith(b'"') else ""


def make_record(raw: bytes, type: str, envelope: Envelope, limits: Limits, flags: int) -> Record | Refusal:
    """One event.

    Args:
        raw: JSON; all of it has been read by a decoder before, or is now.
        type: the route's, or "" where the event's own counts.
        flags: set on the record beside what is found here.

    Raises:
        msgspec.DecodeError, RecursionError: `raw` is no JSON.
    """
    if raw.count(b"{") + raw.count(b"[") > limits.depth_max and json_text.nested_deeper(raw, limits.depth_max):
        return TOO_DEEP
    try:
        head = _HEAD.decode(raw)
    except msgspec.ValidationError:
        odd = _odd_head(raw)
        if odd is None:
            return INVALID_EVENT._replace(detail="not an object")
        head, flags = odd[0], flags | odd[1]
    if len(raw) > limits.event_bytes_max:
        return TOO_LARGE
    if not type:
        if head.type not in TYPES:
            return INVALID_EVENT._replace(detail="its type is none of " + ", ".join(sorted(TYPES)))
        type = head.type
    elif head.type != type:
        flags |= TYPE_SET
    anonymous_id = _clean(head.anonymous_id) if head.anonymous_id else ""
    user_id = _clean(head.user_id) if head.user_id else ""
    if not anonymous_id and not user_id:
        return NO_ID
    message_id = head.message_id.strip() if head.message_id else ""
    if not message_id:
        message_id = str(uuid.uuid4())
    if message_id != head.message_id:
        flags |= MESSAGE_ID_SET
    return Record(
        0, envelope.source, envelope.received_ms, envelope.client, type, anonymous_id, user_id, message_id,
        envelope.sent_at, flags, raw,
    )


def _is_text(body: bytes) -> bool:
    """UTF-8 without lone surrogates."""
    try:
        str(body, "utf-8")
    except UnicodeDecodeError:
        return False
    if b"\\" not in body or _SURROGATE.search(body) is None:
        return True
    return not any(escape[1] for escape in _ESCAPE.finditer(body))


def _outer(body: bytes) -> _Batch | Refusal:
    try:
        outer = _BATCH.decode(body)
    except msgspec.ValidationError:
        try:
            members = _MEMBERS.decode(body)
        except msgspec.ValidationError:
            return INVALID_EVENT._replace(detail="not an object")
        try:
            batch = _EVENTS.decode(members.get("batch", b"null"))
        except msgspec.ValidationError:
            return INVALID_EVENT._replace(detail="batch is no array")
        outer = _Batch(batch, text_of(bytes(members.get("sentAt", b""))))
    return outer if outer.batch else EMPTY_BATCH


def _odd_head(raw: bytes) -> tuple[_Head, int] | None:
    """The head of an event whose ids or type are no strings, and what that says of its messageId.

    Numbers become strings, anything else counts as missing.
    """
    try:
        members = _MEMBERS.decode(raw)
    except msgspec.ValidationError:
        return None
    type = text_of(bytes(members.get("type", b"")))
    message_id = bytes(members.get("messageId", b""))
    head = _Head(type or None, *(_id(bytes(members.get(key, b""))) for key in ("messageId", "anonymousId", "userId")))
    return head, 0 if message_id.startswith(b'"') else MESSAGE_ID_SET


def _id(value: bytes) -> str:
    """An id as text: 7.0 is "7" as in JavaScript; a number that no float holds keeps its digits."""
    if value[:1] not in b"-0123456789":
        return text_of(value)
    if len(value) > NUMBER_CHARACTERS_MAX or not value:
        return ""
    text = value.decode()
    if text.lstrip("-").isdigit():
        return text
    number = float(text)
    if not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number)


def _clean(text: str) -> str:
    """An id without invisible Unicode, trimmed."""
    if text.isascii() and text.isprintable():
        return text.strip()
    text = text.translate(_FILLERS)
    return "".join([c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Zl", "Zp", "Cs")]).strip()
