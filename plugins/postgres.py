"""Loads tables in RudderStack's layout into a schema of PostgreSQL (12 or later), exactly once.

One load is one transaction with its cursor in `sternpost_loads`. Rows whose key the table lacks, nearly all, are copied
straight into it; the others go through a temporary table into an UPDATE. So no table needs a unique index, and those of
RudderStack, which have none, are loaded as well, only that each load then reads them whole. Tables made here have a
hash index on `id`, which also finds an event for whoever reads.

Measured (20 columns, microseconds of the server per row, in a small table and in one of 10 million rows): a bare COPY
5, 5; asking for the keys and copying, with the hash index 9, 15, with a primary key 14, 39; a temporary table and
INSERT ... ON CONFLICT on a primary key 18 and more.

Loads into one schema come one after the other, by an advisory lock, so that a call that ran over its time and the one
after it never meet, nor two destinations: that, and the cursor, is what keeps keys unique. Every call has a connection
of its own: nothing of a broken one lives on.
"""

import hashlib
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from appliance.sdk import (
    Abort,
    Answer,
    Column,
    Config,
    Count,
    Known,
    Limits,
    Load,
    Log,
    Retry,
    Seconds,
    Secret,
    Table,
    csv_of,
    plain,
    quote_identifier,
)

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[tuple[Any, ...]]

DIALECT = "postgres"
LIMITS = Limits(in_flight_max=1, timeout_s=900.0, load_every_s=300.0)

CONNECT_S = 10
SILENCE_S = 30
"""A server that acknowledges nothing for so long is taken for gone."""
ROWS_PER_WRITE = 2_000
"""So many rows become CSV at once: the server reads them while the next are made."""
COLLISION = "23505"
"""SQLSTATE of a second row with one key."""
LEDGER = "sternpost_loads"
LEDGER_COLUMNS = [
    Column("destination", "string", "text"),
    Column("log_id", "string", "text"),
    Column("first_sequence", "int", "bigint"),
    Column("last_sequence", "int", "bigint"),
    Column("rows", "int", "bigint"),
    Column("loaded_at", "datetime", "timestamptz"),
]
FILL_FACTOR = 80
"""Rows of `users` change all the time: with room on their page no index has to change along."""

OUR_WORDS = {
    "int": ("int2", "int4", "int8"),
    "float": ("numeric", "float4", "float8"),
    "string": ("text", "varchar", "bpchar", "name", "citext"),
    "datetime": ("timestamptz", "timestamp"),
    "boolean": ("bool",),
    "json": ("jsonb", "json"),
}
_TYPES = {theirs: ours for ours, words in OUR_WORDS.items() for theirs in words}


class Postgres(Config):
    """Where the server is and what to log in as."""

    user: str
    """The role to log in as; docs/postgres.md lists the rights that it needs."""
    database: str
    """The database; it must exist, and be encoded in UTF8."""
    host: str = "localhost"
    """Name or address of the server, or the folder of its socket."""
    port: Count = 5432
    """Its port."""
    password: Secret | None = None
    """The role's password, if it needs one."""
    schema: str = "rudder"
    """The schema that the tables are in; made where it is missing."""
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    """Whether to speak TLS: over a network `verify-full`, which also proves that it is the right server."""
    sslrootcert: Path | None = None
    """The authorities to trust, as PEM; those of the system, if left out and `sslmode` is `verify-full`."""
    statement_timeout: Seconds = 300.0
    """Longest statement; at least 1 second."""
    lock_timeout: Seconds = 30.0
    """Longest wait for somebody else's lock on a table; at least 1 second. Then the load is tried again later."""

    def __post_init__(self) -> None:
        """Refuse names that PostgreSQL does not take, or would cut."""
        if not 1 <= len(self.schema.encode()) <= 63 or "\0" in self.schema:
            raise ValueError("schema must be 1 to 63 bytes long")
        if self.schema.startswith("pg_") or self.schema == "information_schema":
            raise ValueError(f"schema must not be {self.schema}: it is one of PostgreSQL's own")
        if self.port > 65_535:
            raise ValueError("port must be at most 65535")
        if min(self.statement_timeout, self.lock_timeout) < 1:
            raise ValueError("statement_timeout and lock_timeout must be at least 1 second")


