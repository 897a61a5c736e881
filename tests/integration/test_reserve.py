"""While others use the room that the log keeps free of events: one who waits stops nobody, and who holds much reads no more."""

from collections.abc import Callable
from typing import Any

from tests.integration.test_disk_full import MIB, Filler
from tests.support.appliance import Appliance, webhook
from tests.support.judge import drained, judge
from tests.support.sink import Plan, Sink
from tests.support.waiting import until

BUDGET, RESERVE = 24 * MIB, 24 * MIB // 10
PATIENT = {"people": 100_000, "probe_min": "50ms", "probe_max": "500ms"}


def test_one_person_who_waits_does_not_stop_a_healthy_destination_while_another_uses_the_reserve(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], seed: int
) -> None:
    well, down = make_sink(Plan(fail_ids={"m1": 500})), make_sink(Plan(status=500))
    appliance = make_appliance(
        {
            "wal": {"disk_bytes_max": "24 MiB", "ballast_bytes": "1 MiB"},
            "destinations": {"well": webhook(well.url), "sick": webhook(down.url, breaker=PATIENT)},
        }
    )
    appliance.start()
    for name in ("well", "sick"):
        done(appliance, "pause", name)
    filler = Filler(appliance, seed, people=5000)
    filler.until(503)
    done(appliance, "resume", "sick")
    until(lambda: reserve_used(appliance) > 0.1, "the sick one does not use the reserve")
    done(appliance, "resume", "well")
    others = {key for key in filler.ledger.acknowledged if key[1] != 1}
    well.wait(drained(others), timeout_s=60, what="one who waits stops a healthy destination")
    assert reserve_used(appliance) > 0.1, "it was not used all the time"
    assert state(appliance, "well")["held_events"] == 1
    sick = state(appliance, "sick")
    assert sick["held_events"] and sick["lag_events"] > 500, "who holds much reads no more"
    assert "outcome_not_saved" not in appliance.log(), "it took more than there was room for"
    for sink in (well, down):
        sink.set_plan(Plan())
        sink.wait(drained(filler.ledger.acknowledged), timeout_s=60)
        assert judge(filler.ledger.entries, sink.arrivals()).clean


def done(appliance: Appliance, *arguments: str) -> None:
    ran = appliance.sternpost(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def state(appliance: Appliance, name: str) -> dict[str, Any]:
    found: dict[str, Any] = {one["name"]: one for one in appliance.admin("/v1/overview")["destinations"]}[name]
    return found


def reserve_used(appliance: Appliance) -> float:
    """Share of the room above high water that is taken."""
    used: int = appliance.admin("/v1/overview")["log"]["bytes"]
    return (used - (BUDGET - RESERVE)) / RESERVE
