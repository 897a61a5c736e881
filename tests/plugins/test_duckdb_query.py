"""Queries of the DuckDB plug-in: what comes back, how it is bounded, and that nothing else can be read or written."""

import time
from pathlib import Path
from typing import Any

import pytest

from appliance.sdk import Abort, Answer, Retry
from tests.support.ducks import MODULE, config, held, load, query, row, rows_of, table


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(n, n, n=n, name=f"name {n}") for n in range(5)], n="int"))
    return path


def test_values_come_as_json_has_them(path: Path) -> None:
    cases: dict[str, Any] = {
        "NULL": None, "true": True, "1::TINYINT": 1, "9223372036854775807": 2**63 - 1, "(2::HUGEINT ** 70)::HUGEINT": str(2**70),
        "1.50::DECIMAL(10,2)": "1.50", "0.1::DOUBLE": 0.1, "'nan'::DOUBLE": "nan", "'-inf'::DOUBLE": "-inf",
        "'a' || chr(0)": "a\0", "DATE '2026-11-25'": "2026-11-25", "TIME '08:00:01'": "08:00:01",
        "TIMESTAMPTZ '2026-11-25 08:00:00.5+01'": "2026-11-25T07:00:00.500Z",
        "TIMESTAMP '2026-11-25 08:00:00.000001'": "2026-11-25T08:00:00.000001",
        "[1, NULL]": [1, None], "{'a': [DATE '2026-01-01']}": {"a": ["2026-01-01"]}, "MAP {1: 'x'}": {"1": "x"},
        "UUID '97d710cc-6d55-4828-b18c-8a2edc6abc50'": "97d710cc-6d55-4828-b18c-8a2edc6abc50",
    }  # fmt: skip
    answer = query(config(path), f"SELECT {', '.join(cases)}")
    assert answer.rows == [list(cases.values())]
    assert answer.types[:4] == ['"NULL"', "BOOLEAN", "TINYINT", "BIGINT"] and not answer.more


def test_rows_are_cut_at_the_limit_and_what_is_left_is_said(path: Path) -> None:
    assert query(config(path), "SELECT n AS a FROM tracks ORDER BY n", 2) == Answer(["a"], [[0], [1]], True, ["BIGINT"])
    assert query(config(path), "SELECT n FROM tracks", 5).more is False
    assert query(config(path), "SELECT * FROM range(100000000)", 3).rows == [[0], [1], [2]]


def test_an_answer_is_cut_at_its_bytes(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODULE, "ANSWER_BYTES_MAX", 2_500)
    answer = query(config(path), "SELECT repeat('x', 1000) FROM range(10)")
    assert len(answer.rows) == 3 and answer.more


def test_a_query_that_takes_too_long_is_ended_and_the_next_works(path: Path) -> None:
    slow = config(path, query_time="300ms")
    began_s = time.monotonic()
    with pytest.raises(Abort, match="took longer than 0.3 s and was ended"):
        query(slow, "SELECT count(*) FROM range(1000000) a, range(1000000) b")
    assert time.monotonic() - began_s < 10
    assert query(slow, "SELECT count(*) FROM tracks").rows == [[5]]
    load(config(path), table([row(9)]))


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("selct 1", "LINE 1: selct 1\n        ^"),
        ("SELECT nope FROM tracks", "LINE 1: SELECT nope FROM tracks\n               ^"),
        ("SELECT * FROM nothing_there", "does not exist"),
        ("SELECT name::INT FROM tracks", "Could not convert string"),
        ("SELECT list(r) FROM range(1000000000) t(r)", "Out of Memory"),
        ("SELECT " + "(" * 20_000 + "1" + ")" * 20_000, "depth limit"),
    ],
)
def test_what_is_wrong_with_a_query_is_said_with_its_place(path: Path, sql: str, words: str) -> None:
    with pytest.raises(Abort) as refused:
        query(config(path), sql)
    assert words in refused.value.sample and "\n" not in refused.value.reason


HOSTILE = [
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM glob('/etc/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "COPY (SELECT 1) TO '{folder}/out.csv'",
    "COPY tracks FROM '/etc/passwd'",
    "EXPORT DATABASE '{folder}/out'",
    "ATTACH '{folder}/other.duckdb'",
    "ATTACH '{folder}/w.duckdb' AS again (READ_WRITE)",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{folder}/x.duckdb_extension'",
    "SET enable_external_access = true",
    "RESET enable_external_access",
    "SET lock_configuration = false",
    "SET memory_limit = '100GB'",
    "SET temp_directory = '{folder}/out'",
    "SET log_query_path = '{folder}/out'",
    "PRAGMA profiling_output = '{folder}/out'",
    "DELETE FROM tracks",
    "DROP TABLE tracks",
    "INSERT INTO tracks SELECT * FROM tracks",
    "UPDATE tracks SET n = 1",
    "CREATE TABLE other (a INT)",
    "CREATE SECRET s (TYPE s3)",
    "SELECT 1; DROP TABLE tracks",
    "BEGIN; DELETE FROM tracks; COMMIT",
    "SELECT * FROM config",
    "SELECT * FROM answer",
    "SELECT getenv('HOME')",
]


@pytest.mark.parametrize("sql", HOSTILE)
def test_a_query_reads_and_writes_nothing_else(path: Path, sql: str) -> None:
    (path.parent / "other.duckdb").write_bytes(b"")
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    with pytest.raises(Abort):
        query(config(path), sql.format(folder=path.parent))
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before
    assert held(path, "SELECT count(*), sum(n) FROM tracks") == [(5, 10)]


def test_what_a_query_makes_for_itself_is_gone_after_it(path: Path) -> None:
    assert query(config(path), "CREATE TEMP TABLE mine AS SELECT 1 AS a; SELECT a FROM mine").rows == [[1]]
    with pytest.raises(Abort, match="mine does not exist"):
        query(config(path), "SELECT * FROM mine")


def test_before_the_first_load_there_is_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(Retry, match="nothing has been loaded yet"):
        query(config(tmp_path / "w.duckdb"), "SELECT 1")
    assert list(tmp_path.iterdir()) == []


def test_a_query_that_needs_more_memory_spills_and_cleans_up(path: Path) -> None:
    sql = "SELECT count(*) FROM (SELECT uuid() AS u FROM range(3000000) ORDER BY u)"
    assert query(config(path, memory="64 MiB"), sql).rows == [[3_000_000]]
    assert len(rows_of(path, "tracks")) == 5
