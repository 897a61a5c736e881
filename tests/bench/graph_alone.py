"""The person graph on its own, in a process of its own: what stitching costs with many ids, and with shapes at the limit.

    python -m tests.bench.graph_alone ids FILE --ids 1000000 [--rounds 8]
    python -m tests.bench.graph_alone chain FILE --ids 100000 [--limits]

CPU is that of the thread, the best of several rounds, checkpoints included. Beside it stands that of a fixed loop of plain
Python: machines, and one machine on different days, are compared by it. Prints one JSON object.
"""

import argparse
import itertools
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from appliance.core import memory as heap
from appliance.core.config import IdentityConfig, IdTypeConfig
from appliance.core.event import Record
from appliance.identity.acts import Act, record_of
from appliance.identity.graph import Graph
from appliance.identity.lookup import Lookup
from appliance.identity.past import Past
from appliance.identity.person import merge_text
from appliance.identity.rules import Id, Rules
from appliance.identity.store import written
from tests.bench.corpus import SEED
from tests.bench.crowd import Crowd
from tests.bench.measure import device_bytes, memory
from tests.bench.stand import percentile

LOG_ID = "bench"
TURN, CATCHING_UP = 60, 500
"""Events of one batch: at 3,000/s with a turn every 20 ms, and as one reading of a full log has them."""
CHECKPOINT_EVENTS = 3_000
DAY_MS = 86_400_000
NOW_MS = time.time_ns() // 1_000_000
"""Today, so that a process that goes on with this graph does not meet everybody for the first time that day."""


class Bench:
    """A graph that is fed without a log, and the clock of its thread."""

    def __init__(self, path: Path, config: IdentityConfig) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rules = Rules(config)
        self.graph = Graph(path, self.rules, LOG_ID, 1 << 40)
        self.sequence = self.graph.cursor

    def feed(self, records: list[Record], batch: int) -> float:
        """Apply them, so many at a time; CPU seconds of this thread."""
        names, since = self.graph.names, 0
        began_s = time.thread_time()
        for start in range(0, len(records), batch):
            some = records[start : start + batch]
            for number in self.graph.apply(some, some[-1].sequence).people:
                names.text(number)
            since += len(some)
            if since >= CHECKPOINT_EVENTS:
                self.graph.checkpoint()
                since = 0
        return time.thread_time() - began_s

    def next(self) -> int:
        """A sequence for one more event."""
        self.sequence += 1
        return self.sequence

    def act(self, **what: Any) -> float:
        """Let an operator act; CPU seconds. Fails where it is not done."""
        record = record_of(Act(**what), f"act-{self.sequence}", NOW_MS)
        record.sequence = self.next()
        spent_s = self.feed([record], 1)
        outcome = self.past().outcome(record.sequence)
        assert outcome.changed, outcome
        return spent_s

    def past(self) -> Past:
        """Who reads beside the graph."""
        return Past(self.path, LOG_ID)


# Many ids ----------------------------------------------------------------------------------------------------


