"""What a load must do in every warehouse: a naive model, a table of cases, hostile names and values to draw from."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from appliance.sdk import Column, Load, Table

Row = dict[str, Any]
"""A row without its nulls."""
T1, T2, T3 = (f"2026-11-25T08:00:0{n}.000Z" for n in (1, 2, 3))
KEY = ("id", "context_source_id")
TYPES = {"id": "string", "context_source_id": "string", "received_at": "datetime", "uuid_ts": "datetime"}
"""Column -> type, of those that every event has."""

TEXTS = [
    "plain", " leading and trailing ", "NULL", "null", r"\N", "\\.", "\\", "a\\", "'", "''", '"', '""', "a'b\"c", ",", ";", "a,b",
    "line\nfeed", "carriage\rreturn", "both\r\n", "\n", "\r", "\t", "\\.\n", "a\n\\.\nb", "\x01\x1f\x7f", "\u2028", "\ufeff", "é", "e\u0301",
    "🦀", "\U0010ffff", "true", "1", "{}", "%s", "%(a)s", "$1", ":a", "?", "{0}", "--", "/*", "*/", "'; DROP TABLE tracks; --",
    '"; DROP TABLE tracks; --', "');DELETE FROM tracks;--", "$$; DROP TABLE tracks; $$", "E'\\'", "x" * 10_240, "🦀" * 3_000,
]  # fmt: skip
"""Texts that something on the way could take for something else."""
NAMES = [
    "select", "a b", "a'b", 'a"b', '"', "'", "a\\", "a;b", "%s", "%", "$1", "?", ":a", "{}", "a,b", "a\nb", "a--b", "/*a*/", "ü",
    "🦀", "x\"; DROP TABLE tracks; --", "x'); DROP TABLE tracks; --", "ctid_", "null", "user", "_", "1",
]  # fmt: skip
"""Names that no mapping gives; a warehouse must quote them all the same."""


def table(name: str, mode: Any, types: Mapping[str, str], rows: Sequence[Row], *, declared: Mapping[str, str]) -> Table:
    """Rows as the host gives them.

    Args:
        types: column -> type; columns that every event has may be left out.
        declared: type -> what the dialect calls it.
    """
    key = {"newest": KEY, "fill": ("id",), "append": ()}[mode]
    always = {*types, *key, *(["received_at"] if key else [])}
    typed = {
        name: kind for name, kind in {**TYPES, **types}.items() if name in always or any(name in row for row in rows)
    }
    columns = [Column(column, kind, declared[kind]) for column, kind in typed.items()]  # type: ignore[arg-type]
    return Table(name, columns, [[row.get(column.name) for row in rows] for column in columns], mode, key)


def load(*tables: Table, last: int = 0, stream: str = "lake", log_id: str = "log") -> Load:
    """A load of one event, with the sequence `last`."""
    return Load(
        stream=stream, log_id=log_id, first_sequence=last, last_sequence=last, loaded_at=T3, tables=list(tables)
    )


class Model:
    """A warehouse as plain as can be."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {}
        self.columns: dict[str, set[str]] = {}
        self.cursors: dict[tuple[str, str], int] = {}

    def load(self, load: Load) -> None:
        """What every warehouse must do with a load."""
        stream = (load.stream, load.log_id)
        if load.last_sequence:
            if self.cursors.get(stream, 0) >= load.last_sequence:
                return
            self.cursors[stream] = load.last_sequence
        for table in load.tables:
            self.columns.setdefault(table.name, set()).update(column.name for column in table.columns)
            rows = self.tables.setdefault(table.name, [])
            for values in zip(*table.values, strict=True):
                names = [column.name for column in table.columns]
                self._put(table, rows, {n: v for n, v in zip(names, values, strict=True) if v not in (None, "")})

    def _put(self, table: Table, rows: list[Row], new: Row) -> None:
        same = [index for index, old in enumerate(rows) if all(old[name] == new[name] for name in table.key)]
        if table.mode == "append" or not same:
            rows.append(new)
            return
        old = rows[same[0]]
        is_newer = table.by != "" and (table.by not in old or new.get(table.by, "") >= old[table.by])
        if table.mode == "fill":
            rows[same[0]] = {**old, **new} if is_newer else {**new, **old}
        elif is_newer:
            rows[same[0]] = new


