"""One event may be a dead letter twice: from its first delivery and from a replay. Both go back into one place."""

import time
from collections.abc import Callable

import psutil

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire


def test_two_letters_of_one_event_are_requeued_once_and_leave_nothing_behind(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {"userId": "u", "event": "Bad", "properties": {"n": 1}}).status == 200
    letters_reach(appliance, 1)
    replayed = appliance.sternpost("replay", "--destination", "hook", "--from", "1h", "--to", "now", "--yes")
    assert replayed.returncode == 0, replayed.stderr
    letters_reach(appliance, 2)
    sink.set_plan(Plan())
    requeued = appliance.sternpost("dead", "requeue", "dest:hook", "--yes")
    assert requeued.returncode == 0, requeued.stderr
    sink.wait(lambda arrivals: any(arrival.accepted for arrival in arrivals))
    until = time.monotonic() + 10
    while (hook := appliance.admin("/v1/overview")["destinations"][0])["held_events"] and time.monotonic() < until:
        time.sleep(0.05)
    assert (hook["held_events"], hook["held_people"], hook["state"]) == (0, 0, "running")
    assert sum(arrival.accepted for arrival in sink.arrivals()) == 1
    before = sum(psutil.Process(appliance.pid).cpu_times()[:2])
    time.sleep(2.0)
    assert sum(psutil.Process(appliance.pid).cpu_times()[:2]) - before < 0.3, "an idle process spins"


def letters_reach(appliance: Appliance, count: int) -> None:
    until = time.monotonic() + 20
    while appliance.admin("/v1/overview")["log"]["dead"]["count"] < count:
        assert time.monotonic() < until
        time.sleep(0.05)
