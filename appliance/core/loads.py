"""What a warehouse plug-in is given and what it answers: finished tables, and what it holds already."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from typing import Any, Literal

import msgspec

Type = Literal["int", "float", "string", "text", "datetime", "boolean", "json"]
"""Of a column, in RudderStack's words. We make no `text`; a column of an older warehouse may be one."""

EXACT_MAX = 10**18
"""A decimal number below it that is whole is an int, with all its digits."""
Dialect = Literal["duckdb", "postgres", "clickhouse", "bigquery", "snowflake", "redshift", "databricks"]
"""Kinds of warehouses: each has words, lengths and types of its own."""


class Column(msgspec.Struct, frozen=True):
    """One column of a table, named as the dialect has it."""

    name: str
    type: Type
    declared: str
    """What the dialect calls the type, for CREATE TABLE and ADD COLUMN."""


class Table(msgspec.Struct):
    """Rows that go into one table, column by column, in the order of their events.

    A value is None, or by the column's type an int within 64 bits, a float or an int, text, a UTC time as text
    (`2026-11-25T08:00:00.000Z`), a bool, JSON as text.
    """

    name: str
    columns: list[Column]
    """All that the rows have; the warehouse may lack some yet, or the table."""
    values: Sequence[Sequence[Any]]
    """For each column its values, one per row."""
    mode: Literal["newest", "fill", "append"]
    """How a row meets the row with its key: the one that is newer by `by`, or as new and later, takes its place
    (newest); column by column the newest value that is not null stays (fill); there is no key, rows are added."""
    key: tuple[str, ...] = ()
    views: dict[str, dict[str, str]] = {}
    """Views that are made with the table: view -> its column -> the column of the table."""
    by: str = "received_at"
    """The datetime column that tells which row is newer; "": there is none, and the row that is there stays."""

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.values[0]) if self.values else 0


class Staged(msgspec.Struct, frozen=True):
    """Events as tables."""

    tables: list[Table]
    unmappable: list[tuple[int, str]]
    """(index of an event that has no place in tables, why)."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One load: a range of the log as tables. It goes in as a whole, with its cursor, or not at all."""

    stream: str
    """Under which the warehouse keeps the cursor: the destination's name, or a replay's."""
    log_id: str
    """Sequences belong to a log."""
    first_sequence: int
    last_sequence: int
    """The new cursor; 0: none goes with it, as the events are earlier ones that come again."""
    loaded_at: str
    """Now, as a datetime's text; it stands in every row as `uuid_ts`."""
    tables: list[Table]

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(table.rows for table in self.tables)


class Known(msgspec.Struct, frozen=True):
    """What a warehouse holds already: its tables, and how far it was loaded."""

    tables: dict[str, dict[str, str]]
    """Table -> column -> its type in our words; "other" where it is none that we make."""
    cursors: dict[str, int]
    """log_id -> the last sequence that was loaded of it, for the stream that was asked for."""


class Answer(msgspec.Struct, frozen=True):
    """What a query gave: columns and rows, as many as were asked for."""

    columns: list[str]
    rows: list[list[Any]]
    """Values as JSON has them; times and what else it lacks as text."""
    more: bool
    """There were further rows than were asked for."""
    types: list[str] = []
    """What the warehouse calls each column's type; none where it does not say."""


def csv_of(columns: Sequence[Sequence[Any]]) -> str:
    """Columns as CSV (RFC 4180); null, and a text that is empty, is nothing at all.

    Every warehouse reads it fast, and of Python it costs little.
    """
    out = io.StringIO()
    # Which characters need quotes hangs on the line's end: with "\n" a bare "\r" would get none (before Python 3.13).
    csv.writer(out, lineterminator="\r\n").writerows(zip(*columns, strict=True))
    return out.getvalue()


def plain(value: Any) -> Any:
    """A value of a database's client as JSON has it: numbers as numbers, times and all that JSON lacks as text."""
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() and abs(value) < EXACT_MAX else float(value)
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    return value if value is None or isinstance(value, bool | int) else str(value)
