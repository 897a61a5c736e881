"""Events for a warehouse, and what comes of them, as tests read it best."""

import json
from typing import Any, NamedTuple

from appliance.core.event import Event
from appliance.warehouse.batch import Batch, Schema, Table
from appliance.warehouse.dialect import Dialect
from appliance.warehouse.schema import Mapper, Place

LOADED_AT = "2026-11-25T00:00:00.000Z"
RECEIVED_AT = "2026-11-21T12:00:05.000Z"
PLACES = {
    "context_source_id": "shop",
    "context_source_type": "http",
    "context_destination_id": "lake",
    "context_destination_type": "duckdb",
}
TIMES = {
    "sent_at": "2026-11-21T12:00:04.000Z",
    "timestamp": "2026-11-21T12:00:00.000Z",
    "received_at": RECEIVED_AT,
    "original_timestamp": "2026-11-21T11:59:59.000Z",
}
STANDARD: dict[str, Any] = {"id": "m1", "anonymous_id": "anon", "user_id": "u1", "channel": "web", **TIMES, **PLACES}
"""The columns of every row of `event()`, but for `uuid_ts` and what the context adds."""


def event(type: str = "track", *, message_id: str = "m1", raw: bytes | None = None, **fields: Any) -> Event:
    """An event as destinations get it; `fields` are added to its JSON, and those that are `...` removed."""
    given = {
        "type": type,
        "messageId": message_id,
        "anonymousId": "anon",
        "userId": "u1",
        "channel": "web",
        "sentAt": TIMES["sent_at"],
        "originalTimestamp": TIMES["original_timestamp"],
        "timestamp": TIMES["timestamp"],
        "receivedAt": RECEIVED_AT,
        **fields,
    }
    encoded = json.dumps({key: value for key, value in given.items() if value is not ...}).encode()
    return Event(
        sequence=1,
        part=0,
        source="shop",
        type=type,
        message_id=message_id,
        anonymous_id="anon",
        user_id="u1",
        person_id="p1",
        received_ms=0,
        json=encoded if raw is None else raw,
    )


def mapper(dialect: Dialect, *json_paths: str) -> Mapper:
    """Of the destination `lake`, whose only source is `shop`."""
    return Mapper(dialect, Place("lake", "duckdb"), {"shop": "http"}, json_paths)


class Staged(NamedTuple):
    """What a batch came to."""

    rows: dict[str, list[dict[str, Any]]]
    """Table -> its rows, without nulls and without `uuid_ts`."""
    types: dict[str, dict[str, str]]
    """Table -> column -> type."""
    added: dict[str, dict[str, str]]
    """Table -> the columns that are new."""


def staged(dialect: Dialect, *events: Event, known: Schema | None = None, json_paths: tuple[str, ...] = ()) -> Staged:
    """The events mapped as one batch."""
    batch = Batch(mapper(dialect, *json_paths), known or {})
    for each in events:
        batch.add(each)
    tables = batch.tables(LOADED_AT)
    return Staged(
        {table.name: rows_of(table) for table in tables},
        {table.name: {name: column.type for name, column in table.columns.items()} for table in tables},
        {table.name: dict(table.added) for table in tables},
    )


def rows_of(table: Table) -> list[dict[str, Any]]:
    """The rows of a table, without nulls and without `uuid_ts`."""
    rows = []
    for index in range(table.row_count):
        row = {name: column.values[index] for name, column in table.columns.items() if name.lower() != "uuid_ts"}
        rows.append({name: value for name, value in row.items() if value is not None})
    return rows
