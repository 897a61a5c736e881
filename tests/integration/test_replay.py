"""Replays obey a pause, on the real process."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Arrival, Plan, Sink
from tests.support.wire import Wire

COUNT = 12
WAIT_S = 20.0


def send(appliance: Appliance, ids: range, user: str = "u") -> None:
    with Wire(appliance.port, WRITE_KEY) as wire:
        for n in ids:
            event = {"userId": user, "event": "E", "messageId": f"m{n}", "properties": {"n": n}}
            assert wire.post("/v1/track", event).status == 200


def done(appliance: Appliance, *arguments: str) -> str:
    ran = appliance.sternpost(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def replay(appliance: Appliance) -> None:
    done(appliance, "replay", "--destination", "hook", "--from", "1h")


def replays(appliance: Appliance) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = appliance.admin("/v1/replays")["replays"]
    return found


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def quiet(sink: Sink) -> list[Arrival]:
    """What has arrived, after a second in which nothing more did."""
    before = list(sink.arrivals())
    time.sleep(1.0)
    assert len(sink.arrivals()) == len(before), "something arrived during the pause"
    return before


@pytest.mark.parametrize("restart", [False, True], ids=["running", "over a restart"])
def test_a_replay_obeys_the_pause_it_was_started_in(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], restart: bool
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    send(appliance, range(COUNT))
    sink.wait(lambda arrivals: len(arrivals) == COUNT)
    done(appliance, "destinations", "pause", "hook")
    replay(appliance)
    if restart:
        appliance.kill()
        appliance.start()
    assert len(quiet(sink)) == COUNT
    done(appliance, "destinations", "resume", "hook")
    sink.wait(lambda arrivals: len(arrivals) == 2 * COUNT)
    assert [arrival.n for arrival in sink.arrivals()] == [*range(COUNT)] * 2
    until(lambda: not replays(appliance), "the replay does not end")


@pytest.mark.parametrize("restart", [False, True], ids=["running", "over a restart"])
def test_a_replay_stops_at_a_pause_and_goes_on_after_it(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], restart: bool
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    send(appliance, range(COUNT))
    sink.wait(lambda arrivals: len(arrivals) == COUNT)
    sink.set_plan(Plan(delay_s=0.4))
    replay(appliance)
    sink.wait(lambda arrivals: len(arrivals) > COUNT + 1)
    done(appliance, "destinations", "pause", "hook")
    time.sleep(1.0)  # the call under way when the pause came
    if restart:
        assert appliance.stop()[0] == 0
        appliance.start()
    assert COUNT < len(quiet(sink)) < 2 * COUNT, "the replay was to be paused in its midst"
    done(appliance, "destinations", "resume", "hook")
    sink.wait(lambda arrivals: len(arrivals) >= 2 * COUNT)
    assert [arrival.n for arrival in sink.arrivals()] == [*range(COUNT)] * 2
