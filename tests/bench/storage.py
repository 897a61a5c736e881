"""What the log asks of the disk: latency of a commit, bytes on the device per byte of events."""

import asyncio
import itertools
import os
import time
from pathlib import Path

from appliance.core.clock import SystemClock
from appliance.core.config import WalConfig
from appliance.core.event import Record
from appliance.wal.log import Log
from tests.bench.corpus import Corpus
from tests.bench.figures import Figure, at_most, reported
from tests.bench.measure import device_bytes
from tests.bench.stand import Bench, percentile, wait_until
from tests.bench.tools import nginx

BATCH = 100


def commit(bench: Bench) -> list[Figure]:
    """From `append` to its future, in turns with append + fdatasync of as many bytes to a file beside it."""
    figures: list[Figure] = []
    for batch in (BATCH, 1):
        ours, theirs, size = asyncio.run(_commits(bench.folder / f"commit{batch}", batch, bench.count(1_000)))
        ratio = percentile(ours, 0.5) / percentile(theirs, 0.5)
        note = (f"ours {percentile(ours, 0.5):.3f} ms, append + fdatasync of {size:,.0f} bytes {percentile(theirs, 0.5):.3f} ms; "
                f"in turns, {len(ours)} times")
        name = f"commit of {batch} event{'s' * (batch > 1)}"
        figures += [
            at_most(f"{name}: latency p50 against append + fdatasync of the same bytes", ratio, "x", 2.0, note),
            reported(f"{name}: latency p99", percentile(ours, 0.99), "ms"),
            reported(f"{name}: append + fdatasync p99", percentile(theirs, 0.99), "ms"),
        ]
    return figures


def device(bench: Bench) -> list[Figure]:
    """Batches of 100 on one connection, so one batch per commit: the worst case; dedup on, a webhook makes progress."""
    figures = []
    for connections in (1, 8):
        events = bench.count(60_000)
        with nginx(bench.folder) as sink:
            hook = {"plugin": "webhook", "url": f"{sink.url}/events"}
            with bench.appliance(f"device{connections}", {"hook": hook}) as appliance:
                delivered, written = sink.requests(), device_bytes(appliance.pid)
                sent = bench.load(appliance.url, events=events, batch=BATCH, connections=connections)
                collected = device_bytes(appliance.pid) - written
                wait_until(lambda: sink.requests() - delivered >= events, timeout_s=120, what="delivering")  # noqa: B023
                time.sleep(1.0)
                written = device_bytes(appliance.pid) - written
        ratio = written / sent["event_bytes"]
        note = (f"{written:,} bytes for {sent['event_bytes']:,} of events; {collected / sent['event_bytes']:.3f} until the last answer, "
                "the rest is progress")
        name = f"device bytes per event byte, batches of {BATCH}"
        figures.append(at_most(name, ratio, "", 0.9, note) if connections == 1
                       else reported(f"{name}, {connections} connections", ratio, "", note))
    return figures


async def _commits(folder: Path, batch: int, times: int) -> tuple[list[float], list[float], float]:
    """Milliseconds of each commit, of each append to the plain file, and the mean bytes of one."""
    folder.mkdir()
    log = Log.open(folder / "wal", WalConfig(), SystemClock())
    log.start(asyncio.get_running_loop())
    plain = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    events = Corpus().events()
    ours, theirs, first = [], [], log.stats().block_bytes
    before = first
    for _ in range(times):
        records = [_record(name, raw) for name, raw in itertools.islice(events, batch)]
        began_s = time.perf_counter()
        await log.append(records)
        ours.append((time.perf_counter() - began_s) * 1000)
        after = log.stats().block_bytes
        noise = os.urandom(after - before)
        before = after
        began_s = time.perf_counter()
        os.write(plain, noise)
        os.fdatasync(plain)
        theirs.append((time.perf_counter() - began_s) * 1000)
    os.close(plain)
    await log.stop()
    return ours, theirs, (before - first) / times


def _record(message_id: str, raw: bytes) -> Record:
    return Record(0, "web", time.time_ns() // 1_000_000, "127.0.0.1", "track", message_id[:8], "", message_id, "", 0, raw)
