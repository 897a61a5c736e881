"""A destination's held queues have a budget: at it reading stops, and it goes on once they have drained, restarts or not."""

import time
from collections.abc import Callable

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until
from tests.support.wire import Wire

PADDING = "x" * 8_000
SENT = [f"bad-{person}-{n}" for n in range(20) for person in range(5)]
READ_AHEAD = 20
MOST = 200 * 1024 + 45 * 8_192
"""The budget, what was read ahead, and as much again: it was on its way into the log when the next was read."""


def test_reading_stops_at_the_budget_of_held_queues_and_goes_on_when_they_drain(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 500}))
    hook = webhook(sink.url, read_ahead_max=READ_AHEAD)
    appliance = make_appliance({"destinations": {"hook": hook}, "wal": {"held_bytes_max": "200 KiB"}})
    appliance.start()
    later = [f"good-{n}" for n in range(50)]
    send(appliance, SENT + later)
    for _ in range(3):
        held_bytes = settled_held_bytes(appliance)
        assert 200 * 1024 <= held_bytes < MOST
        appliance.kill()
        appliance.start()
    assert not any(arrival.accepted for arrival in sink.arrivals()), "all that is behind the budget waits in the log"
    sink.set_plan(Plan())
    sink.wait_accepted(set(SENT + later), timeout_s=60)
    deadline = time.monotonic() + 10
    while appliance.admin("/v1/overview")["log"]["held"]["bytes"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_reload_with_another_budget_changes_nothing_before_the_next_start(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    """The log goes on with the budget it was opened with, and so do the destinations' shares of it."""
    sink = make_sink(Plan(fail_events={"Bad": 500}))
    hook = webhook(sink.url, read_ahead_max=READ_AHEAD)
    appliance = make_appliance({"destinations": {"hook": hook}, "wal": {"held_bytes_max": "200 KiB"}})
    appliance.start()
    send(appliance, SENT)
    assert 200 * 1024 <= settled_held_bytes(appliance) < MOST
    appliance.config["wal"] = {"held_bytes_max": "100 MiB"}
    appliance.write_config()
    appliance.reload()
    until(lambda: "[wal] changed; it takes effect at the next start" in appliance.log(), "the re-load")
    assert settled_held_bytes(appliance) < MOST
    appliance.kill()
    appliance.start()
    until(lambda: settled_held_bytes(appliance) > MOST, "the new budget holds all")


def send(appliance: Appliance, names: list[str]) -> None:
    """One event of 8 KB each, of its own person and kind."""
    with Wire(appliance.port, WRITE_KEY) as wire:
        for name in names:
            kind, person, *_ = name.split("-")
            event = {
                "userId": f"{kind}-{person}",
                "event": kind.title(),
                "messageId": name,
                "properties": {"of": PADDING},
            }
            assert wire.post("/v1/track", event).status == 200


def settled_held_bytes(appliance: Appliance) -> int:
    """What the log holds once it has not changed for a second."""
    deadline, before, since = time.monotonic() + 30, -1, time.monotonic()
    while time.monotonic() - since < 1.0:
        assert time.monotonic() < deadline
        now = int(appliance.admin("/v1/overview")["log"]["held"]["bytes"])
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)
    return before
