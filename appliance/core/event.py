"""An event: as the log keeps it (`Record`), as a refusal keeps it (`Refused`), as a plug-in sees it (`Event`)."""

from collections.abc import Callable
from typing import Any

import msgspec

# Repair flags of a record: what ingest found and the way out must know.
MESSAGE_ID_SET = 1
"""The client sent no usable messageId (missing, blank, untrimmed, not a string): ours stands in the record."""
REPAIRED = 2
"""The body was read by the second, slower parser (NaN, lone surrogates); `raw` is the repaired text."""
TYPE_SET = 4
"""The route decided the type; the client's own `type` differs or is missing."""


class Record(msgspec.Struct, array_like=True, gc=False):
    """One event as it stands in the log: the client's bytes and a header of our own.

    `sequence` is 0 until the writer commits it. Ids are "" where the client sent none; numbers have become
    strings, invisible Unicode is stripped. `raw` is one JSON object, exactly as sent unless REPAIRED.
    """

    sequence: int
    source: str
    received_ms: int
    client: str
    type: str
    anonymous_id: str
    user_id: str
    message_id: str
    sent_at: str
    """`sentAt` of the batch or the `SentAt` header; "" where the event may carry its own."""
    flags: int
    raw: bytes


class Refused(msgspec.Struct, array_like=True):
    """Input that never became an event, with its bytes and the reason."""

    source: str
    """Source name, or "" when the credential was not known."""
    received_ms: int
    client: str
    reason: str
    body: bytes


class Event:
    """One event on its way to a destination; what plug-ins receive. Treat it as read-only.

    `json` is the client's own bytes with the enrichment spliced in; it is built on first use and then kept.
    """

    __slots__ = (
        "_build",
        "_json",
        "anonymous_id",
        "message_id",
        "part",
        "person_id",
        "received_ms",
        "replayed",
        "sequence",
        "source",
        "type",
        "user_id",
    )

    def __init__(
        self,
        *,
        sequence: int,
        part: int,
        source: str,
        type: str,
        message_id: str,
        anonymous_id: str,
        user_id: str,
        person_id: str,
        received_ms: int,
        json: bytes | None = None,
        build: Callable[[], bytes] | None = None,
        replayed: bool = False,
    ) -> None:
        assert json is not None or build is not None
        self.sequence, self.part, self.source, self.type = sequence, part, source, type
        self.message_id, self.anonymous_id, self.user_id = message_id, anonymous_id, user_id
        self.person_id, self.received_ms, self.replayed = person_id, received_ms, replayed
        self._json, self._build = json, build

    @property
    def json(self) -> bytes:
        """UTF-8 JSON object: as the client sent it, enriched."""
        if self._json is None:
            assert self._build is not None
            self._json, self._build = self._build(), None
        return self._json

    def as_dict(self) -> dict[str, Any]:
        """The event decoded anew at every call; a convenience, `json` is cheaper."""
        decoded: dict[str, Any] = msgspec.json.decode(self.json)
        return decoded


class _Named(msgspec.Struct):
    """What an event calls itself."""

    event: Any = None
    name: Any = None


_NAMED = msgspec.json.Decoder(_Named)


def event_name(payload: bytes) -> str:
    """The event's `event`, else its `name`, as text; "" where it has none, or is no JSON object."""
    try:
        named = _NAMED.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    return str(named.event or named.name or "")


class _Packed(msgspec.Struct, array_like=True):
    """An `Event` in msgpack, as held queues and dead letters keep it: the transformed JSON and its header."""

    sequence: int
    part: int
    source: str
    type: str
    message_id: str
    anonymous_id: str
    user_id: str
    person_id: str
    received_ms: int
    json: bytes
    replayed: bool


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_Packed)


def pack_event(event: Event) -> bytes:
    """The event as bytes; `unpack_event` gives it back."""
    return _ENCODER.encode(
        _Packed(
            event.sequence,
            event.part,
            event.source,
            event.type,
            event.message_id,
            event.anonymous_id,
            event.user_id,
            event.person_id,
            event.received_ms,
            event.json,
            event.replayed,
        )
    )


def unpack_event(packed: bytes) -> Event:
    """The event that `pack_event` was given.

    Raises:
        msgspec.DecodeError: `packed` is not such bytes.
    """
    header = _DECODER.decode(packed)
    return Event(
        sequence=header.sequence,
        part=header.part,
        source=header.source,
        type=header.type,
        message_id=header.message_id,
        anonymous_id=header.anonymous_id,
        user_id=header.user_id,
        person_id=header.person_id,
        received_ms=header.received_ms,
        json=header.json,
        replayed=header.replayed,
    )
