"""What a destination reads on a real log: no join is lost in a gap, nothing is taken that is not resolved yet."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.core.plan import Change, Join, Split
from appliance.deliver import feed as reading
from appliance.deliver.breaker import Breaker
from appliance.deliver.cursor import Cursor
from appliance.deliver.feed import Feed
from appliance.deliver.lane import Job
from appliance.deliver.order import Order, Rules
from appliance.process.pipeline import Pipeline
from appliance.wal import keys
from appliance.wal.log import Appended, Block, Log
from appliance.wal.store import Store
from tests.support.people import Graph, People
from tests.support.waiting import until
from tests.unit.wal.tools import config, opened, record, spoil_block

JOINED: tuple[list[str], dict[int, list[Change]]] = (
    ["l", "w", "x", "x", "w", "w", "y"],
    {4: [Join(4, "l", "w")], 5: [Split(5, "y", "w")]},
)
"""After the fourth the first one's events are w's, and y is one who was w until the fifth."""


class Reader:
    """A feed with its order machine, as a worker has them, on a log whose blocks hold one event each."""

    def __init__(self, log: Log, people: People, reach: int | None = None, low: int = 0) -> None:
        self.graph = Graph(people, keys.SEQUENCE_MAX if reach is None else reach)
        self.cursor = Cursor(low)
        self.order = Order(Rules(9, 9, 9, 10**9, lambda attempts: 0), Breaker(20, 60_000, 10, 100))
        pipeline = Pipeline(self.graph, 1 << 20, log.subscribe)
        self.feed = Feed(log, pipeline, self.cursor, self.order, lambda record: True, 100, lambda: 1 << 20)

    def fill(self) -> list[int]:
        """Everything that may be read; returns what may go out then, of the people who are idle."""
        turns = 0
        while self.feed.fill():
            turns += 1
            assert turns < 100, "it spins"
        return [job.sequence for job in self.order.queues.gather(100, 1 << 20)]


async def collected(folder: Path, events: Sequence[str], spoil: Callable[[Path], None] = lambda folder: None) -> None:
    """A log with one block for each of these events, and what then happens to its file."""
    async with opened(folder, config(retention=3_600.0)) as log:
        for number in range(1, len(events) + 1):
            await log.append([record(f"m{number}")])
    spoil(folder)


@asynccontextmanager
async def reader(folder: Path, people: People, reach: int | None = None) -> AsyncIterator[Reader]:
    async with opened(folder, config(retention=3_600.0)) as log:
        yield Reader(log, people, reach)


def removed(*sequences: int) -> Callable[[Path], None]:
    """These blocks are gone from the file: trimmed, or their events were deleted."""

    def remove(folder: Path) -> None:
        store = Store.open(folder, config().disk_bytes_max)
        with store.env.begin(write=True, db=store.tables.blocks) as txn:
            for sequence in sequences:
                assert txn.delete(keys.number_key(sequence))
        store.env.close()

    return remove


def rotten(*sequences: int) -> Callable[[Path], None]:
    """These blocks cannot be read."""

    def rot(folder: Path) -> None:
        for sequence in sequences:
            spoil_block(folder, sequence)

    return rot


@pytest.mark.parametrize("steps", [1, 2, 20_000])
@pytest.mark.parametrize("passed", ["whole", "removed", "rotten", "skipped"])
async def test_joins_and_splits_of_events_that_never_come_count_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: str, steps: int
) -> None:
    monkeypatch.setattr(reading, "PASS_SEQUENCES", steps)
    people = People(*JOINED)
    spoil = {"removed": removed(3, 4, 5), "rotten": rotten(3, 4, 5)}.get(passed, lambda folder: None)
    await collected(tmp_path / "wal", people.lanes, spoil)
    async with reader(tmp_path / "wal", people, reach=2) as read:
        assert read.fill() == [1, 2]
        assert not read.feed.behind
        read.graph.reach = 7
        if passed == "skipped":
            assert read.feed.skip_to(5) == 3
        assert 6 not in (out := read.fill()), "w goes on while an event is out that is theirs now"
        assert 7 not in out, "y split off from w, of whom an event is out"
        assert out == ([3] if passed == "whole" else [])
        assert read.cursor.read == 7
        assert read.order.queues.member_of == {"l": "w", "y": "w"}
        assert all(upto - after <= steps for after, upto in read.graph.asked)
        assert bool(read.graph.asked) == (passed != "whole")


async def test_where_nobody_waits_a_long_way_is_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "PASS_SEQUENCES", 1)
    people = People(*JOINED)
    await collected(tmp_path / "wal", people.lanes, removed(1, 2, 3, 4, 5))
    async with reader(tmp_path / "wal", people) as read:
        assert read.feed.fill()
        assert read.cursor.read == 5
        assert read.fill() == [6, 7]
        assert read.graph.asked == []


@pytest.mark.parametrize("reach", [0, 3, 4, 7])
async def test_nothing_is_taken_above_reach(tmp_path: Path, reach: int) -> None:
    """Blocks of three events: a reach within one is not agreed, and delivers nothing of it."""
    people = People(["a", "b", "c", "d", "e", "f", "g", "h", "i"], {})
    async with opened(tmp_path / "wal", config(retention=3_600.0)) as log:
        for first in (1, 4, 7):
            await log.append([record(f"m{n}") for n in range(first, first + 3)])
        read = Reader(log, people, reach)
        whole = reach // 3 * 3
        assert read.fill() == list(range(1, whole + 1))
        assert read.cursor.read == whole
        assert (read.feed.end, read.feed.behind) == (reach, reach > whole)
        read.graph.reach = 9
        assert read.fill() == list(range(whole + 1, 10))
        assert not read.feed.behind


async def test_a_rotten_block_that_ends_above_reach_waits_as_well(tmp_path: Path) -> None:
    people = People(["l", "w", "x", "x"], {4: [Join(4, "l", "w")]})
    async with opened(tmp_path / "wal", config(retention=3_600.0)) as log:
        await log.append([record("m1"), record("m2")])
        await log.append([record("m3"), record("m4")])
    spoil_block(tmp_path / "wal", 3)
    async with reader(tmp_path / "wal", people, reach=3) as read:
        assert read.fill() == [1, 2]
        assert (read.cursor.read, read.graph.asked) == (2, [])
        read.graph.reach = 4
        assert read.fill() == []
        assert (read.cursor.read, read.graph.asked) == (4, [(2, 4)])
        assert read.order.queues.member_of == {"l": "w"}


async def test_a_start_behind_the_last_event_of_a_block_that_ends_in_a_gap_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block's last events were deleted; the cursor stands at the last one left, and still the block is not over."""
    people = People(["a"] * 5, {5: [Join(5, "b", "a")]})
    async with opened(tmp_path / "wal", config(retention=3_600.0)) as log:
        await log.append([record(f"m{n}") for n in range(1, 6)])
        (block,) = log.read(0)
        monkeypatch.setattr(log, "read", lambda after, bytes_max: [Block(1, 5, block.records[:3])] if after < 5 else [])
        read = Reader(log, people, low=3)
        read.order.queues.offer(Job("b", 2, 0, None, 10))
        assert read.fill() == [2]
        assert read.cursor.read == 5
        assert read.order.queues.member_of == {"b": "a"}


async def test_an_event_that_comes_while_a_trimmed_end_is_passed_is_not_passed_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader finds no block; before it looks how far the log goes, one is committed."""
    people = People(["a", "b", "c"], {})
    async with opened(tmp_path / "wal", config(retention=3_600.0)) as log:
        await log.append([record("m1"), record("m2")])
        read = Reader(log, people)
        committed: list[asyncio.Future[Appended]] = []

        def trimmed(after: int, bytes_max: int) -> list[object]:
            monkeypatch.undo()
            committed.append(log.append([record("m3")]))
            until(lambda: log.last_sequence == 3, timeout_s=10.0)
            return []

        monkeypatch.setattr(log, "read", trimmed)
        read.feed.fill()
        assert read.cursor.read == 2
        assert read.fill() == [3]
        await committed[0]
