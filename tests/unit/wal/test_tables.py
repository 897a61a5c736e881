"""Cursors, held jobs, dead letters: what a change keeps, together or not at all."""

import asyncio
import time
from pathlib import Path

import pytest

from appliance.core.event import Refused
from appliance.wal.log import Audit, DeadFilter, HeldHead, Log, Progress, ReplayCursor, Skip, Transaction
from tests.unit.wal.tools import HandClock, config, copy_of, job, letter, opened, record, write


async def test_progress_is_kept_whole(tmp_path: Path):
    there = Progress(low=7, ranges=[(9, 12), (20, 20)], parts={14: [0, 2]}, read=33)
    async with opened(tmp_path / "wal") as log:
        assert log.progress("crm") is None
        await write(log, lambda transaction: transaction.save_progress("crm", Progress(1)))
        await write(log, lambda transaction: transaction.save_progress("crm", there))
        await write(log, lambda transaction: transaction.save_progress("x" * 900, Progress(2)))
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed) as log:
        assert log.progress("crm") == there
        assert log.destinations() == {"crm": there, "x" * 900: Progress(2)}


async def test_a_change_that_raises_is_not_kept_and_spares_its_neighbours(tmp_path: Path):
    def spoilt(transaction: Transaction) -> None:
        transaction.save_progress("crm", Progress(99))
        transaction.hold([job(1)])
        raise ValueError("no")

    async with opened(tmp_path / "wal") as log:
        before = log.write(lambda transaction: transaction.save_progress("a", Progress(1)))
        failing = log.write(spoilt)
        after = log.write(lambda transaction: transaction.bury([letter(1)]))
        event = log.append([record("a")])
        await event
        before.result(timeout=5)
        with pytest.raises(ValueError, match="no"):
            failing.result(timeout=5)
        assert after.result(timeout=5) == [1], "tried again without its neighbour, the letter is buried once"
        assert log.progress("crm") is None and log.held_heads("crm") == [] and log.held_size("crm") == (0, 0)
        assert len(log.dead_letters()) == 1