@contextmanager
def open(config: Postgres, log: Log) -> Iterator["Server"]:
    """Nothing is connected yet: every call does so itself."""
    yield Server(config, log)


def inspect(stream: str, server: "Server") -> Known:
    """Tables and columns of the schema, and the cursors of the stream."""
    with server.transaction() as connection:
        columns = _columns(connection, server.schema)
        cursors: list[Any] = []
        if LEDGER in columns:
            ledger = server.named(LEDGER)
            sql = f"SELECT log_id, max(last_sequence) FROM {ledger} WHERE destination = $1 GROUP BY log_id"
            cursors = _run(connection, sql, stream)
    tables = {
        table: {name: _TYPES.get(theirs, "other") for name, theirs in found.items()} for table, found in columns.items()
    }
    return Known(tables=tables, cursors=dict(cursors))


def load(load: Load, server: "Server") -> None:
    """Put a range of the log into its tables, with its cursor, or nothing of it."""
    if any(table.name == LEDGER for table in load.tables):
        raise Abort(f"{LEDGER} is no table for events: it holds the cursors")
    for is_last in (False, True):
        try:
            with server.transaction(writes=True) as connection:
                _Loading(connection, server, load).run()
            return
        except Abort as refused:
            if is_last or COLLISION not in refused.reason:
                raise  # Else somebody has written the same key since we looked: now it will be found.


def query(sql: str, rows_max: int, server: "Server") -> Answer:
    """Answer one SELECT; nothing can be changed by it."""
    return server.query(sql, rows_max)


def check(server: "Server") -> None:
    """Connect, and look whether the role could make the schema and its tables."""
    with server.transaction() as connection:
        facts = _run(
            connection,
            "SELECT current_setting('server_encoding'), pg_is_in_recovery(),"
            " has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMP'),"
            " (SELECT has_schema_privilege(oid, 'USAGE, CREATE') FROM pg_namespace WHERE nspname = $1)",
            server.schema,
        )
    encoding, is_standby, may_create, may_stage, may_use_schema = facts[0]
    if encoding != "UTF8":
        raise Abort(f"the database is encoded in {encoding}; make one in UTF8")
    if is_standby:
        raise Retry("the server is a standby, which is read-only; name the primary as host")
    if may_use_schema is None and not may_create:
        raise Retry("the role may not make the schema: GRANT CREATE ON DATABASE, or make the schema for it")
    if may_use_schema is False:
        raise Retry("the role may not make tables in the schema: GRANT USAGE, CREATE ON SCHEMA")
    if not may_stage:
        raise Retry("the role may not make temporary tables: GRANT TEMPORARY ON DATABASE")


