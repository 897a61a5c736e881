"""Keeps the tables in one DuckDB file on this machine, which other programs may read between two loads.

Every call opens the file, works and closes it, because DuckDB lets nobody else in while a file is open for writing. A
file that somebody else has open is waited for a moment, then the load is tried again later. A crash leaves the tables
as they were before the load or after it: all of a load is one transaction, its cursor in `sternpost_loads` included.

Rows of 20 columns come in at 200,000 a second and core as JSON, an array per row, in an unnamed temporary file. CSV by
Python's writer makes 85,000, columns as parameters 82,000, an appender 55,000, a row at a time 500.

How a row finds its older self. An index (ART) is out of the question: random ids dirty all of it, so that 50,000 rows
into 1 M took over a second, and ever longer. Looking through the ids of 10 M rows takes 0.7 to 1.2 s per table. So a
table of digests goes along with every table, in the schema `sternpost`: 8 bytes of each key, and the row's time. 10 M
of them are looked through in 0.2 s, and the time says which few rows of the table itself a match can be.
"""

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.sdk import Abort, Answer, Bytes, Config, Count, Known, Limits, Load, Retry, Seconds, Table
from appliance.sdk import quote_identifier as quote

if TYPE_CHECKING:  # It is imported where a file is opened: 60 MB of code that a process without events does not need.
    import duckdb

DIALECT = "duckdb"
LIMITS = Limits(in_flight_max=1, timeout_s=600.0)

LOCK_WAIT_S, TURN_WAIT_S = 2.0, 60.0
"""How long a file is waited for that another program has open, or another call of this process."""
CHUNK_ROWS = 1_000
"""Rows that become JSON in one go: a few milliseconds in which no other thread of Python runs."""
CHUNK_BYTES = 1024 * 1024
"""DuckDB reads JSON in pieces of twice the longest row; no row counts as shorter."""
COLUMN_BYTES = 160 * 1024
"""What a column of a table takes on its way in, however few the rows; `memory` is meant beside that."""
ANSWER_BYTES_MAX = 16 * 1024 * 1024
"""About as much of an answer as is kept in memory; the rest of it is cut off like rows beyond the limit."""
DIGEST = '" digest"'
"""A column of staged rows; no column of a table is named so, as theirs come without blanks."""
_TYPES = {
    "BIGINT": "int", "DOUBLE": "float", "VARCHAR": "string", "TIMESTAMP WITH TIME ZONE": "datetime",
    "BOOLEAN": "boolean", "JSON": "json",
}  # fmt: skip
_LOADS = """CREATE TABLE IF NOT EXISTS sternpost_loads (destination VARCHAR, log_id VARCHAR,
    first_sequence BIGINT, last_sequence BIGINT, "rows" BIGINT, loaded_at TIMESTAMPTZ)"""
_COLUMNS = "FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = 'main'"
_turns: dict[Path, threading.Lock] = {}


class DuckDb(Config):
    """The file, and what DuckDB may take of the machine."""

    path: Path
    """The database file; made with its folder where it is missing."""
    memory: Bytes = 128 * 1024 * 1024
    """Most memory that DuckDB takes for a load or a query; what needs more goes to disk for the while."""
    threads: Count = 1
    """Cores for a load or a query; collecting events needs one too."""
    spill: Bytes = 4 * 1024 * 1024 * 1024
    """Most disk that a load or a query takes for the while, in a folder beside the file."""
    query_time: Seconds = 30.0
    """A query that takes longer is ended; loads wait for it."""

    def __post_init__(self) -> None:
        """Refuse what DuckDB cannot work with."""
        if self.memory < 64 * 1024 * 1024:
            raise ValueError("memory must be at least 64 MiB")
        if not 0.1 <= self.query_time <= 600:
            raise ValueError("query_time must be 0.1 to 600 seconds")


