"""What identified people say of themselves, kept by id for whoever looks for people who may be one.

Of every trait the newest value stays, by the id that the event was attributed to; a person's are those of all their
ids. Nothing in the graph follows from them.
"""

from typing import Any

import msgspec

from appliance.core.event import Record
from appliance.identity.store import Store
from appliance.identity.traits import traits_of

REMEMBERED_MAX = 10_000
"""Ids whose newest traits are remembered, so that saying them again writes nothing."""


class _Context(msgspec.Struct, gc=False):
    traits: msgspec.Raw = msgspec.Raw()


class _Identified(msgspec.Struct, gc=False):
    traits: msgspec.Raw = msgspec.Raw()
    context: msgspec.Raw = msgspec.Raw()


_IDENTIFIED, _CONTEXT = msgspec.json.Decoder(_Identified), msgspec.json.Decoder(_Context)
_ENCODE = msgspec.json.Encoder(order="sorted").encode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class KeptTraits:
    """Belongs to the graph's thread: `take` during a batch, `flush` at its end."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: dict[int, dict[str, str]] = {}
        self._said: dict[int, bytes] = {}

    def take(self, id: int, record: Record) -> None:
        """Remember what an `identify` says, by the number of the id it is attributed to; 0: it has none."""
        found = said(record.raw) if id else {}
        if not found:
            return
        text = _ENCODE(found)
        if self._said.get(id) != text:
            self._said[id] = text
            self._pending[id] = {**self._pending.get(id, {}), **found}

    def flush(self) -> None:
        """Write what was taken."""
        if self._pending:
            self._store.insert(
                "INSERT INTO traits",
                "ON CONFLICT (id) DO UPDATE SET traits = json_patch(traits.traits, excluded.traits)",
                2,
                [(id, _ENCODE(found).decode()) for id, found in self._pending.items()],
            )
            self._pending = {}
        if len(self._said) > REMEMBERED_MAX:
            self._said.clear()


def said(raw: bytes) -> dict[str, str]:
    """The traits of an event, those of its own before those of its context; empty where they cannot be read."""
    if b'"traits"' not in raw:
        return {}
    try:
        identified = _IDENTIFIED.decode(raw)
        context = _CONTEXT.decode(identified.context) if bytes(identified.context)[:1] == b"{" else _Context()
    except _UNREADABLE:
        return {}
    return {**traits_of(_object(context.traits)), **traits_of(_object(identified.traits))}


def _object(value: msgspec.Raw) -> Any:
    try:
        return msgspec.json.decode(value) if bytes(value)[:1] == b"{" else None
    except _UNREADABLE:
        return None
