"""The postgres plug-in on a real server: what a load does, values and names that attack, rights, types, queries."""

import itertools
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.deliver.conformance import run_conformance
from appliance.deliver.plugins import shipped_folder
from appliance.sdk import Abort, Column, Load, Retry, Table
from appliance.warehouse.dialect import POSTGRES
from appliance.warehouse.people import people_table
from tests.support.lake import DECLARED, MODULE, Lake, event
from tests.support.postgres import ROLE, PostgresServer
from tests.support.warehouse_cases import (
    NAMES,
    T1,
    T2,
    T3,
    TEXTS,
    Case,
    Model,
    Row,
    cases,
    comparable,
    histories,
    load,
    table,
)


@pytest.fixture
def lake(postgres_server: PostgresServer) -> Lake:
    return Lake(postgres_server, postgres_server.database())


@pytest.fixture(scope="module")
def shared(postgres_server: PostgresServer) -> Callable[[], Lake]:
    """A schema of its own each time, in one database: for many small tests."""
    database, numbers = postgres_server.database(), itertools.count()
    return lambda: Lake(postgres_server, database, schema=f"lake{next(numbers)}")


# What a load does -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", cases(DECLARED), ids=lambda case: case.says)
def test_a_rule_of_loading(case: Case, shared: Callable[[], Lake]) -> None:
    lake, model = shared(), Model()
    for each in case.loads:
        lake.load(each)
        model.load(each)
    assert comparable(lake.rows(case.name)) == comparable(case.expected)
    assert comparable(model.tables.get(case.name, [])) == comparable(case.expected), "the model is wrong"


@settings(max_examples=60)
@given(history=histories(DECLARED))
def test_any_loads_leave_what_the_model_has(history: list[Load], shared: Callable[[], Lake]) -> None:
    lake, model = shared(), Model()
    for each in history:
        lake.load(each)
        model.load(each)
    known = MODULE.inspect("lake", lake.plugin)
    assert known.cursors == {log: last for (_, log), last in model.cursors.items()}
    assert {name: set(columns) for name, columns in known.tables.items() if name != "sternpost_loads"} == model.columns
    for name, rows in model.tables.items():
        assert comparable(lake.rows(name)) == comparable([_floats(row) for row in rows])


def _floats(row: Row) -> Row:
    return {name: float(value) if isinstance(value, float) else value for name, value in row.items()}