class Server:
    """One schema of one database."""

    def __init__(self, config: Postgres, log: Log) -> None:
        self._config, self._log = config, log
        self.schema = config.schema
        self._warned: set[str] = set()

    def named(self, table: str) -> str:
        """A table of the schema, quoted."""
        return f"{quoted(self.schema)}.{quoted(table)}"

    @contextmanager
    def transaction(self, *, writes: bool = False) -> Iterator["Connection"]:
        """A connection within a transaction, committed at the end; whoever writes waits until nobody else does.

        Raises:
            Retry, Abort: for whatever PostgreSQL says; nothing was changed, or all (a commit's answer may get lost).
        """
        psycopg = _client()
        try:
            with self._connected() as connection:
                connection.read_only = None if writes else True
                _run(connection, self._settings() + (f"SELECT pg_advisory_xact_lock({self._lock})" if writes else ""))
                yield connection
        except psycopg.Error as error:
            raise refusal(error) from error
        except ValueError as error:  # half a surrogate pair, or a name that none can be
            raise Abort("PostgreSQL: it refuses a value or a name that is no text in UTF-8") from error

    def query(self, sql: str, rows_max: int) -> Answer:
        """The first rows of a SELECT: a declared cursor takes one statement, and none that writes."""
        from psycopg import DataError, ProgrammingError, RawServerCursor
        from psycopg.types.string import TextLoader

        with self.transaction() as connection:
            for name in ("date", "time", "timetz", "timestamp", "timestamptz", "interval"):  # may be infinite, or BC
                connection.adapters.register_loader(name, TextLoader)
            _run(connection, f"SET LOCAL search_path = {quoted(self.schema)}, public")
            # A function within the statement may lift the server's limit.
            watch = threading.Timer(self._config.statement_timeout, connection.cancel)
            watch.start()
            try:
                with RawServerCursor(connection, "sternpost_query") as cursor:
                    cursor.execute(sql.encode())
                    rows = cursor.fetchmany(rows_max + 1)
                    columns = list(cursor.description or ())
            except (DataError, ProgrammingError) as error:  # in a load some of these may pass
                raise Abort(f"PostgreSQL: {error.diag.message_primary or error}", sample=str(error)) from error
            finally:
                watch.cancel()
            connection.rollback()  # Before PostgreSQL 16 a read-only transaction may still make large objects.
        return Answer(
            columns=[column.name for column in columns],
            rows=[[plain(value) for value in row] for row in rows[:rows_max]],
            more=len(rows) > rows_max,
            types=[column.type_display for column in columns],
        )

    def warn_of_slow_table(self, table: str, column: str) -> None:
        """Say once that a table has no index that finds a key."""
        if table not in self._warned:
            self._warned.add(table)
            index = f"CREATE INDEX CONCURRENTLY ON {self.named(table)} USING hash ({quoted(column)})"
            self._log.warning("index_not_found", table=table, effect="every load reads the whole table", next=index)

    def _connected(self) -> "Connection":
        config, psycopg = self._config, _client()
        authorities = str(config.sslrootcert) if config.sslrootcert else None
        try:
            connected: Connection = psycopg.connect(
                host=config.host,
                port=config.port,
                user=config.user,
                password=config.password.reveal() if config.password else None,
                dbname=config.database,
                sslmode=config.sslmode,
                sslrootcert=authorities or ("system" if config.sslmode == "verify-full" else None),
                application_name="sternpost",
                client_encoding="utf8",
                connect_timeout=CONNECT_S,
                keepalives_idle=SILENCE_S // 2,
                keepalives_interval=SILENCE_S // 6,
                keepalives_count=3,
                tcp_user_timeout=SILENCE_S * 1000,
                prepare_threshold=None,  # Statements that outlive a transaction do not pass every pooler.
                cursor_factory=psycopg.RawCursor,
            )
            return connected
        except psycopg.Error as error:
            # The last of what was tried, and of its lines the first; the rest is advice and addresses.
            words = str(error).strip().rpartition("failed: ")[2].splitlines() or ["no answer"]
            reason = f"cannot connect to PostgreSQL: {words[0].removeprefix('FATAL:').strip()}"
            raise Retry(reason, sample=str(error)[:1000], connection=True) from error

    def _settings(self) -> str:
        """For the transaction alone, so that they pass a pooler. Without search_path nobody's functions hide ours."""
        statement_ms, lock_ms = int(self._config.statement_timeout * 1000), int(self._config.lock_timeout * 1000)
        return (
            f"SET LOCAL statement_timeout = {statement_ms}; SET LOCAL lock_timeout = {lock_ms};"
            f" SET LOCAL idle_in_transaction_session_timeout = {statement_ms}; SET LOCAL search_path = pg_catalog;"
            " SET LOCAL client_min_messages = error; SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO';"
            " SET LOCAL jit = off;"  # Its costs are estimates, which `plan_by_index` drives up.
            " SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';"
        )

    @property
    def _lock(self) -> int:
        """The number of the advisory lock: PostgreSQL knows it per database, so it stands for the schema."""
        digest = hashlib.sha256(b"sternpost load\0" + self.schema.encode()).digest()
        return int.from_bytes(digest[:8], signed=True)


