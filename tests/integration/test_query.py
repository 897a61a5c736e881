"""`sternpost query` on the real process with a DuckDB warehouse: tables, charts, files, and what is refused."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.waiting import until
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]


@pytest.fixture
def asked(make_appliance: MakeAppliance, tmp_path: Path) -> Appliance:
    """A process whose warehouse holds five events."""
    duck = {"plugin": "duckdb", "path": str(tmp_path / "w.duckdb"), "load": {"every": "200ms"}}
    appliance = make_appliance({"destinations": {"duck": duck, "crm": webhook("http://127.0.0.1:9")}})
    appliance.start()
    events = [
        {"type": "track", "event": f"Kind {n % 2}", "userId": f"u{n}", "messageId": f"m{n}", "properties": {"n": n}}
        for n in range(5)
    ]
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).status == 200
    count = ("query", "SELECT count(*) FROM tracks", "--csv", "-")
    until(lambda: appliance.sternpost(*count).stdout.endswith("\n5\n"), "loaded", 60)
    return appliance


def test_an_answer_is_a_table_a_chart_json_or_a_file(asked: Appliance, tmp_path: Path) -> None:
    sql = "SELECT event, count(*) AS n, NULL AS nothing FROM tracks GROUP BY ALL ORDER BY n DESC"
    shown = asked.sternpost("query", sql)
    assert shown.stdout.split("\n")[:4] == [
        "event  │ n │ nothing",
        "───────┼───┼────────",
        "kind_0 │ 3 │ NULL",
        "kind_1 │ 2 │ NULL",
    ]
    assert shown.stderr.startswith("2 rows in ") and shown.stderr.endswith("from duck\n")
    bars = asked.sternpost("query", sql, "--chart", "bar").stdout.split("\n")
    assert bars[0].startswith("kind_0 3 ███") and bars[1].startswith("kind_1 2 ██")
    assert asked.json("query", sql)["rows"] == [["kind_0", 3, None], ["kind_1", 2, None]]
    assert asked.sternpost("query", sql, "--limit", "1").stderr.startswith("the first 1 row, in ")

    written = asked.sternpost("query", sql, "--csv", str(tmp_path / "a.csv"))
    assert written.returncode == 0 and written.stderr.startswith("2 rows written to ")
    assert list(csv.reader((tmp_path / "a.csv").open()))[1] == ["kind_0", "3", ""]
    again = asked.sternpost("query", sql, "--csv", str(tmp_path / "a.csv"))
    assert again.returncode == 2 and "is there already; nothing was written" in again.stderr
    assert asked.sternpost("query", "SELECT * FROM tracks", "--parquet", str(tmp_path / "a.parquet")).returncode == 0
    assert duckdb.read_parquet(str(tmp_path / "a.parquet")).aggregate("count(*), count(received_at)").fetchall() == [
        (5, 5)
    ]


def test_what_is_refused_says_why_and_what_next(asked: Appliance) -> None:
    cases = [
        (["SELECT 1 +"], 2, 'error: Parser Error: syntax error at or near "+"', 'next:  correct the query; "SHOW TABLES"'),
        (["SELECT nope FROM tracks"], 2, "LINE 1: SELECT nope FROM tracks", "next:  correct the query"),
        (["DELETE FROM tracks"], 2, "read-only", "next:  correct the query"),
        (["COPY tracks TO '/tmp/never.csv'"], 2, "Permission Error", "next:  correct the query"),
        (["SELECT 1", "--destination", "crm"], 1, "destination crm is no warehouse", "next:  warehouses: duck"),
        (["SELECT 1", "--destination", "nope"], 1, "there is no destination 'nope'", "destinations list"),
        (["SELECT event FROM tracks", "--chart", "bar"], 2, "a chart needs a column of numbers", "next:  add one"),
        ([" "], 2, "the query is empty", "SHOW TABLES"),
        (["SELECT 1", "--limit", "0"], 2, "--limit is 1 to 100,000", "default"),
    ]  # fmt: skip
    for arguments, code, words, next_step in cases:
        done = asked.sternpost("query", *arguments)
        assert (done.returncode, done.stdout) == (code, ""), arguments
        assert words in done.stderr and next_step in done.stderr, done.stderr


def test_the_audit_trail_has_who_asked_and_not_what(asked: Appliance) -> None:
    assert asked.json("query", "SELECT 'secret-of-somebody' FROM tracks")["more"] is False
    line = json.loads((asked.data / "audit.jsonl").read_text().splitlines()[-1])
    assert (line["what"], line["target"], line["count"]) == ("warehouse.query", "duck", 5)
    assert "secret-of-somebody" not in (asked.data / "audit.jsonl").read_text()


def test_without_a_warehouse_it_says_how_to_add_one(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance({"destinations": {"crm": webhook("http://127.0.0.1:9")}})
    appliance.start()
    done = appliance.sternpost("query", "SELECT 1")
    assert done.returncode == 1 and "there is no warehouse to ask" in done.stderr
    assert 'plugin = "duckdb"' in done.stderr


def test_two_warehouses_are_told_apart(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    ducks = {name: {"plugin": "duckdb", "path": str(tmp_path / f"{name}.duckdb")} for name in ("one", "two")}
    appliance = make_appliance({"destinations": ducks})
    appliance.start()
    done = appliance.sternpost("query", "SELECT 1")
    assert done.returncode == 1 and "there are 2 warehouses" in done.stderr and "one, two" in done.stderr
    named = appliance.sternpost("query", "SELECT 1", "--destination", "two")
    assert "nothing has been loaded yet" in named.stderr or named.returncode == 0