def test_many_rows_meet_in_several_writes(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of them is there already, newer or older."""
    monkeypatch.setattr(MODULE, "ROWS_PER_WRITE", 70)
    model = Model()
    for start, moment in ((0, T2), (300, T3), (150, T1)):
        rows = [event(f"e{n}", received_at=moment, n=n, at=moment) for n in range(start, start + 500)]
        each = load(table("tracks", "newest", {"n": "int", "at": "datetime"}, rows, declared=DECLARED), last=start + 1)
        lake.load(each)
        model.load(each)
    assert comparable(lake.rows("tracks")) == comparable(model.tables["tracks"])


def test_all_tables_of_a_load_come_or_none(lake: Lake) -> None:
    good = table("tracks", "newest", {}, [event()], declared=DECLARED)
    bad = table("pages", "newest", {"n": "int"}, [event(n="no number")], declared=DECLARED)
    with pytest.raises(Abort, match="it refuses a value"):
        lake.load(load(good, bad, last=5))
    assert MODULE.inspect("lake", lake.plugin).tables == {}
    lake.load(load(good, last=5))
    assert MODULE.inspect("lake", lake.plugin).cursors == {"log": 5}


def test_tables_made_here_are_read_by_index(lake: Lake) -> None:
    lake.put(*[event(f"e{n}") for n in range(3000)])
    plan = lake.server.rows(lake.database, "EXPLAIN SELECT * FROM lake.tracks WHERE id = 'e7'")
    assert "tracks_id_idx" in str(plan)
    assert lake.log.events == []


def test_who_is_who_is_kept_with_a_view_over_it(lake: Lake) -> None:
    """Of ids of any length, and by the index."""
    long = "".join(random.Random(1).choices("abcdefghijklmnop", k=20_000))
    for moment, person in ((T1, "p1"), (T3, "p3"), (T2, "p2")):
        lake.load(load(people_table([("email", "a'b", person), ("anonymous_id", long, "p")], moment, POSTGRES)))
    query = "SELECT id_type, id_value, person_id FROM id_map ORDER BY 1 DESC"
    assert MODULE.query(query, 5, lake.plugin).rows == [["email", "a'b", "p3"], ["anonymous_id", long, "p"]]
    lake.says("DROP VIEW lake.id_map")
    lake.load(load(people_table([("email", "c", "p4")], T1, POSTGRES)))
    assert len(MODULE.query(query, 5, lake.plugin).rows) == 3
    assert lake.log.events == []


def test_a_view_of_that_name_that_is_there_stays_as_it_is(lake: Lake) -> None:
    lake.put(event())
    lake.says("CREATE VIEW lake.id_map AS SELECT 1 AS mine")
    lake.load(load(people_table([("email", "c", "p4")], T1, POSTGRES)))
    assert lake.server.rows(lake.database, "SELECT * FROM lake.id_map") == [(1,)]


def test_a_ledger_keeps_ninety_days_and_every_cursor(lake: Lake) -> None:
    for log_id, last in (("old", 3), ("old", 9), ("now", 3), ("now", 8)):
        lake.load(load(last=last, log_id=log_id))
    lake.says("UPDATE lake.sternpost_loads SET loaded_at = '2026-01-01'")
    lake.load(load(last=10, log_id="now"))
    kept = lake.server.rows(lake.database, "SELECT log_id, last_sequence FROM lake.sternpost_loads ORDER BY 2")
    assert kept == [("old", 9), ("now", 10)]
    assert MODULE.inspect("lake", lake.plugin).cursors == {"old": 9, "now": 10}
    assert MODULE.inspect("another", lake.plugin).cursors == {}


# Tables of others -------------------------------------------------------------------------------------------------


def test_a_table_without_an_index_is_loaded_and_named_once(lake: Lake) -> None:
    """One that RudderStack made, duplicates and narrower types included."""
    lake.says(
        "CREATE SCHEMA lake; CREATE TABLE lake.tracks (id varchar(64), context_source_id text, received_at timestamp,"
        " v varchar(10), kept integer DEFAULT 7);"
        " INSERT INTO lake.tracks VALUES ('a', 's', '2026-11-25 08:00:01', 'one'), ('a', 's', '2026-11-25 08:00:01', 'two'),"
        " ('z', 's', '2026-11-25 08:00:01', 'stays');"
        f" GRANT ALL ON SCHEMA lake TO {ROLE}; ALTER TABLE lake.tracks OWNER TO {ROLE}"
    )
    for _ in range(2):
        lake.put(event(received_at=T2, v="new"), event("b", v="b"), v="string")
    found = lake.server.rows(lake.database, "SELECT id, v, kept, received_at::text FROM lake.tracks ORDER BY id, v")
    second, first = "2026-11-25 08:00:02", "2026-11-25 08:00:01"
    assert found == [("a", "new", 7, second), ("a", "new", 7, second), ("b", "b", 7, first), ("z", "stays", 7, first)]
    assert [(name, fields["table"]) for name, fields in lake.log.events] == [("index_not_found", "tracks")]
    lake.says(str(lake.log.events[0][1]["next"]))
    again = Lake(lake.server, lake.database)
    again.put(event(received_at=T3, v="newest"), v="string")
    assert again.log.events == []


def test_types_are_told_in_our_words(lake: Lake) -> None:
    lake.says(
        "CREATE SCHEMA lake; CREATE DOMAIN lake.mail AS text; CREATE TYPE lake.mood AS ENUM ('fine');"
        " CREATE TABLE lake.t (a bigint, b integer, c smallint, d numeric, e numeric(10, 2), f double precision, g real, h text,"
        " i varchar(20), j char(3), k timestamptz, l timestamp, m boolean, n jsonb, o json, p date, q uuid, r text[], s bytea,"
        " t lake.mail, u lake.mood); ALTER TABLE lake.t DROP COLUMN s;"
        " CREATE VIEW lake.v AS SELECT a FROM lake.t"
    )
    known = MODULE.inspect("lake", lake.plugin)
    words = (
        ["int"] * 3 + ["float"] * 4 + ["string"] * 3 + ["datetime"] * 2 + ["boolean", "json", "json"] + ["other"] * 3
    )
    assert known.tables == {"t": dict(zip("abcdefghijklmnopqrtu", [*words, "string", "other"], strict=True))}
    assert known.cursors == {}


def test_a_table_of_partitions_is_a_table(lake: Lake) -> None:
    lake.put(event(), name="pages")
    lake.says(
        "CREATE TABLE lake.tracks (id text, context_source_id text, received_at timestamptz) PARTITION BY RANGE (received_at);"
        " CREATE TABLE lake.tracks_2026 PARTITION OF lake.tracks FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');"
        f" ALTER TABLE lake.tracks OWNER TO {ROLE}; ALTER TABLE lake.tracks_2026 OWNER TO {ROLE}"
    )
    for moment in (T1, T2):
        lake.put(event(received_at=moment, v="x"), v="string")
    assert lake.rows("tracks") == [event(received_at=T2, v="x")]


# Attacks ----------------------------------------------------------------------------------------------------------


def everything(lake: Lake) -> list[Any]:
    """All that an attack could change: objects, roles, rights, and the canary's rows."""
    owned = "WHERE relnamespace::regnamespace::text IN ('public', 'precious') ORDER BY 1, 2"
    statements = (
        f"SELECT relnamespace::regnamespace::text, relname::text, relkind::text, relacl::text FROM pg_class {owned}",
        "SELECT rolname::text, rolsuper, rolcanlogin FROM pg_roles ORDER BY 1",
        "SELECT datname::text FROM pg_database WHERE datname NOT LIKE 'proof%' ORDER BY 1",
        "SELECT * FROM precious.tracks ORDER BY 1",
    )
    return [lake.server.rows(lake.database, statement) for statement in statements]


def test_no_name_and_no_value_alters_anything_but_its_own_row(lake: Lake) -> None:
    lake.says(f"CREATE SCHEMA precious AUTHORIZATION {ROLE}; CREATE TABLE precious.tracks AS SELECT 1 AS one")
    lake.says(f"ALTER TABLE precious.tracks OWNER TO {ROLE}")
    before = everything(lake)
    hostile = [text.replace("TABLE tracks", "TABLE precious.tracks") for text in TEXTS]
    names = [name.replace("TABLE tracks", "TABLE precious.tracks") for name in NAMES]
    for round_ in range(2):  # new rows by COPY, then the same by UPDATE
        rows = [event(text[:200], v=text, received_at=T1) for text in dict.fromkeys(hostile)]
        rows = list({row["id"]: row for row in rows}.values())
        lake.put(*rows, v="string", last=round_ + 1)
        assert comparable(lake.rows("tracks")) == comparable(rows)
        for name in names:
            lake.put(event(v="x", **{name: name}), name=name, v="string", **{name: "string"})
            assert lake.rows(name) == [event(v="x", **{name: name})]
    assert everything(lake) == before


@given(name=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=15))
@settings(max_examples=40)
def test_any_name_is_quoted_so_that_it_is_itself(name: str, shared: Callable[[], Lake]) -> None:
    lake = shared()
    lake.put(event(**{f"{name}_": name}), name=name, **{f"{name}_": "string"})
    assert lake.rows(name) == [event(**{f"{name}_": name})]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("string", "a\0b"), ("string", "a\ud800b"), ("int", 2**63), ("int", "x"), ("float", "x"), ("boolean", "x"),
        ("datetime", "x"), ("datetime", "10000-99-01T00:00:00.000Z"), ("json", "{"), ("json", r'"\u0000"'), ("json", r'"\ud800"'),
        ("json", "[" * 50_000 + "]" * 50_000),
    ],
)  # fmt: skip
def test_what_no_column_takes_is_refused_for_good(kind: str, value: Any, lake: Lake) -> None:
    lake.put(event())
    for id in ("b", "a"):  # a new row, and one that meets another
        with pytest.raises(Abort) as refused:
            lake.put(event(id, v=value), v=kind)
        assert refused.value.reason.startswith("PostgreSQL: ")
    assert lake.rows("tracks") == [event()], "nothing of it stays"
    assert "v" not in MODULE.inspect("lake", lake.plugin).tables["tracks"]
    lake.put(event("c"))


