"""The graph's rows: one SQLite file, read and written in batches.

Every statement that the collector's thread would have to wait for does its work in one step: many rows go in as one
multi-row INSERT, many come out as one JSON array. Between steps other threads run, and each hand-over costs more than
a row.
"""

import hashlib
import re
import secrets
import uuid
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import msgspec

from appliance.core.errors import SternpostError
from appliance.identity.person import LOGS_MAX, Names
from appliance.identity.rules import Id

FORMAT = 2
WORDS_MAX = 1000
"""Types of ids come from outside, and anybody may make them up: beyond so many words, a new type is no type."""
MESSAGE_CHARACTERS_MAX = 200
"""So much of a messageId is kept with an edge: an event of fifty ids makes 49, and clients choose how long it is."""
ROWS = 50
"""Rows of one multi-row INSERT."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ENCODE = msgspec.json.Encoder().encode
Value = str | bytes | int | float | None


class IdRow(NamedTuple):
    """One row of `ids`; the type as a word's number."""

    id: int
    type: int
    value: str
    """As `carried` makes it, which is cheap to compare."""
    origin: int
    first_ms: int
    last_day: int
    users: int
    shared: int | None


class EdgeRow(NamedTuple):
    """One row of `edges`."""

    a: int
    b: int
    place: int
    received_ms: int
    age_ms: int
    source: int
    message: str | bytes
    version: int
    explicit: int
    state: int


class MergeRow(NamedTuple):
    """One row of `merges`."""

    merge: int
    loser: int
    winner: int
    a: int
    b: int
    until: int | None


_IDS = msgspec.json.Decoder(list[IdRow])
_NUMBERS = msgspec.json.Decoder(list[list[int]])
_MERGES = msgspec.json.Decoder(list[MergeRow])

_ID_COLUMNS = """json_group_array(json_array(id, type, iif(typeof(value) = 'blob', '\x01' || hex(value), value),
    origin, first_ms, last_day, users, shared))"""
_UP = """WITH RECURSIVE up (loser, winner) AS (
    SELECT loser, winner FROM merges WHERE until IS NULL AND loser IN (SELECT value FROM json_each(?1))
    UNION SELECT merges.loser, merges.winner FROM up JOIN merges ON merges.loser = up.winner WHERE merges.until IS NULL
) SELECT json_group_array(json_array(loser, winner)) FROM up"""
_DOWN = """WITH RECURSIVE down (root, person) AS (
    SELECT value, value FROM json_each(?1)
    UNION SELECT down.root, merges.loser FROM down JOIN merges ON merges.winner = down.person
        WHERE merges.until IS NULL
)"""


def packed(text: str) -> str | bytes:
    """A UUID in canonical form as its 16 bytes, any other text as it is, cut where it is long."""
    is_uuid = len(text) == 36 and _UUID.fullmatch(text)
    return bytes.fromhex(text.replace("-", "")) if is_uuid else text[:MESSAGE_CHARACTERS_MAX]


def unpacked(value: str | bytes) -> str:
    """The text that `packed` was given."""
    return str(uuid.UUID(bytes=value)) if isinstance(value, bytes) else value


def after(number: int) -> int:
    """Where the row of an id is looked for next, where another id has this number."""
    return (number + 1) & ((1 << 63) - 1)


def carried(text: str) -> str:
    """How JSON carries the value of an id: what is stored as bytes, as their digits behind a control character.

    No id holds that character: the collector strips it.
    """
    return f"\x01{text.replace('-', '').upper()}" if len(text) == 36 and _UUID.fullmatch(text) else text


def written(value: str) -> str:
    """The text that `carried` was given."""
    return str(uuid.UUID(value[1:])) if value[:1] == "\x01" else value


