"""The console where colours are few or none: states are read in words, and the row under the cursor is seen."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.integration.clients.needs import require
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.terminal import Cell, Terminal, installed
from tests.support.wire import Wire

NAMES = ("alpha", "bravo", "sleeping")
SIXTEEN = {"TERM": "xterm-16color"}, {"TERM": "linux"}
COLOURLESS = {"TERM": "xterm-256color", "NO_COLOR": "1"}, {"TERM": "linux", "NO_COLOR": "1"}
READABLE = {
    "1": ("● live", "running", "degraded", "paused", "alpha", "sleeping"),
    "2": ("collected", "follow"),
    "3": ("● running", "◐ degraded", "‖ paused", "health of a webhook"),
    "4": ("People",),
    "5": ("2 dead letters", "HTTP 400", "payload", "raw response"),
    "6": ("Log", "blocks"),
    "7": ("collect.listen", "default", "about this key"),
    "8": ("destination.pause",),
}
"""What must stand on each screen for its states to be read without colours."""


def outage(make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]) -> Appliance:
    """One destination runs and refuses two events, one fails, one is paused."""
    well, ill = make_sink(Plan(fail_events={"Bad": 400})), make_sink(Plan(status=500))
    destinations = {"alpha": webhook(well.url), "bravo": webhook(ill.url), "sleeping": webhook(well.url)}
    appliance = make_appliance({"destinations": destinations})
    appliance.start()
    appliance.admin("/v1/destinations/sleeping/pause", {})
    events = [{"type": "track", "event": "Bad", "userId": f"u{n}", "messageId": f"m{n}"} for n in range(2)]
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).status == 200
    return appliance


def terminal_of(appliance: Appliance, folder: Path, environment: dict[str, str], lines: int = 40) -> Terminal:
    """The console on a terminal that is what `environment` says; tmux names itself, so the console is told."""
    told = ["env", "-u", "COLORTERM", *(f"{name}={value}" for name, value in environment.items())]
    command = [*told, sys.executable, "-m", "appliance", "tui", "--data", str(appliance.data)]
    return Terminal(folder, command, columns=120, lines=lines, env={**appliance.env, "LANG": "C.UTF-8"})


def looks_of(terminal: Terminal, words: str) -> list[Cell]:
    """The cells of a table's row that holds these words."""
    for line in terminal.cells():
        text = "".join(cell.character for cell in line)
        if words in text:
            return line[text.index(words) :][: len(words)]
    raise AssertionError(f"{words!r} is not there:\n{terminal.screen()}")


def ground(terminal: Terminal, words: str) -> set[tuple[str, bool]]:
    """What these words stand on: the background, and whether it is turned over with the foreground."""
    return {(cell.background, "7" in cell.attributes) for cell in looks_of(terminal, words)}


def until_one_stands_out(terminal: Terminal, names: Sequence[str]) -> str:
    """The one row that stands on another ground than all others, once there is one."""
    deadline = time.monotonic() + 20
    while True:
        grounds = {name: ground(terminal, name) for name in names}
        alone = [name for name, found in grounds.items() if list(grounds.values()).count(found) == 1]
        if len(alone) == 1:
            return alone[0]
        assert time.monotonic() < deadline, grounds
        time.sleep(0.1)


def colours(terminal: Terminal) -> set[str]:
    return {colour for line in terminal.cells() for cell in line for colour in (cell.foreground, cell.background)} - {
        ""
    }


def hidden(terminal: Terminal) -> list[Cell]:
    """Letters and digits in the colour of what they stand on."""

    def same(cell: Cell) -> bool:
        kind, *parts = cell.foreground.split(";")
        return bool(kind) and ";".join([str(int(kind) + 10), *parts]) == cell.background

    return [cell for line in terminal.cells() for cell in line if cell.character.isalnum() and same(cell)]


def is_grey(colour: str) -> bool:
    """Whether a colour has no hue: black, white, the greys between."""
    kind, *parts = colour.split(";")
    if parts and parts[0] == "2":
        return len(set(parts[1:])) == 1
    if parts:
        return int(parts[1]) in (0, 7, 8, 15, 16, 59, 102, 145, 188, 231) or int(parts[1]) >= 232
    return kind in ("30", "37", "90", "97", "40", "47", "100", "107")


@pytest.mark.timeout(180)
@pytest.mark.parametrize("environment", [*SIXTEEN, *COLOURLESS], ids=lambda one: "-".join(one.values()))
def test_every_screen_is_read_without_colours(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    require(installed(), "tmux (Debian package: tmux)")
    appliance = outage(make_appliance, make_sink)
    with terminal_of(appliance, tmp_path, environment) as terminal:
        for key, words in READABLE.items():
            terminal.type(key)
            terminal.until(*words)
            assert hidden(terminal) == []
            found = colours(terminal)
            if "NO_COLOR" in environment:
                assert all(map(is_grey, found)), found
            else:
                assert not [colour for colour in found if ";" in colour], "a colour that this terminal has not"
        terminal.type("1")
        terminal.until("HTTP 500")
        terminal.type("Home")
        seen = [until_one_stands_out(terminal, NAMES)]
        for _ in NAMES[1:]:
            terminal.type("Down")
            deadline = time.monotonic() + 20
            while (here := until_one_stands_out(terminal, NAMES)) in seen:
                assert time.monotonic() < deadline, "the row that stands out is not the one under the cursor"
            seen.append(here)
        assert sorted(seen) == sorted(NAMES)
        terminal.type("3")
        terminal.until("health of a webhook")
        terminal.type("D")
        terminal.until("Cancel")
        assert until_one_stands_out(terminal, ["Cancel", "Drain  Y", "Held events"]) == "Cancel"
