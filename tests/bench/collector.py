"""What collecting costs: CPU of the process per durable request, with shipped defaults and no destination.

Throughput is not the figure: wrk, nginx and the process share the machine's cores. CPU per request is.
"""

from pathlib import Path
from typing import NamedTuple

from tests.bench.figures import Figure, at_least, at_most, reported
from tests.bench.measure import Cpu
from tests.bench.stand import NULL_STORE, Bench
from tests.bench.tools import Load, lua, nginx, wrk

ROUNDS = 3


class Cost(NamedTuple):
    """CPU of one server under wrk, summed over the rounds."""

    cpu_s: float
    requests: int
    failed: int
    p99_ms: float
    shares: str

    @property
    def us(self) -> float:
        """CPU microseconds per answered request."""
        return self.cpu_s / max(1, self.requests) * 1e6

    def plus(self, cpu: Cpu, load: Load) -> "Cost":
        return Cost(
            self.cpu_s + cpu.seconds,
            self.requests + load.requests,
            self.failed + load.failed,
            max(self.p99_ms, load.p99_ms),
            cpu.shares(),
        )


NOTHING = Cost(0.0, 0, 0, 0.0, "")


def single(bench: Bench) -> list[Figure]:
    """Single-event POSTs on 64 connections, the same bytes to nginx and to the collector, in turns."""
    script = lua(bench.folder, batch=0)
    with nginx(bench.folder) as reference, bench.appliance("single") as appliance:
        theirs = ours = NOTHING
        wrk(appliance.url, script, seconds=2, connections=64)
        for _ in range(ROUNDS):
            theirs = _round(theirs, reference.pid, reference.url, script, bench.seconds(4), 64)
            ours = _round(ours, appliance.pid, appliance.url, script, bench.seconds(12), 64)
    bare = _cost_without_log(bench, script, 64)
    ratio = ours.us / theirs.us
    note = f"nginx {theirs.us:.1f} us, ours {ours.us:.1f} us ({bare.us:.1f} us with the null store); threads: {ours.shares}"
    if ours.failed:
        note += f"; {ours.failed} of {ours.requests} requests were not answered 200"
    return [
        at_most("durable single POST, 64 connections: CPU against nginx static 200", ratio, "x", 13, note),
        reported("durable single POST: CPU per request", ours.us, "us"),
        reported("durable single POST: CPU per request, null store", bare.us, "us"),
        reported("durable single POST: latency p99 with both cores busy", ours.p99_ms, "ms"),
    ]


def batch(bench: Bench) -> list[Figure]:
    """`/v1/batch` with 100 events."""
    script = lua(bench.folder, batch=100)
    with bench.appliance("batch") as appliance:
        wrk(appliance.url, script, seconds=2, connections=16)
        ours = _round(NOTHING, appliance.pid, appliance.url, script, bench.seconds(15), 16)
    bare = _cost_without_log(bench, script, 16)
    rate = (ours.requests - ours.failed) * 100 / ours.cpu_s
    bare_rate = (bare.requests - bare.failed) * 100 / bare.cpu_s
    note = f"threads: {ours.shares}; {bare_rate:,.0f} with the null store; {ours.failed} requests not answered 200"
    return [
        at_least("durable batches of 100: events per core-second", rate, "1/s", 200_000, note),
        reported("durable batches of 100: events per core-second, null store", bare_rate, "1/s"),
    ]


def _round(so_far: Cost, pid: int, url: str, script: Path, seconds: float, connections: int) -> Cost:
    with Cpu(pid) as cpu:
        load = wrk(url, script, seconds=seconds, connections=connections)
    return so_far.plus(cpu, load)


def _cost_without_log(bench: Bench, script: Path, connections: int) -> Cost:
    with bench.appliance(f"null{connections}", command=NULL_STORE) as appliance:
        wrk(appliance.url, script, seconds=2, connections=connections)
        return _round(NOTHING, appliance.pid, appliance.url, script, bench.seconds(8), connections)
