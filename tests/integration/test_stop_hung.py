"""A stop never waits for ever: whatever hangs, the process ends within 10 s, and nothing acknowledged is lost."""

import json
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.appliance import ROOT, WRITE_KEY, Appliance
from tests.support.waiting import until
from tests.support.wire import Wire, basic

COUNT = 5
HEAD = '''"""Note every event in a file."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from appliance.sdk import Config, Event, Limits

LIMITS = Limits(timeout_s=100.0)


class Note(Config):
    path: Path
    """Where to write."""


'''
NOTE = '    with config.path.open("ab") as file:\n        file.write(event.json + b"\\n")\n'
WELL = "def deliver(event: Event, config: Note) -> None:\n" + NOTE
SICK = {
    "a thread that never ends": "def deliver(event: Event, config: Note) -> None:\n    config.path.touch()\n    time.sleep(1000)\n",
    "a call that swallows its end": (
        "async def deliver(event: Event, config: Note) -> None:\n"
        "    config.path.touch()\n"
        "    while True:\n"
        "        try:\n"
        "            await asyncio.sleep(1000)\n"
        "        except asyncio.CancelledError:\n"
        "            continue\n"
    ),
    "a call that blocks the loop": (
        "async def deliver(event: Event, config: Note) -> None:\n    config.path.touch()\n    time.sleep(1000)\n"
    ),
    "a call and a closing that hang": (
        "@asynccontextmanager\n"
        "async def open(config: Note) -> AsyncIterator[int]:\n"
        "    yield 1\n"
        "    await asyncio.sleep(1000)\n"
        "\n\n"
        "async def deliver(event: Event, config: Note) -> None:\n"
        "    config.path.touch()\n"
        "    await asyncio.sleep(1000)\n"
    ),
}


@pytest.mark.parametrize("sick", SICK)
def test_a_plugin_that_hangs_does_not_hold_the_process(make_appliance: Callable[..., Appliance], sick: str) -> None:
    appliance = make_appliance()
    notes = appliance.folder / "notes.jsonl"
    write_plugin(appliance, SICK[sick])
    appliance.config["destinations"] = {"notes": {"plugin": "note", "path": str(notes)}}
    appliance.start()
    send(appliance)
    until(notes.exists, "the plug-in was not called")
    with socket.create_connection(("127.0.0.1", appliance.port)) as half:  # a client that hangs as well
        key = basic(WRITE_KEY)["Authorization"]
        half.sendall(
            f"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: 99\r\n\r\n{{".encode()
        )
        time.sleep(0.2)
        code, seconds = appliance.stop()
    assert (code, seconds < 10) == (0, True), (code, seconds)
    notes.unlink()
    write_plugin(appliance, WELL)
    appliance.start()
    until(lambda: ids_in(notes) == [f"m{n}" for n in range(COUNT)], "events are missing")


def test_outcomes_that_cannot_be_saved_do_not_hold_the_process(make_appliance: Callable[..., Appliance]) -> None:
    sabotaged = (sys.executable, str(ROOT / "tests" / "crash" / "sabotage.py"), "no_outcome")
    appliance = make_appliance(command=sabotaged)
    notes = appliance.folder / "notes.jsonl"
    write_plugin(appliance, WELL)
    appliance.config["destinations"] = {"notes": {"plugin": "note", "path": str(notes)}}
    appliance.start()
    send(appliance)
    until(lambda: ids_in(notes) == [f"m{n}" for n in range(COUNT)], "the events do not arrive")
    until(lambda: "outcome_not_saved" in appliance.log(), "the outcomes were saved")
    assert appliance.admin("/v1/overview")["destinations"][0]["last_error"] == "no room"
    code, seconds = appliance.stop()
    assert (code, seconds < 10) == (0, True), (code, seconds)
    appliance.command = [sys.executable, "-m", "appliance"]
    appliance.start()
    until(lambda: ids_in(notes) == [f"m{n}" for n in range(COUNT)] * 2, "what was not saved is not sent again")


def write_plugin(appliance: Appliance, text: str) -> None:
    file = appliance.data / "plugins" / "note.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HEAD + text)


def send(appliance: Appliance) -> None:
    with Wire(appliance.port, WRITE_KEY) as wire:
        for n in range(COUNT):
            event = {"userId": "u", "event": "E", "messageId": f"m{n}"}
            assert wire.post("/v1/track", event).status == 200


def ids_in(notes: Path) -> list[str]:
    return [json.loads(line)["messageId"] for line in notes.read_text().splitlines()] if notes.exists() else []
