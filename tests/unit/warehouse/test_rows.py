"""Goldens: what each type of event comes to, in every dialect, column by column.

Every case is an event and what its rows have beyond the standard columns. It is checked for each dialect; names and
types that one dialect spells its own way stand with the case.
"""

from typing import Any, NamedTuple

import pytest

from appliance.warehouse.dialect import BIGQUERY, CLICKHOUSE, DIALECTS, DUCKDB, POSTGRES, SNOWFLAKE, Dialect
from tests.support.warehouse import RECEIVED_AT, STANDARD, event, staged

FIVE = {dialect.name: dialect for dialect in (DUCKDB, POSTGRES, CLICKHOUSE, BIGQUERY, SNOWFLAKE)}
IPS = {"context_ip": "1.2.3.4", "context_request_ip": "5.6.7.8", "context_passed_ip": "1.2.3.4"}
USER = {name: value for name, value in STANDARD.items() if name not in ("anonymous_id", "user_id", "channel")}


class Case(NamedTuple):
    """An event, and by table what its one row holds beyond `STANDARD` (`users`: beyond `USER`)."""

    given: dict[str, Any]
    rows: dict[str, dict[str, Any]]
    dialects: dict[str, dict[str, str]] = {}
    """Dialect -> a name in `rows` -> how it is called there."""


def order(**columns: Any) -> dict[str, dict[str, Any]]:
    """The two rows of an order."""
    named = {"event": "order_completed", "event_text": "Order Completed"}
    return {"tracks": named, "order_completed": {**named, **columns}}


