"""The graph for other programs: CSV and Parquet of all of it, GraphML of one person, read back by others' readers."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import networkx
import pytest

from appliance.core.config import IdentityConfig
from appliance.identity import export
from appliance.identity.findings import Person
from appliance.identity.graphml import graphml
from tests.support.graph import Fed

XMLNS = "{http://graphml.graphdrawing.org/xmlns}"
HOSTILE = '=1+1","\u202e<b>&amp;</b>\'; \ufffe ☃'


def furnish(fed: Fed) -> None:
    fed.feed(
        {"type": "identify", "anonymousId": "a1", "userId": "ann", "traits": {"email": "ann@example.com"}},
        {"anonymousId": "b1", "userId": "bob"},
        {"type": "alias", "userId": "ann", "previousId": "bob"},
        {"userId": HOSTILE, "anonymousId": "5a2f0c1e-0000-4000-8000-00000000000a"},
        {"userId": "eve", "anonymousId": "a1"},
        {"anonymousId": "alone"},
    )


def person(fed: Fed, type: str, value: str) -> Person:
    found = fed.lookup.person(fed.who(type, value))
    assert found is not None
    return found


def test_every_id_is_a_row_with_its_person(fed: Fed, tmp_path: Path) -> None:
    furnish(fed)
    assert export.write_csv(fed.path, tmp_path / "all.csv") == 9
    rows = list(csv.DictReader(io.StringIO((tmp_path / "all.csv").read_bytes().decode("utf-8"), newline="")))
    assert tuple(rows[0]) == export.COLUMNS
    hostile = fed.lookup.find(HOSTILE)[0].ids[0].value
    assert {(row["id_type"], row["id_value"]): int(row["edges"]) for row in rows} == {
        ("user_id", "ann"): 3, ("email", "ann@example.com"): 1, ("anonymous_id", "a1"): 1, ("user_id", "bob"): 2,
        ("anonymous_id", "b1"): 1, ("user_id", hostile): 1, ("user_id", "eve"): 0, ("anonymous_id", "alone"): 0,
        ("anonymous_id", "5a2f0c1e-0000-4000-8000-00000000000a"): 1,
    }  # fmt: skip
    for row in rows:
        assert row["person_id"] == fed.who(row["id_type"], row["id_value"]), row
    assert (rows[0]["first_seen"], rows[0]["last_seen"]) == ("2030-03-17T17:46:41.000Z", "2030-03-17")


def test_a_person_whose_own_first_id_has_left_is_listed(
    make_fed: Callable[[IdentityConfig], Fed], tmp_path: Path
) -> None:
    """Ann became the person of a browser, which then was shared and left: nobody's id began with that person."""
    fed = make_fed(IdentityConfig(shared_after=2))
    fed.feed({"anonymousId": "a0"}, {"userId": "ann"}, {"userId": "ann", "anonymousId": "a0"})
    person = fed.who("user_id", "ann")
    fed.feed({"userId": "bob", "anonymousId": "a0"}, {"userId": "cid", "anonymousId": "a0"})
    assert fed.who("user_id", "ann") == person != fed.who("anonymous_id", "a0")
    assert export.write_csv(fed.path, tmp_path / "all.csv") == 4
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert {row["id_value"]: row["person_id"] for row in rows}["ann"] == person


