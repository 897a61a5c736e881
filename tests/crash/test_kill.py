"""Kill -9 under load, again and again, on one data folder: nothing acknowledged is lost, nobody's order turns."""

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Ledger, Verdict, drained, judge
from tests.support.load import crowd, percentile, under_load
from tests.support.sink import Plan, Sink

KILLS = int(os.environ.get("STERNPOST_KILLS", "50"))
IN_FLIGHT, UNSAVED = 16, 16
EARLY_ACK = (sys.executable, str(Path(__file__).with_name("early_ack.py")))


def config(sink: Sink, run: int) -> dict[str, Any]:
    """One webhook; the run stands in its address, so that the sink knows which life of the process sent what."""
    return webhook(f"{sink.url}?run={run}", in_flight_max=IN_FLIGHT, unsaved_max=UNSAVED)


def bad_day(seed: int) -> Plan:
    """A sink that fails in every way; a 429 is rare because it stops the whole destination for a second."""
    return Plan(seed=seed, error=0.03, throttle=0.0005, retry_after="1", hang=0.001, hang_s=5.0, reset=0.01)


def die_often(appliance: Appliance, sink: Sink, seed: int, kills: int) -> float:
    """Start and kill; one in ten dies while it still starts. Leaves a living process; returns the slowest start."""
    draw, slowest_s = random.Random(seed), 0.0
    for run in range(1, kills + 2):
        appliance.config["destinations"] = {"hook": config(sink, run)}
        if run <= kills and draw.random() < 0.1:
            appliance.spawn()
            time.sleep(draw.uniform(0.0, 0.8))
            appliance.kill()
            continue
        slowest_s = max(slowest_s, appliance.start())
        if run <= kills:
            time.sleep(draw.uniform(0.1, 2.0))
            appliance.kill()
    return slowest_s


def run_and_judge(appliance: Appliance, sink: Sink, seed: int, kills: int, drain_s: float) -> tuple[Ledger, Verdict, float]:
    """Load, kills, last start, drain, verdict."""
    ledger, slowest = Ledger(), [0.0]
    clients = crowd(appliance.url, WRITE_KEY, ledger, seed, size=24, pause_s=0.1)
    asyncio.run(under_load(clients, lambda: slowest.append(die_often(appliance, sink, seed, kills))))
    try:
        sink.wait(drained(ledger.acknowledged), timeout_s=drain_s, what="not everything acknowledged has been delivered")
    except AssertionError as late:
        print(late)
    time.sleep(1.0)
    return ledger, judge(ledger.entries, sink.arrivals()), max(slowest)


@pytest.mark.timeout(120 + 12 * KILLS)
def test_kill_9_loses_nothing(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], seed: int, figure: Callable[[str], None],
) -> None:
    sink, appliance = make_sink(bad_day(seed)), make_appliance()
    ledger, verdict, slowest_s = run_and_judge(appliance, sink, seed, KILLS, 60.0 + KILLS / 2)
    figure(f"seed {seed}, {KILLS} kills, {len(ledger.acknowledged)} acknowledged of {len(ledger.entries)}, "
           f"answers {dict(ledger.answers)}, {verdict}; ack p99 {percentile(ledger.latencies_s, 0.99):.3f} s, "
           f"slowest start {slowest_s:.2f} s")
    assert set(ledger.answers) <= {0, 200, 503}
    assert len(ledger.acknowledged) > 20 * KILLS, "hardly any load: the test would prove nothing"
    assert verdict.clean, str(verdict)
    assert max(verdict.duplicates.values(), default=0) <= IN_FLIGHT + UNSAVED, str(verdict)
    appliance.stop()


@pytest.mark.timeout(180)
def test_the_same_harness_convicts_a_build_that_acknowledges_early(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], seed: int, figure: Callable[[str], None],
) -> None:
    sink, appliance = make_sink(bad_day(seed)), make_appliance(command=EARLY_ACK)
    ledger, verdict, _ = run_and_judge(appliance, sink, seed, 5, 10.0)
    figure(f"seed {seed}, negative control: {len(verdict.lost)} of {len(ledger.acknowledged)} acknowledged lost")
    assert verdict.lost
