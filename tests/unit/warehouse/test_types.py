"""Types: what a value is, and what becomes of it in a column of another type."""

from decimal import Decimal
from typing import Any

import pytest

from appliance.warehouse.dialect import BIGQUERY, CLICKHOUSE, DIALECTS, DUCKDB, POSTGRES, REDSHIFT, SNOWFLAKE
from appliance.warehouse.reading import read
from appliance.warehouse.types import Discard, Json, converted, typed

# JSON text -> type and value
TYPED: dict[str, tuple[str, Any]] = {
    "1": ("int", 1),
    "-5": ("int", -5),
    "1.0": ("int", 1),
    "-0.0": ("int", 0),
    "1e3": ("int", 1000),
    "0.5": ("float", 0.5),
    "1.10": ("float", 1.1),
    "0.12345678901234567890": ("float", Decimal("0.12345678901234567890")),
    "9007199254740993.0": ("int", 9007199254740993),
    "9223372036854775807": ("int", 2**63 - 1),
    "9223372036854775808": ("int", 2**63),
    "12345678901234567890": ("int", 12345678901234567890),
    "1e308": ("float", Decimal("1e308")),
    "1e400": ("float", Decimal("1e400")),
    "1e-400": ("float", Decimal("1e-400")),
    "1e99999": ("string", "1e99999"),
    "7" * 5000: ("string", "7" * 5000),
    "true": ("boolean", True),
    '"x"': ("string", "x"),
    '" "': ("string", " "),
    '"2020-01-01"': ("datetime", "2020-01-01T00:00:00.000Z"),
    '"2020-01-01T10:20"': ("datetime", "2020-01-01T10:20:00.000Z"),
    '"2020-01-01 10:20:30"': ("datetime", "2020-01-01T10:20:30.000Z"),
    '"2020-01-01T10:20:30.5+02:00"': ("datetime", "2020-01-01T08:20:30.500Z"),
    '"2020-01-01T10:20:30.123456789z"': ("datetime", "2020-01-01T10:20:30.123Z"),
    '"2020-01-01T10:20:30-0130"': ("datetime", "2020-01-01T11:50:30.000Z"),
    '"0001-01-01T00:00:00Z"': ("datetime", "0001-01-01T00:00:00.000Z"),
    '"9999-12-31T23:59:59.999Z"': ("datetime", "9999-12-31T23:59:59.999Z"),
    '"0000-12-31T23:59:59Z"': ("string", "0000-12-31T23:59:59Z"),
    '"10000-01-01T00:00:00Z"': ("string", "10000-01-01T00:00:00Z"),
    '"+2020-01-01"': ("string", "+2020-01-01"),
    '"0001-01-01T00:00:00+01:00"': ("string", "0001-01-01T00:00:00+01:00"),
    '"2020-02-30"': ("string", "2020-02-30"),
    '"2020-01-01T24:00:00Z"': ("string", "2020-01-01T24:00:00Z"),
    '"2020-01-01T10:20:30.Z"': ("string", "2020-01-01T10:20:30.Z"),
    '"2020-01"': ("string", "2020-01"),
    '"2020-W01-1"': ("string", "2020-W01-1"),
    '"20200101"': ("string", "20200101"),
    '" 2020-01-01"': ("string", " 2020-01-01"),
    '"2020-01-01\\n"': ("string", "2020-01-01\n"),
    '"\uff12\uff10\uff12\uff10-01-01"': ("string", "\uff12\uff10\uff12\uff10-01-01"),
}


@pytest.mark.parametrize(("text", "expected"), TYPED.items())
def test_values_have_types(text: str, expected: tuple[str, Any]) -> None:
    value = read(b'{"event":%s}' % text.encode(), holds_nul=True).event
    found = typed(value, DUCKDB)
    assert found == expected and type(found[1]) is type(expected[1])


NAMES = {
    DUCKDB: ("BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMPTZ", "BOOLEAN", "JSON"),
    POSTGRES: ("bigint", "numeric", "text", "timestamptz", "boolean", "jsonb"),
    CLICKHOUSE: ("Int64", "Float64", "String", "DateTime", "UInt8", "String"),
    BIGQUERY: ("INTEGER", "FLOAT", "STRING", "TIMESTAMP", "BOOLEAN", "STRING"),
    SNOWFLAKE: ("NUMBER", "DOUBLE PRECISION", "VARCHAR", "TIMESTAMP_TZ", "BOOLEAN", "VARIANT"),
    REDSHIFT: ("bigint", "double precision", "varchar(65535)", "timestamp", "boolean", "super"),
    DIALECTS["databricks"]: ("BIGINT", "DOUBLE", "STRING", "TIMESTAMP", "BOOLEAN", "STRING"),
}