@pytest.mark.parametrize("id", ["a\0b", "a\ud800b"])
def test_a_key_that_no_column_takes_is_refused_for_good(id: str, lake: Lake) -> None:
    with pytest.raises(Abort):
        lake.put(event(id))


@pytest.mark.parametrize(
    "value", [-(2**63), 2**63 - 1, 1e308, 5e-324, -1.5, "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"]
)
def test_the_edges_of_types_are_held(value: Any, lake: Lake) -> None:
    kind = "datetime" if isinstance(value, str) else type(value).__name__
    lake.put(event(v=value), v=kind)
    assert lake.rows("tracks") == [event(v=value)]


def test_as_many_columns_as_a_table_holds(lake: Lake) -> None:
    few = {f"c{n}": "int" for n in range(1597)}
    lake.put(event(c0=1, c1596=2), **few)
    assert lake.rows("tracks") == [event(c0=1, c1596=2)]
    with pytest.raises(Abort, match="beyond its limits"):
        lake.put(event("b", more=1), more="int")
    with pytest.raises(Abort, match="beyond its limits"):  # all of them do not fit on one page
        lake.put(event("b", **dict.fromkeys(few, 1)), **few)
    assert lake.rows("tracks") == [event(c0=1, c1596=2)]


@pytest.mark.parametrize("made", ["VIEW lake.pages AS SELECT 1 AS id", "SEQUENCE lake.pages"])
def test_an_event_named_like_something_else_does_not_stop_the_others(made: str, lake: Lake) -> None:
    lake.put(event())
    lake.says(f"CREATE {made}")
    with pytest.raises(Abort):
        lake.put(event(), name="pages")
    lake.put(event("b"))


