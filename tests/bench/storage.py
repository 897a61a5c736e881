"""What the log asks of the disk: latency of a commit, bytes on the device per byte of events."""

import asyncio
import itertools
import os
import time
from pathlib import Path
from typing import NamedTuple

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
    """From `append` to its future, in turns with append + fdatasync to files beside it.

    The goal stands on the bytes that the log stores of a batch of 100; the raw bytes of the same events and a commit of
    one event are reported.
    """
    figures: list[Figure] = []
    for batch in (BATCH, 1):
        run = asyncio.run(_commits(bench.folder / f"commit{batch}", batch, bench.count(1_000)))
        name = f"commit of {batch} event{'s' * (batch > 1)}"
        p50, stored, raw = (percentile(values, 0.5) for values in (run.ours, run.stored, run.raw))
        note = (
            f"append until durable {p50:.3f} ms, the transaction alone {run.transaction_p50_ms:.3f} ms; append + fdatasync of the "
            f"{run.stored_bytes:,.0f} stored bytes {stored:.3f} ms, of the {run.raw_bytes:,.0f} raw bytes {raw:.3f} ms; {len(run.ours)} turns"
        )
        ratio = f"{name}: latency p50 against append + fdatasync of the same bytes"
        figures += [
            at_most(ratio, p50 / stored, "x", 2.0, note) if batch > 1 else reported(ratio, p50 / stored, "x", note),
            reported(f"{name}: latency p50 against append + fdatasync of the raw events", p50 / raw, "x"),
            reported(f"{name}: latency p99", percentile(run.ours, 0.99), "ms"),
            reported(f"{name}: append + fdatasync of the same bytes, p99", percentile(run.stored, 0.99), "ms"),
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
        note = (
            f"{written:,} bytes for {sent['event_bytes']:,} of events; {collected / sent['event_bytes']:.3f} until the last answer, "
            "the rest is progress"
        )
        name = f"device bytes per event byte, batches of {BATCH}"
        figures.append(
            at_most(name, ratio, "", 0.9, note)
            if connections == 1
            else reported(f"{name}, {connections} connections", ratio, "", note)
        )
    return figures


class Commits(NamedTuple):
    """Milliseconds per turn, and mean bytes of one."""

    ours: list[float]
    stored: list[float]
    raw: list[float]
    stored_bytes: float
    raw_bytes: float
    transaction_p50_ms: float


async def _commits(folder: Path, batch: int, times: int) -> Commits:
    folder.mkdir()
    log = Log.open(folder / "wal", WalConfig(), SystemClock())
    log.start(asyncio.get_running_loop())
    plain = [Plain(folder / "stored"), Plain(folder / "raw")]
    events = Corpus().events()
    ours: list[float] = []
    before = log.stats().block_bytes
    for _ in range(times):
        records = [_record(name, raw) for name, raw in itertools.islice(events, batch)]
        raw_bytes = b"".join(record.raw for record in records)
        began_s = time.perf_counter()
        await log.append(records)
        ours.append((time.perf_counter() - began_s) * 1000)
        after = log.stats().block_bytes
        plain[0].append(os.urandom(after - before))
        plain[1].append(raw_bytes)
        before = after
    transaction_p50_ms = log.stats().commit_p50_ms
    await log.stop()
    stored, raw = (file.close() for file in plain)
    return Commits(ours, stored.waits_ms, raw.waits_ms, stored.bytes / times, raw.bytes / times, transaction_p50_ms)


class Plain:
    """The simplest durable log: one file, append, fdatasync."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.waits_ms: list[float] = []
        self.bytes = 0

    def append(self, data: bytes) -> None:
        """Write and wait for the disk."""
        began_s = time.perf_counter()
        os.write(self._file, data)
        os.fdatasync(self._file)
        self.waits_ms.append((time.perf_counter() - began_s) * 1000)
        self.bytes += len(data)

    def close(self) -> "Plain":
        os.close(self._file)
        return self


def _record(message_id: str, raw: bytes) -> Record:
    return Record(
        0, "web", time.time_ns() // 1_000_000, "127.0.0.1", "track", message_id[:8], "", message_id, "", 0, raw
    )
