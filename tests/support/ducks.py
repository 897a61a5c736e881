"""The shipped DuckDB plug-in for tests: loads built from rows, what the file holds, and a naive model of merging."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from appliance.deliver.plugins import build_config, load_plugin, shipped_folder
from appliance.sdk import Answer, Column, Config, Known, Load, Table

DUCKDB = shipped_folder() / "duckdb.py"
PLUGIN = load_plugin(DUCKDB)
MODULE: dict[str, Any] = PLUGIN.deliver.call.__globals__
DECLARED = {
    "int": "BIGINT", "float": "DOUBLE", "string": "VARCHAR", "datetime": "TIMESTAMPTZ", "boolean": "BOOLEAN",
    "json": "JSON",
}  # fmt: skip
KEY = ("id", "context_source_id")
LOADED_AT = "2026-11-25T08:00:00.000Z"
Row = Mapping[str, Any]


def config(path: Path, **options: Any) -> Config:
    """The plug-in's own keys."""
    return build_config(PLUGIN, {"path": str(path), **options})


def at(second: int) -> str:
    """A time as tables have it."""
    return f"2026-11-25T08:00:{second:02d}.000Z"


def table(rows: Sequence[Row], name: str = "tracks", mode: Any = "newest", **types: str) -> Table:
    """Rows as a table; `types` are those of columns that hold no text, times aside."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    kinds: dict[str, Any] = {"received_at": "datetime", "uuid_ts": "datetime", **types}
    columns = [Column(each, kinds.get(each, "string"), DECLARED[kinds.get(each, "string")]) for each in names]
    values = [[row.get(each) for row in rows] for each in names]
    key = {"newest": KEY, "fill": ("id",)}.get(mode, ())
    return Table(name, columns, values, mode, key)


def row(number: int | str, second: int = 0, **others: Any) -> dict[str, Any]:
    """One event's row."""
    return {"id": f"m{number}", "context_source_id": "shop", "received_at": at(second), **others}


def load(config: Config, *tables: Table, last: int = 0, log_id: str = "log", stream: str = "duck") -> None:
    """Bring tables in under a cursor; 0: under none."""
    PLUGIN.deliver.call(
        Load(
            stream=stream, log_id=log_id, first_sequence=1, last_sequence=last, loaded_at=LOADED_AT, tables=[*tables]
        ),
        config,
    )  # fmt: skip


def inspect(config: Config, stream: str = "duck") -> Known:
    assert PLUGIN.inspect is not None
    known = PLUGIN.inspect.call(stream, config)
    assert isinstance(known, Known)
    return known


def query(config: Config, sql: str, rows_max: int = 1000) -> Answer:
    assert PLUGIN.query is not None
    answer = PLUGIN.query.call(sql, rows_max, config)
    assert isinstance(answer, Answer)
    return answer


def held(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """What the file gives to anybody else who opens it."""
    with duckdb.connect(str(path), read_only=True, config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(sql).fetchall()


def rows_of(path: Path, name: str) -> list[dict[str, Any]]:
    """All rows of a table, times as `at` writes them, by id; what is null is left out."""
    with duckdb.connect(str(path), read_only=True, config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        quoted = '"' + name.replace('"', '""') + '"'
        found = connection.execute(f"SELECT * FROM {quoted}")
        names = [column[0] for column in found.description]
        rows = [dict(zip(names, values, strict=True)) for values in found.fetchall()]
    shown = [
        {
            name: value.isoformat(timespec="milliseconds").replace("+00:00", "Z") if name == "received_at" else value
            for name, value in row.items()
            if value is not None
        }
        for row in rows
    ]
    return sorted(shown, key=lambda row: (row["id"], row.get("context_source_id", "")))


class Model:
    """What a table holds after loads, as the words of the contract have it; slow and plain."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.rows: list[dict[str, Any]] = []

    def load(self, rows: Sequence[Row]) -> None:
        """Bring rows in, one after the other."""
        for row in rows:
            given = {name: value for name, value in row.items() if value is not None}
            key = KEY if self.mode == "newest" else ("id",)
            there = next((old for old in self.rows if all(old[name] == given[name] for name in key)), None)
            if there is None or self.mode == "append":
                self.rows.append(given)
                continue
            is_newer = given["received_at"] >= there["received_at"]
            if self.mode == "newest" and is_newer:
                self.rows[self.rows.index(there)] = given
            elif self.mode == "fill":
                latest = max(given["received_at"], there["received_at"])
                merged = {**there, **given} if is_newer else {**given, **there}
                self.rows[self.rows.index(there)] = {**merged, "received_at": latest}
