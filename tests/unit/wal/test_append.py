"""Appending: what is acknowledged stands in the log once, in order, also for those who open it next."""

import asyncio
import random
from pathlib import Path

import pytest

from appliance.core.errors import LogFailed, Overloaded
from appliance.core.event import Refused
from appliance.wal.log import Appended, Log
from tests.unit.wal.tools import MIB, HandClock, config, copy_of, ids, opened, record, sequences, write


async def test_events_come_back_in_order_with_ascending_sequences(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        futures = [log.append([record(f"{lot}-{number}") for number in range(lot)]) for lot in range(1, 30)]
        assert [(await future) for future in futures] == [Appended(lot, 0) for lot in range(1, 30)]
        assert ids(log) == [f"{lot}-{number}" for lot in range(1, 30) for number in range(lot)]
        assert sequences(log) == list(range(1, log.last_sequence + 1))


async def test_appends_that_wait_together_share_a_commit(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await asyncio.gather(*[log.append([record(f"{number}")]) for number in range(200)])
        assert log.stats().commits_total <= 5


async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        for number in range(30):
            await log.append([record(f"{number}")])
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed) as log:
        assert ids(log) == [f"{number}" for number in range(30)]
        await log.append([record("next")])
        assert ids(log)[-1] == "next" and log.last_sequence == 31


async def test_duplicates_are_counted_and_not_kept(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        assert await log.append([record("a"), record("b")]) == Appended(2, 0)
        assert await log.append([record("b"), record("c"), record("c")]) == Appended(1, 2)
        assert await log.append([record("a"), record("c")]) == Appended(0, 2)
        assert await log.append([record("a", source="app")]) == Appended(1, 0)
        assert ids(log) == ["a", "b", "c", "a"]
        assert log.stats().duplicates_total == 4


async def test_the_window_survives_a_kill_and_the_trim_of_its_blocks(tmp_path: Path):
    async with opened(tmp_path / "wal", clock=(clock := HandClock())) as log:
        for number in range(100):
            await log.append([record(f"{number}")])
        clock.advance(5_000)
        await log.append([record("last")])  # nobody reads and nothing is kept for replay: all but the newest block go
        assert log.stats().blocks < 60
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed) as log:
        assert log.stats().dedup_ids == 101
        assert await log.append([record(f"{number}") for number in range(100)]) == Appended(0, 100)


async def test_a_duplicate_of_an_uncommitted_event_waits_for_that_commit(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        for round_ in range(50):
            first = log.append([record(f"{round_}")])
            second = log.append([record(f"{round_}"), record(f"{round_}-own")])
            third = log.append([record(f"{round_}")])
            assert not second.done() and not third.done(), "it may not be acknowledged before the event is on disk"
            assert await third == Appended(0, 1)
            assert first.done() and await second == Appended(1, 1)
            assert len(ids(log)) == 2 * (round_ + 1)


async def test_a_client_that_has_gone_harms_nobody(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        gone, there = log.append([record("a")]), log.append([record("b")])
        gone.cancel()
        await there
        assert ids(log) == ["a", "b"]
        assert await log.append([record("a")]) == Appended(0, 1)


async def test_a_record_that_cannot_be_encoded_fails_alone(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        good, bad, after = (
            log.append([record("a")]),
            log.append([record("b", person="\ud83d")]),
            log.append([record("c")]),
        )
        await good
        await after
        with pytest.raises(UnicodeEncodeError):
            await bad
        assert ids(log) == ["a", "c"]
        assert await log.append([record("b")]) == Appended(1, 0)


async def test_a_full_queue_refuses_and_keeps_what_it_took(tmp_path: Path):
    async with opened(tmp_path / "wal", config(queue_bytes_max=100_000)) as log:
        taken = []
        with pytest.raises(Overloaded) as refused:
            for number in range(1_000):
                taken.append(log.append([record(f"{number}", raw=b'"%s"' % (b"x" * 10_000))]))
        assert refused.value.retry_after_s >= 1
        assert len(taken) < 12
        await asyncio.gather(*taken)
        assert log.stats().queue_bytes == 0
        assert len(ids(log)) == len(taken)


async def test_one_append_larger_than_the_queue_is_taken_when_nothing_waits(tmp_path: Path):
    async with opened(tmp_path / "wal", config(queue_bytes_max=10_000)) as log:
        assert (await log.append([record("big", raw=b'"%s"' % (b"x" * 50_000))])).accepted == 1


async def test_groups_are_bounded(tmp_path: Path):
    async with opened(tmp_path / "wal", config(group_bytes_max=50_000)) as log:
        await asyncio.gather(*[log.append([record(f"{number}", raw=b'"%s"' % (b"x" * 9_000))]) for number in range(50)])
        assert max(len(block.records) for block in log.read(0, MIB)) <= 5


async def test_stop_commits_what_is_queued(tmp_path: Path):
    log = Log.open(tmp_path / "wal", config(), HandClock())
    log.start(asyncio.get_running_loop())
    futures = [log.append([record(f"{number}")]) for number in range(100)]
    await log.stop()
    assert all(future.done() and future.exception() is None for future in futures)
    with pytest.raises(LogFailed):
        log.append([record("late")])
    assert isinstance(log.write(lambda _: None).exception(timeout=1), LogFailed)
    async with opened(tmp_path / "wal") as log:
        assert len(ids(log)) == 100


async def test_refused_input_is_kept_with_its_bytes(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await log.refuse([Refused("web", 1, "10.0.0.1", "invalid json", b"{\xff"), Refused("", 2, "", "no key", b"x")])
        await log.refuse([Refused("web", 3, "", "too deep", b"y")])
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed) as log:
        found = log.refused()
        assert [(each.id, each.refused.reason, each.refused.body) for each in found] == [
            (1, "invalid json", b"{\xff"),
            (2, "no key", b"x"),
            (3, "too deep", b"y"),
        ]
        assert [each.id for each in log.refused(after_id=1, limit=1)] == [2]
        assert await write(log, lambda transaction: transaction.purge_refused([1, 3, 9])) == 2
        await log.refuse([Refused("web", 3, "", "again", b"z")])
        assert [each.id for each in log.refused()] == [2, 4], "an id is never given twice"


async def test_readers_wake_on_commit_and_only_then(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        woken: list[int] = []
        end = log.subscribe(lambda: woken.append(log.last_sequence))
        await log.append([record("a")])
        await write(log, lambda transaction: transaction.drop_replay("none"))
        await log.append([record("a")])
        await log.append([record("b")])
        await write(log, lambda transaction: None)  # the writer is past its calls
        assert woken == [1, 2]
        end()
        await log.append([record("c")])
        await write(log, lambda transaction: None)
        assert woken == [1, 2]


async def test_reading_from_anywhere_gives_every_event_above(tmp_path: Path, seed: int):
    choose = random.Random(seed)
    async with opened(tmp_path / "wal") as log:
        for lot in range(60):
            await log.append([record(f"{lot}-{number}") for number in range(choose.randrange(1, 9))])
        for _ in range(200):
            after, size = choose.randrange(log.last_sequence + 3), choose.choice([1, 500, 5_000, MIB])
            blocks = log.read(after, size)
            expected = after + 1 if after < log.last_sequence else None
            found = [each.sequence for block in blocks for each in block.records if each.sequence > after]
            assert (found[0] if found else None) == expected
            assert found == list(range(after + 1, after + 1 + len(found)))


async def test_finding_an_event_by_its_id(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        for number in range(40):
            await log.append([record(f"m{number}", source="ab"[number % 2])])
        assert [found.sequence for found in log.find("m7")] == [8]
        assert log.find("m7", source="b")[0].record.message_id == "m7"
        assert log.find("m7", source="a") == [] and log.find("m") == []


async def test_the_sequence_at_a_time(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        for number in range(50):
            await log.append([record(f"{number}-{each}", at=1_000 * (number + 1)) for each in range(3)])
        for number in range(50):
            assert log.sequence_at(1_000 * (number + 1)) == 3 * number + 1
            assert log.sequence_at(1_000 * (number + 1) - 999) == 3 * number + 1
        assert log.sequence_at(0) == 1
        assert log.sequence_at(50_001) == log.last_sequence + 1


async def test_null_store_acknowledges_and_keeps_nothing(tmp_path: Path):
    log = Log.open(tmp_path / "wal", config(), HandClock(), null_store=True)
    log.start(asyncio.get_running_loop())
    assert await log.append([record("a"), record("b")]) == Appended(2, 0)
    assert log.read(0) == []
    await log.stop()
