"""What does not run is told where people look: a refused re-load, a broken plug-in, a parked destination."""

import json
from collections.abc import Callable

import pytest

from tests.integration.test_cli_terminal import Terminal
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Sink
from tests.support.waiting import until_enough
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]
BROKEN = '"""Broken on purpose."""\nimport nothing_of_this_name\n'


def test_a_refused_reload_is_told_until_a_good_one(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    appliance = make_appliance({"destinations": {"crm": webhook(make_sink().url)}})
    appliance.start()
    assert appliance.json("status")["refused_reload"] is None
    good = appliance.config_path.read_text()
    appliance.config_path.write_text(good.replace('"2s"', '"soon"') + "\n[destinations.ads]\nplugin = 'jsonl'\n")
    line = next(number for number, one in enumerate(good.splitlines(), 1) if '"2s"' in one)
    appliance.reload()
    overview = until_enough(lambda: appliance.admin("/v1/overview"), lambda found: found["refused_reload"])
    refused = overview["refused_reload"]
    assert refused["file"] == str(appliance.config_path) and refused["when_ms"] > 0
    assert refused["faults"][0].startswith(f"{appliance.config_path}:{line}: destinations.crm.timeout: ")
    assert any("destinations.ads" in one and "folder" in one for one in refused["faults"]), "the plug-in's keys too"
    assert overview["health"] == "degraded" and [one["state"] for one in overview["destinations"]] == ["running"]
    shown = appliance.sternpost("status").stdout
    assert "the last re-load was refused, and the running configuration stays" in shown
    assert f"{appliance.config_path}:{line}" in shown and "sternpost reload" in shown
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.request("GET", "/ready").status == 200, "events are taken and delivered as before"

    appliance.config_path.write_text(good)
    assert appliance.sternpost("reload").returncode == 0
    overview = appliance.admin("/v1/overview")
    assert overview["refused_reload"] is None and overview["health"] == "well"


@pytest.fixture
def half(make_appliance: MakeAppliance, make_sink: MakeSink) -> Appliance:
    """One destination runs, one has a broken plug-in, one is parked; an event waits for either of these."""
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url), "old": webhook(sink.url)}})
    (appliance.data / "plugins").mkdir(parents=True)
    (appliance.data / "plugins" / "mine.py").write_text(BROKEN)
    appliance.config["destinations"]["own"] = {"plugin": "mine"}
    appliance.start()
    del appliance.config["destinations"]["old"]
    appliance.write_config()
    assert appliance.sternpost("reload").returncode == 0
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {"type": "track", "event": "E", "userId": "u", "messageId": "m1"}).status == 200
    sink.wait_accepted({"m1"})
    return appliance


def test_what_does_not_run_is_in_every_table_with_its_next_step(half: Appliance) -> None:
    listed = {one["name"]: one for one in half.json("destinations", "list")}
    own, old = listed["own"], listed["old"]
    assert (own["state"], own["plugin"], own["lag_events"], own["sources"]) == ("stopped", "mine", 1, ["web"])
    assert "nothing_of_this_name" in own["last_error"] and "sternpost reload" in own["next_step"]
    assert (old["state"], old["lag_events"]) == ("parked", 1) and "destinations forget old" in old["next_step"]
    assert listed["crm"]["next_step"] == ""
    for command in (["status"], ["destinations", "list"]):
        shown = half.sternpost(*command).stdout.splitlines()
        assert any(one.split()[:1] == ["own"] and "stopped" in one for one in shown), shown
        assert any(one.startswith("next, own: mend the plug-in mine") for one in shown), shown
        assert any(one.startswith("next, old: put [destinations.old] back") for one in shown), shown
    shown = half.sternpost("destinations", "show", "own").stdout
    assert "state:         stopped" in shown and "next:          mend the plug-in mine" in shown
    assert "waiting:       1 event" in shown and "{" not in shown and "closed" not in shown
    traced = half.sternpost("trace", "m1").stdout
    assert "the destination does not run" in traced and "nothing_of_this_name" in traced, traced
    assert "the destination is not configured any more" in traced, "that is the parked one"
    running = half.sternpost("destinations", "show", "crm").stdout
    assert "breaker:       closed" in running and "{" not in running and "[" not in running


def test_acting_on_what_does_not_run_says_why_not_and_loses_nothing(half: Appliance) -> None:
    for arguments, said in (
        (["pause", "own"], "nothing_of_this_name"),
        (["destinations", "test", "own"], "its events wait in the log"),
        (["destinations", "drain", "own", "--yes"], "its events wait in the log"),
        (["destinations", "forget", "own", "--yes"], "destination own is configured; nothing was forgotten"),
        (["destinations", "resume", "old"], "destination old is parked"),
    ):
        done = half.sternpost(*arguments)
        assert done.returncode == 1 and said in done.stderr and "next:" in done.stderr, (arguments, done.stderr)
    assert {one["name"]: one["lag_events"] for one in half.json("destinations", "list")}["own"] == 1
    (half.data / "plugins" / "mine.py").write_text(
        '"""Mended."""\nfrom appliance.sdk import Config, Event\n\n\nclass Mine(Config):\n    pass\n\n\n'
        "async def deliver(event: Event, config: Mine) -> None:\n    return None\n"
    )
    assert half.sternpost("reload").returncode == 0
    done = until_enough(
        lambda: {one["name"]: one for one in half.json("destinations", "list")}["own"],
        lambda one: one["delivered_total"] == 1,
    )
    assert (done["state"], done["next_step"], done["last_error"]) == ("running", "", "")


def test_check_reports_host_keys_and_plugin_keys_at_once(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.config["destinations"] = {
        "one": {"plugin": "webhook", "timeout": "soon", "url": 5},
        "two": {"plugin": "jsonl", "foldr": "x", "enabled": "yes"},
        "three": {"plugin": "nosuch", "start": "whenever"},
        "four": {"plugin": "mine"},
    }
    (appliance.data / "plugins").mkdir(parents=True)
    (appliance.data / "plugins" / "mine.py").write_text(BROKEN)
    appliance.write_config()
    done = appliance.sternpost("check", "--json")
    keys = {one["key"] for one in json.loads(done.stdout)}
    assert done.returncode == 2
    assert keys == {
        "destinations.one.timeout", "destinations.one.url", "destinations.two.enabled", "destinations.two.foldr",
        "destinations.two.folder", "destinations.three.plugin", "destinations.three.start", "destinations.four.plugin",
    }  # fmt: skip
    assert all(one["line"] > 0 for one in json.loads(done.stdout))
    started = appliance.sternpost("run")
    assert started.returncode == 2 and "destinations.one.timeout" in started.stderr
    assert "destinations.one.url" in started.stderr and "destinations.two.foldr" in started.stderr


def test_a_console_with_a_refused_token_ends_with_words(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    appliance.env["STERNPOST_TOKEN"] = "a-token-of-somebody-else"
    terminal = Terminal(appliance, "tui")
    assert terminal.end() == 1, terminal.seen
    assert f"{appliance.control_url} refuses the token from STERNPOST_TOKEN" in terminal.seen
    assert "admin.token of its data folder" in terminal.seen and "\x1b[?1049h" not in terminal.seen, "nothing was drawn"
