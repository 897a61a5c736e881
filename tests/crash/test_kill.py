"""Kill -9 under load, again and again, on one data folder: nothing acknowledged is lost, nobody's order turns."""

import json
import os
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.crash.lives import IN_FLIGHT, SABOTAGE, UNSAVED, hook, killed_under_load
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Ledger, Verdict, drained, judge
from tests.support.load import crowd, percentile
from tests.support.sink import Arrival, Plan, Sink

KILLS = int(os.environ.get("STERNPOST_KILLS", "50"))


@dataclass
class Outlet:
    """One destination of the crash test: how it is configured in a given run, what reached it, what a kill may repeat."""

    tables: Callable[[int], dict[str, Any]]
    """Its configuration in a run; the run stands in a webhook's address, so that the sink knows which life sent what."""
    arrivals: Callable[[], list[Arrival]]
    repeats_max: int
    """Events in flight and outcomes not saved yet: what one kill may cause to be sent again."""


def hooked(sink: Sink) -> Outlet:
    """One event per request."""
    return Outlet(lambda run: hook(sink, run), sink.arrivals, IN_FLIGHT + UNSAVED)


def array(sink: Sink) -> Outlet:
    """Up to ten events per request, perhaps many of one person."""
    keys = {"body": "array", "array_events_max": 10, "in_flight_max": 3, "unsaved_max": UNSAVED}
    return Outlet(lambda run: webhook(f"{sink.url}?run={run}", **keys), sink.arrivals, 30 + UNSAVED)


def files(folder: Path) -> Outlet:
    """Files on disk. They do not say which life wrote a line: every line counts as a run of its own."""
    table = {"plugin": "jsonl", "folder": str(folder), "batch_events_max": 50, "unsaved_max": UNSAVED}

    def arrivals() -> list[Arrival]:
        lines = (line for path in sorted(folder.glob("*.jsonl")) for line in path.read_bytes().splitlines())
        return [_written(number, json.loads(line)) for number, line in enumerate(lines)]

    return Outlet(lambda run: table, arrivals, 50 + UNSAVED)


def _written(number: int, event: dict[str, Any]) -> Arrival:
    n = (event.get("properties") or event.get("traits") or {})["n"]
    return Arrival(0.0, number, number, 200, event["anonymousId"], n, event["messageId"], event["type"], "", "")


def bad_day(seed: int) -> Plan:
    """A sink that fails in every way; a 429 is rare because it stops the whole destination for a second."""
    return Plan(seed=seed, error=0.03, throttle=0.0005, retry_after="1", hang=0.001, hang_s=5.0, reset=0.01)


def load_and_kill(
    appliance: Appliance,
    outlets: dict[str, Outlet],
    sinks: list[Sink],
    seed: int,
    kills: int,
) -> tuple[Ledger, float]:
    """Clients of every kind during all kills; returns what they sent and the slowest start, with the process alive.

    Of ten lives, one dies while it still starts, one has sinks that are down, two are re-loaded. Afterwards the sinks
    fail no more than usual.
    """
    ledger, draw, starts_s = Ledger(), random.Random(seed), [0.0]
    usual = [sink.plan for sink in sinks]

    def begin(run: int, dies: bool) -> None:
        appliance.config["destinations"] = {name: outlet.tables(run) for name, outlet in outlets.items()}
        down = dies and draw.random() < 0.1
        for sink, plan in zip(sinks, usual, strict=True):
            sink.set_plan(Plan(seed=plan.seed + run, error=1.0) if down else plan)

    def live() -> None:
        if draw.random() < 0.1:
            appliance.spawn()
            time.sleep(draw.uniform(0.0, 1.0))
            return
        starts_s.append(appliance.start())
        time.sleep(draw.uniform(0.1, 1.0))
        if draw.random() < 0.2:
            appliance.reload()
        time.sleep(draw.uniform(0.0, 1.0))

    clients = crowd(appliance.url, WRITE_KEY, ledger, seed, size=24, pause_s=0.15)
    starts_s.append(killed_under_load(appliance, clients, kills, begin, live))
    return ledger, max(starts_s)


def drain(ledger: Ledger, outlets: dict[str, Outlet], timeout_s: float) -> dict[str, Verdict]:
    """Wait until everything acknowledged has arrived everywhere, or until the time is over; then judge."""
    deadline = time.monotonic() + timeout_s
    for outlet in outlets.values():
        arrived = drained(ledger.acknowledged)
        while not arrived(outlet.arrivals()) and time.monotonic() < deadline:
            time.sleep(0.2)
    time.sleep(1.0)
    return {name: judge(ledger.entries, outlet.arrivals()) for name, outlet in outlets.items()}


@pytest.mark.crash
@pytest.mark.timeout(180 + 12 * KILLS)
def test_kill_9_loses_nothing(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
    tmp_path: Path,
) -> None:
    sinks = [make_sink(bad_day(seed)), make_sink(bad_day(seed + 1))]
    outlets = {"hook": hooked(sinks[0]), "array": array(sinks[1]), "files": files(tmp_path / "out")}
    appliance = make_appliance()
    ledger, slowest_s = load_and_kill(appliance, outlets, sinks, seed, KILLS)
    verdicts = drain(ledger, outlets, 60.0 + KILLS)
    figure(
        f"seed {seed}, {KILLS} kills, {len(ledger.acknowledged)} acknowledged of {len(ledger.entries)}, answers "
        f"{dict(ledger.answers)}, ack p99 {percentile(ledger.latencies_s, 0.99) * 1e3:.0f} ms, slowest start "
        f"{slowest_s:.2f} s; "
        + "; ".join(f"{name} (bound {outlets[name].repeats_max}): {verdict}" for name, verdict in verdicts.items())
    )
    assert set(ledger.answers) <= {0, 200, 503}
    assert len(ledger.acknowledged) > 20 * KILLS, "hardly any load: the test would prove nothing"
    for name, verdict in verdicts.items():
        assert verdict.clean, f"{name}: {verdict}"
        if name == "files":
            assert verdict.duplicates.total() <= KILLS * outlets[name].repeats_max, f"{name}: {verdict}"
        else:
            assert max(verdict.duplicates.values(), default=0) <= outlets[name].repeats_max, f"{name}: {verdict}"
    assert appliance.stop()[0] == 0


CONVICTED_OF: dict[str, Callable[[Verdict], int]] = {
    "early_ack": lambda verdict: len(verdict.lost),
    "no_lanes": lambda verdict: len(verdict.inversions),
    "no_progress": lambda verdict: max(0, max(verdict.duplicates.values(), default=0) - IN_FLIGHT - UNSAVED),
}


@pytest.mark.crash
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", CONVICTED_OF)
def test_the_same_harness_convicts_a_sabotaged_build(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
    mode: str,
) -> None:
    sink, appliance = make_sink(bad_day(seed)), make_appliance(command=[*SABOTAGE, mode])
    outlets = {"hook": hooked(sink)}
    ledger, _ = load_and_kill(appliance, outlets, [sink], seed, 5)
    verdict = drain(ledger, outlets, 5.0)["hook"]
    figure(f"seed {seed}, {len(ledger.acknowledged)} acknowledged, {verdict}")
    assert CONVICTED_OF[mode](verdict), str(verdict)
