"""Batches: types of columns, conflicts both ways, new columns, one row per key, one row per user."""

from typing import Any

import pytest

from appliance.warehouse import flatten
from appliance.warehouse.batch import Batch
from appliance.warehouse.dialect import CLICKHOUSE, DUCKDB, POSTGRES, SNOWFLAKE
from appliance.warehouse.errors import TooManyColumns, Unmappable
from tests.support.warehouse import LOADED_AT, RECEIVED_AT, event, mapper, rows_of, staged


def orders(*values: Any) -> list[Any]:
    """An event for each value of the property `a`; `...` leaves it away."""
    return [
        event(message_id=f"m{index}", event="X", properties={} if value is ... else {"a": value})
        for index, value in enumerate(values)
    ]


Type = str
# type in the warehouse (None: no such column), values -> type, what stands there, values discarded
CONFLICTS: dict[str, tuple[Type | None, list[Any], Type, list[Any], list[str]]] = {
    "first seen wins": (None, [1, "x", 2], "int", [1, None, 2], ["x"]),
    "a string takes anything": (None, ["x", 1, 0.5, True, [1]], "string", ["x", "1", "0.5", "true", "[1]"], []),
    "a datetime in a string is rewritten": (None, ["x", "2020-01-01"], "string", ["x", "2020-01-01T00:00:00.000Z"], []),
    "an int becomes a float": (None, [0.5, 1], "float", [0.5, 1.0], []),
    "a float is no int": (None, [1, 0.5, 2.0], "int", [1, None, 2], ["0.5"]),
    "the first value may come late": (None, [..., None, "", 5, "x"], "int", [None, None, None, 5, None], ["x"]),
    "the warehouse wins": ("string", [1, True, "x"], "string", ["1", "true", "x"], []),
    "the warehouse wins against all": ("int", ["x", 0.5, True, 2**63], "int", [None] * 4, ["x", "0.5", "true", str(2**63)]),
    "text stays text": ("text", [1, "x"], "text", ["1", "x"], []),
    "a float of the warehouse": ("float", [1, 2], "float", [1.0, 2.0], []),
    "a float of the warehouse without loss": ("float", [2**53 + 1, 1], "float", [None, 1.0], [str(2**53 + 1)]),
    "a datetime of the warehouse": (
        "datetime", ["2020-01-01", "x"], "datetime", ["2020-01-01T00:00:00.000Z", None], ["x"],
    ),
    "json of the warehouse": ("json", [1, "x", "2020-01-01"], "json", ["1", '"x"', '"2020-01-01T00:00:00.000Z"'], []),
    "a boolean of the warehouse": ("boolean", [True, 1, "true"], "boolean", [True, None, None], ["1", "true"]),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "values", "wanted", "held", "discarded"), CONFLICTS.values(), ids=CONFLICTS.keys())
def test_conflicts(kind: Any, values: list[Any], wanted: str, held: list[Any], discarded: list[str]) -> None:
    known = {"x": {"a": kind}} if kind else {}
    found = staged(DUCKDB, *orders(*values), known=known)
    assert found.types["x"]["a"] == wanted
    rows = {row["id"]: row.get("a") for row in found.rows["x"]}
    assert [rows[f"m{index}"] for index in range(len(values))] == held
    assert [type(rows[f"m{index}"]) for index in range(len(values))] == [type(value) for value in held]
    told = found.rows.get("rudder_discards", [])
    assert [row["column_value"] for row in told] == discarded
    assert all((row["table_name"], row["column_name"], row["received_at"]) == ("x", "a", RECEIVED_AT) for row in told)
    assert all(row["row_id"] in rows for row in told)


def test_only_what_the_warehouse_lacks_is_new() -> None:
    first = staged(DUCKDB, *orders(1))
    known: Any = {table: dict(columns) for table, columns in first.added.items()}
    again = staged(DUCKDB, *orders(1), known=known)
    assert all(added == {} for added in again.added.values())
    more = staged(DUCKDB, event(event="X", properties={"a": 2, "b": "x"}), known=known)
    assert more.added == {"tracks": {}, "x": {"b": "string"}}
    assert first.added["x"] == first.types["x"] and first.added["x"]["uuid_ts"] == "datetime"


