"""People from the shell on the real process: find, show, merges, undo, forbid, allow, exports; and over its admin API."""

import csv
import getpass
import io
import json
import subprocess
import urllib.error
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import networkx
import pytest

from tests.integration.test_cli_terminal import Terminal
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]
ANN = {"type": "identify", "anonymousId": "a1", "userId": "ann", "traits": {"email": "Ann@Example.com"}}
BOB = {"type": "identify", "anonymousId": "b1", "userId": "bob", "traits": {"email": "bob@example.com"}}
BAD_ALIAS = {"type": "alias", "userId": "ann", "previousId": "bob"}


def send(appliance: Appliance, *events: dict[str, Any]) -> None:
    """One after the other; returns once the graph has read them."""
    with Wire(appliance.port, WRITE_KEY) as wire:
        for event in events:
            body = json.dumps({"batch": [{"type": "track", "event": "E", **event}]}).encode()
            assert wire.post("/v1/batch", body).text == "ok"
    last = events[-1].get("userId") or events[-1]["anonymousId"]
    until(lambda: appliance.admin(f"/v1/people?id={last}&events=0")["people"])


def person(appliance: Appliance, wanted: str) -> str:
    (one,) = appliance.admin(f"/v1/people?id={wanted}&events=0")["people"]
    found: str = one["person"]
    return found


@pytest.fixture
def merged(make_appliance: MakeAppliance) -> Appliance:
    """Two customers whom a bad alias has made one, and a third who shares a value with them."""
    appliance = make_appliance()
    appliance.start()
    send(appliance, ANN, BOB, {**BAD_ALIAS, "messageId": "the bad one"}, {"anonymousId": "ann"}, {"userId": "zed"})
    until(lambda: person(appliance, "user_id:ann") == person(appliance, "bob"))
    return appliance


def test_people_are_found_by_any_id_with_what_waits_for_them(
    make_appliance: MakeAppliance, make_sink: MakeSink
) -> None:
    sink = make_sink(Plan(fail_events={"Stuck": 500}))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    send(appliance, {"anonymousId": "a1", "messageId": "before"}, {"anonymousId": "a1", "event": "Stuck"},
         {"anonymousId": "a1", "event": "\x1b[31m"}, ANN)  # fmt: skip
    until(lambda: appliance.json("people", "find", "ann")["people"][0]["queues"][0]["state"] == "held")
    for asked in (
        ["email:ANN@example.com"],
        ["ann@example.com", "--type", "email"],
        ["a1"],
        [person(appliance, "ann")],
    ):
        shown = appliance.sternpost("people", "find", *asked)
        assert shown.returncode == 0 and "\x1b" not in shown.stdout, shown.stderr
        for words in ("at crm: held", "before", "userId:", "ann@example.com", "a1"):
            assert words in shown.stdout, (asked, shown.stdout)
    nobody = appliance.sternpost("people", "find", "\x1bnobody")
    assert nobody.returncode == 1 and "nobody with the id \\x1bnobody" in nobody.stdout
    assert appliance.sternpost("people", "find", "").returncode == 2
    wrong = appliance.sternpost("people", "find", "ann", "--type", "email")
    assert wrong.returncode == 2 and "'ann' is no e-mail address" in wrong.stderr


def test_all_of_a_person_is_shown_in_words(merged: Appliance) -> None:
    whole = person(merged, "bob")
    shown = merged.sternpost("people", "show", "bob").stdout
    for words in (
        whole,
        "was also",
        "6 ids",
        "email:ann@example.com",
        "user_id:bob",
        "merges",
        "event the bad one from web",
    ):
        assert words in shown, shown
    assert (
        merged.json("people", "show", whole)["members"]
        == merged.json("people", "show", "email:bob@example.com")["members"]
    )
    unclear = merged.sternpost("people", "show", "ann")
    assert unclear.returncode == 2, unclear.stdout
    assert "user_id:ann of person" in unclear.stderr and "anonymous_id:ann of person" in unclear.stderr
    assert "`people show " in unclear.stderr
    nobody = merged.sternpost("people", "show", "nobody")
    assert nobody.returncode == 1 and "nobody with the id nobody" in nobody.stderr and "next:" in nobody.stderr


