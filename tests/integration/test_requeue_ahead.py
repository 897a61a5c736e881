"""A replay may give an event up before its destination, which is down, has come to it: requeued, it keeps its place."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until_enough
from tests.support.wire import Wire

BEFORE = [f"before-{n}" for n in range(25)]
LATE = {f"late-{person}": [f"late-{person}-{n}" for n in range(4)] for person in range(5)}
PATIENT = {"people": 20, "probe_min": "300s", "probe_max": "300s"}


def state(appliance: Appliance) -> dict[str, Any]:
    found: dict[str, Any] = appliance.admin("/v1/overview")["destinations"][0]
    return found


def done(appliance: Appliance, *arguments: str) -> None:
    ran = appliance.sternpost(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed"])
def test_what_a_replay_gave_up_while_its_destination_is_down_comes_in_order_and_once(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], killed: bool
) -> None:
    sink = make_sink(Plan(status=500))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url, breaker=PATIENT)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        for one in BEFORE:
            assert wire.post("/v1/track", {"userId": one, "event": "E", "messageId": one}).status == 200
        until_enough(lambda: state(appliance)["state"], lambda found: found == "open")
        for person, ids in LATE.items():
            for number, one in enumerate(ids):
                event = {"userId": person, "event": "Bad" if number == 1 else "E", "messageId": one}
                assert wire.post("/v1/track", event).status == 200
    sink.set_plan(Plan(fail_events={"Bad": 400}))
    done(appliance, "replay", "--destination", "hook", "--from", "1h", "--yes")
    until_enough(lambda: appliance.admin("/v1/replays")["replays"], lambda found: not found)
    assert {one["message_id"] for one in appliance.admin("/v1/dead")["dead"]} == {ids[1] for ids in LATE.values()}
    assert state(appliance)["state"] == "open", "the destination has not come to them"
    sink.set_plan(Plan())
    seen = len(sink.arrivals())
    done(appliance, "dead", "requeue", "dest:hook", "--yes")
    if killed:
        appliance.kill()
        appliance.start()
    else:
        done(appliance, "destinations", "drain", "hook", "--yes")
    everything = {*BEFORE, *(one for ids in LATE.values() for one in ids)}
    sink.wait(
        lambda arrivals: everything <= {one.message_id for one in arrivals[seen:] if one.accepted}, what="some are lost"
    )
    until_enough(lambda: state(appliance), lambda found: not found["held_events"] and not found["lag_events"])
    arrived = [one for one in sink.arrivals()[seen:] if one.accepted]
    for person, ids in LATE.items():
        assert [one.message_id for one in arrived if one.person == person] == ids
    assert sorted(one.message_id for one in arrived) == sorted(everything), "one came twice"
    assert appliance.admin("/v1/dead")["dead"] == []
