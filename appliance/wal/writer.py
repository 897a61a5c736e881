"""The one thread that writes: group commit, changes beside events, trimming, and the end after a failed fsync.

One turn of `_serve` is one transaction: the waiting changes in call order, the trim that is due, and all waiting
events as one block. What goes wrong is told apart: a change that raises leaves the transaction alone; a full budget
or disk costs the events (503) and not the changes; anything else that LMDB or the kernel reports, a failed fsync
above all, is the end of the log in this process, because nobody can say what is on disk afterwards.
"""

import asyncio
import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterable

import lmdb

from appliance.core import logs
from appliance.core.errors import LogFailed, Overloaded
from appliance.wal import keys
from appliance.wal.group import Group, prepare
from appliance.wal.inbox import Change, Inbox, Ticket, Work
from appliance.wal.intake import Intake
from appliance.wal.state import Maintained, State
from appliance.wal.transaction import Effects, Transaction
from appliance.wal.types import Audit, Block

_log = logs.logger("wal")
_RETRY_S = 1.0
"""How often a full disk is looked at again."""
_ROOM_TURNS_MAX = 64
"""Most trims in a row for one group that found no room."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class _ChangeFailed(Exception):
    def __init__(self, change: Change, error: Exception) -> None:
        self.change, self.error = change, error


class _NoRoom(Exception):
    pass


class Writer:
    """Owns every write transaction of a store."""

    def __init__(self, state: State, inbox: Inbox) -> None:
        self._state, self._inbox = state, inbox
        self._thread = threading.Thread(target=self._run, name="wal-writer", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._intake: Intake | None = None
        self._ended: asyncio.Future[None] | None = None
        self.failed: LogFailed | None = None
        self.on_failure: list[Callable[[LogFailed], None]] = []
        self.on_audit: list[Callable[[Audit], None]] = []
        self.subscribers: tuple[Callable[[], None], ...] = ()

    def start(self, loop: asyncio.AbstractEventLoop, intake: Intake) -> None:
        """Start the thread; outcomes of appends are settled on `loop`."""
        self._loop, self._intake, self._ended = loop, intake, loop.create_future()
        self._thread.start()

    async def stop(self) -> None:
        """Commit what is queued and end the thread."""
        if self._ended is not None:
            self._inbox.stop()
            await self._ended
            self._thread.join()

    def refusal(self) -> Exception | None:
        """Why no events are taken at present."""
        return self.failed or self._state.budget.refusal()

    def _run(self) -> None:
        work = Work([], [])
        try:
            while self.failed is None:
                work = self._inbox.take(self._wake_s())
                if not work.tickets and not work.changes and self._inbox.stopping:
                    break
                self._serve(work)
                self._recheck_disk()
            if self.failed is None:
                self._drop(self._inbox.close(LogFailed("the log is stopped")), LogFailed("the log is stopped"))
        except Exception as error:  # our own mistake must end loudly as well, never as a silent thread
            self._fail(error, work.tickets, work.changes)
        finally:
            self._on_loop(self._end)

    def _end(self) -> None:
        assert self._ended is not None
        if not self._ended.done():
            self._ended.set_result(None)

    def _wake_s(self) -> float:
        """When to wake without work (monotonic seconds): for what is due by age, or to look at a full disk again."""
        now_s = time.monotonic()
        if self._state.budget.disk_full:
            return now_s + _RETRY_S
        due_ms = self._state.due_ms
        return float("inf") if due_ms is None else now_s + max(due_ms - self._state.clock.now_ms(), 0) / 1000

    def _serve(self, work: Work) -> None:
        """Bring work to the disk, or tell each part of it why not."""
        group, broken = prepare(work.tickets, self._state)
        for ticket, error in broken:
            self._settle([ticket], error)
        changes, pressed = work.changes, False
        while True:
            try:
                self._attempt(group, changes)
                return
            except _ChangeFailed as failure:
                changes = [change for change in changes if change is not failure.change]
                failure.change.future.set_exception(failure.error)
                continue
            except (_NoRoom, lmdb.MapFullError) as full:
                if not pressed and self._make_room(group, in_pieces=isinstance(full, lmdb.MapFullError)):
                    pressed = True
                    continue
                if self._in_halves(group, changes):
                    return
                refusal, again = Overloaded("the log's disk budget is spent; nothing was kept", 10), False
            except (lmdb.Error, OSError) as cause:
                if not self._disk_is_full(cause, group):
                    self._fail(cause, group.tickets if group else [], changes)
                    return
                refusal, again = Overloaded("the disk is full; nothing was kept", 10), self._give_ballast()
            self._state.postpone()
            if group:
                self._settle(group.tickets, refusal)
                group = None
            elif not again:
                self._without_room(changes, refusal)
                return

    def _make_room(self, group: Group | None, *, in_pieces: bool) -> bool:
        """Trim in transactions of their own, since one frees a bounded number of pages; False when nothing could go.

        Args:
            in_pieces: the room is there, but not side by side; more must go than the group takes.
        """
        budget, size, freed = self._state.budget, group.bytes if group else 0, 0
        budget.found_no_room(size)
        wanted = max(8 * size, budget.bytes_max // 32) if in_pieces else 0
        for _ in range(_ROOM_TURNS_MAX):
            try:
                maintained = self._attempt(None, [], press_bytes=max(wanted - freed, 0))
            except lmdb.Error as cause:
                if isinstance(cause, lmdb.MapFullError) or self._disk_is_full(cause, group):
                    break
                raise  # A failed fsync here is the end as anywhere.
            freed += maintained.freed_bytes
            if not maintained.freed_bytes or not (maintained.more or freed < wanted):
                break
        return freed > 0

    def _in_halves(self, group: Group | None, changes: list[Change]) -> bool:
        """The budget has room, but in pieces: commit a group as two smaller ones; False when that is not the case."""
        budget = self._state.budget
        if group is None or len(group.tickets) < 2 or not budget.fits(budget.used_bytes, group.bytes):
            return False
        middle = len(group.tickets) // 2
        self._serve(Work(group.tickets[:middle], changes))
        self._serve(Work(group.tickets[middle:], []))
        return True

    def _without_room(self, changes: list[Change], error: Overloaded) -> None:
        """Changes alone found no room: wait for the disk, or find out which of them is too big for the budget."""
        if self._state.budget.disk_full and not self._inbox.stopping:
            self._inbox.put_back(changes, _RETRY_S)
        elif len(changes) > 1:
            for change in changes:
                self._serve(Work([], [change]))
        elif changes:
            changes[0].future.set_exception(error)

    def _attempt(self, group: Group | None, changes: list[Change], press_bytes: int = 0) -> Maintained:
        """One transaction, and what follows from it in memory and for those who wait."""
        state, effects = self._state, Effects()
        txn = state.store.env.begin(write=True)
        try:
            results = self._run_changes(txn, changes, effects)
            maintained = state.maintain(txn, group.bytes if group else 0, press_bytes, effects)
            if group:
                self._put(txn, group, effects)
            elif changes or maintained.worked:
                state.store.set_meta(txn, "clock_ms", state.clock.now_ms())
            used = state.used_bytes(txn, only_blocks=not (changes or maintained.ran or (group and group.refused)))
            started = time.perf_counter()
            txn.commit()
        except BaseException:
            with contextlib.suppress(lmdb.Error):
                txn.abort()
            raise
        if group:
            seconds = time.perf_counter() - started
            state.figures.committed(len(group.records), group.event_bytes, len(group.value), seconds)
        state.committed(group, effects, maintained, used)
        self._publish(group, changes, results, effects)
        state.store.lengthen()
        return maintained

    def _run_changes(self, txn: "lmdb.Transaction[bytes]", changes: list[Change], effects: Effects) -> list[object]:
        if not changes:
            return []
        transaction = Transaction(txn, self._state.desk, effects, self._state.budget.reserve_used())
        results: list[object] = []
        for change in changes:
            try:
                results.append(change.function(transaction))
            except lmdb.Error:
                raise
            except Exception as error:
                raise _ChangeFailed(change, error) from None
        return results

    def _put(self, txn: "lmdb.Transaction[bytes]", group: Group, effects: Effects) -> None:
        state, tables, budget = self._state, self._state.store.tables, self._state.budget
        if not budget.fits(budget.used_bytes, group.bytes) and not budget.fits(
            state.store.used_bytes(txn), group.bytes
        ):
            raise _NoRoom
        if group.records:
            key = keys.number_key(group.records[0].sequence)
            if not txn.put(key, group.value, db=tables.blocks, append=True):
                raise AssertionError(f"sequence {group.records[0].sequence} was given before")
        if group.refused:
            Transaction(txn, state.desk, effects, 0.0).refuse(group.refused)

    def _publish(self, group: Group | None, changes: list[Change], results: list[object], effects: Effects) -> None:
        for audit in effects.audits:
            self._audit(audit)
        if group:
            if group.records and self.subscribers:
                first, last = group.records[0].sequence, group.records[-1].sequence
                self._state.cache.put(Block(first, last, group.records), group.raw_bytes)
            self._settle(group.tickets, None)
        for change, result in zip(changes, results, strict=True):
            change.future.set_result(result)
        if group and group.records:
            _tell(self.subscribers)

    def _settle(self, tickets: list[Ticket], error: Exception | None) -> None:
        assert self._intake is not None
        self._on_loop(self._intake.settle, tickets, error, self._state.clock.now_ms())

    def _on_loop(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(function, *arguments)

    def _disk_is_full(self, error: Exception, group: Group | None) -> bool:
        code = getattr(error, "errno", None) or getattr(error, "code", 0)
        if code in _FULL:
            return True
        # LMDB reports a write that was cut short, as a disk does while it fills up, as EIO.
        room = (group.bytes if group else 0) + (1 << 20)
        return code == errno.EIO and self._state.folder.free_bytes() < room

    def _give_ballast(self) -> bool:
        """The disk is full: refuse events and free the ballast; False when that was done before."""
        budget = self._state.budget
        budget.disk_full = True
        if not budget.ballast:
            return False
        budget.ballast = False
        given = self._state.folder.drop_ballast()
        self._audit(Audit("ballast_released", 1, budget.ballast_bytes, "the disk is full; events are refused"))
        return given

    def _recheck_disk(self) -> None:
        """Put the ballast back where there is room, and take events again."""
        state, budget = self._state, self._state.budget
        if budget.ballast or not state.may_recheck_disk():
            return
        spare = min(max(budget.ballast_bytes, 1 << 20), 4 << 20)
        if state.folder.free_bytes() >= budget.ballast_bytes + spare and state.folder.put_ballast(budget.ballast_bytes):
            budget.ballast, budget.disk_full = True, False
            self._audit(Audit("ballast_restored", 1, budget.ballast_bytes, "the disk has room again"))
        elif budget.disk_full and budget.room_inside(state.store.file_bytes()):
            budget.disk_full = False

    def _audit(self, audit: Audit) -> None:
        self._state.figures.audited(audit)
        _tell(self.on_audit, audit)

    def _fail(self, cause: Exception, tickets: list[Ticket], changes: list[Change]) -> None:
        """The end: nothing that is not known to be on disk is acknowledged, now or later."""
        error = LogFailed(
            f"the log in {self._state.folder.path} could not be written ({cause.__class__.__name__}: {cause}); what "
            "was acknowledged before is on disk, nothing is accepted any more. Check the disk, then start again."
        )
        error.__cause__ = cause
        self.failed = error
        left = self._inbox.close(error)
        self._drop(Work(tickets + left.tickets, changes + left.changes), error)
        _tell(self.on_failure, error)

    def _drop(self, work: Work, error: LogFailed) -> None:
        if work.tickets:
            self._settle(work.tickets, error)
        for change in work.changes:
            if not change.future.done():
                change.future.set_exception(error)


def _tell(callbacks: Iterable[Callable[..., None]], *arguments: object) -> None:
    """Call others' functions; one that raises must not end the log."""
    for callback in callbacks:
        try:
            callback(*arguments)
        except Exception as error:
            _log.error("callback_failed", callback=repr(callback), error=f"{error.__class__.__name__}: {error}")
