"""An operator's outage from start to end in a real terminal: seen, paused, mended, resumed, requeued, all in order."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.clients.needs import require
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.terminal import Terminal, installed
from tests.support.wire import Wire

PEOPLE = 3
IDS = [f"m{number}" for number in range(30)]


def post(appliance: Appliance) -> None:
    """Three people's events, and one that the destination refuses for good."""
    events = [
        {"type": "track", "event": "E", "userId": f"u{n % PEOPLE}", "messageId": one} for n, one in enumerate(IDS)
    ]
    events.append({"type": "track", "event": "Bad", "userId": "u9", "messageId": "bad"})
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).status == 200


def until_state(appliance: Appliance, wanted: str) -> None:
    deadline = time.monotonic() + 30
    while (found := appliance.admin("/v1/destinations")["destinations"][0]["state"]) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (140, 45)])
def test_an_outage_is_seen_and_mended_by_keys(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], tmp_path: Path, columns: int, lines: int
) -> None:
    require(installed(), "tmux (Debian package: tmux)")
    sink = make_sink(Plan(status=500, fail_events={"Bad": 400}))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    post(appliance)
    until_state(appliance, "degraded")
    command = [sys.executable, "-m", "appliance", "tui", "--data", str(appliance.data)]
    environment = {**appliance.env, "TERM": "screen-256color", "LANG": "C.UTF-8"}
    with Terminal(tmp_path, command, columns=columns, lines=lines, env=environment) as terminal:
        terminal.until("crm", "degraded", "HTTP 500")
        terminal.type("3")
        terminal.until("crm", "HTTP 500")
        terminal.type("p")
        until_state(appliance, "paused")
        terminal.until("paused")
        sink.set_plan(Plan())
        time.sleep(1.0)
        assert sink.accepted() == [], "a paused destination delivers nothing"
        terminal.type("r")
        arrivals = sink.wait_accepted(set(IDS))
        until_state(appliance, "running")
        terminal.until("running")
        terminal.type("5")
        terminal.until("Bad", "HTTP 400")
        terminal.type("R")
        terminal.until("Cancel")
        terminal.type("Y")
        sink.wait_accepted({"bad"})
    for person in range(PEOPLE):
        mine = IDS[person::PEOPLE]
        first = list(dict.fromkeys(one.message_id for one in arrivals if one.accepted and one.message_id in mine))
        assert first == mine
    done, _ = appliance.audited()
    assert [one["what"] for one in done] == ["destination.pause", "destination.resume", "dead.requeue"]