ORDER = {"type": "track", "event": "Order Completed"}
CASES: dict[str, Case] = {
    "track has two tables": Case(
        {**ORDER, "properties": {"productID": "p1", "$revenue": 9.5, "count": 2, "paid": True, "at": "2020-01-01"}},
        order(product_id="p1", revenue=9.5, count=2, paid=True, at="2020-01-01T00:00:00.000Z"),
        {"bigquery": {"at": "_at"}, "duckdb": {"at": "_at"}},
    ),
    "track without properties": Case(ORDER, order()),
    "track without a name": Case({"type": "track"}, {"tracks": {}}),
    "track with a blank name": Case({"type": "track", "event": ""}, {"tracks": {}}),
    "track whose name is a number": Case(
        {"type": "track", "event": 5},
        {"tracks": {"event": "_5", "event_text": "5"}, "_5": {"event": "_5", "event_text": "5"}},
    ),
    "track named like a reserved word": Case(
        {"type": "track", "event": "Select"},
        {name: {"event": "select", "event_text": "Select"} for name in ("tracks", "_select")},
    ),
    "track named like a standard table": Case(
        {"type": "track", "event": "Users"},
        {name: {"event": "users", "event_text": "Users"} for name in ("tracks", "_users")},
    ),
    "nesting is joined": Case(
        {**ORDER, "properties": {"a": {"b": {"c": 1}}, "A": {"d-e": 2}}}, order(a_b_c=1, a_d_e=2)
    ),
    "arrays are JSON text": Case(
        {**ORDER, "properties": {"skus": ["a", 1, 2.5, None, {"x": [True]}], "a": {"list": [[]]}}},
        order(skus='["a",1,2.5,null,{"x":[true]}]', a_list="[[]]"),
    ),
    "null, empty strings and empty arrays are dropped": Case(
        {**ORDER, "properties": {"a": None, "b": "", "c": [], "d": {}, "e": {"f": None}, "g": 0, "h": False, "i": " "}},
        order(g=0, h=False, i=" "),
    ),
    "columns of ours cannot be set": Case(
        {
            **ORDER,
            "properties": dict.fromkeys((*STANDARD, "event", "event_text", "uuid_ts", "context_ip", "userId"), "mine")
            | {"Message": "kept"},
        },
        order(message="kept"),
    ),
    "the context is flattened with a prefix": Case(
        {
            **ORDER,
            "context": {"ip": "1.2.3.4", "page": {"url": "/a"}, "library": {"name": "js"}},
            "request_ip": "5.6.7.8",
        },
        {
            table: {**row, **IPS, "context_page_url": "/a", "context_library_name": "js"}
            for table, row in order().items()
        },
    ),
    "the address of the request stands in for that of the context": Case(
        {**ORDER, "request_ip": "5.6.7.8"},
        {table: {**row, "context_ip": "5.6.7.8", "context_request_ip": "5.6.7.8"} for table, row in order().items()},
    ),
    "where it came from cannot be set": Case(
        {**ORDER, "context": {"sourceId": "evil", "source": {"type": "evil"}, "destinationId": 5}}, order()
    ),
    "unknown top-level keys are dropped": Case(
        {**ORDER, "extra": 1, "rudderId": "r", "integrations": {"All": True}}, order()
    ),
    "userProperties of a track": Case(
        {**ORDER, "properties": {"a": 1}, "userProperties": {"plan": "pro"}}, order(a=1, plan="pro")
    ),
    "big numbers": Case(
        {**ORDER, "properties": {"int": 2**63 - 1, "one": 1.0, "half": 0.5}}, order(int=2**63 - 1, one=1, half=0.5)
    ),
    "years": Case(
        {**ORDER, "properties": {"a": "2001-01-01T00:00:00+01:00", "y0": "0000-01-01", "y5": "10000-01-01"}},
        order(a="2000-12-31T23:00:00.000Z", y0="0000-01-01", y5="10000-01-01"),
    ),
    "reserved words in columns": Case(
        {**ORDER, "properties": {"select": 1, "Order": 2, "2Fast": 3, "_lead": 4, "v2": 5}},
        order(_select=1, _order=2, _2fast=3, _lead=4, v2=5),
    ),
    "identify has two tables": Case(
        {"type": "identify", "traits": {"email": "a@b.c", "address": {"city": "Ulm"}}, "context": {"ip": "1.2.3.4"}},
        {
            "identifies": {
                "email": "a@b.c",
                "address_city": "Ulm",
                "context_ip": "1.2.3.4",
                "context_passed_ip": "1.2.3.4",
            },
            "users": {
                "id": "u1",
                "email": "a@b.c",
                "address_city": "Ulm",
                "context_ip": "1.2.3.4",
                "context_passed_ip": "1.2.3.4",
            },
        },
    ),
    "identify of nobody": Case(
        {"type": "identify", "userId": "", "traits": {"a": 1}}, {"identifies": {"user_id": ..., "a": 1}}
    ),
    "identify of blanks": Case({"type": "identify", "userId": " \t"}, {"identifies": {"user_id": ...}}),
    "identify of a number": Case(
        {"type": "identify", "userId": 7.0}, {"identifies": {"user_id": "7"}, "users": {"id": "7"}}
    ),
    "traits come from three places": Case(
        {
            "type": "identify",
            "userProperties": {"a": "low", "b": "low", "c": "low"},
            "context": {"traits": {"b": "middle", "c": "middle"}},
            "traits": {"c": "high"},
        },
        {
            table: {
                "a": "low",
                "b": "middle",
                "c": "high",
                "context_traits_b": "middle",
                "context_traits_c": "middle",
                **({"id": "u1"} if table == "users" else {}),
            }
            for table in ("identifies", "users")
        },
    ),
    "page": Case(
        {"type": "page", "name": "Home", "properties": {"name": "Other", "url": "/a"}},
        {"pages": {"name": "Home", "url": "/a"}},
    ),
    "page named in its properties": Case({"type": "page", "properties": {"name": "Home"}}, {"pages": {"name": "Home"}}),
    "page named by a date": Case({"type": "page", "name": "2020-01-01"}, {"pages": {"name": "2020-01-01"}}),
    "screen": Case(
        {"type": "screen", "name": "", "properties": {"name": 5, "x": 1}}, {"screens": {"name": "5", "x": 1}}
    ),
    "group": Case(
        {"type": "group", "groupId": "g1", "traits": {"size": 5, "groupId": "mine"}},
        {"groups": {"group_id": "g1", "size": 5}},
        {"bigquery": {"groups": "_groups"}},
    ),
    "alias": Case(
        {"type": "alias", "previousId": "old", "traits": {"a": 1}}, {"aliases": {"previous_id": "old", "a": 1}}
    ),
}