class _Loading:
    """One load within its transaction."""

    def __init__(self, connection: "Connection", server: Server, load: Load) -> None:
        self._connection, self._server, self._load = connection, server, load
        self._staged = 0

    def run(self) -> None:
        """Nothing, where the cursor says that it was done before."""
        names = [LEDGER, *(table.name for table in self._load.tables)]
        held = _columns(self._connection, self._server.schema, names)
        with_cursor = self._load.last_sequence > 0
        if with_cursor and LEDGER in held and self._was_done():
            return
        if self._others({table.name for table in self._load.tables} - held.keys()):
            # So that nobody stops the others by naming an event like somebody's view.
            raise Abort("PostgreSQL: a view, an index or a sequence has the table's name")
        self._make_schema()
        if with_cursor and LEDGER not in held:
            key = "PRIMARY KEY (destination, log_id, last_sequence)"
            self._make_table(LEDGER, [*map(_declared, LEDGER_COLUMNS), key])
        indexed = self._indexed(names)
        for table in self._load.tables:
            self._widen(table, held.get(table.name))
            others = set(held.get(table.name, ())) - {column.name for column in table.columns}
            ways = {(table.name, frozenset(table.key)), (table.name, frozenset([_hashed(table.key)]))}
            by_index = table.name not in held or not ways.isdisjoint(indexed)
            self._put(table, sorted(others), by_index)
        if with_cursor:
            self._move_cursor()

    def _run(self, sql: str, *parameters: Any) -> list[Any]:
        return _run(self._connection, sql, *parameters)

    def _was_done(self) -> bool:
        sql = f"SELECT max(last_sequence) FROM {self._server.named(LEDGER)} WHERE destination = $1 AND log_id = $2"
        cursor = self._run(sql, self._load.stream, self._load.log_id)[0][0]
        return cursor is not None and cursor >= self._load.last_sequence

    def _others(self, names: set[str]) -> bool:
        """Whether anything in the schema is named like one of these, a table or not."""
        sql = """
            SELECT 1 FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
            WHERE n.nspname = $1 AND t.relname = ANY($2)"""
        return bool(names and self._run(sql, self._server.schema, sorted(names)))

    def _make_schema(self) -> None:
        """Only where it is missing: even IF NOT EXISTS needs a right on the whole database."""
        if not self._run("SELECT 1 FROM pg_namespace WHERE nspname = $1", self._server.schema):
            self._run(f"CREATE SCHEMA IF NOT EXISTS {quoted(self._server.schema)}")

    def _make_table(self, name: str, parts: list[str], fill_factor: int = 100) -> None:
        made = f"CREATE TABLE IF NOT EXISTS {self._server.named(name)} ({', '.join(parts)})"
        self._run(f"{made} WITH (fillfactor = {fill_factor})")

    def _widen(self, table: Table, held: dict[str, str] | None) -> None:
        """Make the table with its index, or add the columns that it lacks; then its views, where they are missing."""
        target = self._server.named(table.name)
        if held is None:
            fill_factor = FILL_FACTOR if table.mode == "fill" else 100
            self._make_table(table.name, [_declared(column) for column in table.columns], fill_factor)
            if table.key:
                self._run(f"CREATE INDEX ON {target} USING hash ({quoted(_hashed(table.key))})")
        held = held if held is not None else {column.name: "" for column in table.columns}
        added = [f"ADD COLUMN IF NOT EXISTS {_declared(column)}" for column in table.columns if column.name not in held]
        if added:
            self._run(f"ALTER TABLE {target} {', '.join(added)}")
        for view, columns in table.views.items():
            if not self._others({view}):
                chosen = ", ".join(f"{quoted(column)} AS {quoted(name)}" for name, column in columns.items())
                self._run(f"CREATE VIEW {self._server.named(view)} AS SELECT {chosen} FROM {target}")

    def _indexed(self, tables: list[str]) -> set[tuple[str, frozenset[str]]]:
        """Tables with sets of columns that an index of theirs begins with."""
        sql = """
            SELECT t.relname, array_agg(a.attname::text ORDER BY k.place)
            FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace,
                unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
                JOIN pg_attribute a ON a.attnum = k.attnum
            WHERE n.nspname = $1 AND t.relname = ANY($2) AND a.attrelid = t.oid AND k.place <= i.indnkeyatts
                AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
            GROUP BY i.indexrelid, t.relname"""
        found = self._run(sql, self._server.schema, tables)
        return {(table, frozenset(names[:end])) for table, names in found for end in range(1, len(names) + 1)}

    def _put(self, table: Table, others: list[str], by_index: bool) -> None:
        """Copy the rows that are new; let the others meet those that are there."""
        if not table.rows:
            return
        met: list[int] = []
        if table.mode != "append":
            if not by_index:
                self._server.warn_of_slow_table(table.name, _hashed(table.key))
            self._plan(by_index)
            met = self._met(table)
        new = table.values
        if met:
            staged = set(met)
            new = [[value for row, value in enumerate(values) if row not in staged] for values in table.values]
            self._merge(table, others, [[values[row] for row in met] for values in table.values])
        self._copy(self._server.named(table.name), table.columns, new)

    def _plan(self, by_index: bool) -> None:
        """Look every row up by the index, however few rows the planner believes to be in a table as yet unanalysed."""
        word = "off" if by_index else "on"
        self._run("; ".join(f"SET LOCAL enable_{way} = {word}" for way in ("seqscan", "hashjoin", "mergejoin")))

    def _met(self, table: Table) -> list[int]:
        """The rows whose key the table has."""
        names = [column.name for column in table.columns]
        keys = [_array(table.values[names.index(name)]) for name in table.key]
        given = ", ".join(f"${index}::text[]" for index in range(1, len(keys) + 1))
        same = " AND ".join(f"t.{quoted(name)} = k.{quoted(name)}" for name in table.key)
        sql = f"""
            SELECT k.place FROM unnest({given}) WITH ORDINALITY AS k({", ".join(map(quoted, table.key))}, place)
            WHERE EXISTS (SELECT FROM {self._server.named(table.name)} AS t WHERE {same}) ORDER BY k.place"""
        return [place - 1 for (place,) in self._run(sql, *keys)]

    def _copy(self, target: str, columns: list[Column], values: Sequence[Sequence[Any]]) -> None:
        rows = len(values[0])
        if not rows:
            return
        names = ", ".join(quoted(column.name) for column in columns)
        cursor = self._connection.cursor()
        # Without FORCE_NULL a row of one column that is null, written as "", would be an empty text.
        with cursor.copy(f"COPY {target} ({names}) FROM STDIN (FORMAT csv, FORCE_NULL ({names}))".encode()) as copy:
            for start in range(0, rows, ROWS_PER_WRITE):
                copy.write(csv_of([column[start : start + ROWS_PER_WRITE] for column in values]))
        if cursor.rowcount != rows:
            raise Abort("PostgreSQL: it read other rows than were written")

    def _merge(self, table: Table, others: list[str], values: Sequence[Sequence[Any]]) -> None:
        """Stage rows whose key is there, then change those that are older."""
        self._staged += 1
        target, staged = self._server.named(table.name), f"pg_temp.staged_{self._staged}"
        names = [quoted(column.name) for column in table.columns]
        made = f"CREATE TEMPORARY TABLE {staged} ON COMMIT DROP"
        self._run(f"{made} AS SELECT {', '.join(names)} FROM {target} WITH NO DATA")
        self._copy(staged, table.columns, values)
        key = [quoted(name) for name in table.key]
        same = " AND ".join(f"t.{name} = s.{name}" for name in key)
        # Without times nothing is known to be newer.
        by = quoted(table.by) if table.by else None
        is_newer = f"(t.{by} IS NULL OR s.{by} >= t.{by})" if by else "false"
        if table.mode == "newest":
            sets = [f"{name} = s.{name}" for name in names if name not in key]
            sets += [f"{quoted(name)} = DEFAULT" for name in others]
            same += f" AND {is_newer}"
        else:
            sets = [
                f"{name} = CASE WHEN {is_newer} THEN coalesce(s.{name}, t.{name}) ELSE coalesce(t.{name}, s.{name}) END"
                for name in names
                if name not in (*key, by)
            ]
            sets += [f"{by} = greatest(t.{by}, s.{by})"] if by else []
        if sets:
            self._run(f"UPDATE {target} AS t SET {', '.join(sets)} FROM {staged} AS s WHERE {same}")

    def _move_cursor(self) -> None:
        load, ledger = self._load, self._server.named(LEDGER)
        names = ", ".join(quoted(column.name) for column in LEDGER_COLUMNS)
        sql = f"INSERT INTO {ledger} ({names}) VALUES ($1, $2, $3, $4, $5, $6::text::timestamptz)"
        self._run(sql, load.stream, load.log_id, load.first_sequence, load.last_sequence, load.rows, load.loaded_at)
        sql = f"""
            DELETE FROM {ledger} AS old
            WHERE destination = $1 AND loaded_at < $2::text::timestamptz - interval '90 days'
                AND EXISTS (SELECT FROM {ledger} AS new WHERE new.destination = old.destination
                    AND new.log_id = old.log_id AND new.last_sequence > old.last_sequence)"""
        self._run(sql, load.stream, load.loaded_at)


