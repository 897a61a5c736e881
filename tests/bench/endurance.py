"""What time does: idle after work, minutes at a fixed rate, minutes of full load with a dead destination."""

import threading
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, at_most, reported
from tests.bench.measure import MIB, Cpu
from tests.bench.stand import Bench, finish, memory_of, percentile, wait_until
from tests.bench.tools import lua, nginx, parse_wrk, wrk_running
from tests.support.appliance import Appliance
from tests.support.ports import free_port

RATE = 1_500


def idle(bench: Bench) -> list[Figure]:
    """100,000 events delivered to a webhook and a file, then nothing to do."""
    events, watch_s = bench.count(100_000), bench.seconds(60)
    with (
        nginx(bench.folder) as sink,
        bench.appliance("idle", _both(f"{sink.url}/events", bench.folder / "idle-out")) as appliance,
    ):
        before = sink.requests()
        bench.load(appliance.url, events=events, batch=100)
        wait_until(lambda: sink.requests() - before >= events, timeout_s=300, what="delivering 100,000 events")
        time.sleep(bench.seconds(20))
        with Cpu(appliance.pid) as cpu:
            time.sleep(watch_s)
        memory = memory_of(appliance)
    parts = (
        f"heap and stacks {memory.anonymous / MIB:.1f}, program and libraries {memory.other_files / MIB:.1f}, the log's mapped "
        f"pages {memory.log_map / MIB:.1f} MiB"
    )
    return [
        at_most(
            f"idle after {events:,} events: CPU",
            cpu.seconds / cpu.elapsed_s * 100,
            "% of a core",
            0.5,
            f"over {watch_s:.0f} s; resolution 10 ms",
        ),
        at_most(f"idle after {events:,} events: resident memory", memory.resident / MIB, "MiB", 100, parts),
        reported(
            f"idle after {events:,} events: resident without the log's map",
            (memory.resident - memory.log_map) / MIB,
            "MiB",
        ),
    ]


def chain(bench: Bench) -> list[Figure]:
    """Single posts at a fixed rate, to a webhook and a file, each with its own lag: from the client's 200 to arrival."""
    seconds, out = bench.long_s, bench.folder / "chain-out"
    record = bench.folder / "chain-sent.txt"
    with (
        bench.sink("chain") as sink,
        bench.appliance("chain", _both(sink.url, out)) as appliance,
        Follower(out) as follower,
    ):
        with Cpu(appliance.pid) as cpu:
            loading = bench.loading(appliance.url, events=int(RATE * seconds), rate=RATE, connections=64, record=record)
            sent = finish(loading)
        acknowledged = _acknowledged(record)
        wait_until(lambda: len(follower.seen) >= len(acknowledged), timeout_s=60, what="writing the rest")
        wait_until(lambda: len(sink.arrivals()) >= len(acknowledged), timeout_s=60, what="delivering the rest")
        at_hook = sink.arrivals()
    name = f"whole chain, {seconds:.0f} s at {RATE:,} events/s"
    figures = _lag(f"{name}: webhook", acknowledged, at_hook) + _lag(f"{name}: jsonl", acknowledged, follower.seen)
    return [
        *figures,
        reported(
            f"{name}: collector p99", sent["p99_ms"], "ms", f"p50 {sent['p50_ms']:.1f}, highest {sent['max_ms']:.0f} ms"
        ),
        at_most(f"{name}: requests not answered 200", sent["failed"], "", 0),
        reported(f"{name}: CPU", cpu.seconds / cpu.elapsed_s * 100, "% of a core", f"threads: {cpu.shares()}"),
    ]


def dead(bench: Bench) -> list[Figure]:
    """wrk as fast as it can, one destination that refuses connections beside one that works."""
    destinations = {
        "dead": {"plugin": "webhook", "url": f"http://127.0.0.1:{free_port()}/"},
        "alive": {"plugin": "webhook"},
    }
    script = lua(bench.folder, batch=0)
    with nginx(bench.folder) as sink:
        destinations["alive"]["url"] = f"{sink.url}/events"
        with bench.appliance("dead", destinations) as appliance:
            time.sleep(3.0)
            base = memory_of(appliance).anonymous
            before, began_s = sink.requests(), time.monotonic()
            with wrk_running(appliance.url, script, seconds=bench.long_s, connections=64) as process:
                highest = _highest(appliance, process)
                text, _ = process.communicate()
            delivered = (sink.requests() - before) / (time.monotonic() - began_s)
    load = parse_wrk(text)
    name = f"full load for {bench.long_s:.0f} s, one destination dead"
    note = (
        f"idle {base / MIB:.1f}, highest {highest / MIB:.1f} MiB, the log's mapped pages and program files not counted; "
        f"{load.requests:,} requests, {load.failed:,} of them not answered 200"
    )
    return [
        at_most(f"{name}: memory over idle", (highest - base) / MIB, "MiB", 200, note),
        reported(f"{name}: requests per second", (load.requests - load.failed) / load.seconds, "1/s"),
        reported(f"{name}: delivered by the live destination", delivered, "1/s"),
    ]


class Follower:
    """Follows the files of a jsonl destination and notes when each messageId was to be read."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ended = folder, threading.Event()
        self.seen: dict[str, float] = {}
        self._offsets: dict[Path, int] = {}

    def __enter__(self) -> "Follower":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            for path in sorted(self._folder.glob("*.jsonl")):
                self._read(path)

    def _read(self, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(self._offsets.get(path, 0))
            fresh = file.read()
        now_s, whole = time.monotonic(), fresh[: fresh.rfind(b"\n") + 1]
        self._offsets[path] = self._offsets.get(path, 0) + len(whole)
        for line in whole.splitlines():
            start = line.index(b'"messageId":"') + 13
            self.seen.setdefault(line[start : line.index(b'"', start)].decode(), now_s)


def _both(url: str, folder: Path) -> dict[str, Any]:
    return {"hook": {"plugin": "webhook", "url": url}, "file": {"plugin": "jsonl", "folder": str(folder)}}


def _acknowledged(record: Path) -> dict[str, float]:
    """When each event's 200 was read, by messageId."""
    rows = (line.split() for line in record.read_text().splitlines())
    return {row[0]: float(row[2]) for row in rows if row[3] == "200"}


def _lag(name: str, acknowledged: dict[str, float], arrived: dict[str, float]) -> list[Figure]:
    """The worst lag after the first 10 s, and how much the median grew between the first and the last fifth."""
    began_s = min(acknowledged.values())
    lags = [(at_s - began_s, arrived[message_id] - at_s) for message_id, at_s in acknowledged.items()]
    span_s = max(at_s for at_s, _ in lags)
    settled = [lag for at_s, lag in lags if at_s > min(10.0, span_s / 4)]
    first = percentile([lag for at_s, lag in lags if at_s < span_s / 5], 0.5)
    last = percentile([lag for at_s, lag in lags if at_s > span_s * 4 / 5], 0.5)
    note = f"p50 {percentile(settled, 0.5) * 1000:.0f} ms, p99 {percentile(settled, 0.99) * 1000:.0f} ms"
    return [
        at_most(f"{name} lag, highest", max(settled), "s", 1.0, note),
        at_most(f"{name} lag, growth of the median from the first to the last fifth", last - first, "s", 0.05),
    ]


def _highest(appliance: Appliance, process: Any) -> int:
    """Highest anonymous memory while wrk runs, looked at twice a second."""
    highest = 0
    while process.poll() is None:
        highest = max(highest, memory_of(appliance).anonymous)
        time.sleep(0.5)
    return highest