def ids(path: Path, ids_wanted: int, rounds: int, round_events: int) -> dict[str, Any]:
    """Fill a graph, then measure it: CPU of known and of new people, bytes, look-ups, memory."""
    bench, crowd = Bench(path, IdentityConfig()), Crowd()
    before, calibration = memory(os.getpid(), path.parent), [calibrate_ms()]
    filled = _fill(bench, crowd, ids_wanted)
    cpu_us: dict[str, float] = {}
    for name, batch in (("turn", TURN), ("catching up", CATCHING_UP)):
        cpu_us[f"known, {name}"] = _best(bench, rounds, batch, lambda: _known(bench, crowd, round_events))
    news: dict[str, float] = {}
    device: dict[str, float] = {}
    for name, batch in (("turn", TURN), ("catching up", CATCHING_UP)):
        written_bytes, sequence = device_bytes(os.getpid()), bench.sequence
        cpu_us[f"new, {name}"], news[name] = _news(bench, crowd, rounds, round_events, batch)
        device[name] = (device_bytes(os.getpid()) - written_bytes) / (bench.sequence - sequence)
    cpu_us["known, first of a day, turn"] = _best(
        bench, 1, TURN, lambda: _known(bench, crowd, round_events, NOW_MS + DAY_MS)
    )
    cpu_us["reading the ids of an event"] = _reading(bench, crowd, round_events)
    bench.graph.checkpoint()
    heap.release()
    after = memory(os.getpid(), path.parent)
    calibration.append(calibrate_ms())
    store = bench.graph.store
    rows = {table: store.one(f"SELECT count(*) FROM {table}") for table in ("ids", "edges", "merges")}
    return {
        "seed": crowd.seed,
        "people": crowd.people,
        "rows": rows,
        "fill": filled,
        "cpu_us": cpu_us,
        "new_ids_per_event": news,
        "device_bytes_per_new_event": device,
        "file_bytes": path.stat().st_size,
        "wal_bytes": path.with_name(path.name + "-wal").stat().st_size,
        "bytes_by_table": _bytes_by_table(store),
        "look_up": _look_up(bench, crowd, 2 * round_events),
        "anonymous_bytes": after.anonymous - before.anonymous,
        "map_bytes": after.log_map,
        "calibration_ms": min(calibration),
    }


def _fill(bench: Bench, crowd: Crowd, ids_wanted: int) -> dict[str, float]:
    """People one after another, 200 at once as they would come in time, until there are so many ids."""
    spent_s, events, known = 0.0, 0, 0
    while known < ids_wanted:
        lives, records = [crowd.life(crowd.people + index) for index in range(2_000)], list[Record]()
        known += sum(len(crowd.person(crowd.people + index).ids) for index in range(len(lives)))
        for visits in itertools.zip_longest(*lives):
            records += [crowd.record(visit, bench.next(), NOW_MS) for visit in visits if visit]
        crowd.people += len(lives)
        spent_s += bench.feed(records, CATCHING_UP)
        events += len(records)
    return {"cpu_s": spent_s, "events": events, "cpu_us_per_event": spent_s / events * 1e6}


def _known(bench: Bench, crowd: Crowd, events: int, now_ms: int = NOW_MS) -> list[Record]:
    return [crowd.record(visit, bench.next(), now_ms) for visit in crowd.visits(events)]


def _best(bench: Bench, rounds: int, batch: int, make: Callable[[], list[Record]]) -> float:
    """CPU microseconds per event, the best of the rounds, each with events of its own."""
    best = float("inf")
    for _ in range(rounds):
        records = make()
        best = min(best, bench.feed(records, batch) / len(records) * 1e6)
    return best


def _news(bench: Bench, crowd: Crowd, rounds: int, events: int, batch: int) -> tuple[float, float]:
    """CPU microseconds per event that brings new ids or links (the lives of new people), and new ids per event."""
    best, per_event = float("inf"), 0.0
    for _ in range(rounds):
        records, ids = list[Record](), 0
        while len(records) < events // 2:
            group = [crowd.life(crowd.people + index) for index in range(200)]
            ids += sum(len(crowd.person(crowd.people + index).ids) for index in range(len(group)))
            for visits in itertools.zip_longest(*group):
                records += [crowd.record(visit, bench.next(), NOW_MS) for visit in visits if visit]
            crowd.people += len(group)
        best = min(best, bench.feed(records, batch) / len(records) * 1e6)
        per_event = ids / len(records)
    return best, per_event


def _reading(bench: Bench, crowd: Crowd, events: int) -> float:
    records = _known(bench, crowd, events)
    best = float("inf")
    for _ in range(3):
        began_s = time.thread_time()
        for record in records:
            bench.rules.read(record)
        best = min(best, time.thread_time() - began_s)
    return best / events * 1e6


