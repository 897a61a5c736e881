"""A block that rots on disk costs its own events, and the operator is told which, exactly once."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until, until_enough
from tests.support.wire import Wire

COUNT, ROTTEN = 6, 3
FIRST_SEQUENCE_AT, BODY_AT = 24, 100


def test_a_damaged_block_is_recorded_as_a_skip(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    assert appliance.sternpost("destinations", "pause", "hook").returncode == 0
    send(appliance, range(1, COUNT + 1))
    appliance.kill()
    rot(appliance.data / "wal" / "data.mdb")
    appliance.start()
    assert appliance.sternpost("destinations", "resume", "hook").returncode == 0
    sink.wait_accepted({f"m{n}" for n in range(1, COUNT + 1) if n != ROTTEN})
    found = until(lambda: skips(appliance), "the skip is not recorded")
    for _ in range(2):
        appliance.kill()
        appliance.start()
        send(appliance, range(COUNT, COUNT + 2))
        sink.wait_accepted({f"m{COUNT + 1}"})
        assert skips(appliance) == found
    ((first, last, reason),) = found
    assert (first, last) == (ROTTEN, ROTTEN)
    assert "damaged block" in reason
    shown = appliance.sternpost("destinations", "show", "hook").stdout
    assert re.search(rf"skipped {ROTTEN} to {ROTTEN} at .*: damaged block", shown), shown
    lost = appliance.sternpost("trace", f"m{ROTTEN}")
    assert lost.returncode == 1
    assert f"{ROTTEN} to {ROTTEN}, which hook skipped (damaged block" in lost.stderr
    assert f"m{ROTTEN}" not in {arrival.message_id for arrival in sink.arrivals()}


def test_an_event_whose_block_rots_while_it_waits_becomes_a_dead_letter_all_the_same(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(status=500))
    retry = {"attempts_max": 3, "delay_min": "1s", "delay_max": "1s"}
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url, retry=retry)}})
    appliance.start()
    send(appliance, range(1, ROTTEN + 1))
    until(lambda: appliance.admin("/v1/overview")["log"]["held"]["count"] == ROTTEN, "they are not held")
    appliance.kill()
    rot(appliance.data / "wal" / "data.mdb")
    appliance.start()
    letters = until_enough(
        lambda: appliance.admin("/v1/dead?full=1")["dead"], lambda found: len(found) == ROTTEN, "one is missing"
    )
    assert sorted(one["message_id"] for one in letters) == [f"m{n}" for n in range(1, ROTTEN + 1)]
    assert [bool(one["original"]) for one in sorted(letters, key=lambda one: one["message_id"])] == [True, True, False]
    assert "destination_stalled" not in appliance.log()


def send(appliance: Appliance, numbers: range) -> None:
    """One block each, too large to share a page with another."""
    with Wire(appliance.port, WRITE_KEY) as wire:
        for n in numbers:
            padding = {"padding": os.urandom(3_000).hex()}
            event: dict[str, Any] = {"userId": "u", "event": "E", "messageId": f"m{n}", "properties": padding}
            assert wire.post("/v1/track", event).status == 200


def rot(data: Path) -> None:
    content = data.read_bytes()
    places = [match.start() for match in re.finditer(b"SPB1", content)]
    (at,) = (place for place in places if content[place + FIRST_SEQUENCE_AT] == ROTTEN)
    with data.open("r+b") as file:
        os.pwrite(file.fileno(), b"\xff" * 8, at + BODY_AT)


def skips(appliance: Appliance) -> list[tuple[int, int, str]]:
    (hook,) = appliance.admin("/v1/destinations")["destinations"]
    return [(skip["first_sequence"], skip["last_sequence"], skip["reason"]) for skip in hook["skips"]]
