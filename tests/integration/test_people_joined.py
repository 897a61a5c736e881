"""A graph that has read far ahead of a destination: people are joined and split, and nobody's later event overtakes."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from appliance.core.plan import Change, Join, Split
from appliance.deliver import feed
from appliance.deliver.reviving import revived
from appliance.process.pipeline import Pipeline
from tests.support.people import Graph, People
from tests.support.room import Room, running

NOTING = '''"""Writes down what it is tried with and what it took, and fails where it is told to."""
import json
from pathlib import Path
from appliance.sdk import Config, Event, Limits, Retry

LIMITS = Limits(in_flight_max=4)
SEEN = {}


class Noting(Config):
    folder: str


async def deliver(event: Event, config: Noting) -> None:
    folder, key = Path(config.folder), (event.message_id, event.replayed)
    SEEN[key] = SEEN.get(key, 0) + 1
    failures = json.loads((folder / "failures.json").read_text()).get(event.message_id, 0)
    took = SEEN[key] > failures
    with (folder / ("replayed" if event.replayed else "live")).open("a") as notes:
        notes.write(f"{event.message_id[1:]} {took:d}\\n")
    if not took:
        raise Retry("told to fail")
'''
ALWAYS = 1_000_000
Notes = list[tuple[int, bool]]


class Destination:
    """One that notes what it gets."""

    def __init__(self, folder: Path, attempts_max: int = 10_000) -> None:
        self.folder = folder
        self.fail({})
        (folder / "data" / "plugins").mkdir(parents=True, exist_ok=True)
        (folder / "data" / "plugins" / "noting.py").write_text(NOTING)
        retry = {"delay_min": "10ms", "delay_max": "50ms", "attempts_max": attempts_max}
        self.table: dict[str, Any] = {"plugin": "noting", "folder": str(folder), "retry": retry}
        self.config = {"destinations": {"notes": self.table}}

    def fail(self, times: Mapping[int, int]) -> None:
        """How often each event fails before it is taken."""
        (self.folder / "failures.json").write_text(json.dumps({f"m{sequence}": n for sequence, n in times.items()}))

    def notes(self, which: str = "live") -> Notes:
        """Every attempt in order: the sequence, and whether it was taken."""
        lines = (self.folder / which).read_text().splitlines() if (self.folder / which).exists() else []
        return [(int(line.split()[0]), line.split()[1] == "1") for line in lines]

    async def until(self, enough: Callable[[Notes], bool], which: str = "live") -> Notes:
        async with asyncio.timeout(30):
            while not enough(self.notes(which)):
                await asyncio.sleep(0.02)
        return self.notes(which)


def taken(notes: Notes) -> set[int]:
    return {sequence for sequence, took in notes if took}


async def collect(room: Room, count: int, block: int) -> None:
    """Events m1, m2, ... in blocks of that size."""
    events = [{"messageId": f"m{n}", "userId": "u", "event": "E"} for n in range(1, count + 1)]
    for first in range(0, count, block):
        await room.collect(*events[first : first + block])


@pytest.mark.parametrize("block", [1, 3, 100])
@pytest.mark.parametrize(
    ("lanes", "changes"),
    [
        (["anon", "other", "anon", "user", "user", "other", "user", "user", "other"], {4: [Join(4, "anon", "user")]}),
        (
            ["user", "other", "user", "user", "user", "other", "device", "user", "other"],
            {7: [Split(7, "device", "user")]},
        ),
        (
            ["anon", "other", "anon", "user", "user", "other", "anon", "user", "other"],
            {4: [Join(4, "anon", "user")], 7: [Split(7, "anon", "user")]},
        ),
    ],
    ids=["a visitor logs in", "a device leaves its person", "a visitor logs in, which is undone"],
)
async def test_a_later_event_overtakes_none_though_the_graph_read_far_ahead(
    tmp_path: Path, lanes: list[str], changes: dict[int, list[Change]], block: int
) -> None:
    """The person's first event fails, while all that follows is in the log and resolved already."""
    people = People(lanes, changes)
    destination = Destination(tmp_path)
    destination.fail({1: ALWAYS})
    async with running(tmp_path, destination.config, Graph(people)) as room:
        await room.post("/v1/destinations/notes/pause", {})
        await collect(room, 9, block)
        await room.post("/v1/destinations/notes/resume", {})
        notes = await destination.until(lambda notes: taken(notes) == {2, 6, 9} and notes.count((1, False)) > 3)
        assert {sequence for sequence, _ in notes} == {1, 2, 6, 9}, "somebody overtook the first event"
        destination.fail({})
        notes = await destination.until(lambda notes: len(taken(notes)) == 9)
    assert [sequence for sequence, took in notes if took and sequence not in (2, 6, 9)] == [1, 3, 4, 5, 7, 8]


