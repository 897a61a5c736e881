"""What the person graph costs: a million ids, shapes at the limit, and what the collector's clients notice of it."""

import shutil
import threading
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple

from tests.bench.crowd import MIX, NEW
from tests.bench.figures import Figure, at_least, at_most, reported
from tests.bench.measure import MIB, Cpu
from tests.bench.stand import Bench, finish, memory_of, module, percentile
from tests.support.appliance import Appliance

IDS, SHAPE_IDS = 1_000_000, 100_000
RATE = 3_000
RATE_S = 300.0
"""How long the fixed rate lasts, where --seconds does not say less."""
CONNECTIONS = 64
SAMPLE_S = 0.5
PARTINGS = {"undo": "undo a merge in the middle", "forbid": "forbid two neighbours a quarter from one end"}
HELD = 0.99
"""So much of the rate must have been answered in time, or the machine was too busy to tell."""


# The graph alone ---------------------------------------------------------------------------------------------


def ids(bench: Bench) -> list[Figure]:
    """A million ids: CPU per event, bytes, look-ups, memory. The graph stays for the fixed rate."""
    count = bench.count(IDS)
    found = finish(module("graph_alone", "ids", str(_file(bench)), "--ids", str(count), *_rounds(bench)))
    rows, cpu_us = found["rows"], found["cpu_us"]
    machine = f"a fixed loop of plain Python takes {found['calibration_ms']:.1f} ms here"
    mix = f"{rows['ids']:,} ids of {found['people']:,} people ({MIX}), seed {found['seed']}; {machine}"
    name = f"person graph, {count:,} ids"
    tables = ", ".join(f"{table} {size / rows['ids']:.0f}" for table, size in found["bytes_by_table"].items())
    return [
        _cpu(f"{name}: CPU per event of known people, 60 at once", cpu_us["known, turn"], 15, mix),
        _cpu(f"{name}: CPU per event of known people, 500 at once", cpu_us["known, catching up"], 15),
        _cpu(f"{name}: CPU per event of new people, 60 at once", cpu_us["new, turn"], 35, _new(found, "turn")),
        _cpu(
            f"{name}: CPU per event of new people, 500 at once",
            cpu_us["new, catching up"],
            35,
            _new(found, "catching up"),
        ),
        reported(
            f"{name}: CPU per event of known people, the first of their day",
            cpu_us["known, first of a day, turn"],
            "us",
        ),
        reported(f"{name}: of these, reading the ids of an event", cpu_us["reading the ids of an event"], "us"),
        reported(f"{name}: calibration, a fixed loop of plain Python", found["calibration_ms"], "ms"),
        at_most(
            f"{name}: bytes on disk per id",
            found["file_bytes"] / rows["ids"],
            "B",
            200,
            f"of each table and index: {tables}",
        ),
        reported(
            f"{name}: bytes to the device per event of new people, 60 at once",
            found["device_bytes_per_new_event"]["turn"],
            "B",
            f"{found['device_bytes_per_new_event']['catching up']:,.0f} with 500 at once; SQLite's own log takes {found['wal_bytes'] / MIB:.0f} MiB "
            "for the time being",
        ),
        *_look_ups(name, found["look_up"]),
        reported(
            f"{name}: memory beside the file's mapped pages",
            found["anonymous_bytes"] / MIB,
            "MiB",
            f"{found['map_bytes'] / MIB:.0f} MiB of the file are mapped",
        ),
        reported(f"{name}: filling it", found["fill"]["cpu_s"], "s of CPU", f"{found['fill']['events']:,} events"),
    ]


def _rounds(bench: Bench) -> list[str]:
    return ["--rounds", "3"] if bench.quick else []


def _cpu(name: str, value: float, limit: float, note: str = "") -> Figure:
    return at_most(name, value, "us", limit, note)


def _new(found: dict[str, Any], which: str) -> str:
    per_event, cost_us = found["new_ids_per_event"][which], found["cpu_us"][f"new, {which}"]
    return f"{per_event:.2f} new ids per event, so {cost_us / per_event:.1f} us per new id; checkpoints included"


