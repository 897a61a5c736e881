"""What delivering costs: ordered single-event posts against a bare client loop, and the way from 200 to arrival."""

import time

from tests.bench.figures import Figure, at_least, at_most, reported
from tests.bench.measure import Cpu
from tests.bench.stand import Bench, finish, module, percentile, wait_until
from tests.bench.tools import Nginx, nginx

CONCURRENCY = 16
PEOPLE = 1_000


def drain(bench: Bench) -> list[Figure]:
    """The log is filled while the destination is disabled; then its rate is that of the middle 80 % of the events."""
    events = bench.count(40_000)
    with nginx(bench.folder) as sink:
        hook = {
            "plugin": "webhook",
            "url": f"{sink.url}/events",
            "in_flight_max": CONCURRENCY,
            "enabled": False,
            "start": "oldest",
        }
        before = _bare(sink, bench.count(40_000))
        with bench.appliance("drain", {"hook": hook}) as appliance:
            bench.load(appliance.url, events=events, batch=100, people=PEOPLE)
            hook["enabled"] = True
            appliance.write_config()
            with Cpu(appliance.pid) as cpu:
                appliance.reload()
                ours = _rate(sink, events)
        after = _bare(sink, bench.count(40_000))
    bare = (before["rate_per_s"] + after["rate_per_s"]) / 2
    note = (
        f"{ours:,.0f}/s against {bare:,.0f}/s, {CONCURRENCY} at a time; {cpu.seconds / events * 1e6:.0f} us CPU per event against "
        f"{before['cpu_s_per_event'] * 1e6:.0f} us; threads: {cpu.shares()}"
    )
    return [
        at_least(
            f"ordered delivery, {PEOPLE:,} people: rate against a bare aiohttp client loop", ours / bare, "x", 0.7, note
        ),
        reported("ordered delivery: events per second", ours, "1/s"),
        reported("bare aiohttp client loop (uvloop): events per second", bare, "1/s"),
    ]


def latency(bench: Bench) -> list[Figure]:
    """From the client's 200 to the arrival at the sink, at 500 single posts per second."""
    seconds = bench.seconds(30)
    with (
        bench.sink("latency") as sink,
        bench.appliance("latency", {"hook": {"plugin": "webhook", "url": sink.url}}) as appliance,
    ):
        record = bench.folder / "latency-sent.txt"
        sent = bench.load(
            appliance.url, events=int(500 * seconds), rate=500, connections=64, people=PEOPLE, record=record
        )
        acknowledged = {line.split()[0]: float(line.split()[2]) for line in record.read_text().splitlines()}
        wait_until(lambda: len(sink.arrivals()) >= len(acknowledged), timeout_s=60, what="delivering the rest")
        arrivals = sink.arrivals()
    waits_ms = [(arrivals[name] - at_s) * 1000 for name, at_s in acknowledged.items()]
    note = f"p99 {percentile(waits_ms, 0.99):.1f} ms, highest {max(waits_ms):.1f} ms; a negative wait arrived before its 200 was read"
    return [
        at_most("from 200 to arrival at 500 events/s: p50", percentile(waits_ms, 0.5), "ms", 50, note),
        reported("from 200 to arrival at 500 events/s: p99", percentile(waits_ms, 0.99), "ms"),
        reported("collector at 500 events/s: p99", sent["p99_ms"], "ms"),
    ]


def _bare(sink: Nginx, events: int) -> dict[str, float]:
    return finish(
        module("bare_client", "--url", f"{sink.url}/events", "--events", str(events), "--concurrency", str(CONCURRENCY))
    )


def _rate(sink: Nginx, events: int) -> float:
    """Events per second over the middle 80 % of `events`, by nginx's own counter."""
    start = asked = sink.requests()
    samples: list[tuple[float, int]] = []
    deadline = time.monotonic() + 300
    while not samples or samples[-1][1] < events:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{samples[-1][1]} of {events} events delivered within 300 s")
        count = sink.requests()
        asked += 1
        samples.append((time.monotonic(), count - start - (asked - start)))
        time.sleep(0.02)
    low = next(sample for sample in samples if sample[1] >= events * 0.1)
    high = next(sample for sample in samples if sample[1] >= events * 0.9)
    return (high[1] - low[1]) / (high[0] - low[0])