@pytest.mark.parametrize("dialect", FIVE.values(), ids=FIVE.keys())
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_events_come_to_rows(case: Case, dialect: Dialect) -> None:
    special = case.dialects.get(dialect.name, {})

    def spelled(name: str) -> str:
        return dialect.cased(special.get(name, name))

    expected = {}
    for table, columns in case.rows.items():
        row = {**(USER if table == "users" else STANDARD), **columns}
        expected[spelled(table)] = [{spelled(name): value for name, value in row.items() if value is not ...}]
    found = dict(staged(dialect, event(**case.given)).rows)
    found.pop(dialect.cased("rudder_discards"), None)
    assert found == expected
    for table, rows in expected.items():
        for name, value in rows[0].items():
            assert type(found[table][0][name]) is type(value)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_types_of_columns(dialect: Dialect) -> None:
    """A new table: its columns and their types; ours are what they are whatever stands in them."""
    properties = {"n": 1, "f": 0.5, "s": "x", "t": "2020-01-01", "b": True, "j": {"x": 1}, "deep": {"j": [1], "s": "x"}}
    found = staged(
        dialect,
        event(message_id="2020-01-01", event="Order", userId="2020-01-01", channel=5, properties=properties),
        json_paths=("properties.j", "track.properties.deep.j", "page.properties.s"),
    )
    json = "json" if dialect.has_json else "string"
    strings = ("id", "anonymous_id", "user_id", "channel", "event", "event_text", *STANDARD.keys() & {
        "context_source_id", "context_source_type", "context_destination_id", "context_destination_type"})  # fmt: skip
    expected = dict.fromkeys(strings, "string")
    expected |= dict.fromkeys(("sent_at", "timestamp", "received_at", "original_timestamp", "uuid_ts"), "datetime")
    expected |= {"n": "int", "f": "float", "s": "string", "t": "datetime", "b": "boolean", "j": json,
                 "deep_j": json, "deep_s": "string"}  # fmt: skip
    table = dialect.cased("_order")
    assert found.types[table] == found.added[table] == {dialect.cased(name): kind for name, kind in expected.items()}
    row = found.rows[table][0]
    assert row[dialect.cased("user_id")] == row[dialect.cased("id")] == "2020-01-01"
    assert row[dialect.cased("j")] == '{"x":1}' and row[dialect.cased("deep_j")] == "[1]"


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())
def test_a_merge_is_a_rule_and_nothing_else(dialect: Dialect) -> None:
    pair = [{"type": "email", "value": "a@b.c"}, {"type": "phone", "value": 49}]
    found = staged(dialect, event("merge", mergeProperties=pair), event("merge", mergeProperties=pair))
    names = ("merge_property_1_type", "merge_property_1_value", "merge_property_2_type", "merge_property_2_value")
    rule = dict(zip(map(dialect.cased, names), ("email", "a@b.c", "phone", "49"), strict=True))
    assert found.rows == {dialect.cased("rudder_identity_merge_rules"): [rule]}


@pytest.mark.parametrize(
    "pair", [None, "x", [], [{"type": "email", "value": "a"}], [{"type": "email", "value": ""}] * 2]
)
def test_a_merge_that_is_none_is_discarded(pair: Any) -> None:
    (row,) = staged(DUCKDB, event("merge", mergeProperties=pair)).rows["rudder_discards"]
    assert row["table_name"] == "rudder_identity_merge_rules" and row["row_id"] == "m1"


# given -> table, column, value, reason
LACKS: dict[str, tuple[dict[str, Any], tuple[str, str, str, str]]] = {
    "two keys of one column": (
        {"event": "X", "properties": {"productID": "a", "product_id": "b"}},
        ("x", "product_id", "a", "another property of this event has the same column"),
    ),
    "two long keys of one column": (
        {"event": "X", "properties": {"a" * 127 + "b": 1, "a" * 127 + "c": [2]}},
        ("x", "a" * 127, "1", "another property of this event has the same column"),
    ),
    "a property of a column of the context": (
        {
            "event": "X",
            "context": {"locale": "en"},
            "properties": {"context_locale": {"a": 1}, "context": {"locale": "de"}},
        },
        ("x", "context_locale", "de", "another property of this event has the same column"),
    ),
    "properties that are none": (
        {"event": "X", "properties": "text"},
        ("x", "properties", "text", "it is no object, so it has no columns"),
    ),
    "a context that is none": (
        {"type": "page", "context": [1]},
        ("pages", "context", "[1]", "it is no object, so it has no columns"),
    ),
    "properties without a table": (
        {"properties": {"a": 1.5}},
        ("tracks", "properties", '{"properties":{"a":1.5}}', "the event has no name, so its properties have no table"),
    ),
    "a time that is none": (
        {"event": ..., "sentAt": "yesterday"},
        ("tracks", "sent_at", "yesterday", "the column is datetime, the value string"),
    ),
    "a number that no column holds": (
        {"event": "X", "properties": {"a": 12345678901234567890}},
        ("x", "a", "12345678901234567890", "the integer is beyond 64 bits"),
    ),
}


@pytest.mark.parametrize(("given", "expected"), LACKS.values(), ids=LACKS.keys())
def test_what_has_no_place_is_told(given: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    rows = staged(DUCKDB, event(**given)).rows["rudder_discards"]
    table, column, value, reason = expected
    assert rows == [
        {
            "table_name": table,
            "row_id": "m1",
            "column_name": column,
            "column_value": value,
            "reason": reason,
            "received_at": RECEIVED_AT,
        }
    ]


def test_digits_are_kept_where_postgres_keeps_them() -> None:
    raw = event(event="X", properties={"a": "NUMBER"}).json.replace(b'"NUMBER"', b"0.1234567890123456789012345")
    (row,) = staged(POSTGRES, event(raw=raw)).rows["x"]
    assert str(row["a"]) == "0.1234567890123456789012345"
    (row,) = staged(DUCKDB, event(raw=raw)).rows["x"]
    assert row["a"] == 0.1234567890123456789012345 and type(row["a"]) is float