def _look_ups(name: str, look_up: dict[str, dict[str, float]]) -> list[Figure]:
    notes = {
        by: f"p50 {each['p50_ms']:.3f} ms; CPU p99 {each['cpu_p99_ms']:.3f} ms; {each['times']:,} random ids"
        for by, each in look_up.items()
    }
    by_type, alone, whole = look_up.values()
    return [
        at_most(f"{name}: look-up of any id, p99", by_type["p99_ms"], "ms", 1.0, notes["type and value"]),
        reported(f"{name}: look-up of an id of unknown type, p99", alone["p99_ms"], "ms", notes["value alone"]),
        reported(f"{name}: all of a person by any id, p99", whole["p99_ms"], "ms", notes["the whole person"]),
    ]


def shapes(bench: Bench) -> list[Figure]:
    """Chains and stars without limits finish, list completely and can be parted; with the limits none forms."""
    count, figures = bench.count(SHAPE_IDS), []
    words = {
        "chain": "chain of aliases",
        "shuffled": "chain in a random order",
        "halves": "two half chains, joined",
        "star": "star",
    }
    for kind, word in words.items():
        found = _shape(bench, kind, count)
        name = f"{word} of {count:,} ids, no limits"
        figures += [
            at_least(f"{name}: ids listed", found["listed"], "", count, _costs(found)),
            reported(
                f"{name}: time to list them", found["listed_s"], "s", f"look-up of one {found['look_up_ms']:.1f} ms"
            ),
            *[
                reported(
                    f"{name}: CPU to {words}", found[f"{deed}_s"], "s", f"{_sizes(found[f'sizes after {deed}'])} ids"
                )
                for deed, words in PARTINGS.items()
                if f"{deed}_s" in found
            ],
        ]
    for kind, word, most in (
        ("chain", "chain of aliases", 10),
        ("shuffled", "chain in a random order", 10),
        ("star", "star", 101),
        ("external", "star of 200 types of ids", 500),
    ):
        found = _shape(bench, kind, count, "--limits")
        name = f"{word} of {count:,} ids, default limits: ids of the largest person"
        figures.append(at_most(name, found["sizes"][0], "", most, _costs(found)))
    return figures


def _shape(bench: Bench, kind: str, count: int, *limits: str) -> dict[str, Any]:
    path = bench.folder / f"shape-{kind}{''.join(limits)}" / "people.sqlite"
    found = finish(module("graph_alone", kind, str(path), "--ids", str(count), *limits))
    shutil.rmtree(path.parent)
    return found


def _costs(found: dict[str, Any]) -> str:
    return (
        f"{found['cpu_s']:.1f} s of CPU for {found['events']:,} events, {found['cpu_us_per_event']:.0f} us each; {found['merges']:,} "
        f"merges; memory {found['anonymous_bytes'] / MIB:.0f} MiB, at the highest {found['peak_bytes'] / MIB:.0f} MiB more than before"
    )


