"""What goes and what stays: cursors, retention, the disk budget, the log clock."""

import asyncio
import os
from pathlib import Path

import pytest

from appliance.core.errors import Overloaded
from appliance.wal.log import Audit, Log, Progress, ReplayCursor
from tests.unit.wal.tools import MIB, HandClock, config, copy_of, job, letter, opened, record, sequences, write

DAY_MS = 86_400_000


async def _fill(log: Log, count: int, size: int = 10) -> None:
    start = log.last_sequence
    for number in range(count):
        await log.append([record(f"{start}-{number}", raw=b'"%s"' % os.urandom(size).hex().encode())])


def _save(name: str, low: int):
    return lambda transaction: transaction.save_progress(name, Progress(low))


async def _settle(log: Log, clock: HandClock) -> None:
    """Two commits, two seconds apart: upkeep has run."""
    for _ in range(6):
        clock.advance(2_000)
        await write(log, lambda transaction: transaction.drop_replay("none"))


async def test_nothing_that_a_destination_has_not_read_goes(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", clock=clock) as log:
        await write(log, _save("crm", 0))
        await write(log, _save("files", 0))
        await _fill(log, 50)
        await write(log, _save("crm", 50))
        await write(log, _save("files", 20))
        await _settle(log, clock)
        assert sequences(log) == list(range(21, 51))
        await write(log, _save("files", 50))
        await _settle(log, clock)
        assert sequences(log) == [50], "the newest block stays: the log goes on from it"


async def test_a_parked_destination_pins_nothing_and_an_unknown_one_everything(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", clock=clock) as log:
        await write(log, _save("crm", 0))
        await write(log, _save("parked", 0))
        log.set_active(["crm", "new"])
        await _fill(log, 30)
        await write(log, _save("crm", 30))
        await _settle(log, clock)
        assert len(sequences(log)) == 30, "new has not said yet where it begins"
        log.set_active(["crm"])
        await _settle(log, clock)
        assert sequences(log) == [30]


async def test_a_replay_holds_back_trimming_until_it_ends(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", clock=clock) as log:
        await write(log, lambda transaction: transaction.save_replay("r", ReplayCursor("crm", 9, 30)))
        await _fill(log, 30)
        await write(log, _save("crm", 30))
        await _settle(log, clock)
        assert sequences(log) == list(range(10, 31))
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed, clock=clock) as log:
        await _settle(log, clock)
        assert sequences(log) == list(range(10, 31))
        await write(log, lambda transaction: transaction.drop_replay("r"))
        await _settle(log, clock)
        assert sequences(log) == [30]


async def test_delivered_events_stay_for_retention_and_a_jump_of_a_year_changes_nothing(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", config(retention=3_600.0), clock) as log:
        await _fill(log, 10)
        await write(log, _save("crm", 10))
        clock.wall += 365 * DAY_MS
        await _settle(log, clock)
        assert len(sequences(log)) == 10
        before_ms = log.log_now_ms()
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    clock.wall -= 2 * 365 * DAY_MS  # and back, over a restart
    clock.monotonic = 77
    async with opened(killed, config(retention=3_600.0), clock) as log:
        assert before_ms - 3_000 <= log.log_now_ms() <= before_ms
        await _settle(log, clock)
        assert len(sequences(log)) == 10
        clock.advance(3_600_000)
        await _settle(log, clock)
        assert sequences(log) == [10]


async def test_the_log_clock_goes_on_after_a_kill_without_events(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", clock=clock) as log:
        await log.append([record("a")])
        clock.advance(3 * DAY_MS)
        await write(log, lambda transaction: transaction.hold([job(1, attempts=1)]))
        reached_ms = log.log_now_ms()
        killed = copy_of(tmp_path / "wal", tmp_path / "killed")
    async with opened(killed, clock=HandClock()) as log:
        assert log.log_now_ms() == reached_ms, "a job held until then must not wait three days more"


async def test_an_idle_log_drops_what_expires(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", config(retention=100.0), clock) as log:
        await _fill(log, 10)
        clock.advance(2_000)
        await write(log, _save("crm", 10))
        due_ms = log._state.due_ms
        assert due_ms is not None and due_ms - log.log_now_ms() <= 100_000


async def test_the_backlog_in_events_bytes_and_age(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", config(retention=3_600.0), clock) as log:
        assert log.backlog("crm") == (0, 0, 0)
        await _fill(log, 10)
        clock.advance(5_000)
        await _fill(log, 10)
        whole = log.backlog("crm")
        assert (whole.events, whole.age_ms) == (20, 5_000)
        half = log.backlog("crm", low=10)
        assert (half.events, half.age_ms) == (10, 0) and 0 < half.bytes < whole.bytes == log.stats().stored_bytes_total
        await write(log, _save("crm", 20))
        assert log.backlog("crm") == (0, 0, 0)


async def _running(log: Log) -> None:
    """Room is made in several short transactions."""
    for _ in range(200):
        if log.stats().state == "running":
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it stays {log.stats().state} at {log.stats().fill:.3f}")


async def _flood(log: Log, size: int = 60_000) -> int:
    """Append until it is refused; returns how many were kept."""
    for number in range(5_000):
        try:
            await log.append([record(f"{log.last_sequence}-{number}", raw=b'"%s"' % os.urandom(size).hex().encode())])
        except Overloaded as refused:
            assert refused.retry_after_s > 0
            return number
    raise AssertionError("never refused")


async def test_a_spent_budget_refuses_events_and_nothing_else(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", clock=clock) as log:
        await write(log, _save("crm", 0))
        kept = await _flood(log)
        assert kept > 100 and log.stats().state == "full" and log.stats().fill < 0.95
        with pytest.raises(Overloaded):
            log.append([record("at once")])
        assert len(sequences(log)) == kept, "nothing acknowledged was lost"
        for low in range(50):  # the reserve: cursors, held jobs and dead letters go on
            await write(log, _save("crm", low // 50))
        await write(
            log, lambda transaction: (transaction.hold([job(1, event=b"x" * 50_000)]), transaction.bury([letter(1)]))
        )
        await write(log, _save("crm", kept))
        await _running(log)
        assert (await log.append([record("after")])).accepted == 1


async def test_a_spent_budget_takes_delivered_events_before_retention_is_over(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", config(retention=86_400.0), clock) as log:
        await write(log, _save("crm", 0))
        for number in range(500):
            await log.append([record(f"{number}", raw=b'"%s"' % os.urandom(40_000).hex().encode())])
            if number % 20 == 0:
                await write(log, _save("crm", log.last_sequence))
        assert log.stats().fill <= 0.91 and log.last_sequence == 500


async def test_dead_letters_do_not_grow_into_a_spent_budget_and_are_always_taken(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await write(log, _save("crm", 0))
        await _flood(log)
        fill: list[float] = []
        for number in range(1, 201):
            one = letter(number, event=os.urandom(20_000))
            await write(log, lambda transaction, one=one: transaction.bury([one]))
            fill.append(log.stats().fill)
        assert max(fill) < 0.93, "the part kept free of events is left to others"
        kept = [each.sequence for each in log.dead_letters(limit=1_000)]
        assert kept == list(range(201 - len(kept), 201)) and len(kept) > 5, "the youngest stay"
        many = [letter(number, event=os.urandom(20_000)) for number in range(201, 221)]
        await write(log, lambda transaction: transaction.bury(many))
        assert [each.sequence for each in log.dead_letters(limit=1_000)] == list(range(201, 221)), (
            "none of its own goes"
        )


async def test_held_jobs_leave_room_for_cursors(tmp_path: Path):
    async with opened(tmp_path / "wal") as log:
        await write(log, _save("crm", 0))
        kept = await _flood(log)
        with pytest.raises(Overloaded):
            for number in range(100):
                await write(
                    log, lambda transaction, number=number: transaction.hold([job(number, event=os.urandom(50_000))])
                )
        with pytest.raises(Overloaded):
            for _ in range(100):
                await write(log, lambda transaction: transaction.bury([letter(1, event=os.urandom(50_000))]))
        count = log.held_size("crm")[0]
        assert 0 < count < 30 and len(log.held_jobs("crm", "anna")) == count
        await write(log, _save("crm", kept))
        assert log.progress("crm") == Progress(kept)
        await _running(log)


async def test_drop_oldest_drops_the_oldest_undelivered_and_says_so(tmp_path: Path):
    async with opened(tmp_path / "wal", config(on_full="drop_oldest")) as log:
        audits: list[Audit] = []
        log.on_audit(audits.append)
        await write(log, _save("crm", 0))
        for number in range(400):
            await log.append([record(f"{number}", raw=b'"%s"' % os.urandom(60_000).hex().encode())])
        left = sequences(log)
        assert left == list(range(401 - len(left), 401)) and len(left) > 100
        assert sum(audit.count for audit in audits if audit.action == "events_dropped") == 400 - len(left)
        assert log.stats().events_dropped_total == 400 - len(left) and log.stats().state == "running"


async def test_the_file_stays_within_its_budget(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", clock=clock) as log:
        await write(log, _save("crm", 0))
        for _ in range(4):
            assert await _flood(log) > 50
            await write(log, _save("crm", log.last_sequence))
            await _running(log)
        assert (tmp_path / "wal" / "data.mdb").stat().st_size <= 16 * MIB
        assert (tmp_path / "wal" / "ballast").stat().st_size == MIB


async def test_trims_are_spread_over_commits(tmp_path: Path):
    clock = HandClock()
    async with opened(tmp_path / "wal", clock=clock) as log:
        await write(log, _save("crm", 0))
        await _fill(log, 300)
        await write(log, _save("crm", 300))
        clock.advance(2_000)
        await write(log, _save("crm", 300))
        assert log.stats().blocks >= 300 - 64
        for _ in range(20):
            await asyncio.sleep(0.05)
            if log.stats().blocks == 1:
                return
        raise AssertionError(f"{log.stats().blocks} blocks are left although nothing holds them")
