"""The DuckDB plug-in on real files: tables and columns that grow, merging against a naive model, hostile values."""

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sdk import Abort, Known
from appliance.warehouse.dialect import DIALECTS
from appliance.warehouse.people import people_table
from tests.support import ducks
from tests.support.ducks import Model, at, config, held, inspect, load, row, rows_of, table

HOSTILE = [
    "a\nb", "a\r\nb", "\r", 'say "x"', "it's", "a,b;c\t", "\\", "\\n", "\\N", "NULL", "null", "None", "", " ", "  lead", "trail ",
    "\0", "a\0b", "😀 ünï ﷽ \u202e", "x" * 10_000, "{}", "[1]", "true", "0001", "-0", "1e5", "'); DROP TABLE tracks; --",
    "\ufeff", "\u2028", "$1", "{r}", "%s", "/etc/passwd", "\x7f\x01",
]  # fmt: skip
texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec="utf-8"), max_size=20))


def sorted_rows(rows: list[dict[str, Any]]) -> list[str]:
    """Rows in an order of their own, to compare."""
    return sorted(repr(sorted(row.items())) for row in rows)


def memory_folder() -> "tempfile.TemporaryDirectory[str]":
    """A folder in memory, for hundreds of files whose fate in a power cut is nobody's concern."""
    return tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)


def test_a_first_load_makes_folder_file_tables_and_types(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "warehouse.duckdb"
    mine = config(path)
    assert inspect(mine) == Known({}, {})
    assert not path.parent.exists(), "looking makes nothing"
    full = row(1, 5, n=7, x=1.5, yes=True, blob='{"a": [1, "b"]}', name="Ann")
    load(mine, table([full], n="int", x="float", yes="boolean", blob="json"), last=9)
    known = inspect(mine)
    assert known.tables["tracks"] == {
        "id": "string", "context_source_id": "string", "received_at": "datetime", "n": "int", "x": "float",
        "yes": "boolean", "blob": "json", "name": "string",
    }  # fmt: skip
    assert known.cursors == {"log": 9}
    assert rows_of(path, "tracks") == [full]
    assert held(path, "SELECT blob->>'$.a[1]' FROM tracks") == [("b",)]
    assert [each.name for each in path.parent.iterdir()] == [path.name], "nothing is left beside the file"


def test_the_view_of_who_is_who_comes_with_its_table_and_shows_the_newest(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), people_table([("user_id", "ann", "p1"), ("email", 'a"b', "p2")], at(1), DIALECTS["duckdb"]))
    load(config(path), people_table([("user_id", "ann", "p2")], at(2), DIALECTS["duckdb"]))
    shown = held(path, "SELECT id_type, id_value, person_id FROM id_map ORDER BY id_type")
    assert shown == [("email", 'a"b', "p2"), ("user_id", "ann", "p2")]


def test_a_view_that_an_analyst_has_made_of_that_name_stays(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    for made in ("CREATE VIEW id_map AS SELECT 1 AS mine", "DROP VIEW id_map; CREATE TABLE id_map AS SELECT 1 AS mine"):
        with duckdb.connect(str(path)) as connection:
            connection.execute(made)
        load(config(path), people_table([("user_id", "ann", "p1")], at(1), DIALECTS["duckdb"]))
        assert held(path, "FROM id_map") == [(1,)]
    assert held(path, "SELECT count(*) FROM rudder_identity_mappings") == [(1,)]


def test_columns_are_added_as_they_appear_and_missing_ones_stay_empty(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1, a="x")]))
    load(config(path), table([row(2, b=2)], b="int"), table([row(9)], "order_completed"))
    load(config(path), table([row(3)]))
    assert rows_of(path, "tracks") == [row(1, a="x"), row(2, b=2), row(3)]
    assert inspect(config(path)).tables["tracks"]["b"] == "int"
    assert rows_of(path, "order_completed") == [row(9)]