def inspect(stream: str, config: DuckDb) -> Known:
    """Tables, columns and cursors; nothing at all where there is no file yet."""
    if not config.path.exists():
        return Known({}, {})
    with _opened(config, read_only=True) as connection:
        tables: dict[str, dict[str, str]] = {}
        sql = f"SELECT table_name, column_name, data_type {_COLUMNS}"
        for table, column, kind in connection.execute(sql).fetchall():
            tables.setdefault(table.lower(), {})[column.lower()] = _TYPES.get(kind, "other")
        cursors = {}
        if "sternpost_loads" in tables:
            sql = "SELECT log_id, max(last_sequence) FROM sternpost_loads WHERE destination = ? GROUP BY log_id"
            cursors = dict(connection.execute(sql, [stream]).fetchall())
        return Known(tables, cursors)


def load(load: Load, config: DuckDb) -> None:
    """Bring in all tables and the cursor in one transaction, or nothing."""
    with _opened(config) as connection:
        connection.execute("BEGIN")
        connection.execute(_LOADS)
        if load.last_sequence and load.last_sequence <= _cursor(connection, load):
            return
        connection.execute("CREATE SCHEMA IF NOT EXISTS sternpost")
        for table in load.tables:
            if table.rows:
                _Merge(connection, table, config).run()
        if load.last_sequence:
            _move_cursor(connection, load)
        connection.execute("COMMIT")


def query(sql: str, rows_max: int, config: DuckDb) -> Answer:
    """What a query gives. It reads this file alone and changes nothing, whatever it says.

    Raises:
        Abort: the query is at fault; the text says where.
        Retry: the file cannot be read now.
    """
    if not config.path.exists():
        raise Retry("nothing has been loaded yet")
    import duckdb

    with _opened(config, read_only=True) as connection, _ended_after(connection, config.query_time):
        try:
            connection.execute(sql)
            return _answer(connection, rows_max)
        except duckdb.InterruptException as error:
            raise Abort(f"the query took longer than {config.query_time:g} s and was ended") from error
        except (duckdb.IOException, duckdb.FatalException):
            raise
        except (duckdb.Error, ValueError, OverflowError) as error:
            raise Abort(str(error).partition("\n")[0], sample=str(error)) from error


def check(config: DuckDb) -> None:
    """Open the file for writing."""
    with _opened(config) as connection:
        connection.execute("SELECT 1")


# Opening --------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(config: DuckDb, read_only: bool = False) -> "Iterator[duckdb.DuckDBPyConnection]":
    """The open file, nobody else having it; DuckDB's exceptions become ours. What is not committed is rolled back."""
    import duckdb

    turn = _turns.setdefault(config.path.resolve(), threading.Lock())
    if not turn.acquire(timeout=TURN_WAIT_S):
        raise Retry("another load or query is still at work on the file")
    try:
        connection = _connect(config, read_only)
        try:
            yield connection
        finally:
            connection.close()
    except _passing() as error:
        raise Retry(_passing_words(config, error), sample=str(error)) from error
    except OSError as error:
        raise Retry(f"{config.path} cannot be written: {error.strerror}", sample=str(error)) from error
    except duckdb.Error as error:
        raise Abort(f"DuckDB refused the rows: {_kind(error)}", sample=str(error)) from error
    except ValueError as error:
        raise Abort("a name or a value that no text or number can hold", sample=str(error)) from error
    finally:
        turn.release()


