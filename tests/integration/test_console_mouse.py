"""The console by mouse in a real terminal: rows, screens, the wheel, buttons of a dialogue, keys in the footer."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.clients.needs import require
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.terminal import WHEEL_DOWN, WHEEL_UP, Terminal, installed
from tests.support.waiting import until
from tests.support.wire import Wire

LETTERS = 60


def post(appliance: Appliance) -> None:
    """Events that the destination refuses for good, of so few people that its breaker stays closed."""
    with Wire(appliance.port, WRITE_KEY) as wire:
        for number in range(LETTERS):
            event = {
                "type": "track",
                "event": f"Bad-{number:02}",
                "userId": f"u{number % 5}",
                "messageId": f"m{number:02}",
            }
            assert wire.post("/v1/track", json.dumps(event).encode()).status == 200


def dead(appliance: Appliance) -> int:
    return int(appliance.admin("/v1/dead/count")["count"])


@pytest.mark.timeout(180)
def test_the_mouse_does_what_keys_do(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], tmp_path: Path
) -> None:
    require(installed(), "tmux (Debian package: tmux)")
    sink = make_sink(Plan(status=400))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url), "other": webhook(sink.url, enabled=False)}})
    appliance.start()
    post(appliance)
    until(lambda: dead(appliance) == LETTERS, "not all were refused")
    command = [sys.executable, "-m", "appliance", "tui", "--data", str(appliance.data)]
    environment = {**appliance.env, "TERM": "screen-256color", "LANG": "C.UTF-8"}
    with Terminal(tmp_path, command, columns=120, lines=40, env=environment) as terminal:
        terminal.until("● live", "crm", "other")
        terminal.click("5 Dead")
        terminal.until(f"{LETTERS} dead letters", "Bad-01", '"Bad-')

        terminal.click("Bad-03")
        terminal.until('"messageId": "m03"')

        terminal.wheel("Bad-05", WHEEL_DOWN)
        until(lambda: "Bad-00" not in terminal.screen(), "the wheel did not scroll down")
        terminal.wheel("Dead since", WHEEL_DOWN, LETTERS)
        terminal.until(f"Bad-{LETTERS - 1}")
        terminal.wheel("Dead since", WHEEL_UP, LETTERS)
        terminal.until("Bad-00", '"messageId": "m03"')

        terminal.click("requeue")
        terminal.until("Requeue dead letters?", "Dead letters  1")
        terminal.click("Cancel  esc")
        terminal.until("nothing was done", "q quit")
        until(lambda: "Requeue dead letters?" not in terminal.screen(), "the dialogue stayed")
        assert dead(appliance) == LETTERS and sink.accepted() == []

        sink.set_plan(Plan())
        terminal.click("requeue")
        terminal.until("Requeue dead letters?")
        terminal.click("Requeue  Y")
        sink.wait_accepted({"m03"})
        terminal.until(f"{LETTERS - 1} dead letters")

        terminal.click("help")
        terminal.until("Everywhere")
        terminal.type("Escape")
        until(lambda: "Everywhere" not in terminal.screen(), "the help stayed")
        terminal.click("3 Destinations")
        terminal.until("health of a webhook")
        terminal.click("errors")
        terminal.until("Times", "raw response")
        terminal.click("● running")
        terminal.until("HTTP 400")
        terminal.click("q quit")
    assert [arrival.message_id for arrival in sink.accepted()] == ["m03"]
    assert [line["what"] for line in appliance.audited()[0]] == ["dead.requeue"]
