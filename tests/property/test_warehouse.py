"""No event, however hostile, raises, gets a name that a warehouse could misread, or changes another event's row."""

import json
import re
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.core import quoting
from appliance.core.event import Event
from appliance.warehouse import names
from appliance.warehouse.batch import Batch, Table
from appliance.warehouse.columns import Instants, one_by_one, typed_column
from appliance.warehouse.dialect import DIALECTS, Dialect
from appliance.warehouse.errors import Unmappable
from appliance.warehouse.reading import read
from appliance.warehouse.types import Json
from tests.support.json_drawn import OBJECTS
from tests.support.warehouse import LOADED_AT, event, mapper, rows_of

DIALECT = st.sampled_from(list(DIALECTS.values()))
TYPES = st.sampled_from(["track", "identify", "page", "screen", "group", "alias", "merge"])
# Any Unicode at all, lone surrogates and U+0000 included, and what SQL would choke on.
ANY_TEXT = st.one_of(
    st.text(max_size=20),
    st.text(st.characters(categories=["Cs", "Cc", "Lu", "Nd"]), max_size=20),
    st.sampled_from(["", "_", "select", "xmin", "uuid_ts", "id", "users", "sternpost_loads", '"; DROP TABLE x; --', "a" * 300,
                     "_table_", "2020-01-01", "0000-00-00", "9999-12-31T23:59:59-23:59", "\0", "İ", "ß" * 100]),
)  # fmt: skip
ANY_SCALAR = st.one_of(
    st.none(), st.booleans(), ANY_TEXT, st.integers(), st.sampled_from([2**63, -(2**63), 2**64, 10**400, 1.0, 0.0, -0.0]),
    st.floats(allow_nan=True, allow_infinity=True),
)  # fmt: skip
ANY_VALUE: st.SearchStrategy[Any] = st.recursive(
    ANY_SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=4), max_leaves=10
)
TOP = st.sampled_from(
    ["event", "name", "messageId", "userId", "anonymousId", "channel", "sentAt", "receivedAt", "timestamp",
     "originalTimestamp", "groupId", "previousId", "mergeProperties", "request_ip", "type"]
)  # fmt: skip
OBJECT = st.sampled_from(["properties", "traits", "userProperties", "context"])


@st.composite
def hostile(draw: st.DrawFn) -> Event:
    """An event with anything anywhere."""
    fields = draw(st.dictionaries(TOP, ANY_VALUE, max_size=4))
    fields |= draw(st.dictionaries(OBJECT, st.dictionaries(ANY_TEXT, ANY_VALUE, max_size=5) | ANY_VALUE, max_size=4))
    kind = draw(TYPES)
    fields.pop("type", None)
    identified = event(kind, message_id=f"x{draw(st.integers(0, 10**9))}")
    known = json.loads(identified.json)
    return event(kind, message_id=identified.message_id, raw=json.dumps({**known, **fields}).encode())


def tables_of(dialect: Dialect, *events: Event, known: Any = None) -> dict[str, Table]:
    batch = Batch(mapper(dialect), known or {})
    for each in events:
        batch.add(each)
    return {table.name: table for table in batch.tables(LOADED_AT)}


def is_name(name: str, dialect: Dialect) -> bool:
    letters = "A-Z" if dialect.upper_case else "a-z"
    return (
        re.fullmatch(f"[{letters}0-9_]{{1,{dialect.name_characters_max}}}", name) is not None and not name[0].isdigit()
    )


PYTHON = {"int": {int}, "float": {float}, "string": {str}, "text": {str}, "datetime": {str}, "boolean": {bool},
          "json": {str}}  # fmt: skip


@given(hostile(), DIALECT)
def test_no_event_raises_and_all_that_comes_of_it_can_be_stored(given: Event, dialect: Dialect) -> None:
    for table in tables_of(dialect, given).values():
        assert is_name(table.name, dialect)
        for name, column in table.columns.items():
            assert is_name(name, dialect) and name.lower() not in dialect.reserved - {"timestamp"}
            assert len(column.values) == table.row_count
            for value in column.values:
                if value is None:
                    continue
                if column.type == "float" and dialect.is_decimal:
                    continue
                assert type(value) in PYTHON[column.type]
                if column.type == "int":
                    assert -(2**63) <= value < 2**63  # type: ignore[operator]
                if isinstance(value, str):
                    assert value.encode() and (dialect.holds_nul or "\0" not in value)
                if column.type == "datetime":
                    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", str(value))


@given(hostile(), hostile(), DIALECT)
def test_an_event_changes_no_row_but_its_own(one: Event, other: Event, dialect: Dialect) -> None:
    """Where the types are settled: without, the first event would choose them, which the contract wants."""
    quiet = event(message_id="quiet", event="Order", properties={"price": 1.5, "name": "x"}, userId="quiet")
    alone = tables_of(dialect, quiet)
    known = {name: {column: each.type for column, each in table.columns.items()} for name, table in alone.items()}
    together = tables_of(dialect, one, quiet, other, known=known)
    spelled = dialect.cased("id")
    for name, table in alone.items():
        (expected,) = rows_of(table)
        assert expected in [row for row in rows_of(together[name]) if row[spelled] == "quiet"]


@given(st.lists(hostile(), min_size=1, max_size=4))
@settings(max_examples=30)
def test_a_real_duckdb_takes_every_column(events: list[Event]) -> None:
    dialect = DIALECTS["duckdb"]
    connection = duckdb.connect()
    for table in tables_of(dialect, *events).values():
        name = quoting.identifier("duckdb", table.name)
        columns = [
            f"{quoting.identifier('duckdb', column)} {dialect.types[kind]}" for column, kind in table.added.items()
        ]
        connection.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
        order = ", ".join(quoting.identifier("duckdb", column) for column in table.columns)
        marks = ", ".join("?" * len(table.columns))
        rows = list(zip(*(column.values for column in table.columns.values()), strict=True))
        connection.executemany(f"INSERT INTO {name} ({order}) VALUES ({marks})", rows)
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (table.row_count,)


