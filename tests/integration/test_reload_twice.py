"""Re-loads that overlap while calls are slow: one worker per destination, whatever comes when."""

import sys
import time
from collections.abc import Callable

from tests.support.appliance import ROOT, WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until
from tests.support.wire import Wire


def test_two_reloads_during_a_slow_call_deliver_everything_once(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(delay_s=2.0))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url, timeout="20s")}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        for n in range(4):
            assert wire.post("/v1/track", {"userId": "u", "event": "E", "properties": {"n": n}}).status == 200
            if n < 2:
                time.sleep(0.3)
                appliance.config["destinations"] = {"hook": webhook(sink.url, timeout="20s", read_ahead_max=100 + n)}
                appliance.write_config()
                appliance.reload()
    sink.wait(lambda arrivals: len({arrival.n for arrival in arrivals if arrival.accepted}) == 4, timeout_s=40)
    time.sleep(2.5)
    assert [arrival.n for arrival in sink.arrivals()] == [0, 1, 2, 3]


def test_what_a_reload_did_not_wait_for_is_known_to_the_new_worker(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(delay_s=1.0, status=500))
    late = (sys.executable, str(ROOT / "tests" / "crash" / "sabotage.py"), "late_hold")
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url, timeout="20s")}}, command=late)
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", {"userId": "u", "event": "E", "properties": {"n": 0}}).status == 200
        time.sleep(0.3)
        appliance.config["destinations"] = {"hook": webhook(sink.url, timeout="20s", read_ahead_max=100)}
        appliance.write_config()
        appliance.reload()
        until(lambda: "delivery_failed" in appliance.log(), "the event does not fail")
        sink.set_plan(Plan())
        until(lambda: "outcomes_not_saved" in appliance.log(), "the re-load waited, so nothing is shown")
        assert wire.post("/v1/track", {"userId": "u", "event": "E", "properties": {"n": 1}}).status == 200
    sink.wait(lambda arrivals: {arrival.n for arrival in arrivals if arrival.accepted} == {0, 1}, timeout_s=40)
    until(lambda: not appliance.admin("/v1/overview")["log"]["held"]["count"], "a held event that nobody knows of")
    assert [arrival.n for arrival in sink.arrivals() if arrival.accepted] == [0, 1]
