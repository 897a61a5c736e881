"""The log against a naive model of it: lists and dictionaries, over kills, restarts and trims."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from appliance.wal.log import Appended, DeadLetter, HeldJob, Log, Progress, ReplayCursor
from tests.unit.wal.tools import HandClock, config, copy_of, job, letter, record

DESTINATIONS = st.sampled_from(["crm", "files", "ü" * 200])
LANES = st.sampled_from(["anna", "bert", ""])
pytestmark = pytest.mark.timeout(600)  # a failure is worth being made small
NAMES = st.lists(st.tuples(st.sampled_from(["web", "app"]), st.integers(0, 60).map(str)), min_size=1, max_size=8)
PLACES = st.tuples(LANES, st.integers(1, 12), st.integers(0, 2))


class Model(RuleBasedStateMachine):
    """What the log should hold, in the plainest form."""

    @initialize(retention=st.sampled_from([0.0, 5.0]))
    def begin(self, retention: float) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="model-"))
        self.settings = config(retention=retention, dedup_ids_min=10_000)
        self.clock, self.generation = HandClock(), 0
        self.loop = asyncio.new_event_loop()
        self.events: list[tuple[int, str, str]] = []
        self.progress: dict[str, Progress] = {}
        self.held: dict[tuple[str, str], dict[tuple[int, int], HeldJob]] = {}
        self.dead: dict[int, DeadLetter] = {}
        self.replays: dict[str, ReplayCursor] = {}
        self.letters = self.passed = 0
        self._open()

    def _open(self) -> None:
        self.log = Log.open(self.folder / str(self.generation), self.settings, self.clock)
        self.log.start(self.loop)

    def _run(self, work: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(work, 20))

    def _write(self, change: Any) -> Any:
        return self._run(asyncio.wrap_future(self.log.write(change), loop=self.loop))

    @rule(lots=st.lists(NAMES, min_size=1, max_size=4))
    def append(self, lots: list[list[tuple[str, str]]]) -> None:
        async def all_at_once() -> list[Appended]:
            return await asyncio.gather(
                *[self.log.append([record(id_, source=source) for source, id_ in lot]) for lot in lots]
            )

        known = {(source, id_) for _, source, id_ in self.events}
        before, expected, fresh = self.log.last_sequence, [], []
        for lot in lots:
            new = list(dict.fromkeys(each for each in lot if each not in known))
            known.update(new)
            fresh += new
            expected.append(Appended(len(new), len(lot) - len(new)))
        assert self._run(all_at_once()) == expected
        self.events += [(before + place, *each) for place, each in enumerate(fresh, 1)]

    @rule(
        destination=DESTINATIONS,
        low=st.integers(0, 80),
        ranges=st.lists(st.tuples(st.integers(100, 200), st.integers(200, 300)), max_size=2),
        soon=st.booleans(),
    )
    def save_progress(self, destination: str, low: int, ranges: list[tuple[int, int]], soon: bool) -> None:
        there = Progress(low, ranges, {low + 3: [0, 2]}, low + 9)
        future = self.log.write(lambda transaction: transaction.save_progress(destination, there), soon=soon)
        self._run(asyncio.wrap_future(future, loop=self.loop))
        self.progress[destination] = there

    @rule(destination=DESTINATIONS, places=st.lists(PLACES, min_size=1, max_size=4), attempts=st.integers(0, 3))
    def hold(self, destination: str, places: list[tuple[str, int, int]], attempts: int) -> None:
        jobs = [
            job(sequence, lane=lane, part=part, destination=destination, attempts=attempts)
            for lane, sequence, part in places
        ]
        self._write(lambda transaction: transaction.hold(jobs))
        for each in jobs:
            self.held.setdefault((destination, each.lane), {})[each.sequence, each.part] = each

    @rule(destination=DESTINATIONS, place=PLACES, attempts=st.integers(1, 9), error=st.text(max_size=20))
    def update_held(self, destination: str, place: tuple[str, int, int], attempts: int, error: str) -> None:
        lane, sequence, part = place
        retried = job(sequence, lane=lane, part=part, destination=destination, attempts=attempts, error=error)
        self._write(lambda transaction: transaction.update_held([retried]))
        there = self.held.get((destination, lane), {})
        if (sequence, part) in there:
            there[sequence, part] = retried

    @rule(destination=DESTINATIONS, places=st.lists(PLACES, min_size=1, max_size=4))
    def release(self, destination: str, places: list[tuple[str, int, int]]) -> None:
        self._write(lambda transaction: transaction.release(destination, places))
        for lane, *place in places:
            self.held.get((destination, lane), {}).pop(tuple(place), None)

    @rule(destination=DESTINATIONS, place=PLACES)
    def give_up(self, destination: str, place: tuple[str, int, int]) -> None:
        lane, sequence, part = place

        def change(transaction: Any) -> list[int]:
            transaction.release(destination, [place])
            return transaction.bury([letter(sequence, destination=destination, lane=lane)])

        (id_,) = self._write(change)
        self.letters += 1
        assert id_ == self.letters
        self.dead[id_] = msgspec.structs.replace(letter(sequence, destination=destination, lane=lane), id=id_)
        self.held.get((destination, lane), {}).pop((sequence, part), None)

    @rule(ids=st.lists(st.integers(1, 12), max_size=3))
    def exhume(self, ids: list[int]) -> None:
        found = self._write(lambda transaction: transaction.exhume(ids))
        assert [each.id for each in found] == [id_ for id_ in dict.fromkeys(ids) if id_ in self.dead]
        for id_ in ids:
            self.dead.pop(id_, None)

    @rule(destination=DESTINATIONS)
    def forget(self, destination: str) -> None:
        self._write(lambda transaction: transaction.forget(destination))
        self.progress.pop(destination, None)
        self.held = {key: jobs for key, jobs in self.held.items() if key[0] != destination}
        self.replays = {name: cursor for name, cursor in self.replays.items() if cursor.destination != destination}

    @rule(destination=DESTINATIONS, low=st.integers(0, 60))
    def replay(self, destination: str, low: int) -> None:
        cursor = ReplayCursor(destination, low, 100)
        self._write(lambda transaction: transaction.save_replay("r", cursor))
        self.replays["r"] = cursor

    @precondition(lambda self: self.replays)
    @rule()
    def end_replay(self) -> None:
        self._write(lambda transaction: transaction.drop_replay("r"))
        self.replays.clear()

    @rule(change=st.sampled_from(["save_progress", "hold", "bury"]))
    def fail(self, change: str) -> None:
        def spoilt(transaction: Any) -> None:
            arguments = {"save_progress": ("crm", Progress(10**6)), "hold": ([job(5)],), "bury": ([letter(1)],)}[change]
            getattr(transaction, change)(*arguments)
            raise KeyError(change)

        try:
            self._write(spoilt)
        except KeyError:
            return
        raise AssertionError("what a change raises must reach its caller")

    @rule(ms=st.integers(1, 20_000), jump=st.sampled_from([0, 0, 366 * 86_400_000, -366 * 86_400_000]))
    def time_passes(self, ms: int, jump: int) -> None:
        before = self.log.log_now_ms()
        self.clock.advance(ms)
        self.clock.wall += jump
        assert self.log.log_now_ms() == before + ms

    @rule(after=st.integers(0, 150), size=st.integers(1, 600))
    def read_from(self, after: int, size: int) -> None:
        found = [
            each.sequence for block in self.log.read(after, size) for each in block.records if each.sequence > after
        ]
        expected = [sequence for sequence, _, _ in self.events if sequence > after]
        there = [sequence for sequence in expected if not found or sequence >= found[0]]
        assert found == there[: len(found)] and (found[:1] == expected[:1] or found[0] <= self.passed + 1), "a gap"
        assert found or not expected

    @rule(clean=st.booleans())
    def restart(self, clean: bool) -> None:
        before, reached = self.log.log_id, self.log.log_now_ms()
        old, self.generation = self.folder / str(self.generation), self.generation + 1
        new = self.folder / str(self.generation)
        if clean:
            self._run(self.log.stop())
            old.rename(new)
        else:
            copy_of(old, new)
            self._run(self.log.stop())
            shutil.rmtree(old)
        self.clock.monotonic = 11
        self._open()
        assert self.log.log_id == before and self.log.salvaged == ""
        assert self.log.log_now_ms() <= reached
        assert not clean or self.log.log_now_ms() == reached

    @invariant()
    def events_are_there_in_order(self) -> None:
        found, after = [], 0
        while blocks := self.log.read(after, 300):
            for block in blocks:
                found += [
                    (each.sequence, each.source, each.message_id) for each in block.records if each.sequence > after
                ]
                after = block.last_sequence
        assert found == self.events[len(self.events) - len(found) :], "the newest events, in order, and nothing else"
        lows = [each.low for each in self.progress.values()] + [each.low for each in self.replays.values()]
        self.passed = max(self.passed, min(lows, default=self.log.last_sequence))
        assert not found or found[0][0] <= self.passed + 1, "what some cursor had not passed is gone"

    @invariant()
    def cursors_are_there(self) -> None:
        assert self.log.destinations() == self.progress
        assert self.log.replays() == self.replays

    @invariant()
    def held_jobs_are_there_in_order(self) -> None:
        for destination in ("crm", "files", "ü" * 200):
            heads = {head.lane: head for head in self.log.held_heads(destination)}
            expected = {lane: jobs for (name, lane), jobs in self.held.items() if name == destination and jobs}
            assert heads.keys() == expected.keys()
            for lane, jobs in expected.items():
                ordered = [jobs[place] for place in sorted(jobs)]
                assert self.log.held_jobs(destination, lane) == ordered
                head, first = heads[lane], ordered[0]
                assert (head.sequence, head.part, head.attempts, head.error, head.count) == (
                    first.sequence,
                    first.part,
                    first.attempts,
                    first.error,
                    len(jobs),
                )
            count, size = self.log.held_size(destination)
            assert count == sum(map(len, expected.values()))
            assert size == sum(head.bytes for head in heads.values())

    @invariant()
    def dead_letters_are_there(self) -> None:
        assert {each.id: each.sequence for each in self.log.dead_letters(limit=10_000)} == {
            id_: each.sequence for id_, each in self.dead.items()
        }

    def teardown(self) -> None:
        if hasattr(self, "log"):
            self._run(self.log.stop())
            self.loop.close()
            shutil.rmtree(self.folder)


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=40, stateful_step_count=30, suppress_health_check=list(HealthCheck))