@pytest.mark.parametrize("seed", range(4))
async def test_by_chance_live_over_restarts_and_in_a_replay(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    people = People.draw(rng, 200, 8, 0.05, 0.05)
    assert people.splits
    destination = Destination(tmp_path)
    sick = rng.sample(range(1, 201), 40)
    destination.fail({sequence: ALWAYS if sequence in sick[:10] else rng.randint(1, 3) for sequence in sick})
    async with running(tmp_path, destination.config, Graph(people)) as room:
        await room.post("/v1/destinations/notes/pause", {})
        await collect(room, 200, rng.choice([1, 7, 50]))
        await room.post("/v1/destinations/notes/resume", {})
        await destination.until(lambda notes: len(notes) > 60)
    for _ in range(3):
        seen = len(destination.notes())
        async with running(tmp_path, destination.config, Graph(people)):
            await destination.until(lambda notes, seen=seen: len(notes) > seen + 30)
    destination.fail({})
    async with running(tmp_path, destination.config, Graph(people)) as room:
        notes = await destination.until(lambda notes: len(taken(notes)) == 200)
        assert people.overtaken(notes) == []
        destination.fail(dict.fromkeys(sick[:20], 2))
        body: dict[str, Any] = {"destination": "notes", "from_ms": 0, "to_ms": room.clock.wall_ms() + 1_000}
        await room.post("/v1/replays", body)
        again = await destination.until(lambda notes: len(taken(notes)) == 200, "replayed")
    assert people.overtaken(again) == []


async def test_deliveries_wait_for_the_graph_and_are_woken_by_it(tmp_path: Path) -> None:
    graph = Graph(People(["a"] * 6, {}), reach=0)
    destination = Destination(tmp_path)
    async with running(tmp_path, destination.config, graph) as room:
        await collect(room, 6, 2)
        await room.until("/v1/overview", lambda found: found["log"]["last_sequence"] == 6)
        await asyncio.sleep(0.2)
        assert destination.notes() == []
        (shown,) = (await room.get("/v1/destinations"))["destinations"]
        assert shown["lag_events"] == 0, "it lags behind nothing that it could have"
        for reach in (2, 6):
            graph.reach = reach
            room.wake()
            await destination.until(lambda notes, reach=reach: len(taken(notes)) == reach)
    assert destination.notes() == [(sequence, True) for sequence in range(1, 7)]


async def test_what_the_graph_resolves_while_deliveries_start_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is woken for what was there before they asked to be."""
    graph = Graph(People(["a"] * 6, {}), reach=0)
    destination = Destination(tmp_path)
    async with running(tmp_path, destination.config, graph) as room:
        await collect(room, 6, 2)
    asks = Room.grown

    def grown(room: Room, wake: Callable[[], None]) -> Callable[[], None]:
        time.sleep(0.3)  # Workers that run already have looked by then.
        graph.reach = 6
        return asks(room, wake)

    monkeypatch.setattr(Room, "grown", grown)
    async with running(tmp_path, destination.config, graph):
        await destination.until(lambda notes: len(taken(notes)) == 6)


@pytest.mark.parametrize("killed", [False, True], ids=["requeued", "killed while requeuing"])
async def test_a_requeued_event_of_one_who_was_joined_since_does_not_go_beside_the_winner(
    tmp_path: Path, killed: bool
) -> None:
    """Neither had anything unsettled when they were joined, so nothing but the graph knows of it.

    It knows already who the winner becomes later as well, of which the destination has not heard yet.
    """
    people = People(
        ["loser", "winner", "winner", "later"], {2: [Join(2, "loser", "winner")], 4: [Join(4, "winner", "later")]}
    )
    destination = Destination(tmp_path, attempts_max=1)
    destination.fail({1: ALWAYS})
    async with running(tmp_path, destination.config, Graph(people)) as room:
        await room.collect({"messageId": "m1", "userId": "u"})
        await room.until("/v1/dead", lambda found: found["dead"])
        await room.collect({"messageId": "m2", "userId": "u"})
        await destination.until(lambda notes: 2 in taken(notes))
    destination = Destination(tmp_path)
    destination.fail({1: ALWAYS})
    async with running(tmp_path, destination.config, Graph(people)) as room:
        (letter,) = room.log.dead_letters()
        if killed:
            job = revived(letter, None, Pipeline(Graph(people), 1 << 20, room.log.subscribe), 0)
            await asyncio.wrap_future(room.log.write(lambda transaction: transaction.hold([job])))
        else:
            await room.post("/v1/dead/requeue", {"ids": [letter.id], "expect": 1})
            await destination.until(lambda notes: notes.count((1, False)) > 2)
            await room.collect({"messageId": "m3", "userId": "u"})
            await asyncio.sleep(0.3)
            assert 3 not in {sequence for sequence, _ in destination.notes()}, "it went beside the requeued one"
    async with running(tmp_path, destination.config, Graph(people)) as room:
        await room.collect(*({"messageId": f"m{n}", "userId": "u"} for n in ((3, 4) if killed else (4,))))
        await asyncio.sleep(0.3)
        assert not {3, 4} & {sequence for sequence, _ in destination.notes()}, "over a restart neither"
        destination.fail({})
        notes = await destination.until(lambda notes: len(taken(notes)) == 4)
    assert [sequence for sequence, took in notes if took] == [2, 1, 3, 4]


@pytest.mark.parametrize("why", ["paused", "open"])
async def test_what_a_destination_skips_pins_nothing_and_swallows_no_join(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """The way over what is skipped is gone in steps, although nothing is delivered."""
    monkeypatch.setattr(feed, "PASS_SEQUENCES", 3)
    people = People(["loser"] + ["other"] * 38 + ["winner"], {20: [Join(20, "loser", "winner")]})
    graph, destination = Graph(people), Destination(tmp_path)
    destination.fail({1: ALWAYS})
    if why == "open":
        destination.table["breaker"] = {"people": 1, "probe_min": "300s", "probe_max": "300s"}
    async with running(tmp_path, destination.config, graph) as room:
        await collect(room, 1, 1)
        await destination.until(lambda notes: len(notes) > 0)
        if why == "paused":
            await room.post("/v1/destinations/notes/pause", {})
        await room.collect(*({"messageId": f"m{n}", "userId": "u"} for n in range(2, 41)))
        worker = room.dispatcher.workers["notes"]
        worker._loop.call_soon_threadsafe(worker.skip_to, 39)
        async with asyncio.timeout(10):
            while worker.cursor.low < 39:
                await asyncio.sleep(0.01)
        assert len(graph.asked) >= 12
        if why == "paused":
            await room.post("/v1/destinations/notes/resume", {})
        await asyncio.sleep(0.3)
        assert {sequence for sequence, _ in destination.notes()} == {1}, "the winner's event overtook the loser's"
        destination.fail({})
        await room.dispatcher.drain("notes")
        notes = await destination.until(lambda notes: len(taken(notes)) == 2)
    assert [sequence for sequence, took in notes if took] == [1, 40]