def test_a_column_that_others_have_made_is_other_and_takes_what_fits(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with ducks.duckdb.connect(str(path)) as theirs:
        theirs.execute(
            "CREATE TABLE tracks (id VARCHAR, context_source_id VARCHAR, received_at TIMESTAMPTZ, a INTEGER)"
        )
        theirs.execute(f"INSERT INTO tracks VALUES ('m1', 'shop', '{at(3)}', 1)")
    assert inspect(config(path)).tables["tracks"]["a"] == "other"
    load(config(path), table([row(1, 4, a="7"), row(2, a="8")]))
    assert rows_of(path, "tracks") == [row(1, 4, a=7), row(2, a=8)], "rows that were there before us are met too"
    with pytest.raises(Abort, match="DuckDB refused the rows: Conversion Error") as refused:
        load(config(path), table([row(3, a="seven")]))
    assert "seven" in refused.value.sample
    assert len(rows_of(path, "tracks")) == 2


@pytest.mark.parametrize(
    ("mode", "loads", "expected"),
    [
        ("newest", [[row(1, 5, a="x")], [row(1, 6, b="y")]], [row(1, 6, b="y")]),
        ("newest", [[row(1, 5, a="x")], [row(1, 5, a="y")]], [row(1, 5, a="y")]),
        ("newest", [[row(1, 5, a="x")], [row(1, 4, a="y")]], [row(1, 5, a="x")]),
        ("newest", [[row(1, 5), row(2, 5)], [row(2, 4), row(3, 1), row(1, 9)]], [row(1, 9), row(2, 5), row(3, 1)]),
        ("newest", [[row(1, 5, context_source_id="a")], [row(1, 6)]], [row(1, 5, context_source_id="a"), row(1, 6)]),
        ("fill", [[row(1, 5, a="x", b="x")], [row(1, 6, a="y")]], [row(1, 6, a="y", b="x")]),
        ("fill", [[row(1, 5, a="x")], [row(1, 4, a="y", b="y")]], [row(1, 5, a="x", b="y")]),
        ("fill", [[row(1, 5, a="x")], [row(1, 5, a="y")]], [row(1, 5, a="y")]),
        ("fill", [[row(1, 5)], [row(2, 5, a="x")], [row(1, 1, c="z")]], [row(1, 5, c="z"), row(2, 5, a="x")]),
        ("append", [[row(1, 5)], [row(1, 5), row(1, 4)]], [row(1, 5), row(1, 5), row(1, 4)]),
    ],
)  # fmt: skip
def test_how_rows_meet(tmp_path: Path, mode: str, loads: list[Any], expected: list[Any]) -> None:
    path, model = tmp_path / "w.duckdb", Model(mode)
    for rows in loads:
        load(config(path), table(rows, mode=mode))
        model.load(rows)
    assert sorted_rows(rows_of(path, "tracks")) == sorted_rows(expected)
    assert sorted_rows(model.rows) == sorted_rows(expected), "the model"


@st.composite
def drawn_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    numbers = draw(st.lists(st.sampled_from(["1", "2", "3", "q\"'", "\0", "ü\n"]), min_size=1, max_size=5, unique=True))
    return [
        {
            "id": number,
            "context_source_id": draw(st.sampled_from(["shop", "\x1f"])),
            "received_at": at(draw(st.integers(0, 3))),
            **draw(st.dictionaries(st.sampled_from("abc"), texts, max_size=3)),
        }
        for number in numbers
    ]


@pytest.mark.parametrize("mode", ["newest", "fill", "append"])
@settings(max_examples=25, deadline=None)
@given(loads=st.lists(drawn_rows(), min_size=2, max_size=4))
def test_merging_is_what_the_naive_model_says(mode: str, loads: list[list[dict[str, Any]]]) -> None:
    model = Model(mode)
    with memory_folder() as folder:
        path = Path(folder) / "w.duckdb"
        for rows in loads:
            load(config(path), table(rows, mode=mode))
            model.load(rows)
        found = rows_of(path, "tracks")
    assert sorted_rows(found) == sorted_rows(model.rows)


def test_every_hostile_value_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    rows = [row(n, value=value) for n, value in enumerate(HOSTILE)]
    load(config(path), table(rows), table([row(value, value=value) for value in HOSTILE], "by_id"))
    assert dict(held(path, "SELECT id, value FROM tracks")) == {f"m{n}": value for n, value in enumerate(HOSTILE)}
    assert held(path, "SELECT count(*) FROM by_id WHERE id = 'm' || value") == [(len(HOSTILE),)]
    load(config(path), table([row(value, 1, value=value) for value in HOSTILE], "by_id"))
    assert held(path, "SELECT count(*), min(received_at) = max(received_at) FROM by_id") == [(len(HOSTILE), True)]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("int", [0, -1, 2**63 - 1, -(2**63), 10**18 + 1, None]),
        ("float", [0.0, 1.5, 0.1, 1e308, 5e-324, -1.7976931348623157e308, 12345678901234567, 2**63, None]),
        ("boolean", [True, False, None]),
    ],
)
def test_numbers_and_bools_to_their_ends(tmp_path: Path, kind: str, values: list[Any]) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(n, value=value) for n, value in enumerate(values)], value=kind))
    assert dict(held(path, "SELECT id, value FROM tracks")) == {
        f"m{n}": value if value is None or kind != "float" else float(value) for n, value in enumerate(values)
    }


@given(numbers=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
@settings(max_examples=20, deadline=None)
def test_every_float_comes_back_to_the_bit(numbers: list[float]) -> None:
    with memory_folder() as folder:
        path = Path(folder) / "w.duckdb"
        load(config(path), table([row(n, value=value) for n, value in enumerate(numbers)], value="float"))
        found = dict(held(path, "SELECT id, value FROM tracks"))
    assert {key: value.hex() for key, value in found.items()} == {f"m{n}": x.hex() for n, x in enumerate(numbers)}


def test_times_from_year_1_to_9999(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    times = ["0001-01-01T00:00:00.000Z", "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"]
    load(config(path), table([row(n, value=each) for n, each in enumerate(times)], value="datetime"))
    assert held(path, "SELECT epoch_ms(value) FROM tracks ORDER BY id") == [
        (-62135596800000,),
        (-1,),
        (253402300799999,),
    ]


@pytest.mark.parametrize(
    ("values", "kind"),
    [(["\ud800"], "string"), ([2**63], "int"), (["x"], "int"), (["{"], "json"), (["2026-13-01"], "datetime")],
)
def test_a_value_that_cannot_be_held_is_an_abort_and_nothing_has_changed(
    tmp_path: Path, values: list[Any], kind: str
) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1)]), last=1)
    with pytest.raises(Abort):
        load(config(path), table([row(2)], "others"), table([row(3, value=values[0])], value=kind), last=2)
    known = inspect(config(path))
    assert known.cursors == {"log": 1} and "others" not in known.tables and "value" not in known.tables["tracks"]
    assert rows_of(path, "tracks") == [row(1)]