def test_a_bad_merge_is_undone_after_a_question_that_says_who_is_parted(merged: Appliance) -> None:
    listed = merged.sternpost("people", "merges").stdout
    (merge,) = merged.json("people", "merges")["merges"]
    assert merge["message_id"] == "the bad one" and "the bad one" in listed and "MERGE" in listed
    name = merge["merge"]
    unasked = merged.sternpost("people", "undo", name)
    assert (
        unasked.returncode == 2
        and "repeat with --yes" in unasked.stderr
        and "One person becomes 2 people" in unasked.stderr
    )
    terminal = Terminal(merged, "people", "undo", name)
    terminal.wait("[y/N]")
    terminal.type("n\r")
    assert terminal.end() == 1 and "nothing was done" in terminal.seen
    assert person(merged, "user_id:ann") == person(merged, "bob")
    terminal = Terminal(merged, "people", "undo", name)
    terminal.wait("[y/N]")
    seen = " ".join(terminal.seen.split())
    one, _, two = seen.partition("|")
    assert ("user_id:ann" in one) != ("user_id:ann" in two) and ("user_id:bob" in one) != ("user_id:bob" in two), seen
    terminal.type("y\r")
    assert terminal.end() == 0 and f"merge {name} is undone" in terminal.seen
    assert person(merged, "user_id:ann") != person(merged, "bob")
    assert "no merges that hold" in merged.sternpost("people", "merges").stdout
    assert "undone by an operator" in merged.sternpost("people", "merges", "--all").stdout
    send(merged, {**BAD_ALIAS, "messageId": "again"}, {"userId": "last"})
    assert person(merged, "user_id:ann") != person(merged, "bob")
    for wanted in ("user_id:ann", "bob"):
        shown = merged.sternpost("people", "find", wanted).stdout
        other = person(merged, "bob" if wanted != "bob" else "user_id:ann")
        (line,) = [line for line in shown.splitlines() if "parted from" in line]
        assert f"parted from {other} on 20" in line and f" by admin ({getpass.getuser()}): merge {name} was" in line
    done, _ = merged.audited()
    assert [(one["what"], one["target"]) for one in done if one["what"].startswith("people.")] == [
        ("people.undo", name)
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words", "next_step"),
    [
        (("undo", "NAME", "--yes"), 1, "holds no more: undone by an operator", "people allow"),
        (("undo", "999", "--yes"), 1, "there is no merge 999", "people merges"),
        (("undo", "x", "--yes"), 2, "'x' is no merge", "people merges"),
        (("undo", "", "--yes"), 2, "a merge has a name", "people merges"),
        (("merges", "--after", "x"), 2, "'x' is no merge", "of the page before"),
        (("find", ""), 2, "at least one character", "email:ann@example.com"),
        (("find", "ann", "--type", "email"), 2, "'ann' is no e-mail address", "without a type"),
        (("show", ""), 2, "at least one character", "email:ann@example.com"),
        (("graphml", ""), 2, "at least one character", "email:ann@example.com"),
        (("forbid", "", "bob", "--yes"), 2, "at least one character", "email:ann@example.com"),
        (("allow", "bob", "user_id:bob"), 2, "the same id twice", "name two ids"),
    ],
)
def test_what_cannot_be_done_says_what_to_do(
    merged: Appliance, arguments: tuple[str, ...], code: int, words: str, next_step: str
) -> None:
    if "NAME" in arguments:
        (merge,) = merged.json("people", "merges")["merges"]
        assert merged.json("people", "undo", merge["merge"], "--yes")["changed"]
        arguments = tuple(merge["merge"] if each == "NAME" else each for each in arguments)
    refused = merged.sternpost("people", *arguments)
    message, _, step = refused.stderr.partition("next:")
    assert refused.returncode == code and words in message and next_step in step, refused.stderr


def test_two_ids_are_forbidden_and_allowed_again(merged: Appliance) -> None:
    unasked = merged.sternpost("people", "forbid", "user_id:ann", "bob")
    assert unasked.returncode == 2 and "They are now. One person becomes 2 people" in unasked.stderr
    done = merged.json("people", "forbid", "user_id:ann", "bob", "--yes")
    assert done["changed"] and len(set(done["people"])) == 2
    send(merged, {**BAD_ALIAS, "messageId": "again"}, {"userId": "last"})
    assert person(merged, "user_id:ann") != person(merged, "bob")
    assert "never one person" in merged.sternpost("people", "show", "user_id:ann").stdout
    strangers = merged.sternpost("people", "forbid", "zed", "bob")
    assert "two people, and nobody is parted" in strangers.stderr
    for arguments, words in (
        (("ann", "bob"), "may be one of these"), (("nobody", "bob"), "nobody with the id nobody"),
        (("bob", "user_id:bob"), "the same id twice"), ((person(merged, "bob"), "zed"), "is a person, not an id"),
    ):  # fmt: skip
        refused = merged.sternpost("people", "forbid", *arguments, "--yes")
        assert refused.returncode in (1, 2) and words in refused.stderr, refused.stderr
    allowed = merged.sternpost("people", "allow", "user_id:ann", "bob")
    assert allowed.returncode == 0 and "may be one person again" in allowed.stdout, allowed.stderr
    send(merged, {**BAD_ALIAS, "messageId": "third"}, {"userId": "last2"})
    until(lambda: person(merged, "user_id:ann") == person(merged, "bob"))