async def test_changes_run_in_call_order(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        futures = [
            log.write(lambda transaction, low=low: transaction.save_progress("crm", Progress(low)), soon=low % 3 == 0)
            for low in range(2_000)
        ]
        await asyncio.wrap_future(futures[-1])
        assert all(future.done() for future in futures)
        assert log.progress("crm") == Progress(1_999)


async def test_a_soon_change_rides_with_events_or_goes_alone_within_100_ms(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await log.append([record("warm")])
        began_s = time.monotonic()
        riding = log.write(lambda transaction: transaction.save_progress("crm", Progress(1)), soon=True)
        await asyncio.sleep(0.02)
        assert not riding.done() or time.monotonic() - began_s > 0.08, "it waits for company"
        await log.append([record("a")])
        assert log.progress("crm") == Progress(1), "it was in the same commit"
        await asyncio.wrap_future(riding)
        began_s = time.monotonic()
        await write(log, lambda transaction: transaction.save_progress("crm", Progress(2)), soon=True)
        assert 0.05 < time.monotonic() - began_s < 2.0


async def test_held_jobs_stand_in_order_and_the_lane_knows_its_head(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await write(
            log,
            lambda transaction: transaction.hold(
                [job(300), job(5, part=1), job(5), job(7, lane="bert", attempts=2, error="503")]
            ),
        )
        assert [(each.sequence, each.part) for each in log.held_jobs("crm", "anna")] == [(5, 0), (5, 1), (300, 0)]
        heads = {head.lane: head for head in log.held_heads("crm")}
        assert (heads["anna"].sequence, heads["anna"].part, heads["anna"].count) == (5, 0, 3)
        assert heads["bert"] == HeldHead("bert", 7, 0, 2, 140, 10, "503", 1, heads["bert"].bytes)
        assert log.held_size("crm") == (4, sum(head.bytes for head in heads.values()))
        await write(
            log,
            lambda transaction: transaction.release(
                "crm", [("anna", 5, 0), ("anna", 5, 1), ("anna", 6, 0), ("none", 1, 0)]
            ),
        )
        assert [head.sequence for head in log.held_heads("crm") if head.lane == "anna"] == [300]
        await write(log, lambda transaction: transaction.hold([job(2, attempts=1)]))  # requeued at its own place
        assert [
            (head.sequence, head.attempts, head.count) for head in log.held_heads("crm") if head.lane == "anna"
        ] == [(2, 1, 2)]
        await write(
            log, lambda transaction: transaction.release("crm", [("anna", 2, 0), ("anna", 300, 0), ("bert", 7, 0)])
        )
        assert log.held_heads("crm") == [] and log.held_size("crm") == (0, 0)


async def test_a_retry_is_kept_and_does_not_count_twice(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await write(log, lambda transaction: transaction.hold([job(1), job(2)]))
        await write(
            log,
            lambda transaction: transaction.update_held([job(1, attempts=3, error="timed out"), job(9, attempts=1)]),
        )
        (head,) = log.held_heads("crm")
        assert (head.sequence, head.attempts, head.next_try_ms, head.error, head.count) == (1, 3, 210, "timed out", 2)
        size = log.held_size("crm")
        await write(log, lambda transaction: transaction.hold([job(1, attempts=3, error="timed out")]))
        assert log.held_size("crm") == size
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed) as log:
        assert log.held_size("crm") == size
        assert [each.attempts for each in log.held_jobs("crm", "anna")] == [3, 0]


async def test_destinations_do_not_see_each_others_jobs(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await write(
            log,
            lambda transaction: transaction.hold(
                [job(1), job(2, destination="files"), job(3, destination="files", lane="bert")]
            ),
        )
        assert [each.sequence for each in log.held_jobs("crm", "anna")] == [1]
        assert await write(log, lambda transaction: transaction.purge_held("files")) == 2
        assert log.held_heads("files") == [] and log.held_size("files") == (0, 0)
        assert log.held_size("crm")[0] == 1


async def test_a_move_from_held_to_dead_is_one_step(tmp_path: Path):
    def give_up(transaction: Transaction) -> list[int]:
        transaction.release("crm", [("anna", 1, 0)])
        transaction.save_progress("crm", Progress(1))
        return transaction.bury([letter(1)])

    async with opened(tmp_path / "wal") as log:
        await write(log, lambda transaction: transaction.hold([job(1)]))
        assert await write(log, give_up) == [1]
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed) as log:
        assert (log.held_heads("crm"), log.progress("crm"), len(log.dead_letters())) == ([], Progress(1), 1)


async def test_dead_letters_are_found_by_what_they_are(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await write(
            log,
            lambda transaction: transaction.bury(
                [
                    letter(1),
                    letter(2, destination="files"),
                    letter(3, kind="401", reason="token revoked"),
                    letter(4, lane="bert"),
                ]
            ),
        )
        assert [each.sequence for each in log.dead_letters()] == [1, 2, 3, 4]
        assert [each.sequence for each in log.dead_letters(DeadFilter(destination="crm"), limit=2)] == [1, 3]
        assert [each.sequence for each in log.dead_letters(DeadFilter(reason="revoked", kind="401"))] == [3]
        assert [each.sequence for each in log.dead_letters(DeadFilter(lane="bert"), after_id=2)] == [4]
        found = log.dead_letter(3)
        assert found is not None and found.buried_ms == 1_700_000_000_000
        assert log.dead_letter(9) is None


async def test_exhumed_letters_are_gone_and_their_ids_with_them(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        ids = await write(log, lambda transaction: transaction.bury([letter(1), letter(2), letter(3)]))
        exhumed = await write(log, lambda transaction: transaction.exhume([ids[2], 77]))
        assert [each.sequence for each in exhumed] == [3]
        assert await write(log, lambda transaction: transaction.purge_dead([1, 1, 8])) == 1
        assert [each.id for each in log.dead_letters()] == [2]
    async with opened(tmp_path / "wal") as log:
        assert await write(log, lambda transaction: transaction.bury([letter(5)])) == [4]


async def test_joins_skips_and_replays(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:

        def change(transaction: Transaction) -> None:
            transaction.save_joined("crm", "anonymous", "anna")
            transaction.save_joined("crm", "phone", "anna")
            transaction.save_joined("files", "x", "y")
            transaction.drop_joined("crm", ["phone", "none"])
            transaction.save_skip(Skip("crm", 20, 29, 5, "backlog"))
            transaction.save_skip(Skip("crm", 3, 9, 4))
            transaction.save_replay("r1", ReplayCursor("crm", 4, 90, {"type": "track"}))
            transaction.save_replay("r2", ReplayCursor("files", 4, 90))
            transaction.drop_replay("r2")

        await write(log, change)
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed) as log:
        assert log.joined("crm") == {"anonymous": "anna"} and log.joined("files") == {"x": "y"}
        assert [each.first_sequence for each in log.skips("crm")] == [3, 20]
        assert log.replays() == {"r1": ReplayCursor("crm", 4, 90, {"type": "track"})}
        await write(log, lambda transaction: transaction.forget("crm"))
        assert (log.joined("crm"), log.skips("crm"), log.replays(), log.joined("files")) == ({}, [], {}, {"x": "y"})


async def test_a_forgotten_destination_leaves_nothing_but_its_dead_letters(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await write(
            log,
            lambda transaction: (
                transaction.save_progress("crm", Progress(1)),
                transaction.hold([job(1)]),
                transaction.bury([letter(1)]),
            ),
        )
        await write(log, lambda transaction: transaction.forget("crm"))
        assert log.destinations() == {} and log.held_heads("crm") == [] and log.held_size("crm") == (0, 0)
        assert len(log.dead_letters()) == 1


def _audited(log: Log) -> list[Audit]:
    audits: list[Audit] = []
    log.on_audit(audits.append)
    return audits


async def test_the_oldest_dead_letters_are_evicted_and_audited(tmp_path: Path):
    async with opened(tmp_path / "wal", config(dead_bytes_max=400_000)) as log:
        audits = _audited(log)
        for number in range(1, 101):
            await write(log, lambda transaction, number=number: transaction.bury([letter(number, event=b"x" * 9_000)]))
        left = log.dead_letters(limit=1_000)
        assert [each.sequence for each in left] == list(range(101 - len(left), 101)), "the youngest stay"
        assert 20 < len(left) < 45 and log.stats().dead.bytes <= 400_000
        assert sum(audit.count for audit in audits) == 100 - len(left) == log.stats().dead_evicted_total
        assert {audit.action for audit in audits} == {"dead_evicted"}


async def test_junk_evicts_junk_and_no_dead_letter(tmp_path: Path):
    async with opened(tmp_path / "wal", config(refused_bytes_max=200_000)) as log:
        audits = _audited(log)
        await write(log, lambda transaction: transaction.bury([letter(1)]))
        for number in range(100):
            await log.refuse([Refused("web", number, "", "invalid json", b"x" * 9_000)])
        assert log.stats().refused.bytes <= 200_000 and log.refused(limit=1_000)[-1].id == 100
        assert {audit.action for audit in audits} == {"refused_evicted"} and len(log.dead_letters()) == 1


async def test_dead_letters_age_on_the_log_clock(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", config(dead_age_max=60.0, refused_age_max=10.0), clock) as log:
        await write(log, lambda transaction: transaction.bury([letter(1)]))
        await log.refuse([Refused("web", 1, "", "junk", b"")])
        clock.wall += 400 * 86_400_000  # the wall clock jumps by more than a year: nothing is older for it
        clock.monotonic += 2_000
        await log.append([record("a")])
        assert len(log.dead_letters()) == 1 and len(log.refused()) == 1
        clock.advance(30_000)
        await log.append([record("b")])
        assert len(log.dead_letters()) == 1 and log.refused() == []
        clock.advance(30_000)
        await log.append([record("c")])
        assert log.dead_letters() == []