def _sizes(sizes: list[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)


# The whole process -------------------------------------------------------------------------------------------


def rate(bench: Bench) -> list[Figure]:
    """A fixed rate of single posts, in turns: without the graph, with a graph of a million ids, without."""
    seconds = min(RATE_S, bench.long_s)
    if not _file(bench).exists():
        finish(module("graph_alone", "ids", str(_file(bench)), "--ids", str(bench.count(IDS)), "--rounds", "1"))
    (bench.folder / "rate-with" / "data" / "identity").mkdir(parents=True)
    shutil.copy(_file(bench), bench.folder / "rate-with" / "data" / "identity" / "people.sqlite")
    off = {"identity": {"enabled": False}}
    with bench.appliance("rate-without", tables=off) as without, bench.appliance("rate-with") as with_graph:
        for appliance in (without, with_graph):
            _warm(bench, appliance)
        first = _turn(bench, without, seconds / 2, 1)
        ours = _turn(bench, with_graph, seconds, 2)
        second = _turn(bench, without, seconds / 2, 3)
        ours_memory = memory_of(with_graph)
        theirs_memory = memory_of(without)
    return _rate_figures(seconds, ours, first.plus(second), (ours_memory.anonymous - theirs_memory.anonymous) / MIB)


class _Turn(NamedTuple):
    """What one load met."""

    waits_ms: list[float]
    """From the planned time of a request to its answer."""
    failed: int
    seconds: float
    cpu: Cpu
    client_s: float
    """CPU of the client."""
    lags_s: list[float]

    def p(self, share: float) -> float:
        """A percentile of what the client waited."""
        return percentile(self.waits_ms, share)

    @property
    def us(self) -> float:
        """CPU of the process per event."""
        return self.cpu.seconds / len(self.waits_ms) * 1e6

    @property
    def held(self) -> float:
        """Requests per second that were really answered."""
        return len(self.waits_ms) / self.seconds

    def plus(self, other: "_Turn") -> "_Turn":
        """Both as one."""
        self.cpu.seconds += other.cpu.seconds
        self.cpu.elapsed_s += other.cpu.elapsed_s
        return _Turn(
            self.waits_ms + other.waits_ms,
            self.failed + other.failed,
            self.seconds + other.seconds,
            self.cpu,
            self.client_s + other.client_s,
            [],
        )


def _rate_figures(seconds: float, ours: _Turn, theirs: _Turn, more_memory: float) -> list[Figure]:
    name = f"{RATE:,} single posts/s for {seconds:.0f} s"
    mix = f"{NEW:.0%} of events from the lives of new people, the others of those known ({MIX})"
    waits = (
        f"clients waited p50 {ours.p(0.5):.2f}, p99 {ours.p(0.99):.2f} ms with the graph, {theirs.p(0.5):.2f} and "
        f"{theirs.p(0.99):.2f} without, by the planned times; the client itself took {ours.client_s / ours.seconds:.0%} of a core"
    )
    if min(ours.held, theirs.held) < HELD * RATE:
        waits += "; THE RATE WAS NOT HELD, so that what clients waited says nothing: run it on a quiet machine"
    shares = (turn.cpu.seconds / turn.cpu.elapsed_s for turn in (ours, theirs))
    cpu = f"{ours.us:.0f} against {theirs.us:.0f} us, " + " against ".join(f"{share:.0%}" for share in shares)
    return [
        at_most(f"{name}: lag of the graph at the end", ours.lags_s[-1], "s", 1.0, f"highest {max(ours.lags_s):.3f} s"),
        at_most(
            f"{name}: collector's p99, with the graph over without",
            (ours.p(0.99) / theirs.p(0.99) - 1) * 100,
            "%",
            25,
            waits,
        ),
        reported(f"{name}: collector's p50, with the graph over without", (ours.p(0.5) / theirs.p(0.5) - 1) * 100, "%"),
        at_least(f"{name}: rate that was held", min(ours.held, theirs.held), "1/s", HELD * RATE, mix),
        reported(f"{name}: CPU of the process per event for the graph", ours.us - theirs.us, "us", f"{cpu} of a core"),
        reported(f"{name}: memory for the graph", more_memory, "MiB"),
        at_most(f"{name}: requests not answered 200", ours.failed + theirs.failed, "", 0),
    ]


def _warm(bench: Bench, appliance: Appliance) -> None:
    bench.load(appliance.url, events=RATE, rate=RATE / 3, connections=CONNECTIONS, crowd=_known(bench), seed=0)


def _turn(bench: Bench, appliance: Appliance, seconds: float, seed: int) -> _Turn:
    record = bench.folder / f"rate-{seed}.txt"
    with _Lag(appliance) as lag, Cpu(appliance.pid) as cpu:
        sent = bench.load(
            appliance.url,
            events=int(RATE * seconds),
            rate=RATE,
            connections=CONNECTIONS,
            crowd=_known(bench),
            seed=seed,
            record=record,
        )
        lag.look()
    rows = [line.split() for line in record.read_text().splitlines()]
    waits_ms = [(float(row[2]) - float(row[1])) * 1000 for row in rows]
    return _Turn(waits_ms, sent["failed"], sent["seconds"], cpu, sent["cpu_s"], lag.seen_s)


class _Lag:
    """How far the graph is behind the log, in seconds at the fixed rate, twice a second."""

    def __init__(self, appliance: Appliance) -> None:
        self._url, self._ended = f"{appliance.control_url}/metrics", threading.Event()
        self.seen_s: list[float] = []

    def __enter__(self) -> "_Lag":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            self.look()

    def look(self) -> None:
        """Once more, now."""
        with urllib.request.urlopen(self._url, timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        self.seen_s += [float(line.split()[1]) / RATE for line in lines if line.startswith("identity_lag_events ")]


def _known(bench: Bench) -> int:
    """People of the prepared graph that are surely there: 2.9 ids each."""
    return bench.count(IDS) // 3


def _file(bench: Bench) -> Path:
    return bench.folder / "graph" / "people.sqlite"
