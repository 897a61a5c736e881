"""A full held queue stops reading and nothing else: it drains after a kill, and what it takes is not miscounted."""

import time
from collections.abc import Callable

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

PEOPLE, EACH = 20, 5


def test_a_held_queue_that_is_full_at_a_kill_drains_and_lets_newer_events_follow(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 500}, slow_people={"slow": 100.0}))
    hook = webhook(sink.url, timeout="200s", breaker={"people": 1000, "probe_min": "50ms", "probe_max": "500ms"})
    appliance = make_appliance({"wal": {"held_bytes_max": "16 KiB"}, "destinations": {"hook": hook}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", event("slow", 0, "Fine")).status == 200
        sink.wait(bool)
        for n in range(EACH):
            for person in range(PEOPLE):
                assert wire.post("/v1/track", event(f"p{person}", n, "Bad")).status == 200
    until_held(appliance, 16 * 1024)
    appliance.kill()
    sink.set_plan(Plan())
    appliance.start()
    everything = {f"p{person}:{n}" for person in range(PEOPLE) for n in range(EACH)} | {"slow:0"}
    sink.wait_accepted(everything)
    until_held(appliance, 0)
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/track", event("late", 0, "Fine")).status == 200
    sink.wait_accepted({"late:0"}, timeout_s=10)


def event(person: str, n: int, name: str) -> dict[str, object]:
    return {"anonymousId": person, "event": name, "messageId": f"{person}:{n}", "properties": {"n": n}}


def until_held(appliance: Appliance, size: int) -> None:
    """Wait until the held queues take at least so many bytes; 0: none at all."""
    until = time.monotonic() + 20
    while (held := appliance.admin("/v1/overview")["log"]["held"]["bytes"]) < size or (not size and held):
        assert time.monotonic() < until, held
        time.sleep(0.05)