def quoted(name: str) -> str:
    """An identifier."""
    return quote_identifier(DIALECT, name)


def refusal(error: "psycopg.Error") -> Retry | Abort:
    """What an error of PostgreSQL means: never as it is, for a value or a row; perhaps later, for all else.

    Source: PostgreSQL's manual, appendix A (SQLSTATE).
    """
    import psycopg

    code = error.sqlstate or ("22000" if isinstance(error, psycopg.DataError) else "08000")
    verdict, words = next((_VERDICTS[start] for start in (code, code[:2]) if start in _VERDICTS), (Retry, "an error"))
    name = re.sub(r"(?<!^)(?=[A-Z])", " ", type(error).__name__).lower()
    said = error.diag.message_primary or str(error)
    return verdict(f"PostgreSQL: {words} ({code} {name})", sample=said[:1000])


_VERDICTS: dict[str, tuple[type[Retry] | type[Abort], str]] = {
    "08": (Retry, "the connection broke"),
    "21": (Abort, "two rows of one key came at once"),
    "22": (Abort, "it refuses a value"),
    "23": (Abort, "a row breaks a constraint"),
    "25": (Retry, "it is read-only"),
    "28": (Retry, "it refuses the log-in"),
    "40": (Retry, "another transaction was in the way"),
    "42": (Abort, "a table or column does not fit"),
    "42501": (Retry, "the role lacks a right"),
    "42701": (Retry, "somebody else added a column at once"),
    "42703": (Retry, "a column was dropped meanwhile"),
    "42P01": (Retry, "a table was dropped meanwhile"),
    "42P07": (Retry, "somebody else made a table at once"),
    "44": (Abort, "a row breaks a constraint"),
    "53": (Retry, "the server lacks disk, memory or connections"),
    "54": (Abort, "a row or table is beyond its limits"),
    "55": (Retry, "others lock a table"),
    "57": (Retry, "the server ended the call"),
    "58": (Retry, "the server's system failed"),
    "P0": (Abort, "a trigger refuses a row"),
}