def _look_up(bench: Bench, crowd: Crowd, times: int) -> dict[str, dict[str, float]]:
    """Milliseconds of a look-up over a read-only connection: from any id to its person, and all that is known of them."""
    past, rng = bench.past(), random.Random(SEED)
    lookup = Lookup(past)
    wanted = [rng.choice(crowd.person(rng.randrange(crowd.people)).ids) for _ in range(times)]
    found = {
        "type and value": _asked(wanted, lambda type, value: lookup.find(value, type)),
        "value alone": _asked(wanted, lambda type, value: lookup.find(value)),
        "the whole person": _asked(wanted, lambda type, value: lookup.person(lookup.find(value, type)[0].person)),
    }
    past.close()
    return found


def _asked(wanted: list[tuple[str, str]], ask: Callable[[str, str], Any]) -> dict[str, float]:
    waits_ms, cpu_ms = [], []
    for type, value in wanted:
        began_s, cpu_began_s = time.perf_counter(), time.thread_time()
        answer = ask(type, value)
        cpu_ms.append((time.thread_time() - cpu_began_s) * 1000)
        waits_ms.append((time.perf_counter() - began_s) * 1000)
        assert answer, (type, value)
    return {
        "times": len(wanted),
        "p50_ms": percentile(waits_ms, 0.5),
        "p99_ms": percentile(waits_ms, 0.99),
        "cpu_p99_ms": percentile(cpu_ms, 0.99),
    }


def _bytes_by_table(store: Any) -> dict[str, int]:
    """What each table and index takes; empty where this SQLite was built without dbstat."""
    try:
        rows = list(store.rows("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"))
    except Exception:
        return {}
    return {name: size for name, size in rows if size > 100_000}


def calibrate_ms() -> float:
    """CPU milliseconds of a fixed loop of plain Python, the best of five."""
    best = float("inf")
    for _ in range(5):
        began_s, value, text = time.thread_time(), 0, {}
        for number in range(200_000):
            value = (value * 31 + number) & 0xFFFF
            text[value] = str(number)
        best = min(best, time.thread_time() - began_s)
    return best * 1000


# Shapes at the limit ------------------------------------------------------------------------------------------

Pair = tuple[int, int]


def _chain(count: int) -> list[Pair]:
    return [(number, number + 1) for number in range(count - 1)]


def _shuffled(count: int) -> list[Pair]:
    pairs = _chain(count)
    random.Random(SEED).shuffle(pairs)
    return pairs


def _halves(count: int) -> list[Pair]:
    """Two chains, and in the end what joins them."""
    middle = count // 2
    return [pair for pair in _chain(count) if pair[1] != middle] + [(middle - 1, middle)]


def _alias(bench: Bench, pair: Pair) -> Record:
    """Two userIds that the client itself says are one person."""
    raw = b'{"previousId":"user-%d","userId":"user-%d"}' % pair
    return Record(bench.next(), "web", NOW_MS, "", "alias", "", f"user-{pair[1]}", f"m-{bench.sequence}", "", 0, raw)


def _log_in(bench: Bench, pair: Pair) -> Record:
    """One userId with ever new anonymousIds."""
    anonymous = f"browser-{pair[1]}"
    return Record(bench.next(), "web", NOW_MS, "", "track", anonymous, "user-0", f"m-{bench.sequence}", "", 0, b"{}")


def _external(bench: Bench, pair: Pair) -> Record:
    """One userId with ever new external ids, of 200 types."""
    raw = b'{"context":{"externalId":[{"type":"card%d","id":"%d"}]}}' % (pair[1] % 200, pair[1])
    return Record(bench.next(), "web", NOW_MS, "", "track", "", "user-0", f"m-{bench.sequence}", "", 0, raw)


def _star(count: int) -> list[Pair]:
    return [(0, number) for number in range(1, count)]


SHAPES: dict[str, tuple[Callable[[int], list[Pair]], Callable[[Bench, Pair], Record]]] = {
    "chain": (_chain, _alias),
    "shuffled": (_shuffled, _alias),
    "halves": (_halves, _alias),
    "star": (_star, _log_in),
    "external": (_star, _external),
}
NO_LIMITS = IdentityConfig(ids_max=0, ids={"user_id": IdTypeConfig(most=0), "anonymous_id": IdTypeConfig(most=0)})


