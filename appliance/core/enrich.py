"""What the server adds to an event on its way out, spliced into the client's own bytes.

Set always: `receivedAt`, `request_ip`, `rudderId` (where a person is known), `timestamp` as RFC 3339 with milliseconds
in UTC. Set where missing: `type`, `messageId`, `originalTimestamp`, `sentAt`, `context.ip`. Everything else keeps its
bytes: no number, key order or escape changes. New keys stand at the end of their object.

Source: contract/http.md, What becomes of an event.
"""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

from appliance.core import json_text
from appliance.core.event import MESSAGE_ID_SET, TYPE_SET, Record

_NONE = msgspec.Raw()
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_ESCAPED_ASCII = re.compile(rb"\\u00[4-7]")
_COLON = re.compile(rb"[ \t\r\n]*:[ \t\r\n]*")
_Change = tuple[bytes, bytes, msgspec.Raw]
"""Key, its new value, what the client sent there (empty: nothing)."""


class _Top(msgspec.Struct, gc=False):
    """The keys that may be set, as the client sent them, under the wire's names."""

    type: msgspec.Raw = _NONE
    messageId: msgspec.Raw = _NONE  # noqa: N815
    receivedAt: msgspec.Raw = _NONE  # noqa: N815
    request_ip: msgspec.Raw = _NONE
    rudderId: msgspec.Raw = _NONE  # noqa: N815
    timestamp: msgspec.Raw = _NONE
    originalTimestamp: msgspec.Raw = _NONE  # noqa: N815
    sentAt: msgspec.Raw = _NONE  # noqa: N815
    context: msgspec.Raw = _NONE


class _Context(msgspec.Struct, gc=False):
    ip: msgspec.Raw = _NONE
    sternpost: msgspec.Raw = _NONE


_TOP, _CONTEXT = msgspec.json.Decoder(_Top), msgspec.json.Decoder(_Context)
_TEXT = msgspec.json.Decoder(str)
_ENCODE = msgspec.json.Encoder().encode


def enrich(record: Record, person_id: str, *, from_graph: bool = False) -> bytes:
    """The event as destinations see it.

    Args:
        record: as the log keeps it; `raw` is one valid JSON object.
        person_id: becomes `rudderId`; "" sets none.
        from_graph: the identity graph knows the person, so it also becomes `context.sternpost.personId`.

    Raises:
        msgspec.DecodeError: `raw` is no JSON object.
    """
    top = _TOP.decode(record.raw)
    changes = _times(record, top)
    if record.flags & TYPE_SET:
        changes.append((b"type", _ENCODE(record.type), top.type))
    if record.flags & MESSAGE_ID_SET:
        changes.append((b"messageId", _ENCODE(record.message_id), top.messageId))
    if record.client:
        changes.append((b"request_ip", _ENCODE(record.client), top.request_ip))
    if person_id:
        changes.append((b"rudderId", _ENCODE(person_id), top.rudderId))
    context = _context(bytes(top.context), record.client, person_id if from_graph else "")
    if context is not None:
        changes.append((b"context", context, top.context))
    return _splice(record.raw, changes)


def event_ms(record: Record) -> int:
    """The event's own time, as `timestamp` will say it; the received time where it cannot be told."""
    try:
        top = _TOP.decode(record.raw)
        sent_ms = _parse(top.sentAt)
        sent_ms = _parse_text(record.sent_at) if sent_ms is None and _is_missing(top.sentAt) else sent_ms
        return _given_ms(record, top, _parse(top.originalTimestamp), sent_ms)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return record.received_ms


def _times(record: Record, top: _Top) -> list[_Change]:
    received = _instant(record.received_ms)
    original_ms, sent_ms = _parse(top.originalTimestamp), _parse(top.sentAt)
    changes = [(b"receivedAt", received, top.receivedAt)]
    if original_ms is None and _is_missing(top.originalTimestamp):
        changes.append((b"originalTimestamp", received, top.originalTimestamp))
    if sent_ms is None and _is_missing(top.sentAt):
        sent_ms = _parse_text(record.sent_at)
        changes.append((b"sentAt", received if sent_ms is None else _ENCODE(record.sent_at), top.sentAt))
    if _is_instant(bytes(top.timestamp)):
        return changes
    given_ms = _given_ms(record, top, original_ms, sent_ms)
    try:
        changes.append((b"timestamp", _instant(given_ms), top.timestamp))
    except OverflowError:  # beyond the years 1 to 9999
        changes.append((b"timestamp", received, top.timestamp))
    return changes