def comparable(rows: Sequence[Row]) -> list[str]:
    """Rows in an order of their own, so that equal contents are equal."""
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in rows)


class Case(msgspec.Struct):
    """Loads one after the other, and what a table holds then."""

    says: str
    loads: list[Load]
    expected: list[Row]
    name: str = "tracks"


def cases(declared: Mapping[str, str]) -> list[Case]:
    """The rules of loading, one by one."""

    def newest(*rows: Row, **types: str) -> Table:
        keyed = [{"id": "a", "context_source_id": "s", **row} for row in rows]
        return table("tracks", "newest", {"v": "string", **types}, keyed, declared=declared)

    def fill(row: Row) -> Table:
        return table("users", "fill", {"v": "string", "w": "int"}, [{"id": "u", **row}], declared=declared)

    def append(*rows: Row) -> Table:
        return table("rudder_discards", "append", {"v": "string"}, rows, declared=declared)

    def timeless(given: Table) -> Table:
        at = [column.name for column in given.columns].index("received_at")
        columns, values = given.columns[:at] + given.columns[at + 1 :], given.values[:at] + given.values[at + 1 :]
        return Table(given.name, columns, values, given.mode, given.key, by="")

    def row(**values: Any) -> Row:
        return {"id": "a", "context_source_id": "s", **values}

    first = newest({"received_at": T2, "v": "first"})
    return [
        Case("a table is made", [load(first)], [row(received_at=T2, v="first")]),
        Case("a table without rows is made", [load(newest())], []),
        Case("newer takes its place", [load(first), load(newest({"received_at": T3, "v": "new"}))], [row(received_at=T3, v="new")]),
        Case("as new takes its place", [load(first), load(newest({"received_at": T2, "v": "new"}))], [row(received_at=T2, v="new")]),
        Case("older stays out", [load(first), load(newest({"received_at": T1, "v": "old"}))], [row(received_at=T2, v="first")]),
        Case("one without a time stays out", [load(first), load(newest({"v": "none"}))], [row(received_at=T2, v="first")]),
        Case("where no row has a time, what is there stays", [load(newest({"v": "none"})), load(timeless(newest({"v": "new"})))], [row(v="none")]),
        Case("... and its gaps are filled", [load(fill({"v": "a"})), load(timeless(fill({"v": "b", "w": 1})))],
             [{"id": "u", "v": "a", "w": 1}], "users"),
        Case("one without a time gives way", [load(newest({"v": "none"})), load(first)], [row(received_at=T2, v="first")]),
        Case(
            "what takes a place takes all of it: columns that it lacks are null then",
            [load(newest({"received_at": T1, "v": "first", "x": 7}, x="int")), load(newest({"received_at": T2, "v": "new"}))],
            [row(received_at=T2, v="new")],
        ),
        Case(
            "keys differ in any of their columns",
            [load(first), load(newest({"context_source_id": "other"}, {"id": "A"}, {"id": "a "}))],
            [row(received_at=T2, v="first"), row(context_source_id="other"), row(id="A"), row(id="a ")],
        ),
        Case(
            "new columns come with new rows",
            [load(first), load(newest({"id": "b", "x": 1, "y": True}, x="int", y="boolean"))],
            [row(received_at=T2, v="first"), row(id="b", x=1, y=True)],
        ),
        Case("an empty text is null", [load(newest({"v": "", "received_at": T1}))], [row(received_at=T1)]),
        Case("newer fills over", [load(fill({"received_at": T1, "v": "a", "w": 1})), load(fill({"received_at": T2, "v": "b"}))],
             [{"id": "u", "received_at": T2, "v": "b", "w": 1}], "users"),
        Case("as new fills over", [load(fill({"received_at": T1, "v": "a"})), load(fill({"received_at": T1, "v": "b"}))],
             [{"id": "u", "received_at": T1, "v": "b"}], "users"),
        Case("older fills gaps", [load(fill({"received_at": T2, "v": "b"})), load(fill({"received_at": T1, "v": "a", "w": 1}))],
             [{"id": "u", "received_at": T2, "v": "b", "w": 1}], "users"),
        Case("what is added stays", [load(append({"v": "x"})), load(append({"v": "x"}, {"v": "y"}))],
             [{"v": "x"}, {"v": "x"}, {"v": "y"}], "rudder_discards"),
        Case("rows that are null throughout are added too", [load(append({}, {"v": "x"}))], [{}, {"v": "x"}], "rudder_discards"),
        Case("a range that was loaded is passed over", [load(append({"v": "x"}), last=5), load(append({"v": "y"}), last=5)],
             [{"v": "x"}], "rudder_discards"),
        Case("... and an earlier one", [load(append({"v": "x"}), last=5), load(append({"v": "y"}), last=4)],
             [{"v": "x"}], "rudder_discards"),
        Case("a later one is not", [load(append({"v": "x"}), last=5), load(append({"v": "y"}), last=6)],
             [{"v": "x"}, {"v": "y"}], "rudder_discards"),
        Case("another log begins anew", [load(append({"v": "x"}), last=5), load(append({"v": "y"}), last=5, log_id="next")],
             [{"v": "x"}, {"v": "y"}], "rudder_discards"),
        Case("another stream has a cursor of its own", [load(append({"v": "x"}), last=5), load(append({"v": "y"}), last=5, stream="s")],
             [{"v": "x"}, {"v": "y"}], "rudder_discards"),
        Case("events that come again ask no cursor", [load(append({"v": "x"}), last=5), load(append({"v": "y"})), load(append({"v": "z"}))],
             [{"v": "x"}, {"v": "y"}, {"v": "z"}], "rudder_discards"),
    ]  # fmt: skip


