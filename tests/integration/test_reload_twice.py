"""Re-loads that overlap while calls are slow: one worker per destination, whatever comes when."""

import time
from collections.abc import Callable

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
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