@given(OBJECTS, TYPES, DIALECT)
def test_json_however_it_is_written_is_mapped(text: str, kind: str, dialect: Dialect) -> None:
    written = text.encode("utf-8", "surrogatepass")
    tables_of(dialect, event(kind, raw=written))
    tables_of(dialect, event(kind, raw=b'{"properties":%s,"traits":%s,"event":"x"}' % (written, written)))


@given(st.binary(max_size=200), TYPES)
def test_bytes_that_are_no_event_are_refused_with_a_reason(raw: bytes, kind: str) -> None:
    try:
        read(raw, holds_nul=False)
    except Unmappable as error:
        assert error.reason
        with pytest.raises(Unmappable):
            mapper(DIALECTS["duckdb"]).map(event(kind, raw=raw))


@given(ANY_TEXT, DIALECT)
def test_tables_of_events_are_never_ours(text: str, dialect: Dialect) -> None:
    name = names.event_table(names.snake(text), dialect)
    assert is_name(name, dialect)
    assert name.lower() not in (*names.LAW, *names.OURS) and not name.lower().startswith("sternpost_")
    assert not name.startswith(("pg_", "sqlite_", "duckdb_")) or not dialect.catalogue_prefixes
    assert name not in {names.standard_table(each, dialect) for each in (*names.LAW, *names.OURS)}
    assert name == names.event_table(names.snake(text), dialect)


SOME = st.one_of(
    st.none(), st.integers(-(2**65), 2**65), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False).filter(
        lambda number: not number.is_integer()), st.booleans(), st.sampled_from(["x", "2020-01-01", "2020-99-01", "1", "abcd-"]),
    st.sampled_from([Json("[1]"), Json('"x"')]),
)  # fmt: skip


NUMBERS = st.one_of(
    st.none(), st.integers(-9, 9), st.sampled_from([0.5, -1.5, 1e300, 2**53, -(2**53), 2**53 + 1, 2**63])
)


@given(
    st.one_of(
        st.lists(SOME, min_size=1, max_size=6),
        st.lists(NUMBERS, min_size=1, max_size=6),
        SOME.flatmap(lambda value: st.lists(st.just(value) | st.none(), max_size=6)),
    ),
    st.sampled_from([None, "int", "float", "string", "text", "datetime", "boolean", "json"]),
    DIALECT,
)
@settings(max_examples=500)
def test_short_cuts_give_what_value_by_value_gives(values: list[Any], wanted: Any, dialect: Dialect) -> None:
    if all(value is None for value in values):
        return
    expected = one_by_one(values, wanted, dialect)
    found = typed_column(list(values), wanted, dialect, Instants())
    assert found == expected
    kinds = [[type(value) for value in column.values] for column, _ in (found, expected)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("dialect", DIALECTS)
@given(text=st.text(st.characters(), max_size=30))
def test_quoting_refuses_what_no_database_holds(dialect: str, text: str) -> None:
    is_sound = "\0" not in text and not re.search("[\ud800-\udfff]", text)
    for quote, sound in ((quoting.identifier, is_sound and bool(text)), (quoting.literal, is_sound)):
        if sound:
            assert quote(dialect, text)
        else:
            with pytest.raises(ValueError):
                quote(dialect, text)


SOUND = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


SQL_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0") | st.sampled_from("\"'`\\\n\r\t\b\f;-/*%nrtx0"),
                   min_size=1, max_size=12)  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@given(name=SQL_TEXT, text=SQL_TEXT)
def test_a_parser_of_every_dialect_reads_names_and_texts_back(dialect: str, name: str, text: str) -> None:
    """Somebody else's parser, where no server can run here."""
    sqlglot = pytest.importorskip("sqlglot")
    statement = f"SELECT {quoting.literal(dialect, text)} AS {quoting.identifier(dialect, name)}, 1 AS other"
    first, other = sqlglot.parse_one(statement, dialect=dialect).expressions
    value = first.this if isinstance(first.this.this, str) else first.this.this
    assert (first.alias, value.this, other.alias) == (name, text, "other")


CONNECTION = duckdb.connect()


@given(SOUND)
def test_a_real_duckdb_reads_names_and_texts_back(text: str) -> None:
    quoted, literal = quoting.identifier("duckdb", text), quoting.literal("duckdb", text)
    found = CONNECTION.execute(f"SELECT {literal} AS {quoted}, 1 AS other")
    assert found.description[0][0] == text
    assert found.fetchall() == [(text, 1)]


def test_a_real_duckdb_reads_every_character_back() -> None:
    """Between quotes of every kind; many to a name and many to a statement."""
    cursor = duckdb.connect()
    characters = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code <= 0xDFFF]
    pieces = [f"{character}\"'`\\" for character in characters]
    names_wanted = ["".join(pieces[start : start + 100]) for start in range(0, len(pieces), 100)]
    for start in range(0, len(names_wanted), 200):
        texts = names_wanted[start : start + 200]
        columns = ", ".join(
            f"{quoting.literal('duckdb', text)} AS {quoting.identifier('duckdb', text)}" for text in texts
        )
        found = cursor.execute(f"SELECT {columns}")
        assert [column[0] for column in found.description] == texts
        assert found.fetchall() == [tuple(texts)]