def _given_ms(record: Record, top: _Top, original_ms: int | None, sent_ms: int | None) -> int:
    """When it happened: as the client says, else by how long ago the client says it was when it was sent."""
    given_ms = _parse(top.timestamp)
    if given_ms is not None:
        return given_ms
    sent_ms = record.received_ms if sent_ms is None else sent_ms
    return record.received_ms - (sent_ms - (record.received_ms if original_ms is None else original_ms))


def _is_missing(value: msgspec.Raw) -> bool:
    return not value or bytes(value) == b"null"


def _instant(ms: int) -> bytes:
    """RFC 3339 with milliseconds, UTC, as JSON."""
    seconds, rest_ms = divmod(ms, 1000)
    return b'"%s.%03dZ"' % (_second(seconds), rest_ms)


@lru_cache(maxsize=256)
def _second(seconds: int) -> bytes:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()[:19].encode()


def _is_instant(value: bytes) -> bool:
    """Whether a JSON value is what `_instant` would make of it."""
    if len(value) != 26 or value[11:12] != b"T" or value[20:21] != b"." or value[24:] != b'Z"':
        return False
    return _parse_text(value[1:-1].decode()) is not None


def _parse(value: msgspec.Raw) -> int | None:
    """Milliseconds since 1970 of an ISO 8601 time in a JSON string; None where it is none."""
    text = bytes(value)
    if text[:1] != b'"':
        return None
    return _parse_text(_TEXT.decode(text) if b"\\" in text else text[1:-1].decode())


def _parse_text(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MILLISECOND


def _context(given: bytes, ip: str, person_id: str) -> bytes | None:
    """The context with `ip` where it had none, and the person; None where it stays as it is."""
    if not given or given == b"null":
        given, known = b"{}", _Context()
    elif given[:1] == b"{":
        known = _CONTEXT.decode(given)
    else:  # no object, so nothing can stand in it
        return None
    additions: list[_Change] = []
    if ip and not known.ip:
        additions.append((b"ip", _ENCODE(ip), known.ip))
    if person_id:
        additions.append((b"sternpost", b'{"personId":%s}' % _ENCODE(person_id), known.sternpost))
    return _splice(given, additions) if additions else None


def _splice(text: bytes, changes: list[_Change]) -> bytes:
    """The object with these keys set: in their old places where they stood, else at the end."""
    cuts, added = [], []
    for key, value, old in changes:
        if not old:
            added.append(b'"%s":%s' % (key, value))
            continue
        start = _find(text, key, bytes(old))
        if start is None:
            return _rebuild(text, {key: value for key, value, _ in changes})
        cuts.append((start, start + len(old), value))
    parts: list[bytes] = []
    at, end = 0, text.rindex(b"}")
    for start, stop, value in sorted(cuts):
        parts += (text[at:start], value)
        at = stop
    parts.append(text[at:end])
    if added:
        parts += (b"" if text[:end].rstrip().endswith(b"{") else b",", b",".join(added))
    parts.append(text[end:])
    return b"".join(parts)


def _find(text: bytes, key: bytes, value: bytes) -> int | None:
    """Where the value of a top-level key begins; None where that cannot be told at a glance.

    A key that stands in the text only once, as a key and before this very value, is the top-level one, unless letters
    of keys are written as escapes.
    """
    quoted = b'"%s"' % key
    at = text.find(quoted)
    if at < 0 or text.find(quoted, at + 1) >= 0 or (b"\\u00" in text and _ESCAPED_ASCII.search(text)):
        return None
    colon = _COLON.match(text, at + len(quoted))
    return colon.end() if colon and text.startswith(value, colon.end()) else None


def _rebuild(text: bytes, values: dict[bytes, bytes]) -> bytes:
    """As `_splice`, member by member; a set key that stands there twice is kept once."""
    parts, left = [], dict(values)
    for written, value in json_text.members(text):
        key = _TEXT.decode(written).encode()
        if key not in values:
            parts.append(b"%s:%s" % (written, value))
        elif key in left:
            parts.append(b"%s:%s" % (written, left.pop(key)))
    parts += [b'"%s":%s' % (key, value) for key, value in left.items()]
    return b"{%s}" % b",".join(parts)