def _characters() -> st.SearchStrategy[str]:
    return st.characters(exclude_categories=["Cs"], exclude_characters="\0")


def values(kind: str) -> st.SearchStrategy[Any]:
    """Values of a type, or null."""
    moments = st.datetimes().map(lambda moment: f"{moment.isoformat()[:19]}.{moment.microsecond // 1000:03d}Z")
    by_kind: dict[str, st.SearchStrategy[Any]] = {
        "int": st.integers(-(2**63), 2**63 - 1),
        "float": st.floats(allow_nan=False, allow_infinity=False),
        "string": st.sampled_from(TEXTS) | st.text(_characters(), min_size=1),
        "datetime": moments,
        "boolean": st.booleans(),
    }
    return st.none() | by_kind[kind]


def names() -> st.SearchStrategy[str]:
    """Names of columns, 15 characters at most, so that they stay within 63 bytes; in one case only."""
    drawn = st.text(_characters(), min_size=1, max_size=15).filter(lambda name: name == name.lower() == name.casefold())
    return (st.sampled_from([name for name in NAMES if len(name.encode()) < 60]) | drawn).map(str.lower)


@st.composite
def histories(draw: st.DrawFn, declared: Mapping[str, str]) -> list[Load]:
    """A few loads of a few tables, whose rows meet each other."""
    kinds = st.sampled_from(["int", "float", "string", "datetime", "boolean"])
    shapes = {}
    for mode in ("newest", "fill", "append"):
        name = draw(names().map(lambda name: f"t{name}"[:15]), label=f"table of {mode}") + mode[0]
        shapes[name] = (mode, draw(st.dictionaries(names().filter(lambda n: n not in TYPES), kinds, max_size=4)))
    return [
        load(*[_drawn_table(draw, name, mode, pool, declared) for name, (mode, pool) in shapes.items()], last=last)
        for last in draw(st.lists(st.integers(0, 6), min_size=1, max_size=4))
    ]


def _drawn_table(draw: st.DrawFn, name: str, mode: str, pool: dict[str, str], declared: Mapping[str, str]) -> Table:
    keys = draw(st.lists(st.sampled_from(["a", "b", "'", '"', "\\."]), unique=True, max_size=3))
    types = {column: kind for column, kind in pool.items() if draw(st.booleans())} | {"received_at": "datetime"}
    rows = [
        {
            "id": key,
            "context_source_id": "s",
            "received_at": draw(st.sampled_from([T1, T2, T3, None])),
            **{column: draw(values(kind)) for column, kind in types.items() if column != "received_at"},
        }
        for key in keys
    ]
    return table(name, mode, types, rows, declared=declared)
