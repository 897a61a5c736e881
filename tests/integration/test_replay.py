"""Replays obey a pause, can be cancelled, and end with their destination, on the real process."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Arrival, Plan, Sink
from tests.support.waiting import until
from tests.support.wire import Wire

COUNT = 12


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
    done(appliance, "replay", "--destination", "hook", "--from", "1h", "--yes")


def replays(appliance: Appliance) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = appliance.admin("/v1/replays")["replays"]
    return found


def audited(appliance: Appliance, what: str) -> bool:
    return any(entry["what"] == what for entry in appliance.admin("/v1/audit")["audit"])


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


def test_a_cancelled_replay_stops_and_leaves_its_letters_and_nothing_else(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(fail_ids={"m0": 400}))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    send(appliance, range(1))
    send(appliance, range(1, COUNT), user="other")
    sink.wait(lambda arrivals: len(arrivals) == COUNT)
    sink.set_plan(Plan(fail_ids={"m0": 400}, status=500))
    replay(appliance)
    until(lambda: appliance.admin("/v1/overview")["log"]["held"]["count"] > 0, "nothing of the replay is held")
    until(lambda: appliance.admin("/v1/overview")["log"]["dead"]["count"] == 2, "the replay has no dead letter")
    assert "hook#1" in done(appliance, "replay", "list")
    done(appliance, "replay", "cancel", "hook#1", "--yes")
    assert not replays(appliance)
    log = appliance.admin("/v1/overview")["log"]
    assert (log["held"]["count"], log["dead"]["count"]) == (0, 2)
    assert audited(appliance, "replay.cancel")
    sink.set_plan(Plan())
    quiet(sink)
    appliance.kill()
    appliance.start()
    assert not replays(appliance)
    send(appliance, range(COUNT, COUNT + 1))
    sink.wait_accepted({f"m{COUNT}"})
    gone = appliance.sternpost("replay", "cancel", "hook#1", "--yes")
    assert gone.returncode == 1
    assert "no replay" in gone.stderr


@pytest.mark.parametrize("how", ["re-load", "restart"])
def test_a_replay_ends_with_its_destination(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], how: str
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url), "other": webhook(sink.url)}})
    appliance.start()
    send(appliance, range(COUNT))
    sink.wait(lambda arrivals: len(arrivals) == 2 * COUNT)
    sink.set_plan(Plan(status=500))
    replay(appliance)
    until(lambda: appliance.admin("/v1/overview")["log"]["held"]["count"] > 0, "nothing of the replay is held")
    del appliance.config["destinations"]["hook"]
    if how == "re-load":
        appliance.write_config()
        appliance.reload()
    else:
        appliance.kill()
        appliance.start()
    until(lambda: not replays(appliance), "the replay of a parked destination goes on")
    assert appliance.admin("/v1/overview")["log"]["held"]["count"] == 0
    until(lambda: audited(appliance, "log.replay_ended"), "nothing in the audit trail")
    assert "replay_ended" in appliance.log()
    appliance.config["destinations"]["hook"] = webhook(sink.url)
    appliance.write_config()
    appliance.reload()
    sink.set_plan(Plan())
    send(appliance, range(COUNT, COUNT + 1))
    sink.wait(lambda arrivals: sum(a.accepted and a.n == COUNT for a in arrivals) == 2)