def test_no_event_writes_to_the_ledger(lake: Lake) -> None:
    with pytest.raises(Abort, match="sternpost_loads"):
        lake.put(event(destination="lake"), name="sternpost_loads", destination="string")


def test_two_rows_of_one_key_are_refused_by_a_unique_index(lake: Lake) -> None:
    """Somebody's own constraint: so that what breaks it is isolated, and the rest loads."""
    lake.put(event(mail="a"), mail="string")
    lake.says("CREATE UNIQUE INDEX ON lake.tracks (mail)")
    with pytest.raises(Abort, match="breaks a constraint"):
        lake.put(event("b", mail="a"), mail="string")
    lake.put(event("b", mail="b"), mail="string")


# Several at once --------------------------------------------------------------------------------------------------


def test_two_loaders_of_one_stream_load_once(lake: Lake) -> None:
    """A call that ran over its time is still at work while the next comes."""
    loads = [
        load(
            table("tracks", "newest", {}, [event(f"e{n}-{m}") for m in range(50)], declared=DECLARED),
            table("rudder_discards", "append", {"v": "string"}, [{"v": f"e{n}"}], declared=DECLARED),
            last=n + 1,
        )
        for n in range(20)
    ]
    assert together([lambda: [lake.load(each) for each in loads]] * 3) == []
    assert len(lake.rows("tracks")) == 1000
    assert comparable(lake.rows("rudder_discards")) == comparable([{"v": f"e{n}"} for n in range(20)])