def test_the_graph_is_exported_to_files_that_are_whole(merged: Appliance, tmp_path: Path) -> None:
    everybody = merged.sternpost("people", "export")
    rows = list(csv.DictReader(io.StringIO(everybody.stdout)))
    assert everybody.returncode == 0 and len(rows) == 8 and "user_id" in {row["id_type"] for row in rows}
    file = merged.folder / "all.csv"
    assert merged.sternpost("people", "export", str(file)).returncode == 0
    assert (
        file.read_text() == everybody.stdout.replace("\n", "\n") or list(csv.DictReader(file.open(newline=""))) == rows
    )
    assert file.stat().st_mode & 0o077 == 0, "personal data is for nobody else's eyes"
    again = merged.sternpost("people", "export", str(file))
    assert again.returncode == 2 and "is there already" in again.stderr and "--force" in again.stderr
    assert merged.sternpost("people", "export", str(file), "--force").returncode == 0
    parquet = merged.folder / "all.parquet"
    told = merged.json("people", "export", str(parquet))
    assert told == {"file": str(parquet), "bytes": parquet.stat().st_size}
    found = {row[1]: row[2] for row in duckdb.read_parquet(str(parquet)).fetchall()}
    assert found["bob"] == person(merged, "bob") == {row["id_value"]: row["person_id"] for row in rows}["bob"]
    piped = subprocess.run(
        [*merged.command, "people", "export", "--format", "parquet", "--data", str(merged.data)],
        env=merged.env, capture_output=True, timeout=60,
    )  # fmt: skip
    assert piped.stdout[:4] == piped.stdout[-4:] == b"PAR1"
    nowhere = merged.sternpost("people", "export", str(merged.folder / "no" / "all.csv"))
    assert nowhere.returncode == 2 and "there is no folder" in nowhere.stderr
    full = merged.sternpost("people", "export", "/dev/full", "--force")
    assert full.returncode == 1 and "cannot be written" in full.stderr
    assert Path("/dev/full").is_char_device(), "a device is written to, not replaced"
    terminal = Terminal(merged, "people", "export", str(merged.folder / "seen.csv"))
    assert terminal.end() == 0 and "written to" in terminal.seen
    assert [one.name for one in merged.folder.iterdir() if one.name.endswith(".part")] == []


def test_a_person_is_drawn_by_other_programs(merged: Appliance) -> None:
    file = merged.folder / "bob.graphml"
    assert merged.sternpost("people", "graphml", "bob", str(file)).returncode == 0
    graph = networkx.read_graphml(file)
    assert len(graph) == 6 and graph.edges["user_id:ann", "user_id:bob"]["explicit"] is True
    assert networkx.parse_graphml(merged.sternpost("people", "graphml", "bob").stdout).nodes == graph.nodes


def test_an_undo_outlives_a_kill(merged: Appliance) -> None:
    (merge,) = merged.json("people", "merges")["merges"]
    assert merged.json("people", "undo", merge["merge"], "--yes")["changed"]
    before = {wanted: person(merged, wanted) for wanted in ("user_id:ann", "bob", "a1", "b1")}
    merged.kill()
    merged.start()
    until(lambda: {wanted: person(merged, wanted) for wanted in before} == before)
    assert merged.json("people", "merges")["merges"] == []


def test_without_the_graph_it_is_said(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance({"identity": {"enabled": False}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        wire.post("/v1/batch", json.dumps({"batch": [{"type": "track", "event": "E", "userId": "u1"}]}).encode())
    assert appliance.json("people", "find", "u1")["people"][0]["person"] == "u:u1"
    for arguments in (
        ("merges",),
        ("show", "u1"),
        ("undo", "1", "--yes"),
        ("forbid", "u1", "u1", "--yes"),
        ("export",),
    ):
        done = appliance.sternpost("people", *arguments)
        assert done.returncode == 1 and "there is no person graph" in done.stderr, (arguments, done.stderr)
    with pytest.raises(urllib.error.HTTPError, match="409"):
        appliance.admin("/v1/people/merges")


def test_a_shell_is_offered_merges(merged: Appliance) -> None:
    names = merged.sternpost("completion", "merges").stdout.split()
    assert names == [merged.json("people", "merges")["merges"][0]["merge"]]
    assert "_sternpost_merges" in merged.sternpost("completion", "bash").stdout
