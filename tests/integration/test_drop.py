"""Dropping a plug-in into the folder and naming it in the configuration is all; a broken one harms no other."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Sink
from tests.support.wire import Wire

NOTE = '''"""Note every event in a file."""

from pathlib import Path

from appliance.sdk import Config, Event


class Note(Config):
    path: Path
    """Where to write."""


def deliver(event: Event, config: Note) -> None:
    with config.path.open("ab") as file:
        file.write(event.json + b"\\n")
'''
BROKEN = {
    "no_python": "def deliver(",
    "no_contract": '"""Lacks everything."""\nX = 1\n',
    "raises_at_import": '"""Raises."""\nraise RuntimeError("not today")\n',
}
EVENT = {"type": "track", "event": "Viewed", "anonymousId": "p", "properties": {"n": 1}}


def test_a_plugin_dropped_in_while_running_delivers(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    notes = appliance.folder / "notes.jsonl"
    (appliance.data / "plugins").mkdir(exist_ok=True)
    (appliance.data / "plugins" / "note.py").write_text(NOTE)
    appliance.config["destinations"]["notes"] = {"plugin": "note", "path": str(notes)}
    appliance.write_config()
    appliance.reload()
    deadline, number = time.monotonic() + 15, 0
    with Wire(appliance.port, WRITE_KEY) as wire:
        while not notes.exists():
            assert time.monotonic() < deadline, appliance.tail()
            assert wire.post("/v1/track", {**EVENT, "messageId": f"m{number}"}).status == 200
            number += 1
            time.sleep(0.2)
    sink.wait_accepted({f"m{n}" for n in range(number)})
    time.sleep(0.5)
    noted = [json.loads(line)["messageId"] for line in notes.read_text().splitlines()]
    assert noted == [f"m{n}" for n in range(number)][-len(noted) :]


def test_broken_plugins_harm_no_other(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    (appliance.data / "plugins").mkdir(parents=True)
    for name, text in BROKEN.items():
        (appliance.data / "plugins" / f"{name}.py").write_text(text)
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {**EVENT, "messageId": "one"}).status == 200
        sink.wait_accepted({"one"})
        for name in BROKEN:
            appliance.config["destinations"] = {"hook": webhook(sink.url), "sick": {"plugin": name}}
            appliance.write_config()
            said = len(appliance.log())
            appliance.reload()
            deadline = time.monotonic() + 10
            while name not in appliance.log()[said:]:
                assert time.monotonic() < deadline, f"the log does not name {name}"
                time.sleep(0.05)
            assert wire.post("/v1/track", {**EVENT, "messageId": name}).status == 200
            sink.wait_accepted({name})


@pytest.mark.parametrize("restart", [False, True], ids=["running", "over a restart"])
def test_a_new_destination_keeps_its_place_while_its_plugin_is_broken(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], restart: bool
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    file, notes = appliance.data / "plugins" / "note.py", appliance.folder / "notes.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text(BROKEN["no_python"])
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {**EVENT, "messageId": "before"}).status == 200
    sink.wait_accepted({"before"})
    appliance.config["destinations"]["notes"] = {"plugin": "note", "path": str(notes)}
    reload_and_hear(appliance, "part_not_started")
    with Wire(appliance.port, WRITE_KEY) as wire:
        for n in range(5):
            assert wire.post("/v1/track", {**EVENT, "messageId": f"broken{n}"}).status == 200
    sink.wait_accepted({f"broken{n}" for n in range(5)})
    if restart:
        appliance.kill()
        appliance.start()
    file.write_text(NOTE)
    reload_and_hear(appliance, "reloaded")
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {**EVENT, "messageId": "mended"}).status == 200
    wanted = [*(f"broken{n}" for n in range(5)), "mended"]
    deadline = time.monotonic() + 15
    while (noted := ids_in(notes)) != wanted:
        assert time.monotonic() < deadline, noted
        time.sleep(0.05)


def reload_and_hear(appliance: Appliance, word: str) -> None:
    """Re-load, and wait until the process says that word of it."""
    appliance.write_config()
    said = len(appliance.log())
    appliance.reload()
    deadline = time.monotonic() + 15
    while word not in appliance.log()[said:]:
        assert time.monotonic() < deadline, appliance.tail()
        time.sleep(0.05)


def ids_in(notes: Path) -> list[str]:
    return [json.loads(line)["messageId"] for line in notes.read_text().splitlines()] if notes.exists() else []