NAMES = ['a"b', "a'b", "a;b", "select", "Ünï", "a b", "--", "*", "😀", "staged", "main", "r", "x" * 127, "a\nb", '"']


def test_hostile_names_name_their_own_table_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(0)]))
    for name in NAMES:
        load(config(path), table([row(1, **{name: "x"})], name))
        load(config(path), table([row(1, 1, **{name: "y"})], name))
    assert set(inspect(config(path)).tables) == {"tracks", "sternpost_loads", *(name.lower() for name in NAMES)}
    for name in NAMES:
        assert rows_of(path, name) == [row(1, 1, **{name: "y"})]
    assert rows_of(path, "tracks") == [row(0)]
    for name in ("", "a\0b", "\ud800"):
        with pytest.raises(Abort):
            load(config(path), table([row(1)], name))


def test_many_columns_and_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    many = {f"c{n}": str(n) for n in range(1_597)}
    load(config(path), table([row(1)]), table([row(1, **many)], "wide"), table([], "empty"))
    load(config(path), table([row(2, **many)]))
    assert rows_of(path, "tracks")[1] == row(2, **many) and rows_of(path, "wide") == [row(1, **many)]
    assert "empty" not in inspect(config(path)).tables


# Cursor ---------------------------------------------------------------------------------------------------------


def test_a_range_that_was_loaded_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1)]), last=10)
    for last in (10, 9):
        load(config(path), table([row(2)], mode="append"), last=last)
    assert rows_of(path, "tracks") == [row(1)]
    load(config(path), table([row(2)]), last=11)
    assert inspect(config(path)).cursors == {"log": 11}
    assert len(rows_of(path, "tracks")) == 2


def test_cursors_are_kept_apart_by_stream_and_log(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1)]), last=10)
    load(config(path), table([row(2)]), last=3, log_id="another")
    load(config(path), table([row(3)]), last=4, stream="replay")
    assert inspect(config(path)).cursors == {"log": 10, "another": 3}
    assert inspect(config(path), "replay").cursors == {"log": 4}
    assert len(rows_of(path, "tracks")) == 3


def test_events_that_come_again_leave_the_cursor_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1, a="x")]), last=10)
    for _ in range(2):
        load(config(path), table([row(1, a="y"), row(2)]))
    assert inspect(config(path)).cursors == {"log": 10}
    assert rows_of(path, "tracks") == [row(1, a="y"), row(2)]


def test_loads_are_noted_and_old_notes_go(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1), row(2)]), last=10)
    with ducks.duckdb.connect(str(path)) as theirs:
        theirs.execute("UPDATE sternpost_loads SET loaded_at = loaded_at - INTERVAL 91 DAY")
        theirs.execute("INSERT INTO sternpost_loads SELECT 'other', * EXCLUDE destination FROM sternpost_loads")
    load(config(path), table([row(3)]), last=12)
    sql = 'SELECT destination, log_id, first_sequence, last_sequence, "rows", loaded_at::VARCHAR FROM sternpost_loads'
    assert sorted(held(path, sql)) == [
        ("duck", "log", 1, 12, 1, "2026-11-25 08:00:00+00"),
        ("other", "log", 1, 10, 2, "2026-08-26 08:00:00+00"),
    ]


# Digests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "harm",
    [
        "DROP TABLE sternpost.tracks",
        "DELETE FROM sternpost.tracks",
        "DELETE FROM sternpost.tracks WHERE rowid = 0",
        "INSERT INTO sternpost.tracks VALUES (1, NULL)",
        "DROP SCHEMA sternpost CASCADE",
    ],
)
def test_digests_that_somebody_harmed_are_made_anew(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1, 1), row(2, 1)]))
    with ducks.duckdb.connect(str(path)) as theirs:
        theirs.execute(harm)
    load(config(path), table([row(1, 2), row(2, 0), row(3)]))
    assert rows_of(path, "tracks") == [row(1, 2), row(2, 1), row(3)]


def test_rows_that_somebody_deleted_may_come_again(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1, 1), row(2, 1)]))
    with ducks.duckdb.connect(str(path)) as theirs:
        theirs.execute("DELETE FROM tracks WHERE id = 'm1'")
    load(config(path), table([row(1, 0), row(2, 0)]))
    assert rows_of(path, "tracks") == [row(1, 0), row(2, 1)]
