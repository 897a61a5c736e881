"""Splices what the appliance knows of an event into the client's own bytes; not one other byte changes.

A pure function on the way out, so that ingest never re-encodes. Keys that the client sent keep their place, new ones
are appended.
"""

import re
from datetime import UTC, datetime, timedelta

import msgspec

from appliance.core.event import MESSAGE_ID_SET, Record

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
# From the end of one member's value to the start of the next one's: `, "key" : `.
_NAME = re.compile(rb'[\s,{]*+"((?:[^"\\]++|\\.)*+)"\s*+:\s*+', re.DOTALL)
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)


class _Context(msgspec.Struct):
    """What is looked at in `context`."""

    ip: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_CONTEXT = msgspec.json.Decoder(_Context)


def enrich(record: Record, person_id: str) -> bytes:
    """The event as destinations get it: the client's bytes with these keys set.

    Always: `receivedAt`, `request_ip`, `rudderId` (the person), `timestamp` (the client's as UTC with milliseconds, or
    where it sent none that can be read `receivedAt - (sentAt - originalTimestamp)`).
    Where they differ from what the log knows: `type`, `messageId`. Where they are missing or null: `sentAt` (the
    batch's, else `receivedAt`), `originalTimestamp` (`receivedAt`), `context.ip`.
    A key that stands twice at the top level stands once in the result, with its last value.

    Args:
        record: from the log; `raw` is one JSON object.
        person_id: the person's id at the event's own position.

    Raises:
        msgspec.DecodeError: `raw` is no JSON object.

    Source: contract/http.md, What becomes of an event.
    """
    members = _MEMBERS.decode(record.raw)
    received = _format(record.received_ms)
    new = {
        "receivedAt": b'"%b"' % received,
        "request_ip": _quoted(record.client),
        "rudderId": _quoted(person_id),
    }
    type_ = _quoted(record.type)
    if bytes(members.get("type", b"")) != type_:
        new["type"] = type_
    if record.flags & MESSAGE_ID_SET:
        new["messageId"] = _quoted(record.message_id)
    _set_times(record, members, received, new)
    context = _context(members.get("context"), record.client)
    if context is not None:
        new["context"] = context
    return _splice(record.raw, members, new)


def _set_times(record: Record, members: dict[str, msgspec.Raw], received: bytes, new: dict[str, bytes]) -> None:
    sent, original = _text(members.get("sentAt")), _text(members.get("originalTimestamp"))
    if sent is None:
        new["sentAt"] = _quoted(record.sent_at) if record.sent_at else b'"%b"' % received
        sent = record.sent_at
    if original is None:
        new["originalTimestamp"] = b'"%b"' % received
    given = _text(members.get("timestamp")) or ""
    if _INSTANT.fullmatch(given) and _moment(given):
        return
    moment = _moment(given)
    if moment is None:
        sent_at, began_at = _moment(sent), _moment(original or "")
        received_at = _EPOCH + timedelta(milliseconds=record.received_ms)
        moment = _before(received_at, (sent_at or received_at) - (began_at or received_at))
    new["timestamp"] = b'"%b"' % _instant(moment)


def _text(value: msgspec.Raw | None) -> str | None:
    """A member's text: None where it is missing or null, "" where it is no string."""
    if value is None or bytes(value) == b"null":
        return None
    text = msgspec.json.decode(value)
    return text if isinstance(text, str) else ""


def _moment(text: str) -> datetime | None:
    """A client's time; without an offset it is UTC. None where it cannot be read."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _before(received_at: datetime, age: timedelta) -> datetime:
    try:
        return received_at - age
    except OverflowError:
        return received_at


def _instant(moment: datetime) -> bytes:
    """RFC 3339, milliseconds, UTC."""
    return moment.isoformat(timespec="milliseconds")[:-6].encode() + b"Z"


def _format(time_ms: int) -> bytes:
    return _instant(_EPOCH + timedelta(milliseconds=time_ms))


def _quoted(text: str) -> bytes:
    return msgspec.json.encode(text)


def _context(context: msgspec.Raw | None, client: str) -> bytes | None:
    """`context` with the client's address; None where it has one, or is of no shape to have one."""
    raw = b"" if context is None else bytes(context)
    if raw in (b"", b"null"):
        return b'{"ip":%b}' % _quoted(client)
    if raw[0] != ord("{") or _CONTEXT.decode(raw).ip is not msgspec.UNSET:
        return None
    rest = raw[:-1].rstrip()
    return b'%b%b"ip":%b}' % (rest, b"" if rest == b"{" else b",", _quoted(client))


def _splice(raw: bytes, members: dict[str, msgspec.Raw], new: dict[str, bytes]) -> bytes:
    """`raw` with the values in `new` put in place, or appended in their order where the key is not there yet."""
    parts: list[bytes] = []
    copied = at = 0
    for key, value in members.items():
        name = _NAME.match(raw, at)
        if name is None or not _names(name[1], key) or not raw.startswith(value, name.end()):
            return _joined(members, new)
        at = name.end() + len(value)
        if key in new:
            parts += (raw[copied : name.end()], new[key])
            copied = at
    if raw[at:].strip() not in (b"}", b"{}"):
        return _joined(members, new)
    parts.append(raw[copied:at] if members else b"{")
    added = b",".join([b'"%b":%b' % (key.encode(), value) for key, value in new.items() if key not in members])
    return b"%b%b%b}" % (b"".join(parts), b"," if added and members else b"", added)


def _names(literal: bytes, key: str) -> bool:
    if b"\\" in literal:
        return bool(msgspec.json.decode(b'"%b"' % literal) == key)
    return literal == key.encode()


def _joined(members: dict[str, msgspec.Raw], new: dict[str, bytes]) -> bytes:
    """The object put together from its members: a key stood twice, so its bytes cannot be kept as they are."""
    values = {key: bytes(value) for key, value in members.items()} | new
    return b"{%b}" % b",".join([b"%b:%b" % (_quoted(key), value) for key, value in values.items()])
