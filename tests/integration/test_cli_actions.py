"""Acting from the shell on the real process: pause, resume, find people, wait for a replay, bars on long work."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_cli_terminal import Terminal
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]


def post(appliance: Appliance, numbers: range, user: str = "u{}", event: str = "E", **keys: Any) -> tuple[int, str]:
    events = [
        {"type": "track", "event": event, "userId": user.format(n), "messageId": f"m{n}", **keys} for n in numbers
    ]
    with Wire(appliance.port, WRITE_KEY) as wire:
        answer = wire.post("/v1/batch", json.dumps({"batch": events}).encode())
    return answer.status, answer.text


@pytest.fixture
def crm(make_appliance: MakeAppliance, make_sink: MakeSink) -> tuple[Appliance, Sink]:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    return appliance, sink


def test_a_destination_is_paused_and_resumed(crm: tuple[Appliance, Sink]) -> None:
    appliance, sink = crm
    paused = appliance.sternpost("pause", "crm")
    assert paused.returncode == 0 and paused.stdout.startswith("destination crm: paused; its events are kept")
    assert "\x1b" not in paused.stdout
    assert post(appliance, range(5))[0] == 200
    shown = until(lambda: [one for one in appliance.json("destinations", "list") if one["lag_events"] == 5])
    assert shown[0]["state"] == "paused" and sink.arrivals() == []
    assert appliance.json("resume", "crm")["destination"] == "crm"
    sink.wait_accepted({f"m{n}" for n in range(5)})


def test_a_source_is_paused_and_resumed(crm: tuple[Appliance, Sink]) -> None:
    appliance, _ = crm
    paused = appliance.sternpost("pause", "web", "--source")
    assert paused.returncode == 0 and paused.stdout.startswith("source web: paused; its clients are answered 503")
    assert post(appliance, range(1))[0] == 503
    assert appliance.json("resume", "--source", "web")["source"] == "web"
    assert post(appliance, range(1))[0] == 200


def test_the_other_kind_is_pointed_out(crm: tuple[Appliance, Sink]) -> None:
    cases = [
        (["pause", "web"], "there is no destination 'web'", "a source has this name: sternpost pause web --source"),
        (
            ["resume", "crm", "--source"],
            "there is no source 'crm'",
            "a destination has this name: sternpost resume crm\n",
        ),
        (["pause", "nothing"], "there is no destination 'nothing'", "`sternpost status`"),
    ]
    for arguments, said, next_step in cases:
        done = crm[0].sternpost(*arguments)
        assert done.returncode == 1 and said in done.stderr and next_step in done.stderr, done.stderr
    assert crm[0].json("destinations", "list")[0]["state"] == "running"


def test_people_are_found_by_any_id(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 500}))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    post(appliance, range(1), user="u", event="Bad \x1b[31m", anonymousId="a1")
    post(appliance, range(1, 3), user="u", event="Bad", anonymousId="a1")
    for number, wanted in enumerate(("a1", "u")):
        found = until(
            lambda wanted=wanted: (
                (answer := appliance.json("people", "find", wanted))["people"][0]["queues"][0]["state"] == "held"
                and answer["people"][0]["queues"][0]["events"] >= 2
                and answer
            )
        )
        assert found["complete"] and found["people"][0]["ids"]["userId"] == ["u"], number
        shown = appliance.sternpost("people", "find", wanted)
        assert shown.returncode == 0 and "\x1b" not in shown.stdout
        assert "at crm: held" in shown.stdout and "HTTP 500" in shown.stdout and "m2" in shown.stdout
    nobody = appliance.sternpost("people", "find", "\x1bnobody")
    assert nobody.returncode == 1 and "nobody with the id \\x1bnobody" in nobody.stdout
    assert appliance.sternpost("people", "find", "").returncode == 2


def test_a_replay_is_waited_for_with_a_bar(crm: tuple[Appliance, Sink]) -> None:
    appliance, sink = crm
    post(appliance, range(300), user="u")
    sink.wait_accepted({f"m{n}" for n in range(300)})
    sink.set_plan(Plan(delay_s=0.01))
    terminal = Terminal(appliance, "replay", "--destination", "crm", "--from", "1h", "--wait", "--yes")
    terminal.wait("/300")
    assert terminal.end() == 0
    assert "━" in terminal.seen and "has ended" in terminal.seen
    assert len(sink.accepted()) == 600, "it ended before all was sent"
    ended = appliance.sternpost("replay", "--destination", "crm", "--from", "1h", "--wait", "--yes", "--json")
    assert ended.returncode == 0 and json.loads(ended.stdout)["ended"] is True and ended.stderr == ""
    assert len(sink.accepted()) == 900


def test_deleting_many_dead_letters_draws_a_bar(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    many = 3_000
    sink = make_sink(Plan(status=400))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url, breaker={"people": 1_000_000})}})
    appliance.start()
    for start in range(0, many, 500):
        post(appliance, range(start, start + 500), user="u{}")
    until(lambda: appliance.admin("/v1/dead/count?query=age:%3E0s")["count"] == many, 90)
    terminal = Terminal(appliance, "dead", "purge", "dest:crm")
    terminal.wait(f"Delete {many:,} dead letters for good, of {many:,} people")
    terminal.type("yes\n")
    assert terminal.end(60) == 0
    assert f"/{many}" in terminal.seen and f"{many:,} dead letters deleted" in terminal.seen
    assert appliance.json("dead", "list")["dead"] == []
    assert Path(appliance.data / "audit.jsonl").read_text().count("dead.purge") == 1


def test_whoever_waits_is_drained(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(status=500))
    slow = webhook(
        sink.url, retry={"delay_min": "1h", "delay_max": "1h"}, breaker={"probe_min": "1h", "probe_max": "1h"}
    )
    appliance = make_appliance({"destinations": {"crm": slow}})
    appliance.start()
    assert post(appliance, range(5))[0] == 200
    until(lambda: appliance.json("destinations", "list")[0]["held_events"] == 5)
    sink.set_plan(Plan())
    refused = appliance.sternpost("destinations", "drain", "crm")
    assert refused.returncode == 2 and "repeat with --yes" in refused.stderr and sink.accepted() == []
    assert "5 people tried now" in appliance.sternpost("destinations", "drain", "crm", "--yes").stdout
    sink.wait_accepted({f"m{n}" for n in range(5)})


def test_a_dead_letter_is_edited_and_arrives(
    make_appliance: MakeAppliance, make_sink: MakeSink, tmp_path: Path
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}), bodies=True)
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/Bad/Good/ "$1"\n')
    editor.chmod(0o755)
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}}, env={"EDITOR": str(editor), "VISUAL": ""})
    appliance.start()
    big = "12345678901234567890123.10"
    body = f'{{"userId": "u1", "event": "Bad", "messageId": "m1", "properties": {{"big": {big}}}}}'.encode()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", body).status == 200
    (letter,) = until(lambda: appliance.json("dead", "list")["dead"])
    assert appliance.sternpost("dead", "edit", str(letter["id"])).returncode == 2, "nobody could be asked"
    other = tmp_path / "other.json"
    other.write_text('{"userId": "somebody else", "messageId": "m1"}')
    refused = appliance.sternpost("dead", "edit", str(letter["id"]), "--file", str(other), "--yes")
    assert refused.returncode == 2 and "must stay" in refused.stderr
    other.write_text("{nonsense")
    assert appliance.sternpost("dead", "edit", str(letter["id"]), "--file", str(other), "--yes").returncode == 2
    done = appliance.sternpost("dead", "edit", str(letter["id"]), "--yes")
    assert done.returncode == 0 and "on its way again, edited" in done.stdout, done.stderr
    (arrived,) = [one for one in sink.wait_accepted({"m1"}) if one.accepted]
    assert arrived.event == "Good" and big in arrived.body


def test_a_reload_says_what_changes_and_what_is_wrong(crm: tuple[Appliance, Sink]) -> None:
    appliance, sink = crm
    assert "nothing would change" in appliance.sternpost("reload", "--diff").stdout
    appliance.config["destinations"]["more"] = webhook(sink.url)
    appliance.write_config()
    assert "destinations.more" in appliance.sternpost("reload", "--diff").stdout
    assert "destination more added" in appliance.sternpost("reload").stdout
    appliance.config["destinations"]["more"]["retry"]["attempt_max"] = 3
    appliance.write_config()
    faulty = appliance.sternpost("reload", "--diff")
    assert faulty.returncode == 2 and "attempts_max" in faulty.stdout, faulty.stdout
    assert appliance.sternpost("reload").returncode == 1
    assert {one["name"] for one in appliance.json("destinations", "list")} == {"crm", "more"}


def test_sources_are_listed_paused_and_their_keys_rotated(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    appliance = make_appliance({"sources": {}})
    appliance.config = {key: value for key, value in appliance.config.items() if key in ("collect", "control")}
    appliance.start()
    key = appliance.json("keys")[0]["write_key"]
    (listed,) = appliance.json("sources", "list")
    assert (listed["name"], listed["state"]) == ("default", "running")
    assert appliance.sternpost("sources", "pause", "default").returncode == 0
    assert "paused" in appliance.sternpost("sources", "list").stdout
    assert appliance.sternpost("sources", "resume", "default").returncode == 0
    assert appliance.sternpost("sources", "rotate-key", "default").returncode == 2, "nobody could be asked"
    rotated = appliance.json("sources", "rotate-key", "default", "--yes")
    assert rotated["write_key"] == appliance.json("keys")[0]["write_key"] != key
    for each in (key, rotated["write_key"]):
        with Wire(appliance.port, each) as wire:
            assert wire.post("/v1/track", {"userId": "u", "event": "E"}).status == 200
    done = appliance.json("audit")
    assert [one["what"] for one in done] == ["source.rotate_key", "source.resume", "source.pause"]
    assert "source.pause" in appliance.sternpost("audit").stdout


def test_a_refusal_ends_sending_in_one_sentence(crm: tuple[Appliance, Sink]) -> None:
    appliance, _ = crm
    refused = appliance.sternpost("send", "--count", "1", "--key", "wrong")
    assert refused.returncode == 1 and "invalid write key" in refused.stderr, refused.stderr
    assert "Traceback" not in refused.stderr and "Exception" not in refused.stderr


def test_a_bare_number_is_no_filter_for_what_acts(crm: tuple[Appliance, Sink]) -> None:
    appliance, _ = crm
    for action in ("purge", "requeue"):
        refused = appliance.sternpost("dead", action, "3", "--yes")
        assert refused.returncode == 2 and "did you mean --id 3?" in refused.stderr


@pytest.mark.alone
def test_a_plugin_that_is_slow_to_import_holds_up_nobody(crm: tuple[Appliance, Sink]) -> None:
    appliance, _ = crm
    (appliance.data / "plugins").mkdir(exist_ok=True)
    (appliance.data / "plugins" / "slow.py").write_text(
        '"""Slow to import."""\nimport time\nfrom appliance.sdk import Config, Event\ntime.sleep(4)\n'
        "class Slow(Config):\n    pass\nasync def deliver(event: Event, config: Slow) -> None:\n    return None\n"
    )
    appliance.config["destinations"]["slow"] = {"plugin": "slow"}
    appliance.write_config()
    appliance.reload()
    time.sleep(0.5)
    began_s = time.monotonic()
    assert post(appliance, range(1))[0] == 200
    assert time.monotonic() - began_s < 2.5, "the re-load held up the collector"
    until(lambda: {one["name"] for one in appliance.json("destinations", "list")} == {"crm", "slow"})
