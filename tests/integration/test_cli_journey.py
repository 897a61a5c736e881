"""The operator's journey from the shell, against the real process: send, look, act, and every exit code on the way."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until_enough
from tests.support.wire import Wire
from tests.unit.wal.tools import spoil_block

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]


def post(appliance: Appliance, *events: dict[str, Any]) -> None:
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).text == "ok"


def track(number: int, user: str = "u1", event: str = "Order Completed", **keys: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "userId": user, "messageId": f"m{number}", **keys}


def test_send_finds_the_process_and_its_key_and_what_it_sent_can_be_traced(
    make_appliance: MakeAppliance, make_sink: MakeSink
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    sent = appliance.json("send", "--count", "200", "--batch", "10", "--people", "7", "--seed", "5")
    assert (sent["sent"], sent["error"], sent["requests"] <= 200) == (200, "", True)
    assert len(until_enough(sink.accepted, lambda arrivals: len(arrivals) >= 200)) == 200
    again = appliance.json("send", "--count", "200", "--people", "7", "--seed", "5", "--rate", "2000")
    assert again["sent"] == 200 and again["requests"] == 200
    status = appliance.json("status")
    assert status["sources"][0]["accepted_total"] == 200 and status["sources"][0]["duplicates_total"] == 200
    assert status["health"] == "well" and status["destinations"][0]["delivered_total"] == 200
    traced = appliance.json("trace", sent["last_message_id"])
    assert traced["events"][0]["destinations"][0]["state"] == "succeeded"
    words = appliance.sternpost("trace", sent["last_message_id"]).stdout
    assert "succeeded" in words and "source web" in words
    unknown = appliance.sternpost("trace", "nobody-sent-this")
    assert unknown.returncode == 1 and "nothing is known" in unknown.stderr
    shown = appliance.sternpost("status")
    assert shown.returncode == 0 and re.search(r"^crm +running +0 ", shown.stdout, re.MULTILINE), shown.stdout


def test_send_keeps_its_rate_and_says_what_a_wrong_key_means(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    sent = appliance.json("send", "--count", "60", "--rate", "100", "--kind", "camera")
    assert 0.5 <= sent["seconds"] < 3.0
    refused = appliance.sternpost("send", "--key", "wk_wrong", "--count", "5")
    assert refused.returncode == 1 and "HTTP 401" in refused.stderr and "invalid write key" in refused.stderr
    for arguments in (
        ["--count", "-1"],
        ["--batch", "0"],
        ["--url", "ftp://x", "--key", "k"],
        ["--key", "env:NOT_THERE_X"],
    ):
        assert appliance.sternpost("send", *arguments).returncode == 2, arguments
    appliance.stop()
    gone = appliance.sternpost("send", "--url", appliance.url, "--key", WRITE_KEY, "--count", "1")
    assert gone.returncode == 1 and "cannot reach" in gone.stderr


COMMANDS_THAT_NEED_A_PROCESS = [
    ["status"], ["tail"], ["trace", "x"], ["dead", "list"], ["dead", "show", "1"], ["dead", "purge", "age:>0s", "--yes"],
    ["dead", "requeue", "age:>0s", "--yes"], ["dead", "export"], ["replay", "--destination", "x", "--from", "1h"],
    ["destinations", "list"], ["destinations", "test", "x"], ["destinations", "pause", "x"], ["destinations", "resume", "x"],
    ["destinations", "forget", "x", "--yes"], ["send"],
]  # fmt: skip


@pytest.mark.parametrize("killed", [False, True])
def test_without_a_process_they_say_so(make_appliance: MakeAppliance, killed: bool) -> None:
    appliance = make_appliance()
    appliance.write_config()
    if killed:
        appliance.start()
        appliance.kill()
        assert (appliance.data / "control.json").exists()
    for arguments in COMMANDS_THAT_NEED_A_PROCESS if not killed else COMMANDS_THAT_NEED_A_PROCESS[:2]:
        done = appliance.sternpost(*arguments)
        assert done.returncode == 4, (arguments, done.stdout, done.stderr)
        assert "no process is running" in done.stderr and "sternpost run" in done.stderr


def test_an_unreadable_token_is_named(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    (appliance.data / "admin.token").write_text("another\n")
    done = appliance.sternpost("status")
    assert done.returncode == 1 and "token" in done.stderr


def test_dead_letters_from_the_shell(make_appliance: MakeAppliance, make_sink: MakeSink, tmp_path: Path) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    hostile = "Bad\x1b[31m\u202e"
    sink.set_plan(Plan(fail_events={"Bad": 400, hostile: 422}))
    post(appliance, track(1, event="Bad"), track(2, "u2", event="Bad"), track(3, event=hostile), track(4))
    letters = until_enough(lambda: appliance.json("dead", "list")["dead"], lambda found: len(found) == 3)
    letters.sort(key=lambda one: str(one["message_id"]))
    listed = appliance.sternpost("dead", "list")
    assert "HTTP 400" in listed.stdout and "\x1b" not in listed.stdout and "\u202e" not in listed.stdout
    assert [one["message_id"] for one in appliance.json("dead", "list", "code:400", "user:u2")["dead"]] == ["m2"]
    shown = appliance.sternpost("dead", "show", str(letters[2]["id"]))
    assert "HTTP/1.1 422" in shown.stdout and "message id:    m3" in shown.stdout and "\x1b" not in shown.stdout
    assert appliance.json("dead", "show", str(letters[0]["id"]))["payload"]["messageId"] == "m1"
    exported = tmp_path / "dead.jsonl"
    assert appliance.sternpost("dead", "export", "code:400", "--output", str(exported)).returncode == 0
    assert [json.loads(line)["message_id"] for line in exported.read_text().splitlines()] in (
        ["m1", "m2"],
        ["m2", "m1"],
    )

    unsure = appliance.sternpost("dead", "purge", "code:400")
    assert (
        unsure.returncode == 2
        and "Delete 2 dead letters for good, of 2 people at 1 destination; the oldest was" in unsure.stderr
        and "--yes" in unsure.stderr
    )
    assert appliance.sternpost("dead", "purge", "--yes").returncode == 2
    assert appliance.sternpost("dead", "purge", "colour:red", "--yes").returncode == 2
    stale = appliance.sternpost("dead", "purge", "code:400", "--yes", "--expect", "1")
    assert (
        stale.returncode == 1 and "2 dead letters match now, not 1 as --expect says; nothing was done" in stale.stderr
    )
    assert "--expect 2" in stale.stderr
    assert len(appliance.json("dead", "list")["dead"]) == 3

    sink.set_plan(Plan())
    assert appliance.json("dead", "requeue", "code:400", "--yes") == {"done": "requeue", "count": 2}
    sink.wait_accepted({"m1", "m2"})
    purged = appliance.sternpost("dead", "purge", "--id", str(letters[2]["id"]), "--yes")
    assert purged.returncode == 0 and "1 dead letter deleted" in purged.stdout
    assert appliance.json("dead", "list")["dead"] == []
    assert appliance.json("dead", "purge", "age:>0s", "--yes")["count"] == 0
    done, seen = appliance.audited()
    assert [(one["what"], one["count"]) for one in done] == [("dead.requeue", 2), ("dead.purge", 1)]
    assert [one.get("target") for one in seen if one["what"] == "dead.export"] == ["code:400"]
    assert [one["target"] for one in seen if one["what"] == "dead.read"] == [str(letters[n]["id"]) for n in (2, 0)]
    assert all(one["user"] for one in done)


def test_destinations_from_the_shell(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"first": webhook(sink.url)}})
    appliance.start()
    before = appliance.config_path.read_text()
    for settings in (
        ["--plugin", "webhok", "url=http://h/"],
        ["--plugin", "webhook", "uri=http://h/"],
        ["--plugin", "webhook"],
    ):
        wrong = appliance.sternpost("destinations", "add", "crm", *settings)
        assert wrong.returncode == 2 and str(appliance.config_path) in wrong.stderr, wrong.stderr
        assert appliance.config_path.read_text() == before
    added = appliance.json(
        "destinations", "add", "crm", "--plugin", "webhook", f"url={sink.url}?run=7", "in_flight_max=2"
    )
    assert added["running"] and any("crm" in change for change in added["changes"])
    assert appliance.sternpost("check").returncode == 0
    post(appliance, track(1))
    sink.wait(lambda arrivals: any(one.run == 7 and one.message_id == "m1" for one in arrivals))
    assert appliance.sternpost("destinations", "add", "crm", "--plugin", "webhook", f"url={sink.url}").returncode == 2

    tested = appliance.sternpost("destinations", "test", "crm")
    assert tested.returncode == 0 and "HTTP/1.1 200" in tested.stdout and "POST /events?run=7" in tested.stdout
    sink.set_plan(Plan(status=401))
    tested = appliance.sternpost("destinations", "test", "crm")
    assert tested.returncode == 1 and "refused for good" in tested.stdout and "HTTP/1.1 401" in tested.stdout
    sink.set_plan(Plan())

    assert appliance.sternpost("destinations", "pause", "crm").returncode == 0
    post(appliance, track(2))
    sink.wait(lambda arrivals: any(one.run == 0 and one.message_id == "m2" for one in arrivals))
    states = {one["name"]: (one["state"], one["lag_events"]) for one in appliance.json("destinations", "list")}
    assert states == {"first": ("running", 0), "crm": ("paused", 1)}
    appliance.stop()
    appliance.write_config = lambda: None  # type: ignore[method-assign]  # the file is ours from here on
    appliance.start()
    assert {one["name"]: one["state"] for one in appliance.json("destinations", "list")}["crm"] == "paused"
    assert "resumed" in appliance.sternpost("destinations", "resume", "crm").stdout
    sink.wait(lambda arrivals: any(one.run == 7 and one.message_id == "m2" for one in arrivals))
    nobody = appliance.sternpost("destinations", "pause", "nobody")
    assert nobody.returncode == 1 and "there is no destination 'nobody'" in nobody.stderr

    assert appliance.sternpost("destinations", "forget", "crm", "--yes").returncode == 1
    appliance.config_path.write_text(before)
    appliance.reload()
    until_enough(
        lambda: {one["name"]: one["state"] for one in appliance.json("destinations", "list")},
        lambda states: states["crm"] == "parked",
    )
    assert appliance.sternpost("destinations", "forget", "crm").returncode == 2
    assert appliance.sternpost("destinations", "forget", "crm", "--yes").returncode == 0
    assert [one["name"] for one in appliance.json("destinations", "list")] == ["first"]


def test_a_destination_is_added_while_nothing_runs(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink()
    appliance = make_appliance()
    appliance.write_config()
    added = appliance.sternpost("destinations", "add", "crm", "--plugin", "webhook", f"url={sink.url}", "start=oldest")
    assert added.returncode == 0 and "next `sternpost run`" in added.stdout
    text = appliance.config_path.read_text()
    appliance.config = {}
    appliance.write_config = lambda: appliance.config_path.write_text(text)  # type: ignore[method-assign]
    appliance.start()
    post(appliance, track(1))
    sink.wait_accepted({"m1"})


def test_a_replay_from_the_shell(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    post(appliance, *(track(number, user=f"u{number % 2}", event="A" if number < 4 else "B") for number in range(1, 7)))
    sink.wait_accepted({f"m{number}" for number in range(1, 7)})
    seen = len(sink.arrivals())
    started = appliance.sternpost(
        "replay", "--destination", "crm", "--from", "2h ago", "--event", "A", "--user", "u1", "--yes"
    )
    assert started.returncode == 0 and "has started" in started.stdout, started.stderr
    sink.wait(lambda arrivals: len(arrivals) == seen + 2)
    assert [one.message_id for one in sink.arrivals()[seen:]] == ["m1", "m3"]
    for arguments, code in (
        (["--from", "soon"], 2),
        (["--from", "1h", "--to", "2h"], 2),
        (["--from", "2d", "--to", "1d"], 1),
    ):
        assert appliance.sternpost("replay", "--destination", "crm", "--yes", *arguments).returncode == code, arguments


def test_the_tail_shows_what_comes_and_goes(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    where = ["--config", str(appliance.config_path), "--data", str(appliance.data)]
    tails = [
        subprocess.Popen([sys.executable, "-m", "appliance", "tail", *arguments, *where], env=appliance.env, text=True,
                         cwd=appliance.folder, stdout=subprocess.PIPE)
        for arguments in (["event:Good", "--json", "--count", "2"], ["--delivered", "--count", "3"],
                          ["--processed", "--count", "3"])
    ]  # fmt: skip
    try:
        time.sleep(1.0)
        post(
            appliance,
            track(1, event="Good"),
            track(2, event="Bad"),
            track(3, event="Good", big=12345678901234567890123),
        )
        collected = [json.loads(line) for line in tails[0].communicate(timeout=15)[0].splitlines()]
        delivered = tails[1].communicate(timeout=15)[0]
        processed = tails[2].communicate(timeout=15)[0]
    finally:
        for tail in tails:
            tail.kill()
            tail.wait()
    assert [(one["message_id"], one["payload"]["event"]) for one in collected] == [("m1", "Good"), ("m3", "Good")]
    assert collected[1]["payload"]["big"] == 12345678901234567890123
    assert delivered.count("-> crm succeeded") == 2 and "-> crm aborted" in delivered and "HTTP 400" in delivered
    assert processed.count("track Good u1 -> crm m") == 2 and "track Bad u1 -> crm m2" in processed
    assert {tail.returncode for tail in tails} == {0}


def test_the_log_from_the_shell_online_offline_and_damaged(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    appliance.json("send", "--count", "300", "--batch", "7", "--seed", "1")
    online = appliance.sternpost("wal", "dump").stdout
    assert len(online.splitlines()) == 300 and json.loads(online.splitlines()[0])["payload"]["messageId"]
    assert appliance.json("wal", "stats")["last_sequence"] == 300
    assert appliance.json("wal", "verify") == {
        "folder": str(appliance.data / "wal"), "running": True, "sound": True, "findings": []}  # fmt: skip
    pages = appliance.sternpost("wal", "dump", "--type", "page", "--after", "100").stdout.splitlines()
    assert pages and all(json.loads(line)["type"] == "page" and json.loads(line)["sequence"] > 100 for line in pages)
    assert appliance.sternpost("wal", "dump", "--to", "1h ago").stdout == ""
    appliance.stop()

    before = {
        path.name: path.stat().st_mtime_ns for path in (appliance.data / "wal").iterdir() if path.name != "lock.mdb"
    }
    assert appliance.sternpost("wal", "dump").stdout == online
    assert appliance.sternpost("wal", "dump", "--type", "page", "--after", "100").stdout.splitlines() == pages
    stopped = appliance.json("wal", "stats")
    assert (stopped["last_sequence"], stopped["first_sequence"], stopped["state"]) == (300, 1, "not running")
    verified = appliance.json("wal", "verify")
    assert verified["sound"] and not verified["running"]
    after = {
        path.name: path.stat().st_mtime_ns for path in (appliance.data / "wal").iterdir() if path.name != "lock.mdb"
    }
    assert after == before

    data = appliance.data / "wal" / "data.mdb"
    spoil_block(appliance.data / "wal", 1)
    damaged = appliance.sternpost("wal", "verify")
    assert damaged.returncode == 5 and "checksum" in damaged.stdout
    dumped = appliance.sternpost("wal", "dump")
    assert dumped.returncode == 5 and dumped.stdout.count('{"damaged"') == 1 and len(dumped.stdout.splitlines()) > 250
    data.write_bytes(data.read_bytes()[: 10 * 4096])
    assert appliance.sternpost("wal", "verify").returncode == 5
    assert appliance.sternpost("wal", "stats").returncode == 5
    nothing = make_appliance()
    nothing.write_config()
    assert nothing.sternpost("wal", "verify").returncode == 2
    assert "there is no log" in nothing.sternpost("wal", "stats").stderr


def test_help_is_instant_and_loads_nothing_heavy(tmp_path: Path) -> None:
    heavy = "aiohttp|msgspec|rich|lmdb|zstandard|prometheus_client|asyncio"
    for arguments in (
        ["status"],
        ["dead", "purge"],
        ["wal", "verify"],
        ["send"],
        ["destinations", "add"],
        ["tail"],
        ["trace"],
    ):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "appliance", *arguments, "--help"], capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0 and "usage: sternpost" in done.stdout
        assert not re.search(rf"\| +({heavy})$", done.stderr, re.MULTILINE), arguments


def test_an_open_tail_does_not_hold_up_the_stop(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    where = ["--config", str(appliance.config_path), "--data", str(appliance.data)]
    tail = subprocess.Popen(
        [sys.executable, "-m", "appliance", "tail", *where],
        env=appliance.env, cwd=appliance.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        time.sleep(1.0)
        post(appliance, track(1))
        assert tail.stdout is not None and "Order Completed" in tail.stdout.readline()
        code, seconds = appliance.stop()
        assert code == 0 and seconds < 5
        assert "has stopped" in tail.communicate(timeout=10)[1] and tail.returncode == 4
    finally:
        tail.kill()
        tail.wait()


def test_a_destination_is_not_added_to_a_file_that_nobody_reads(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    appliance = make_appliance()
    appliance.start()
    other = tmp_path / "other.toml"
    other.write_text('[sources.web]\nwrite_key = "wk_x"\n')
    done = subprocess.run(
        [sys.executable, "-m", "appliance", "destinations", "add", "crm", "--plugin", "webhook", "url=http://127.0.0.1:9/",
         "--config", str(other), "--data", str(appliance.data)],
        env=appliance.env, cwd=appliance.folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2 and str(appliance.config_path) in done.stderr
    assert other.read_text() == '[sources.web]\nwrite_key = "wk_x"\n'