def test_two_streams_that_bring_the_same_rows_bring_them_once(lake: Lake) -> None:
    """A replay beside live loading, with tables and columns that both would make."""

    def bring(stream: str) -> None:
        for n in range(20):
            rows = table(f"t{n % 5}", "newest", {f"c{n}": "int"}, [event(f"e{n}", **{f"c{n}": n})], declared=DECLARED)
            lake.load(load(rows, last=n + 1, stream=stream))

    assert together([lambda: bring("live"), lambda: bring("replay")]) == []
    assert sorted(row["id"] for n in range(5) for row in lake.rows(f"t{n}")) == sorted(f"e{n}" for n in range(20))
    for stream in ("live", "replay"):
        assert MODULE.inspect(stream, lake.plugin).cursors == {"log": 20}


def together(works: Sequence[Callable[[], Any]]) -> list[Exception]:
    """Do several things at once; returns what they raised."""
    raised: list[Exception] = []

    def work(each: Callable[[], Any]) -> None:
        try:
            each()
        except Exception as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=(each,)) for each in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return raised


# Queries ----------------------------------------------------------------------------------------------------------


def test_a_query_answers_as_json_has_it(lake: Lake) -> None:
    lake.put(event(n=1, price=2.5, gift=True), n="int", price="float", gift="boolean")
    answer = MODULE.query("SELECT id, n, price, gift, received_at, NULL AS nothing FROM tracks", 10, lake.plugin)
    assert answer.columns == ["id", "n", "price", "gift", "received_at", "nothing"]
    assert (answer.rows, answer.more) == ([["a", 1, 2.5, True, "2026-11-25 08:00:01+00", None]], False)
    odd = (
        "SELECT 3::numeric, 'NaN'::float8, '-infinity'::timestamptz, '0044-03-15 BC'::date, '{\"a\": [1]}'::jsonb, ARRAY[1, 2],"
        " 123456789012345678901::numeric, '1 day'::interval, '\\x00'::bytea"
    )
    rows = MODULE.query(odd, 10, lake.plugin).rows
    assert rows == [
        [3, "nan", "-infinity", "0044-03-15 BC", {"a": [1]}, [1, 2], 1.2345678901234568e20, "1 day", "b'\\x00'"]
    ]


@pytest.mark.parametrize(
    ("rows_max", "count", "more"), [(1, 1, True), (99, 99, True), (100, 100, False), (101, 100, False)]
)
def test_a_query_gives_no_more_rows_than_were_asked_for(rows_max: int, count: int, more: bool, lake: Lake) -> None:
    answer = MODULE.query("SELECT generate_series(1, 100)", rows_max, lake.plugin)
    assert (len(answer.rows), answer.more) == (count, more)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM tracks", "WITH gone AS (DELETE FROM tracks RETURNING *) SELECT * FROM gone", "DROP TABLE tracks",
        "SELECT 1; DELETE FROM tracks", "SELECT 1; COMMIT; DELETE FROM tracks", "COMMIT", "SELECT * INTO copied FROM tracks",
        "COPY tracks TO '/tmp/stolen'", "COPY tracks TO PROGRAM 'touch /tmp/stolen'",
        "SELECT pg_read_file('/etc/passwd')", "SELECT set_config('transaction_read_only', 'off', false)", "SELECT nextval('counter')",
        "SELECT 1 FOR UPDATE; DELETE FROM tracks", "SELECT * FROM tracks FOR UPDATE", "SET ROLE keeper", "", ";", "nonsense",
    ],
)  # fmt: skip
def test_a_query_changes_nothing_and_reads_no_files(statement: str, lake: Lake) -> None:
    lake.put(event())
    lake.says(f"CREATE SEQUENCE lake.counter; ALTER SEQUENCE lake.counter OWNER TO {ROLE}")
    with pytest.raises((Abort, Retry)):
        MODULE.query(statement, 10, lake.plugin)
    assert lake.rows("tracks") == [event()]
    assert lake.server.rows(lake.database, "SELECT is_called FROM lake.counter") == [(False,)]
    assert not Path("/tmp/stolen").exists()