def shape(path: Path, kind: str, count: int, limits: bool) -> dict[str, Any]:
    """Build it, list the members of the largest person; where there are no limits, part it in the middle as well."""
    bench = Bench(path, IdentityConfig() if limits else NO_LIMITS)
    before, peak = memory(os.getpid(), path.parent), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pairs, make = SHAPES[kind][0](count), SHAPES[kind][1]
    records = [make(bench, pair) for pair in pairs]
    made_bytes = memory(os.getpid(), path.parent).anonymous - before.anonymous
    spent_s = bench.feed(records, CATCHING_UP)
    bench.graph.checkpoint()
    store = bench.graph.store
    found: dict[str, Any] = {
        "events": len(records),
        "cpu_s": spent_s,
        "cpu_us_per_event": spent_s / len(records) * 1e6,
        "ids": store.one("SELECT count(*) FROM ids"),
        "merges": store.one("SELECT count(*) FROM merges"),
        "sizes": _sizes(bench)[:3],
        "anonymous_bytes": memory(os.getpid(), path.parent).anonymous - before.anonymous - made_bytes,
    }
    if not limits:
        found |= _listed(bench, kind, count)
        found |= _parted(bench, kind, count)
    found["peak_bytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) * 1024
    return found


def _sizes(bench: Bench) -> list[int]:
    """Ids of each person, the largest first, reckoned from the tables alone."""
    store = bench.graph.store
    became = dict(store.rows("SELECT loser, winner FROM merges WHERE until IS NULL"))
    sizes: Counter[int] = Counter()
    for person, count in store.rows("SELECT origin, count(*) FROM ids GROUP BY origin"):
        while person in became:
            person = became[person]
        sizes[person] += count
    return sorted(sizes.values(), reverse=True)


def _listed(bench: Bench, kind: str, count: int) -> dict[str, Any]:
    """Look one id up, and list all ids of its person; fails where one is missing."""
    past = bench.past()
    wanted = Id("user_id", "user-0")
    began_s = time.perf_counter()
    row = past.store().find([wanted])[wanted]
    root = past.root(row.origin, bench.sequence)
    found_s = time.perf_counter() - began_s
    members = {written(one.value) for one in past.store().members([root])}
    listed_s = time.perf_counter() - began_s
    past.close()
    name = "browser" if kind == "star" else "user"
    expected = {f"{name}-{number}" for number in range(1, count)} | {"user-0"}
    assert members == expected, f"{len(members ^ expected)} ids are missing or too many"
    return {"listed": len(members), "look_up_ms": found_s * 1000, "listed_s": listed_s}


def _parted(bench: Bench, kind: str, count: int) -> dict[str, Any]:
    """Undo a merge in the middle, then forbid two neighbours elsewhere."""
    found: dict[str, Any] = {}
    store, middle = bench.graph.store, count // 2
    merges = [row[0] for row in store.rows("SELECT merge FROM merges ORDER BY merge")]
    if merges:
        found["undo_s"] = bench.act(undo=merge_text(merges[len(merges) // 2]))
        found["sizes after undo"] = _sizes(bench)[:3]
    if kind != "star":
        pair = (Id("user_id", f"user-{middle // 2}"), Id("user_id", f"user-{middle // 2 + 1}"))
        found["forbid_s"] = bench.act(forbid=pair)
        found["sizes after forbid"] = _sizes(bench)[:3]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="the person graph on its own")
    parser.add_argument("what", choices=("ids", *SHAPES))
    parser.add_argument("file", type=Path)
    parser.add_argument("--ids", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--events", type=int, default=6_000, help="of one round")
    parser.add_argument("--limits", action="store_true", help="the limits of the defaults; without it there are none")
    options = parser.parse_args()
    if options.what == "ids":
        found = ids(options.file, options.ids, options.rounds, options.events)
    else:
        found = shape(options.file, options.what, options.ids, options.limits)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