class Store:
    """One connection to the file. The writing one belongs to the graph's thread; others only read.

    Raises:
        SternpostError: a newer version of this program wrote the file.
        apsw.Error: SQLite cannot use the file.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        self.path = path
        if not read_only:
            path.touch(mode=0o600)
        self.connection = apsw.Connection(str(path), flags=flags, statementcachesize=200)
        self.connection.set_busy_timeout(5000)
        if not read_only:
            self._prepare()
        self.secret = bytes(self.meta("secret"))
        self.log_ids = [row[0] for row in self.rows("SELECT log_id FROM logs ORDER BY log")]
        self.names = Names(self.log_ids)
        self.words: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def _prepare(self) -> None:
        self.connection.pragma("page_size", 2048)  # rows of new ids lie all over the file: each costs a page
        self.connection.pragma("journal_mode", "wal")
        self.connection.pragma("synchronous", 1)  # only checkpoints reach the disk; the log is trimmed behind them
        self.connection.pragma("wal_autocheckpoint", 0)
        self.connection.pragma("journal_size_limit", 16 << 20)
        self.connection.pragma("mmap_size", 1 << 30)
        self.connection.pragma("cache_size", -8192)
        if not self.connection.pragma("user_version"):
            with self.connection:
                self.connection.execute(files(__package__).joinpath("schema.sql").read_text())
                self.put_meta("secret", secrets.token_bytes(16))
                self.put_meta("graph_id", secrets.token_hex(8))
                self.connection.pragma("user_version", FORMAT)
        if (found := self.connection.pragma("user_version")) != FORMAT:
            self.connection.close()
            raise SternpostError(
                f"{self.path} has format {found}, this version of sternpost knows {FORMAT}. Nothing was changed; "
                "run the version that wrote it, or a later one"
            )

    def close(self) -> None:
        """Close the file; a reader of it may go on."""
        self.connection.close()

    # Plain statements ----------------------------------------------------------------------------------------

    def rows(self, sql: str, *values: Value) -> Iterator[tuple[Any, ...]]:
        """Run a statement."""
        return self.connection.execute(sql, values)

    def one(self, sql: str, *values: Value) -> Any:
        """The first column of the first row; None where there is none."""
        return next((row[0] for row in self.connection.execute(sql, values)), None)

    def json(self, sql: str, *values: Any) -> bytes:
        """What a statement gives as one JSON text; each value becomes a JSON array where it is no plain one."""
        given = [value if isinstance(value, int | str | None) else self.array(value) for value in values]
        for (text,) in self.connection.execute(sql, given):
            return str(text).encode()
        return b"[]"

    @staticmethod
    def array(values: Iterable[Any]) -> str:
        """Values as a JSON array, for `json_each`."""
        return _ENCODE(list(values)).decode()

    def write(self, sql: str, *values: Value) -> None:
        """Run a statement that changes something, within the transaction that the first one begins."""
        if not self.connection.in_transaction:
            self.connection.execute("BEGIN IMMEDIATE")
        self.connection.execute(sql, values)

    def commit(self) -> None:
        """Keep what was written since; nothing where nothing was."""
        if self.connection.in_transaction:
            self.connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget what was written since."""
        self.words.clear()
        self._texts.clear()
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def insert(self, head: str, tail: str, width: int, rows: Sequence[Sequence[Value]]) -> None:
        """`head` VALUES rows `tail`, many at a time."""
        row = f"({', '.join('?' * width)})"
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            flat = [value for each in some for value in each]
            self.write(f"{head} VALUES {', '.join([row] * len(some))} {tail}", *flat)

    def meta(self, key: str) -> Any:
        """A single value of the graph."""
        return self.one("SELECT value FROM meta WHERE key = ?", key)

    def put_meta(self, key: str, value: Value) -> None:
        """Keep a single value."""
        self.write("INSERT OR REPLACE INTO meta VALUES (?, ?)", key, value)

    # Words and logs ------------------------------------------------------------------------------------------

    def word(self, text: str, place: int, *, ours: bool = False) -> int | None:
        """The number of a word, at this place a new one; None where there are too many, but for those of `ours`."""
        number = self.known_word(text)
        if number is None and (ours or (self.one("SELECT max(word) FROM words") or 0) < WORDS_MAX):
            self.write("INSERT INTO words (text, place) VALUES (?, ?)", text, place)
            number = self.words[text] = self.connection.last_insert_rowid()
        return number

    def known_word(self, text: str) -> int | None:
        """The number of a word that occurred; None for another."""
        number: int | None = self.words.get(text) or self.one("SELECT word FROM words WHERE text = ?", text)
        if number is not None:
            self.words[text] = number
        return number

    def text(self, word: int) -> str:
        """The word of a number."""
        text = self._texts.get(word)
        if text is None:
            text = self._texts[word] = self.one("SELECT text FROM words WHERE word = ?", word)
        return text

    def log_number(self, log_id: str) -> int:
        """The number of a log, a new one for a new log.

        Raises:
            SternpostError: there were too many.
        """
        if log_id in self.log_ids:
            return self.log_ids.index(log_id)
        if len(self.log_ids) >= LOGS_MAX:
            raise SternpostError(
                f"{self.path} has seen {LOGS_MAX} logs and takes no more; move it away to start a new person graph"
            )
        self.write("INSERT INTO logs VALUES (?, ?, 0)", len(self.log_ids), log_id)
        self.log_ids.append(log_id)
        return len(self.log_ids) - 1

    # Ids -----------------------------------------------------------------------------------------------------

    def digest(self, one: Id) -> int:
        """Where the row of this id is looked for first; nobody outside can make two of them meet."""
        text = f"{one.type}\0{one.value}".encode("utf-8", "surrogatepass")
        return int.from_bytes(hashlib.blake2b(text, digest_size=8, key=self.secret).digest(), "big") >> 1

    def ids(self, numbers: Iterable[int]) -> list[IdRow]:
        """Rows of these numbers, as far as there are any."""
        sql = f"SELECT {_ID_COLUMNS} FROM ids WHERE id IN (SELECT value FROM json_each(?1))"
        return _IDS.decode(self.json(sql, list(numbers)))

    def id_of(self, row: IdRow) -> Id:
        """The id that the row is of."""
        return Id(self.text(row.type), written(row.value))

    def find(self, wanted: Iterable[Id]) -> dict[Id, IdRow]:
        """The rows of these ids, as far as the graph knows them."""
        found: dict[Id, IdRow] = {}
        numbers = {one: self.digest(one) for one in wanted}
        while numbers:
            rows = {row.id: row for row in self.ids(numbers.values())}
            again: dict[Id, int] = {}
            for one, number in numbers.items():
                row = rows.get(number)
                if row is None:
                    continue
                if row.type == self.known_word(one.type) and row.value == carried(one.value):
                    found[one] = row
                else:
                    again[one] = after(number)
            numbers = again
        return found

    def members(self, persons: Iterable[int]) -> list[IdRow]:
        """All ids of these people (present ones: roots)."""
        sql = f"{_DOWN} SELECT {_ID_COLUMNS} FROM down JOIN ids ON ids.origin = down.person"
        return _IDS.decode(self.json(sql, list(persons)))

    def put_ids(self, rows: Iterable[IdRow]) -> None:
        """New and changed ids."""
        self.insert(
            "INSERT INTO ids",
            "ON CONFLICT (id) DO UPDATE SET origin = excluded.origin, last_day = excluded.last_day, "
            "users = excluded.users, shared = excluded.shared",
            len(IdRow._fields),
            [
                (id, type, bytes.fromhex(value[1:]) if value[:1] == "\x01" else value, *rest)
                for id, type, value, *rest in rows
            ],
        )

    # People --------------------------------------------------------------------------------------------------

    def winners(self, persons: Iterable[int]) -> list[list[int]]:
        """[loser, winner] of these people and of those they became, as it is now."""
        return _NUMBERS.decode(self.json(_UP, list(persons)))

    def counts(self, roots: Iterable[int]) -> list[list[int]]:
        """[root, type, ids of that type] of these people (roots)."""
        sql = f"""{_DOWN} SELECT json_group_array(json_array(root, type, n)) FROM (
            SELECT root, type, count(*) AS n FROM down JOIN ids ON ids.origin = down.person GROUP BY root, type)"""
        return _NUMBERS.decode(self.json(sql, list(roots)))

    def tree(self, root: int) -> list[MergeRow]:
        """The merges in force by which people became this one."""
        sql = f"""{_DOWN} SELECT merge, loser, merges.winner, a, b, until FROM down
            JOIN merges ON merges.winner = down.person WHERE merges.until IS NULL ORDER BY merge"""
        return [MergeRow(*row) for row in self.rows(sql, self.array([root]))]

    def former(self, ids: Iterable[int]) -> dict[int, list[tuple[int, int]]]:
        """(until, origin) of each of these ids that a split gave another origin, ascending."""
        sql = """SELECT json_group_array(json_array(id, until, origin) ORDER BY until) FROM former
            WHERE id IN (SELECT value FROM json_each(?1))"""
        found: dict[int, list[tuple[int, int]]] = {}
        for id, until, origin in _NUMBERS.decode(self.json(sql, list(ids))):
            found.setdefault(id, []).append((until, origin))
        return found

    def changes(self, first: int, end: int) -> list[list[int]]:
        """[number, lane, other, 1 for a split] of merges and splits from number `first` to before `end`, in order."""
        sql = """SELECT json_group_array(json_array(number, lane, other, split)) FROM (
            SELECT merge AS number, loser AS lane, winner AS other, 0 AS split FROM merges
                WHERE merge >= ?1 AND merge < ?2 AND a <> 0
            UNION ALL SELECT split, person, former, 1 FROM splits WHERE split >= ?1 AND split < ?2
            ORDER BY 1)"""
        return _NUMBERS.decode(self.json(sql, first, end))

    def merge_rows(self, losers: Iterable[int]) -> list[MergeRow]:
        """Merges of these people and of those they ever became, undone ones too."""
        sql = """WITH RECURSIVE up (person) AS (
            SELECT value FROM json_each(?1)
            UNION SELECT merges.winner FROM up JOIN merges ON merges.loser = up.person
        ) SELECT json_group_array(json_array(merge, loser, winner, a, b, until))
            FROM merges WHERE loser IN (SELECT person FROM up)"""
        return _MERGES.decode(self.json(sql, list(losers)))

    def put_merges(self, rows: Sequence[MergeRow]) -> None:
        """New merges."""
        self.insert("INSERT INTO merges", "", len(MergeRow._fields), rows)

    # Edges ---------------------------------------------------------------------------------------------------

    def edge_states(self, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
        """[a, b, state, explicit] of these pairs, as far as there is an edge."""
        sql = """SELECT json_group_array(json_array(a, b, state, explicit)) FROM edges
            WHERE (a, b) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))"""
        return _NUMBERS.decode(self.json(sql, list(pairs)))

    def put_edges(self, rows: Sequence[EdgeRow]) -> None:
        """New edges, and those that were decided anew."""
        self.insert(
            "INSERT INTO edges",
            "ON CONFLICT (a, b) DO UPDATE SET place = excluded.place, received_ms = excluded.received_ms, "
            "age_ms = excluded.age_ms, source = excluded.source, message = excluded.message, "
            "version = excluded.version, explicit = excluded.explicit, state = excluded.state",
            len(EdgeRow._fields),
            rows,
        )

    def let_decide_anew(self, ids: Iterable[int], states: tuple[int, int], state: int) -> None:
        """Edges among these ids that do not hold for one of two reasons get another state."""
        self.write(
            """UPDATE edges SET state = ?2 WHERE state IN (?3, ?4) AND a IN (SELECT value FROM json_each(?1))
            AND b IN (SELECT value FROM json_each(?1))""",
            self.array(ids),
            state,
            *states,
        )

    def edges_of(self, ids: Iterable[int], *, holding: bool = False) -> list[EdgeRow]:
        """Edges that begin at these ids, by place; `holding`: no others, as of those left out there may be millions."""
        sql = f"""SELECT a, b, place, received_ms, age_ms, source, message, version, explicit, state FROM edges
            WHERE a IN (SELECT value FROM json_each(?1)) {"AND state = 0" if holding else ""} ORDER BY place, a, b"""
        return [EdgeRow(*row) for row in self.connection.execute(sql, (self.array(ids),))]