def test_every_dialect_has_the_types_of_the_contract() -> None:
    order = ("int", "float", "string", "datetime", "boolean", "json")
    assert {dialect: tuple(dialect.types[kind] for kind in order) for dialect in DIALECTS.values()} == NAMES  # type: ignore[index]


LOSS = "digits would be lost: the column is a float, the integer beyond 2^53"
FLOAT = "the number is beyond the range of a float"
DAY = "2020-01-01T00:00:00.000Z"
# value, type of the column -> what stands there, or why nothing does
CONVERTED: list[tuple[Any, str, Any]] = [
    (5, "string", "5"),
    (0.5, "string", "0.5"),
    (1e-7, "string", "1e-7"),
    (Decimal("1e308"), "string", "1e+308"),
    (True, "string", "true"),
    (False, "text", "false"),
    ("2020-01-01", "string", DAY),
    (Json('{"a":1}'), "string", '{"a":1}'),
    ("x", "text", "x"),
    (5, "float", 5.0),
    (2**53, "float", float(2**53)),
    (2**53 + 1, "float", Discard(LOSS)),
    (2**63, "float", float(2**63)),
    (10**400, "float", Discard(FLOAT)),
    (Decimal("1e400"), "float", Discard(FLOAT)),
    (Decimal("1e308"), "float", 1e308),
    (0.5, "int", Discard("the column is int, the value float")),
    (2**63 - 1, "int", 2**63 - 1),
    (2**63, "int", Discard("the integer is beyond 64 bits")),
    (-(2**63) - 1, "int", Discard("the integer is beyond 64 bits")),
    (5, "json", "5"),
    ("x", "json", '"x"'),
    (True, "json", "true"),
    ("2020-01-01", "json", f'"{DAY}"'),
    (Json("[1]"), "json", "[1]"),
    ("x", "int", Discard("the column is int, the value string")),
    ("5", "int", Discard("the column is int, the value string")),
    (True, "int", Discard("the column is int, the value boolean")),
    (True, "float", Discard("the column is float, the value boolean")),
    (1, "boolean", Discard("the column is boolean, the value int")),
    ("true", "boolean", Discard("the column is boolean, the value string")),
    ("x", "datetime", Discard("the column is datetime, the value string")),
    (5, "datetime", Discard("the column is datetime, the value int")),
    ("2020-01-01", "int", Discard("the column is int, the value datetime")),
    ("2020-01-01", "datetime", DAY),
    (Json("[1]"), "int", Discard("the column is int, the value json")),
]


@pytest.mark.parametrize(("value", "wanted", "expected"), CONVERTED)
def test_values_meet_columns_of_other_types(value: Any, wanted: Any, expected: Any) -> None:
    given, own = typed(value, DUCKDB)
    found = converted(own, given, wanted, DUCKDB)
    assert found == expected and type(found) is type(expected)


def test_postgres_keeps_all_digits() -> None:
    assert converted(2**53 + 1, "int", "float", POSTGRES) == 2**53 + 1
    assert converted(Decimal("1e400"), "float", "float", POSTGRES) == Decimal("1e400")


def test_a_datetime_that_the_warehouse_does_not_hold_is_discarded() -> None:
    reason = Discard("the datetime is beyond what the warehouse holds")
    assert converted("1969-12-31T23:59:59.999Z", "datetime", "datetime", CLICKHOUSE) == reason
    assert converted("2106-02-07T06:28:16.000Z", "datetime", "datetime", CLICKHOUSE) == reason
    assert converted("1970-01-01T00:00:00.000Z", "datetime", "datetime", CLICKHOUSE) == "1970-01-01T00:00:00.000Z"


def test_json_is_text_where_the_warehouse_has_none() -> None:
    assert typed(Json("[1]"), CLICKHOUSE) == ("string", "[1]")
    assert typed(Json("[1]"), POSTGRES) == ("json", "[1]")
