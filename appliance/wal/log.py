"""The write-ahead log's door: append and acknowledge, read, cursors, held jobs, dead letters.

Loops hand work over and get futures back; one writer thread owns every write transaction. Whatever a future of this
class promises is on disk (fsync) when it resolves.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from appliance.core import memory
from appliance.core.clock import Clock
from appliance.core.config import WalConfig
from appliance.core.errors import LogFailed
from appliance.core.event import Record, Refused
from appliance.wal import dead, held, progress
from appliance.wal.inbox import Change, Inbox
from appliance.wal.intake import Intake
from appliance.wal.opening import open_state
from appliance.wal.reader import Reader
from appliance.wal.transaction import Transaction
from appliance.wal.types import (
    Appended,
    Audit,
    Backlog,
    Block,
    DamagedBlock,
    DeadFilter,
    DeadLetter,
    Found,
    HeldHead,
    HeldJob,
    LogStats,
    Pile,
    Progress,
    RefusedInput,
    ReplayCursor,
    Skip,
)
from appliance.wal.writer import Writer

__all__ = [
    "Appended",
    "Audit",
    "Backlog",
    "Block",
    "DamagedBlock",
    "DeadFilter",
    "DeadLetter",
    "Found",
    "HeldHead",
    "HeldJob",
    "Log",
    "LogStats",
    "Pile",
    "Progress",
    "RefusedInput",
    "ReplayCursor",
    "Skip",
    "Transaction",
]

T = TypeVar("T")
_ANY = DeadFilter()


class Log:
    """One folder's write-ahead log."""

    def __init__(self, folder: Path, config: WalConfig, clock: Clock, null_store: bool) -> None:
        self._config, self._null_store = config, null_store
        self._state, self.salvaged = open_state(folder, config, clock)
        self.log_id = self._state.store.log_id()
        """New for a fresh folder, and after quarantine or restore: sequences belong to a log."""
        self._reader = Reader(self._state.store, self._state.cache)
        self._inbox = Inbox(config.group_bytes_max, config.group_delay_s)
        self._writer = Writer(self._state, self._inbox)
        self._intake: Intake | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._env, self._tables = self._state.store.env, self._state.store.tables

    @classmethod
    def open(cls, folder: Path, config: WalConfig, clock: Clock, *, null_store: bool = False) -> "Log":
        """Lock the folder and make the log ready; blocking, called before loops start.

        A store that is found damaged is set aside and what can be read of it is taken over; `salvaged` then says how
        much, in words, and `stats().quarantined` where the damaged one is.

        Args:
            null_store: acknowledge appends without keeping them; to measure what the store costs.

        Raises:
            FolderLocked: another process holds the folder.
            SternpostError: a newer version of this program wrote the log.
            OSError: the folder cannot be used.
        """
        return cls(folder, config, clock, null_store)

    def log_now_ms(self) -> int:
        """The log clock: what ages are measured on."""
        return self._state.clock.now_ms()

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the writer thread; futures of `append` and `refuse` belong to `loop`, the collector's."""
        self._loop = loop
        self._intake = Intake(self._inbox, self._state.window, self._config.queue_bytes_max, self._writer.refusal, loop)
        self._writer.start(loop, self._intake)

    async def stop(self) -> None:
        """Commit what is queued, mark the stop as clean, close. Call it on the collector's loop, once."""
        await self._writer.stop()
        self._state.close(clean=self._writer.failed is None)

    def append(self, records: list[Record]) -> "asyncio.Future[Appended]":
        """Keep events; on the collector's loop only. The records belong to the log from here on.

        Returns:
            A future that resolves when every event of the list is on disk, by this call or an earlier one. It fails
            with Overloaded or LogFailed when that could not be done for all.

        Raises:
            Overloaded: nothing was kept, the budget is spent or the queue is full.
            LogFailed: the log has failed.
        """
        assert self._intake is not None and self._loop is not None, "append before start"
        if self._null_store:
            future: asyncio.Future[Appended] = self._loop.create_future()
            future.set_result(Appended(len(records), 0))
            return future
        return self._intake.append(records)

    def refuse(self, refused: list[Refused]) -> "asyncio.Future[None]":
        """Keep refused input; on the collector's loop only. Errors as `append`."""
        assert self._intake is not None, "refuse before start"
        return self._intake.refuse(refused)

    @property
    def last_sequence(self) -> int:
        """Last committed event; 0 when there was none."""
        return self._state.last_sequence

    def read(self, after: int, bytes_max: int = 256 * 1024) -> list[Block]:
        """Committed blocks with events after `after`; any thread.

        Whole blocks, so the first may hold records up to `after` as well; at least one where there is one, about
        `bytes_max` bytes of records otherwise.

        Raises:
            DamagedBlock: the next block cannot be read; it says which range is missing with it.
        """
        if after >= self._state.last_sequence:
            return []
        try:
            return self._reader.read(after, bytes_max)
        except DamagedBlock as error:
            error.last_sequence = min(error.last_sequence, self._state.last_sequence)
            raise

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called on the writer thread after each commit with events; returns what ends it."""
        self._writer.subscribers = (*self._writer.subscribers, wake)

        def end() -> None:
            self._writer.subscribers = tuple(other for other in self._writer.subscribers if other is not wake)

        return end

    def write(self, change: Callable[[Transaction], T], *, soon: bool = False) -> "concurrent.futures.Future[T]":
        """Run `change` in the writer's next transaction, in call order; any thread.

        `change` may run more than once (its transaction is tried again without a failing neighbour), so it does
        nothing but call its transaction and return a value. What it raises becomes the future's exception, and
        nothing of it is kept. While the disk is full, changes wait for room; while the budget is spent, `hold` and
        `bury` raise Overloaded.

        Args:
            soon: it may wait up to 100 ms for a commit with events, to save an fsync.

        Returns:
            A future with the value, resolved on the writer thread after the commit.
        """
        item = Change(change, soon)
        self._inbox.submit(item)
        return item.future

    def forget_cached(self) -> None:
        """Drop decoded blocks and the map's pages from memory; they come back when somebody asks. Any thread."""
        self._state.cache.clear()
        memory.unmap(Path(self._env.path()).resolve() / "data.mdb")

    @property
    def reserve_used(self) -> float:
        """Share of the budget's part above high water, kept free of events, that is taken; 0 to 1."""
        return self._state.budget.reserve_used()

    @property
    def failed(self) -> LogFailed | None:
        """Why the log is at its end; None while it works."""
        return self._writer.failed

    def on_failure(self, callback: Callable[[LogFailed], None]) -> None:
        """Have `callback` called once, on the writer thread, when the log fails."""
        self._writer.on_failure.append(callback)

    def on_audit(self, callback: Callable[[Audit], None]) -> None:
        """Have `callback` called, on the writer thread, whenever something is dropped to stay within a budget."""
        self._writer.on_audit.append(callback)

    def set_active(self, destinations: Iterable[str]) -> None:
        """Which destinations hold back trimming; until it is called, all that the log knows do.

        One that has no progress yet holds back everything.
        """
        self._state.set_active(destinations)

    def pin(self, reader: str, low: int) -> None:
        """A reader that is no destination is done up to `low`: what is above is not trimmed. Any thread.

        It is not remembered over a restart: who reads says so again before the log starts.
        """
        self._state.pin(reader, low)

    def stats(self) -> LogStats:
        """Figures of the moment; any thread, some 100 us."""
        intake, writer = self._intake, self._writer
        return self._state.stats(
            state="failed" if writer.failed else self._state.budget.state(),
            queue_bytes=intake.queue_bytes if intake else 0,
            duplicates_total=intake.duplicates_total if intake else 0,
        )

    def progress(self, destination: str) -> Progress | None:
        """Where a destination stands; None for one that the log does not know."""
        with self._env.begin() as txn:
            return progress.load_progress(txn, self._tables, destination)

    def destinations(self) -> dict[str, Progress]:
        """All destinations that the log knows, parked ones too."""
        with self._env.begin() as txn:
            return progress.all_progress(txn, self._tables)

    def backlog(self, destination: str, low: int | None = None) -> Backlog:
        """What lies above `low` (default: its saved progress)."""
        if low is None:
            low = self._state.lows.get(destination, 0)
        return self._reader.backlog(low, self._state.events, self._state.position, self._state.clock.now_ms())

    def held_size(self, destination: str) -> tuple[int, int]:
        """Jobs a destination holds, and their bytes; from memory."""
        return self._state.held.get(destination, (0, 0))

    def held_heads(self, destination: str) -> list[HeldHead]:
        """The head of every held lane."""
        with self._env.begin() as txn:
            return held.heads(txn, self._tables, destination)

    def held_head(self, destination: str, lane: str) -> HeldHead | None:
        """The head of one held lane; None where it holds nothing."""
        with self._env.begin() as txn:
            return held.head(txn, self._tables, destination, lane)

    def held_jobs(
        self, destination: str, lane: str, limit: int = 1000, after: tuple[int, int] = (0, -1)
    ) -> list[HeldJob]:
        """A lane's jobs in (sequence, part) order, those behind the position `after`."""
        with self._env.begin() as txn:
            return held.jobs(txn, self._tables, destination, lane, limit, after)

    def joined(self, destination: str) -> dict[str, str]:
        """Member lane -> the lane it joined."""
        with self._env.begin() as txn:
            return progress.all_joined(txn, self._tables, destination)

    def joined_to(self, destination: str, member: str) -> str:
        """The lane that this one joined; "" where it joined none."""
        with self._env.begin() as txn:
            return progress.joined_to(txn, self._tables, destination, member)

    def skips(self, destination: str) -> list[Skip]:
        """Ranges that the destination skipped, ascending."""
        with self._env.begin() as txn:
            return progress.all_skips(txn, self._tables, destination)

    def replays(self) -> dict[str, ReplayCursor]:
        """Replays under way, by name."""
        with self._env.begin() as txn:
            return progress.all_replays(txn, self._tables)

    def dead_letters(self, criteria: DeadFilter | None = None, after_id: int = 0, limit: int = 100) -> list[DeadLetter]:
        """Dead letters with an id above `after_id`, ascending. One that is damaged on disk has the stage "damaged"."""
        with self._env.begin() as txn:
            return dead.letters(txn, self._state.store, criteria or _ANY, after_id, limit)

    def dead_letter(self, letter_id: int) -> DeadLetter | None:
        """One dead letter."""
        with self._env.begin() as txn:
            return dead.letter(txn, self._state.store, letter_id)

    def refused(self, after_id: int = 0, limit: int = 100) -> list[RefusedInput]:
        """Refused input with an id above `after_id`, ascending."""
        with self._env.begin() as txn:
            return dead.inputs(txn, self._state.store, after_id, limit)

    def find(self, message_id: str, source: str | None = None, limit: int = 1) -> list[Found]:
        """Events with this messageId that the log still keeps, newest first; scans, so not on an event loop."""
        return self._reader.find(message_id, source, limit)

    def sequence_at(self, received_ms: int) -> int:
        """First sequence of the first block that holds an event received at or after this wall time.

        One past the last sequence when all are older. Approximate where the wall clock jumped.
        """
        return self._reader.sequence_at(received_ms, self._state.last_sequence)
