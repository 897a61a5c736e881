"""A graceful stop: SIGTERM under load ends within 10 s, loses nothing and makes no duplicates."""

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Ledger, drained, judge
from tests.support.load import crowd, under_load
from tests.support.sink import Plan, Sink


@pytest.mark.parametrize(
    "plan", [Plan(), Plan(delay_s=0.3), Plan(error=0.05, reset=0.02)], ids=["well", "slow", "sick"]
)
def test_sigterm_under_load_leaves_neither_loss_nor_duplicates(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
    plan: Plan,
) -> None:
    sink, appliance, ledger, draw = make_sink(plan), make_appliance(), Ledger(), random.Random(seed)
    stops: list[tuple[int, float]] = []

    def stop_often() -> None:
        for run in range(1, 5):
            appliance.config["destinations"] = {"hook": webhook(f"{sink.url}?run={run}")}
            appliance.start()
            time.sleep(draw.uniform(0.5, 2.0))
            if run < 4:
                stops.append(appliance.stop())

    asyncio.run(under_load(crowd(appliance.url, WRITE_KEY, ledger, seed, size=16), stop_often))
    sink.set_plan(Plan())
    sink.wait(drained(ledger.acknowledged), timeout_s=60, what="acknowledged events missing")
    verdict = judge(ledger.entries, sink.arrivals())
    figure(f"{len(ledger.acknowledged)} acknowledged, stops {[f'{seconds:.1f} s' for _, seconds in stops]}, {verdict}")
    assert verdict.clean, str(verdict)
    assert not verdict.duplicates, str(verdict)
    assert all(code == 0 and seconds < 10 for code, seconds in stops), stops


def test_a_hanging_destination_does_not_hold_up_the_stop(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
) -> None:
    sink = make_sink(Plan(hang=1.0, hang_s=120))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url, timeout="100s")}})
    ledger = Ledger()
    appliance.start()
    asyncio.run(under_load(crowd(appliance.url, WRITE_KEY, ledger, seed, size=8), lambda: time.sleep(1.0)))
    assert sink.arrivals()
    code, seconds = appliance.stop()
    assert (code, seconds < 10.5) == (0, True), (code, seconds)
    sink.set_plan(Plan())
    appliance.start()
    sink.wait(drained(ledger.acknowledged), timeout_s=30)
    assert judge(ledger.entries, sink.arrivals()).clean