def test_nothing_that_is_known_is_changed() -> None:
    known: Any = {"x": {"a": "int"}}
    staged(DUCKDB, *orders("x"), known=known)
    assert known == {"x": {"a": "int"}}


def test_a_row_comes_once_and_the_newest_stays() -> None:
    def sent(value: int, received: str) -> Any:
        return event(event="X", properties={"a": value}, receivedAt=received)

    found = staged(
        DUCKDB,
        sent(1, "2026-01-01T00:00:01.000Z"),
        sent(2, "2026-01-01T00:00:03.000Z"),
        sent(3, "2026-01-01T00:00:03Z"),
        sent(4, "2026-01-01T00:00:02.000Z"),
    )
    assert [row["a"] for row in found.rows["x"]] == [3]
    assert len(found.rows["tracks"]) == 1


def test_a_column_that_only_a_replaced_row_had_is_none() -> None:
    found = staged(
        DUCKDB,
        event(event="X", properties={"old": 1}, receivedAt="2026-01-01T00:00:01.000Z"),
        event(event="X", properties={"new": 2}, receivedAt="2026-01-01T00:00:02.000Z"),
    )
    assert [row.get("new") for row in found.rows["x"]] == [2] and "old" not in found.types["x"]


def test_users_are_merged_column_by_column() -> None:
    def user(id: str, received: str, traits: dict[str, Any]) -> Any:
        return event("identify", message_id=f"{received} {traits}", userId=id, receivedAt=received, traits=traits)

    found = staged(
        DUCKDB,
        user("u1", "2026-01-01T00:00:02.000Z", {"name": "new", "age": 5}),
        user("u2", "2026-01-01T00:00:02.000Z", {"name": "other"}),
        user("u1", "2026-01-01T00:00:01.000Z", {"name": "old", "city": "Ulm"}),
        user("u1", "2026-01-01T00:00:03.000Z", {"age": "a string"}),
        user("u1", "2026-01-01T00:00:02.000Z", {"name": "newer"}),
    )
    rows = {
        row["id"]: {key: row.get(key) for key in ("name", "age", "city", "received_at")} for row in found.rows["users"]
    }
    assert rows == {
        "u1": {"name": "newer", "age": 5, "city": "Ulm", "received_at": "2026-01-01T00:00:03.000Z"},
        "u2": {"name": "other", "age": None, "city": None, "received_at": "2026-01-01T00:00:02.000Z"},
    }
    assert len(found.rows["identifies"]) == 5
    assert [row["table_name"] for row in found.rows["rudder_discards"]] == ["identifies", "users"]


@pytest.mark.parametrize("given", [..., None, "", "yesterday", 5, "x" * 400])
def test_when_an_event_came_is_known_even_if_it_does_not_say(given: Any) -> None:
    rows = staged(DUCKDB, event(receivedAt=given)).rows
    assert rows["tracks"][0]["received_at"] == "1970-01-01T00:00:00.000Z" and "rudder_discards" not in rows


def test_keys_tell_rows_apart() -> None:
    batch = Batch(mapper(SNOWFLAKE), {})
    batch.add(event(event="X", properties={"a": {}}))
    batch.add(event("identify", sentAt="x"))
    batch.add(event("merge", mergeProperties=[{"type": "a", "value": "b"}] * 2))
    keys = {table.name: table.key for table in batch.tables(LOADED_AT)}
    assert keys["X"] == keys["TRACKS"] == keys["IDENTIFIES"] == ("ID", "CONTEXT_SOURCE_ID")
    assert keys["USERS"] == ("ID",) and keys["RUDDER_DISCARDS"] == ()
    assert len(keys["RUDDER_IDENTITY_MERGE_RULES"]) == 4


def test_the_load_time_stands_in_every_row() -> None:
    batch = Batch(mapper(DUCKDB), {})
    for each in orders(1, "x"):
        batch.add(each)
    tables = batch.tables(LOADED_AT)
    assert {table.name for table in tables} == {"tracks", "x", "rudder_discards"}
    assert all(table.columns["uuid_ts"].values == [LOADED_AT] * table.row_count for table in tables)
    assert all(len(column.values) == table.row_count for table in tables for column in table.columns.values())


