"""Loads into a SQLite file: a whole warehouse in a few lines, with faults that a test can ask for.

Each of the files `down`, `full`, `refuse` and `readonly` beside the database changes what comes of it: nothing works for
the time being, no load does, every row that holds the text in the file is refused, everything is refused.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.sdk import Abort, Answer, Config, Known, Limits, Load, Retry, Table

DIALECT = "postgres"
LIMITS = Limits(timeout_s=20.0, load_every_s=0.2)
_CURSORS = (
    "CREATE TABLE IF NOT EXISTS sternpost_loads (destination, log_id, first_sequence, last_sequence, rows, loaded_at)"
)


class Shelf(Config):
    """Where the file is."""

    path: Path
    """The database."""
    die_at: int = 0
    """The process ends, as if killed, in the middle of the load of that number since its start."""


_loads = 0


def inspect(stream: str, config: Shelf) -> Known:
    """Tables, columns, and the cursors of a stream."""
    with _opened(config) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        tables = {
            name: {row[1]: row[2] for row in database.execute(f"PRAGMA table_info({_quoted(name)})")} for name in names
        }
        cursors = "SELECT log_id, max(last_sequence) FROM sternpost_loads WHERE destination = ? GROUP BY log_id"
        return Known(tables, dict(database.execute(cursors, (stream,))))


def load(load: Load, config: Shelf) -> None:
    """One transaction."""
    global _loads
    _loads += 1
    if (config.path.parent / "full").exists():
        raise Retry("the shelf is full")
    with _opened(config) as database:
        cursor = "SELECT max(last_sequence) FROM sternpost_loads WHERE destination = ? AND log_id = ?"
        at = database.execute(cursor, (load.stream, load.log_id)).fetchone()[0]
        if load.last_sequence and at is not None and at >= load.last_sequence:
            return
        for table in load.tables:
            _refuse(table, config)
            _bring_in(database, table)
        if config.die_at and _loads >= config.die_at:
            os._exit(9)
        if load.last_sequence:
            row = (load.stream, load.log_id, load.first_sequence, load.last_sequence, load.rows, load.loaded_at)
            database.execute("INSERT INTO sternpost_loads VALUES (?, ?, ?, ?, ?, ?)", row)


def query(sql: str, rows_max: int, config: Shelf) -> Answer:
    """Whatever it gives."""
    with _opened(config) as database:
        found = database.execute(sql)
        rows = [list(row) for row in found.fetchmany(rows_max + 1)]
        return Answer([column[0] for column in found.description], rows[:rows_max], len(rows) > rows_max)


@contextmanager
def _opened(config: Shelf) -> Iterator[sqlite3.Connection]:
    if (config.path.parent / "down").exists():
        raise Retry("the shelf is down")
    database = sqlite3.connect(config.path, timeout=5.0, isolation_level="IMMEDIATE")
    try:
        database.execute("PRAGMA synchronous = FULL")
        database.execute(_CURSORS)
        with database:
            yield database
    finally:
        database.close()


def _refuse(table: Table, config: Shelf) -> None:
    if (config.path.parent / "readonly").exists():
        raise Abort("the shelf takes nothing")
    words = config.path.parent / "refuse"
    if words.exists() and any(words.read_text() in str(value) for column in table.values for value in column):
        raise Abort("the shelf refuses this value")


def _bring_in(database: sqlite3.Connection, table: Table) -> None:
    name = _quoted(table.name)
    there = {row[1] for row in database.execute(f"PRAGMA table_info({name})")}
    if not there:
        columns = ", ".join(f"{_quoted(column.name)} {column.type}" for column in table.columns)
        key = f", PRIMARY KEY ({', '.join(map(_quoted, table.key))})" if table.key else ""
        database.execute(f"CREATE TABLE {name} ({columns}{key})")
    for column in table.columns:
        if there and column.name not in there:
            database.execute(f"ALTER TABLE {name} ADD COLUMN {_quoted(column.name)} {column.type}")
    for view, named in table.views.items():
        chosen = ", ".join(f"{_quoted(column)} AS {_quoted(name)}" for name, column in named.items())
        database.execute(f"CREATE VIEW IF NOT EXISTS {_quoted(view)} AS SELECT {chosen} FROM {name}")
    columns = [_quoted(column.name) for column in table.columns]
    sql = f"INSERT INTO {name} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
    if table.key:
        rest = [column for column in columns if column not in map(_quoted, table.key)]
        keep = "{0} = excluded.{0}" if table.mode == "newest" else "{0} = coalesce(excluded.{0}, {0})"
        newer = f"WHERE excluded.{_quoted(table.by)} >= {_quoted(table.by)}" if table.by else ""
        sql += f" ON CONFLICT ({', '.join(map(_quoted, table.key))}) DO UPDATE SET "
        sql += ", ".join(keep.format(column) for column in rest) + f" {newer}"
        if not rest or not table.by:
            sql = sql.partition(" DO UPDATE")[0] + " DO NOTHING"
    database.executemany(sql, zip(*table.values, strict=True))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