def _client() -> Any:
    """The client library: only who uses this plug-in needs it."""
    try:
        import psycopg
    except ImportError as error:
        raise Retry("psycopg is not installed: pip install 'sternpost[postgres]', then restart") from error
    return psycopg


def _run(connection: "Connection", sql: str, *parameters: Any) -> list[Any]:
    cursor = connection.execute(sql.encode(), parameters or None)
    return cursor.fetchall() if cursor.description else []


def _columns(connection: "Connection", schema: str, tables: Sequence[str] | None = None) -> dict[str, dict[str, str]]:
    """Table -> column -> its type in PostgreSQL's words, whoever owns it."""
    sql = """
        SELECT t.relname::text, a.attname::text, coalesce(base.typname, own.typname)::text
        FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
            JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
            JOIN pg_type own ON own.oid = a.atttypid LEFT JOIN pg_type base ON base.oid = own.typbasetype
        WHERE n.nspname = $1 AND t.relkind IN ('r', 'p') AND ($2::text[] IS NULL OR t.relname = ANY($2))"""
    found: dict[str, dict[str, str]] = {}
    for table, column, theirs in _run(connection, sql, schema, tables):
        found.setdefault(table, {})[column] = theirs
    return found


def _hashed(key: Sequence[str]) -> str:
    """The column of a key that differs in nearly every row: its index is a hash, which takes texts of any length."""
    return "id" if "id" in key else key[-1] if key else ""


def _array(values: Sequence[Any]) -> str:
    """Texts as an array's text, in a fifth of the client's time. Source: PostgreSQL's manual, section 8.15.6."""
    quotes = [f'"{value}"' for value in (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)]
    return "{" + ",".join(quotes) + "}"


def _declared(column: Column) -> str:
    return f"{quoted(column.name)} {column.declared}"
