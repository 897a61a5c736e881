"""What the parser and the enrichment cost, without HTTP and log. `python -m tests.bench.bench_parse`."""

import gzip
import itertools
import time
from collections.abc import Callable

from appliance.collect import encodings, parse, repair
from appliance.collect.parse import Envelope, Limits
from appliance.core.enrich import enrich
from tests.bench.corpus import Corpus

BATCH = 100
ROUNDS = 7
ENVELOPE, LIMITS = Envelope("web", 1_795_000_000_000, "127.0.0.1"), Limits(512 * 1024, 64)


def us_per_event(work: Callable[[], object], events: int, repeats: int = 50) -> float:
    """CPU microseconds per event, best of ROUNDS."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(repeats):
            work()
        best = min(best, (time.process_time() - began) / repeats)
    return best * 1e6 / events


def main() -> None:
    """Print the table."""
    events = [raw for _, raw in itertools.islice(Corpus().events(), BATCH)]
    batch = b'{"batch":[%b],"sentAt":"2026-11-21T12:00:00.000Z"}' % b",".join(events)
    text = batch.replace(b"Chrome", "Chröme".encode())
    broken = batch.replace(b'"channel":"web"', b'"channel":NaN', 1)
    packed = gzip.compress(batch)
    parsed = parse.parse_batch(batch, ENVELOPE, LIMITS)
    assert parsed is not None and len(parsed.records) == BATCH
    rows: dict[str, Callable[[], object]] = {
        "batch, ASCII": lambda: parse.parse_batch(batch, ENVELOPE, LIMITS),
        "batch, with other letters": lambda: parse.parse_batch(text, ENVELOPE, LIMITS),
        "batch, one event repaired": lambda: repair.parse_batch(broken, ENVELOPE, LIMITS),
        "batch, gunzip alone": lambda: encodings.decompress("gzip", packed, encodings.Caps(1 << 22, 200)),
        "single": lambda: [parse.parse_event(raw, "track", ENVELOPE, LIMITS) for raw in events],
        "enrich": lambda: [enrich(record, "5f0c7e7e-8d0f-8b57-8a57-0d8f3c2f0b11") for record in parsed.records],
    }
    print(f"{len(batch) // BATCH} bytes per event")
    for name, work in rows.items():
        print(f"{name:<30}{us_per_event(work, BATCH):>8.2f} us/event")


if __name__ == "__main__":
    main()
