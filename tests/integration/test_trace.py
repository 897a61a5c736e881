"""Where an event is, in the words of `sternpost trace`, on the real process."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire


def send(appliance: Appliance, *ids: str) -> None:
    with Wire(appliance.port, WRITE_KEY) as wire:
        for each in ids:
            assert wire.post("/v1/track", {"userId": "u", "event": "E", "messageId": each}).status == 200


def standing(appliance: Appliance, message_id: str, destination: str) -> dict[str, Any]:
    events = appliance.json("trace", message_id)["events"]
    found = [one for one in events[0]["destinations"] if one["destination"] == destination]
    assert len(events) == len(found) == 1
    return dict(found[0])


def until_standing(appliance: Appliance, message_id: str, destination: str, state: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while (now := standing(appliance, message_id, destination))["state"] != state:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    return now


@pytest.mark.parametrize("restart", [False, True], ids=["running", "over a restart"])
def test_what_was_there_before_a_destination_began_is_not_said_to_be_delivered(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], restart: bool
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"first": webhook(sink.url)}})
    appliance.start()
    send(appliance, "early")
    sink.wait_accepted({"early"})
    appliance.config["destinations"]["second"] = webhook(sink.url)
    appliance.config["destinations"]["whole"] = webhook(sink.url, start="oldest")
    appliance.write_config()
    appliance.reload()
    deadline = time.monotonic() + 20
    while len(appliance.admin("/v1/destinations")["destinations"]) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    send(appliance, "late")
    sink.wait(lambda arrivals: sum(one.message_id == "late" for one in arrivals) == 3)
    if restart:
        assert appliance.stop()[0] == 0
        appliance.start()
    early = standing(appliance, "early", "second")
    assert (early["state"], "before this destination began" in early["words"]) == ("skipped", True)
    for message_id, destination in (
        ("early", "first"), ("early", "whole"), ("late", "first"), ("late", "second"), ("late", "whole")
    ):  # fmt: skip
        found = until_standing(appliance, message_id, destination, "succeeded")
        assert found["words"] == "delivered", (message_id, destination)


def test_an_event_in_hand_is_told_from_those_that_wait_behind_it(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(hang=1.0, hang_s=120))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url, timeout="100s")}})
    appliance.start()
    send(appliance, "one", "two")
    sink.wait(bool)
    assert "attempt 1" in until_standing(appliance, "one", "hook", "executing")["words"]
    assert standing(appliance, "two", "hook")["state"] == "waiting"
    sink.set_plan(Plan(status=500))
    appliance.kill()
    appliance.start()
    assert until_standing(appliance, "one", "hook", "failed")["attempts"] >= 1
    sink.set_plan(Plan())
    until_standing(appliance, "two", "hook", "succeeded")
    assert standing(appliance, "one", "hook")["state"] == "succeeded"