def test_people_stand_together_in_whatever_batches_and_none_is_missing(
    fed: Fed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed.feed(*({"userId": f"u{number}", "anonymousId": f"a{number}"} for number in range(40)))
    fed.feed(*({"type": "alias", "userId": f"u{number + 9}", "previousId": f"u{number}"} for number in range(0, 30, 3)))
    fed.act(undo="44")
    shown = []
    for size in (1, 7, 500):
        monkeypatch.setattr(export, "PEOPLE_AT_ONCE", size)
        assert export.write_csv(fed.path, tmp_path / "all.csv") == 80
        shown.append((tmp_path / "all.csv").read_text())
    assert shown[0] == shown[1] == shown[2]
    rows = list(csv.DictReader(io.StringIO(shown[0])))
    assert all(row["person_id"] == fed.who(row["id_type"], row["id_value"]) for row in rows)
    assert len({(row["id_type"], row["id_value"]) for row in rows}) == 80
    turns = sum(one["person_id"] != other["person_id"] for one, other in pairwise(rows)) + 1
    assert turns == len({row["person_id"] for row in rows})


def test_an_export_shows_one_moment_though_the_graph_goes_on(
    fed: Fed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed.feed(*({"userId": f"u{number}"} for number in range(20)))
    monkeypatch.setattr(export, "PEOPLE_AT_ONCE", 1)
    merged = iter(range(1, 20))

    def goes_on() -> bool:
        fed.feed(
            {"type": "alias", "userId": "u0", "previousId": f"u{next(merged, 1)}"}, {"userId": f"new{len(fed.records)}"}
        )
        return True

    assert export.write_csv(fed.path, tmp_path / "all.csv", goes_on) == 20
    rows = list(csv.DictReader((tmp_path / "all.csv").open()))
    assert len({row["person_id"] for row in rows}) == 20, "merges of meanwhile are not half in it"
    fed.graph.checkpoint()
    assert fed.graph.safe == fed.graph.cursor, "it holds nothing back once it is done"


def test_an_export_that_nobody_waits_for_ends(fed: Fed, tmp_path: Path) -> None:
    furnish(fed)
    with pytest.raises(export.Stopped):
        export.write_csv(fed.path, tmp_path / "all.csv", lambda: False)


def test_an_empty_graph_is_a_header(fed: Fed, tmp_path: Path) -> None:
    assert export.write_csv(fed.path, tmp_path / "all.csv") == 0
    assert (tmp_path / "all.csv").read_text().strip() == ",".join(export.COLUMNS)
    export.write_parquet(tmp_path / "all.csv", tmp_path / "all.parquet")
    assert duckdb.sql(f"SELECT * FROM '{tmp_path / 'all.parquet'}'").fetchall() == []


def test_parquet_holds_what_csv_does_with_types(fed: Fed, tmp_path: Path) -> None:
    furnish(fed)
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    export.write_csv(fed.path, folder / "all.csv")
    export.write_parquet(folder / "all.csv", folder / "all.parquet")
    table = duckdb.read_parquet(str(folder / "all.parquet"))
    assert dict(zip(table.columns, map(str, table.types), strict=True)) == {
        "id_type": "VARCHAR", "id_value": "VARCHAR", "person_id": "VARCHAR",
        "first_seen": "TIMESTAMP WITH TIME ZONE", "last_seen": "DATE", "edges": "INTEGER",
    }  # fmt: skip
    texts = table.project(
        "id_type, id_value, person_id, strftime(first_seen AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'), "
        "CAST(last_seen AS VARCHAR), CAST(edges AS VARCHAR)"
    ).fetchall()
    with (folder / "all.csv").open(encoding="utf-8", newline="") as opened:
        assert [list(row) for row in texts] == list(csv.reader(opened))[1:]


def test_parquet_is_no_burden_until_somebody_asks() -> None:
    """DuckDB is imported when it is needed; this process has it for the tests alone."""
    script = "import sys, appliance.identity.export, appliance.app; sys.exit('duckdb' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


def test_a_full_disk_is_an_oserror(fed: Fed, tmp_path: Path) -> None:
    furnish(fed)
    export.write_csv(fed.path, tmp_path / "all.csv")
    with pytest.raises(OSError, match="."):
        export.write_parquet(tmp_path / "all.csv", tmp_path / "no such folder" / "all.parquet")
    if Path("/dev/full").exists():
        with pytest.raises(OSError, match="No space left"):
            export.write_csv(fed.path, Path("/dev/full"))


def test_graphml_is_what_its_schema_says(fed: Fed) -> None:
    furnish(fed)
    root = ElementTree.fromstring("".join(graphml(person(fed, "user_id", "ann"))))
    assert root.tag == f"{XMLNS}graphml"
    keys = {key.get("id"): key for key in root.findall(f"{XMLNS}key")}
    assert len(keys) == len(root.findall(f"{XMLNS}key")) > 10
    (graph,) = root.findall(f"{XMLNS}graph")
    assert graph.get("edgedefault") == "undirected" and list(root)[-1] is graph
    nodes = [node.get("id") for node in graph.findall(f"{XMLNS}node")]
    assert len(set(nodes)) == len(nodes) == 6
    for edge in graph.findall(f"{XMLNS}edge"):
        assert edge.get("source") in nodes and edge.get("target") in nodes
    kinds = {"boolean": ("true", "false"), "string": None, "int": None, "double": None}
    for part in ("node", "edge"):
        for element in graph.findall(f"{XMLNS}{part}"):
            for data in element.findall(f"{XMLNS}data"):
                key = keys[data.get("key")]
                assert key.get("for") == part and key.get("attr.type") in kinds
                allowed = kinds[str(key.get("attr.type"))]
                assert allowed is None or data.text in allowed


def test_graphml_opens_elsewhere_with_its_attributes(fed: Fed) -> None:
    furnish(fed)
    ann = person(fed, "user_id", "ann")
    graph = networkx.parse_graphml("".join(graphml(ann)))
    assert not graph.is_directed() and networkx.number_of_nodes(graph) == 6
    node = graph.nodes["email:ann@example.com"]
    assert (node["type"], node["value"], node["member"], node["shared"]) == ("email", "ann@example.com", True, False)
    assert (node["person"], node["first_seen"], node["last_seen"]) == (
        ann.person,
        "2030-03-17T17:46:41.000Z",
        "2030-03-17",
    )
    assert graph.nodes["user_id:eve"]["member"] is False and graph.nodes["user_id:eve"]["person"] != ann.person
    left = graph.edges["anonymous_id:a1", "user_id:eve"]
    assert left["holds"] is False and "unique" in left["reason"] and left["message_id"] == "m5"
    alias = graph.edges["user_id:ann", "user_id:bob"]
    assert (alias["holds"], alias["explicit"], alias["reason"], alias["source"], alias["rules"]) == (
        True,
        True,
        "",
        "web",
        1,
    )
    held = networkx.Graph([pair for *pair, holds in graph.edges.data("holds") if holds])
    assert networkx.is_connected(held) and set(held) == {f"{one.id.type}:{one.id.value}" for one in ann.members}


def test_hostile_ids_stay_text(fed: Fed) -> None:
    furnish(fed)
    (found,) = fed.lookup.find(HOSTILE)
    shown = fed.lookup.person(found.person)
    assert shown is not None
    graph = networkx.parse_graphml("".join(graphml(shown)))
    values = {data["value"] for _, data in graph.nodes.data()}
    assert found.ids[0].value.replace("\ufffe", "\ufffd") in values


def test_a_person_of_many_ids_is_written_piece_by_piece(make_fed: Callable[[IdentityConfig], Fed]) -> None:
    fed = make_fed(IdentityConfig(ids_max=0))
    fed.feed(*({"userId": "hub", "anonymousId": f"a{number}"} for number in range(90)))
    pieces = list(graphml(person(fed, "user_id", "hub")))
    assert len(pieces) > 180 and max(map(len, pieces)) < 2_000
    assert networkx.parse_graphml("".join(pieces)).degree("user_id:hub") == 90
