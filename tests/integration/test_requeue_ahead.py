"""A replay may give an event up before its destination, which is down, has come to it: requeued, it keeps its place."""

import urllib.error
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


def with_letters_ahead(make_appliance: Callable[..., Appliance], sink: Sink) -> Appliance:
    """The destination's breaker is open, and a replay buried what the destination has not come to."""
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
    return appliance


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed"])
def test_what_a_replay_gave_up_while_its_destination_is_down_comes_in_order_and_once(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], killed: bool
) -> None:
    sink = make_sink(Plan(status=500))
    appliance = with_letters_ahead(make_appliance, sink)
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


def test_while_the_destination_is_paused_nothing_of_it_is_held_or_taken_for_held(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    """A row that the destination does not know of, or one that it knows of and is not there, would be told apart here."""
    sink = make_sink(Plan(status=500))
    appliance = with_letters_ahead(make_appliance, sink)
    done(appliance, "pause", "hook")
    before = state(appliance)["held_events"]
    assert 20 <= before <= len(BEFORE)
    done(appliance, "dead", "requeue", "dest:hook", "--yes")
    assert appliance.admin("/v1/dead")["dead"] == [], "they went back"
    assert state(appliance)["held_events"] == before, "the log will bring them"
    assert appliance.admin("/v1/overview")["log"]["held"]["count"] == before


def test_an_edited_event_is_refused_while_the_log_will_still_bring_the_original(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(status=500))
    appliance = with_letters_ahead(make_appliance, sink)
    letters = appliance.admin("/v1/dead")["dead"]
    event = {"type": "track", "userId": "late-0", "event": "Good", "messageId": "late-0-1"}
    (mine,) = [one["id"] for one in letters if one["message_id"] == event["messageId"]]
    with pytest.raises(urllib.error.HTTPError) as refused:
        appliance.admin(f"/v1/dead/{mine}/requeue", {"event": event, "expect": 1})
    answer = refused.value.read().decode()
    assert refused.value.code == 409
    assert "has not come to this event yet" in answer and "kept" in answer
    assert appliance.admin("/v1/dead")["dead"] == letters
    sink.set_plan(Plan())
    done(appliance, "destinations", "drain", "hook", "--yes")
    sink.wait_accepted({*BEFORE, *(one for ids in LATE.values() for one in ids)})
    taken = until_enough(lambda: state(appliance), lambda found: not found["lag_events"] and not found["held_events"])
    assert taken["state"] == "running"
    sent = len(sink.arrivals())
    assert appliance.admin(f"/v1/dead/{mine}/requeue", {"event": event, "expect": 1})["count"] == 1
    sink.wait(lambda arrivals: len(arrivals) > sent)
    assert [(one.message_id, one.event) for one in sink.arrivals()[sent:]] == [("late-0-1", "Good")]