def test_a_query_that_is_wrong_is_not_to_be_repeated(lake: Lake) -> None:
    lake.put(event())
    for wrong in ("SELECT * FROM nowhere", "SELECT nothing FROM tracks", "SELEC 1", "SELECT 1 / 0"):
        with pytest.raises(Abort, match="PostgreSQL: "):
            MODULE.query(wrong, 10, lake.plugin)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_sleep(30)",
        "SELECT set_config('statement_timeout', '0', false), g, pg_sleep(g / 2) FROM generate_series(1, 60) g",
    ],
)
def test_a_query_ends_after_its_time(statement: str, lake: Lake) -> None:
    lake = Lake(lake.server, lake.database, statement_timeout=1.0)
    begun = time.monotonic()
    with pytest.raises(Retry, match="57014"):
        MODULE.query(statement, 100, lake.plugin)
    assert time.monotonic() - begun < 20


def test_a_query_tells_types(lake: Lake) -> None:
    answer = MODULE.query("SELECT 'a'::text AS a, 1::bigint AS b, 1::numeric AS c, now() AS d", 1, lake.plugin)
    assert answer.types == ["text", "int8", "numeric", "timestamptz"]


def test_the_contract_of_plugins_is_kept(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(lake.server.password)
    keys = {"host": "127.0.0.1", "port": lake.server.port, "user": ROLE, "database": lake.database, "schema": "kit"}
    checks = run_conformance(shipped_folder() / "postgres.py", {**keys, "password": f"file:{tmp_path}/password"})
    assert {check.name: check.words for check in checks if check.verdict != "passed"} == {}
    assert "loads (twice)" in [check.name for check in checks]


# Configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"schema": ""}, "schema"), ({"schema": "x" * 64}, "schema"), ({"schema": "pg_mine"}, "own"), ({"port": 70_000}, "port"),
        ({"schema": "information_schema"}, "own"), ({"lock_timeout": 0.5}, "at least 1 second"),
    ],
)  # fmt: skip
def test_options_that_cannot_work_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        MODULE.Postgres(user="u", database="d", **options)


def test_without_the_client_it_says_how_to_install_it(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(Retry, match=r"pip install 'sternpost\[postgres\]'"):
        MODULE.check(lake.plugin)


def test_a_schema_of_any_name(lake: Lake) -> None:
    odd = Lake(lake.server, lake.database, schema='Sch"ema; --é')
    odd.put(event())
    assert odd.rows("tracks") == [event()]
    assert MODULE.query("SELECT id FROM tracks", 1, odd.plugin).rows == [["a"]]


def test_what_an_unmatched_error_is_comes_again() -> None:
    assert isinstance(MODULE.refusal(psycopg.OperationalError("server closed the connection")), Retry)
    assert isinstance(MODULE.refusal(psycopg.errors.InternalError_()), Retry)
    assert isinstance(MODULE.refusal(psycopg.DataError("no text")), Abort)


def test_an_older_fill_leaves_the_newer_values(lake: Lake) -> None:
    """Half a million pairs of rows would find more; these are the edges: no time at all, on either side."""
    user = (
        Column("id", "string", "text"),
        Column("received_at", "datetime", "timestamptz"),
        Column("v", "string", "text"),
    )
    for moment, value in ((None, "a"), (T2, "b"), (None, "c"), (T1, "d")):
        lake.load(load(Table("users", list(user), [["u"], [moment], [value]], "fill", ("id",))))
    assert lake.rows("users") == [{"id": "u", "received_at": T2, "v": "b"}]