def _connect(config: DuckDb, read_only: bool) -> "duckdb.DuckDBPyConnection":
    import duckdb

    spilling = config.path.with_name(config.path.name + ".spill")
    settings: dict[str, Any] = {
        "memory_limit": f"{config.memory}B",
        "threads": config.threads,
        "temp_directory": str(spilling),
        "max_temp_directory_size": f"{config.spill}B",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    if not read_only:
        config.path.parent.mkdir(parents=True, exist_ok=True)
    deadline_s = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            connection = duckdb.connect(str(config.path), read_only=read_only, config=settings)
            break
        except duckdb.Error as error:
            if "Could not set lock" not in str(error) or time.monotonic() > deadline_s:
                raise
            time.sleep(0.1)
    connection.execute("SET TimeZone = 'UTC'; SET python_enable_replacements = false")
    if read_only:
        connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    elif spilling.is_dir():
        shutil.rmtree(spilling, ignore_errors=True)  # A crash left it: whoever has the file open to write is alone.
    return connection


@cache
def _passing() -> "tuple[type[duckdb.Error], ...]":
    """What is no fault of a row: the disk, memory, rights, another program, DuckDB itself."""
    import duckdb

    return (
        duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.ConnectionException,
        duckdb.PermissionException, duckdb.FatalException, duckdb.InternalException, duckdb.InterruptException,
        duckdb.SerializationException, duckdb.ResourceInUseException,
    )  # fmt: skip


def _passing_words(config: DuckDb, error: "duckdb.Error") -> str:
    """The same words for the same cause; what DuckDB says in full is in the sample."""
    text = str(error)
    if "Could not set lock" in text:
        return f"another program has {config.path} open; close it there, and open it read-only between loads"
    if "No space left" in text:
        return f"the disk of {config.path} is full; make room, nothing is lost"
    if "Read-only file system" in text or "Permission denied" in text:
        return f"{config.path} cannot be written; give this user the right to, nothing is lost"
    return f"DuckDB cannot use {config.path} now: {_kind(error)}"


def _kind(error: "duckdb.Error") -> str:
    """What DuckDB says before the particulars: `Conversion Error`."""
    return str(error).partition(":")[0][:100]


@contextmanager
def _ended_after(connection: "duckdb.DuckDBPyConnection", limit_s: float) -> Iterator[None]:
    timer = threading.Timer(limit_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # An interruption under way must find the connection open.


# Cursor ---------------------------------------------------------------------------------------------------------


def _cursor(connection: "duckdb.DuckDBPyConnection", load: Load) -> int:
    sql = "SELECT max(last_sequence) FROM sternpost_loads WHERE destination = ? AND log_id = ?"
    return int(_row(connection.execute(sql, [load.stream, load.log_id]))[0] or 0)


def _move_cursor(connection: "duckdb.DuckDBPyConnection", load: Load) -> None:
    connection.execute(
        "INSERT INTO sternpost_loads VALUES (?, ?, ?, ?, ?, CAST(? AS TIMESTAMPTZ))",
        [load.stream, load.log_id, load.first_sequence, load.last_sequence, load.rows, load.loaded_at],
    )
    connection.execute(
        "DELETE FROM sternpost_loads WHERE destination = ? AND log_id = ? AND last_sequence < ?"
        " AND loaded_at < CAST(? AS TIMESTAMPTZ) - INTERVAL 90 DAY",
        [load.stream, load.log_id, load.last_sequence, load.loaded_at],
    )


# Merging --------------------------------------------------------------------------------------------------------


class _Merge:
    """One table of a load, with at least one row, on its way in."""

    def __init__(self, connection: "duckdb.DuckDBPyConnection", table: Table, config: DuckDb) -> None:
        self._execute, self._table, self._config = connection.execute, table, config
        # A staged table, or one of an analyst's in the same schema, must never be met by an event's name.
        self._database = quote(DIALECT, _row(self._execute("SELECT current_database()"))[0])
        self._target = f"{self._database}.main.{quote(DIALECT, table.name)}"
        self._digests = f"{self._database}.sternpost.{quote(DIALECT, table.name)}"
        self._columns = ", ".join(quote(DIALECT, column.name) for column in table.columns)
        self._by = quote(DIALECT, table.by)
        self._source = "temp.staged"
        self._same = " AND ".join(f"t.{name} = s.{name}" for name in (quote(DIALECT, key) for key in table.key))

    def run(self) -> None:
        """Add what is missing, stage, merge."""
        self._make()
        self._stage()
        if self._table.mode == "newest":
            self._watch()
            self._replace()
        elif self._table.mode == "fill":
            self._fill()
        self._execute(f"INSERT INTO {self._target} ({self._columns}) SELECT {self._columns} FROM {self._source}")
        self._execute("DROP TABLE temp.staged")
        self._execute("DROP TABLE IF EXISTS temp.merged")

    def _make(self) -> None:
        declared = [f"{quote(DIALECT, column.name)} {column.declared}" for column in self._table.columns]
        self._execute(f"CREATE TABLE IF NOT EXISTS {self._target} ({', '.join(declared)})")
        there = self._there()
        for column, words in zip(self._table.columns, declared, strict=True):
            if column.name.lower() not in there:
                self._execute(f"ALTER TABLE {self._target} ADD COLUMN {words}")
        for view, named in self._table.views.items():
            self._show(view, named)
        wide_bytes = COLUMN_BYTES * (len(there) + len(declared))
        self._execute(f"SET memory_limit = '{self._config.memory + wide_bytes}B'")

    def _show(self, view: str, named: dict[str, str]) -> None:
        """Make a view of the table, unless there is something of that name: an analyst may have changed it."""
        if self._there(view):
            return
        chosen = [f"{quote(DIALECT, column)} AS {quote(DIALECT, name)}" for name, column in named.items()]
        name = f"{self._database}.main.{quote(DIALECT, view)}"
        self._execute(f"CREATE VIEW {name} AS SELECT {', '.join(chosen)} FROM {self._target}")

    def _there(self, name: str = "") -> list[str]:
        """Columns of a table or a view, of this one if none is named; none where it is missing."""
        sql = f"SELECT lower(column_name) {_COLUMNS} AND lower(table_name) = lower(?)"
        return [column for (column,) in self._execute(sql, [name or self._table.name]).fetchall()]

    def _stage(self) -> None:
        """The rows as `temp.staged`, with the digests of their keys."""
        types = [
            f"CAST(r[{place}] AS {column.declared}) AS {quote(DIALECT, column.name)}"
            for place, column in enumerate(self._table.columns, 1)
        ]
        with tempfile.TemporaryFile(dir=self._config.path.parent) as file:  # Without a name: a crash leaves nothing.
            rows = zip(*self._table.values, strict=True)
            encoder = msgspec.json.Encoder()
            row_bytes = CHUNK_BYTES
            while chunk := encoder.encode_lines(list(islice(rows, CHUNK_ROWS))):
                file.write(chunk)
                if len(chunk) > CHUNK_BYTES:
                    row_bytes = max(row_bytes, *map(len, chunk.split(b"\n")))
            file.flush()
            self._execute(
                f"CREATE TEMP TABLE staged AS SELECT *, {self._digest()} AS {DIGEST} FROM (SELECT {', '.join(types)}"
                " FROM read_json(?, records = false, format = 'newline_delimited', compression = 'none',"
                f" maximum_object_size = {row_bytes + 1}, columns = {{r: 'VARCHAR[]'}}))",
                [f"/proc/self/fd/{file.fileno()}"],
            )

    def _digest(self) -> str:
        parts = ", ".join(f"CAST({quote(DIALECT, key)} AS VARCHAR)" for key in self._table.key) or "NULL"
        return f"md5_number_lower(concat_ws(chr(31), {parts}))"

    def _watch(self) -> None:
        """See to it that there is a digest for every row: tables of others, and hands of others, have none."""
        self._execute(f"CREATE TABLE IF NOT EXISTS {self._digests} (digest UBIGINT, moment TIMESTAMPTZ)")
        sql = f"SELECT (SELECT count(*) FROM {self._target}) = (SELECT count(*) FROM {self._digests})"
        if not _row(self._execute(sql))[0]:
            sql = f"SELECT {self._digest()} AS digest, {self._by} AS moment FROM {self._target}"
            self._execute(f"CREATE OR REPLACE TABLE {self._digests} AS {sql}")

    def _replace(self) -> None:
        """Take away the rows that a staged one is as new as, and the staged rows that are older than theirs."""
        count, timeless, first, last = _row(
            self._execute(
                "SELECT count(*), count(*) - count(d.moment), min(d.moment)::VARCHAR, max(d.moment)::VARCHAR"
                f" FROM {self._digests} d JOIN temp.staged s ON d.digest = s.{DIGEST}"
            )
        )
        if count:
            within = f"t.{self._by} BETWEEN CAST(? AS TIMESTAMPTZ) AND CAST(? AS TIMESTAMPTZ)"
            self._execute(
                f"CREATE TEMP TABLE met AS SELECT s.rowid AS place, t.rowid AS old, s.{DIGEST} AS digest,"
                f" coalesce(t.{self._by} IS NULL OR s.{self._by} >= t.{self._by}, false) AS is_older"
                f" FROM {self._target} t JOIN temp.staged s ON {self._same}" + ("" if timeless else f" WHERE {within}"),
                [] if timeless else [first, last],
            )
            self._execute("DELETE FROM temp.staged WHERE rowid IN (SELECT place FROM temp.met WHERE NOT is_older)")
            self._execute("DELETE FROM temp.met WHERE place NOT IN (SELECT rowid FROM temp.staged)")
            self._execute(f"DELETE FROM {self._target} WHERE rowid IN (SELECT old FROM temp.met)")
            self._execute(f"DELETE FROM {self._digests} WHERE digest IN (SELECT digest FROM temp.met)")
            self._execute("DROP TABLE temp.met")
        self._execute(f"INSERT INTO {self._digests} SELECT {DIGEST}, {self._by} FROM temp.staged")

    def _fill(self) -> None:
        """Let the staged rows take over what they lack, and from rows as new as they are what these have."""
        staged = {column.name.lower() for column in self._table.columns}
        others = [quote(DIALECT, name) for name in self._there() if name not in staged]
        filled = [f"t.{name} AS {name}" for name in others]
        is_newer = f"t.{self._by} IS NULL OR s.{self._by} >= t.{self._by}"
        for name in (quote(DIALECT, column.name) for column in self._table.columns):
            new, old = f"s.{name}", f"t.{name}"
            both = f"CASE WHEN {is_newer} THEN coalesce({new}, {old}) ELSE coalesce({old}, {new}) END"
            filled.append(f"{f'greatest({new}, {old})' if name == self._by else both} AS {name}")
        self._execute(
            f"CREATE TEMP TABLE merged AS SELECT {', '.join(filled)}"
            f" FROM temp.staged s LEFT JOIN {self._target} t ON {self._same}"
        )
        self._execute(f"DELETE FROM {self._target} t USING temp.staged s WHERE {self._same}")
        self._columns, self._source = ", ".join([*others, self._columns]), "temp.merged"


# Answers --------------------------------------------------------------------------------------------------------


def _answer(connection: "duckdb.DuckDBPyConnection", rows_max: int) -> Answer:
    answer = Answer([str(column[0]) for column in connection.description], [], False)
    types = [str(column[1]) for column in connection.description]
    left = ANSWER_BYTES_MAX
    while (row := connection.fetchone()) is not None:
        if len(answer.rows) == rows_max or left < 0:
            return msgspec.structs.replace(answer, types=types, more=True)
        answer.rows.append([_plain(value) for value in row])
        left -= sum(len(value) if isinstance(value, str) else 16 for value in answer.rows[-1])
    return msgspec.structs.replace(answer, types=types)


def _plain(value: Any) -> Any:
    """As JSON has it: times, decimals and whatever else it lacks become text."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, datetime):
        return value.isoformat(timespec="auto" if value.microsecond % 1000 else "milliseconds").replace("+00:00", "Z")
    if (isinstance(value, float) and not isfinite(value)) or (isinstance(value, int) and value.bit_length() > 63):
        return str(value)
    return msgspec.to_builtins(value, str_keys=True)


def _row(found: "duckdb.DuckDBPyConnection") -> tuple[Any, ...]:
    row = found.fetchone()
    assert row is not None
    return tuple(row)
