"""The log alone, without HTTP: CPU per event, commit latency and device bytes. `python -m tests.bench.bench_wal`."""

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from appliance.core.clock import SystemClock
from appliance.core.config import WalConfig
from appliance.core.event import Record
from appliance.wal.log import Log, Progress
from tests.bench.corpus import Corpus
from tests.bench.measure import device_bytes

BATCH = 100


def _records(count: int, corpus: Corpus) -> list[Record]:
    events = itertools.islice(corpus.events(), count)
    now_ms = time.time_ns() // 1_000_000
    return [Record(0, "web", now_ms, "127.0.0.1", "track", id_[:13], "", id_, "", 0, raw) for id_, raw in events]


async def _cpu(folder: Path, batches: int, at_once: int, size: int) -> tuple[float, float]:
    """CPU microseconds per event of appends, `at_once` under way, and commits per append."""
    log = Log.open(folder, WalConfig(), SystemClock())
    log.start(asyncio.get_running_loop())
    corpus = Corpus()
    work = [_records(size, corpus) for _ in range(batches)]
    began_s = time.process_time()
    for start in range(0, batches, at_once):
        await asyncio.gather(*[log.append(records) for records in work[start : start + at_once]])
    spent_s = time.process_time() - began_s
    commits = log.stats().commits_total
    await log.stop()
    return spent_s / (batches * size) * 1e6, commits / batches


async def _commits(folder: Path, times: int, size: int, saves: bool) -> tuple[float, float, float, float]:
    """Milliseconds p50 and p99 of append to future, p50 of append + fdatasync, device bytes per event byte."""
    log = Log.open(folder, WalConfig(), SystemClock())
    log.start(asyncio.get_running_loop())
    plain = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    corpus, ours, theirs, written, event_bytes, kept = Corpus(), [], [], 0, 0, log.stats().stored_bytes_total
    for _ in range(times):
        records = _records(size, corpus)
        event_bytes += sum(len(record.raw) for record in records)
        before = device_bytes(os.getpid())
        began_s = time.perf_counter()
        if saves:
            low = log.last_sequence
            log.write(lambda change, low=low: change.save_progress("crm", Progress(low)), soon=True)
        await log.append(records)
        ours.append((time.perf_counter() - began_s) * 1000)
        written += device_bytes(os.getpid()) - before
        noise, kept = os.urandom(log.stats().stored_bytes_total - kept), log.stats().stored_bytes_total
        began_s = time.perf_counter()
        os.write(plain, noise)
        os.fdatasync(plain)
        theirs.append((time.perf_counter() - began_s) * 1000)
    os.close(plain)
    await log.stop()
    return statistics.median(ours), sorted(ours)[int(times * 0.99)], statistics.median(theirs), written / event_bytes


def _start_s(folder: Path) -> float:
    began_s = time.perf_counter()
    log = Log.open(folder, WalConfig(), SystemClock())
    spent_s = time.perf_counter() - began_s
    log._state.close(clean=False)
    return spent_s


def main(times: int) -> None:
    """Print one line per figure."""
    Path("build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="build") as name:
        folder = Path(name)
        for size, at_once, batches in ((100, 8, times), (100, 1, times), (1, 64, times * 20), (1, 1, times)):
            us, commits = asyncio.run(_cpu(folder / f"cpu-{size}-{at_once}", batches, at_once, size))
            print(f"append of {size}, {at_once} at once: {us:.2f} us CPU per event, {commits:.3f} commits per append")
        for size, saves in ((100, False), (100, True), (1, True)):
            p50, p99, plain, ratio = asyncio.run(_commits(folder / f"commit-{size}-{saves}", times, size, saves))
            print(
                f"commit of {size}{' with progress' if saves else ''}: p50 {p50:.3f} ms, p99 {p99:.3f} ms, "
                f"{p50 / plain:.2f} x append + fdatasync ({plain:.3f} ms); device bytes per event byte {ratio:.3f}"
            )
        print(f"start with {times * 20} events in single blocks: {_start_s(folder / 'cpu-1-64') * 1000:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