def test_too_many_columns_are_refused_and_nothing_of_the_event_stays() -> None:
    batch = Batch(mapper(DUCKDB), {})
    ours = 14  # standard columns of an event table in this event, the load time included
    batch.add(event(event="X", properties={f"p{number}": 1 for number in range(1_600 - ours - 1)}))
    with pytest.raises(TooManyColumns, match="more than 1,600 columns"):
        batch.add(event(event="Y", properties={f"p{number}": 1 for number in range(1_600 - ours)}))
    tables = {table.name: table for table in batch.tables(LOADED_AT)}
    assert tables.keys() == {"tracks", "x"} and len(tables["x"].columns) == 1_600


@pytest.mark.parametrize(
    "properties",
    [
        {f"p{number}": 1 for number in range(1_700)},
        {f"p{number}": {"a": 1} for number in range(1_700)},
        {f"p{'-' * number}q": 1 for number in range(1_700)},
        {f"{chr(number)}": {"a" * 150: number} for number in range(1_000, 2_700)},
    ],
    ids=["keys", "objects", "twins", "long twins"],
)
def test_so_are_too_many_values_without_a_column(properties: dict[str, Any]) -> None:
    with pytest.raises(TooManyColumns):
        staged(DUCKDB, event(event="X", properties=properties))
    few = dict(list(properties.items())[:50])
    assert len(staged(DUCKDB, event(event="X", properties=few)).rows["x"]) == 1


def test_memory_of_keys_is_bounded_and_what_is_forgotten_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatten, "KEPT_CHARACTERS_MAX", 5_000)
    tree = flatten.Tree(DUCKDB, "", frozenset())
    kept = []
    for number in range(200):
        assert tree.flatten({f"key{number}": {"a": 1}, "context_a": 2}, []) == {f"key{number}_a": 1, "context_a": 2}
        assert tree.meets_context
        kept.append(tree.kept_characters)
    assert max(kept) < 7_000 and min(kept[50:]) < 2_000


def test_a_full_table_takes_no_new_column_and_lacks_none_of_ours() -> None:
    known: Any = {"x": {f"old{number}": "int" for number in range(1_590)}}
    found = staged(POSTGRES, event(event="X", properties={"old1": 5, "new": "x"}), known=known)
    assert len(found.added["x"]) == 10 and {"id", "user_id", "uuid_ts"} <= found.added["x"].keys()
    assert found.rows["x"][0]["old1"] == 5 and "new" not in found.rows["x"][0]
    reasons = {row["column_name"]: row["reason"] for row in found.rows["rudder_discards"]}
    assert reasons["new"] == "the table has as many columns as the warehouse allows"
    assert len(known["x"]) + len(found.added["x"]) == 1_600
    assert "new" in staged(DUCKDB, event(event="X", properties={"old1": 5, "new": "x"}), known=known).rows["x"][0]


def test_an_event_of_no_known_type_is_refused() -> None:
    with pytest.raises(Unmappable, match="the type of the event has no table"):
        staged(DUCKDB, event("extract"))


def test_a_datetime_beyond_clickhouse_is_discarded() -> None:
    found = staged(CLICKHOUSE, *orders("2020-01-01", "0001-01-01"))
    assert [row.get("a") for row in found.rows["x"]] == ["2020-01-01T00:00:00.000Z", None]
    assert [row["column_value"] for row in found.rows["rudder_discards"]] == ["0001-01-01"]


def test_rows_with_the_same_columns_and_others_become_one_table() -> None:
    batch = Batch(mapper(DUCKDB), {})
    for number in range(6):
        batch.add(event(message_id=f"m{number}", event="X", properties={"abc"[number % 3]: number, "n": number}))
    (table,) = [table for table in batch.tables(LOADED_AT) if table.name == "x"]
    rows = {row["n"]: {key: row[key] for key in "abc" if key in row} for row in rows_of(table)}
    assert rows == {number: {"abc"[number % 3]: number} for number in range(6)}
