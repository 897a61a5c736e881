"""The write-ahead log's door: append and acknowledge, read, cursors, held jobs, dead letters.

Loops hand work over and get futures back; one writer thread owns every write transaction. Whatever a future of this
class promises is on disk (fsync) when it resolves.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from appliance.core.clock import Clock
from appliance.core.config import WalConfig
from appliance.core.errors import LogFailed
from appliance.core.event import Record, Refused
from appliance.wal.transaction import Transaction
from appliance.wal.types import (
    Appended, Audit, Backlog, Block, DamagedBlock, DeadFilter, DeadLetter, Found, HeldHead, HeldJob, LogStats, Pile,
    Progress, RefusedInput, ReplayCursor, Skip,
)

__all__ = [
    "Appended", "Audit", "Backlog", "Block", "DamagedBlock", "DeadFilter", "DeadLetter", "Found", "HeldHead", "HeldJob",
    "Log", "LogStats", "Pile", "Progress", "RefusedInput", "ReplayCursor", "Skip", "Transaction",
]

T = TypeVar("T")


class Log:
    """One folder's write-ahead log."""

    log_id: str
    """New for a fresh folder, and after quarantine or restore: sequences belong to a log."""
    last_sequence: int
    """Last committed event; 0 when there was none."""

    @classmethod
    def open(cls, folder: Path, config: WalConfig, clock: Clock, *, null_store: bool = False) -> "Log":
        """Lock the folder and make the log ready; blocking, called before loops start.

        Args:
            null_store: acknowledge appends without keeping them; to measure what the store costs.

        Raises:
            FolderLocked: another process holds the folder.
        """
        raise NotImplementedError

    def log_now_ms(self) -> int:
        """The log clock: what ages are measured on."""
        raise NotImplementedError

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the writer thread; futures of `append` and `refuse` belong to `loop`, the collector's."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Commit what is queued, mark the stop as clean, close. Call it on the collector's loop."""
        raise NotImplementedError

    def append(self, records: list[Record]) -> "asyncio.Future[Appended]":
        """Keep events; on the collector's loop only. The records belong to the log from here on.

        Returns:
            A future that resolves when every event of the list is on disk, by this call or an earlier one.

        Raises:
            Overloaded: nothing was kept, the budget is spent or the queue is full.
            LogFailed: the log has failed.
        """
        raise NotImplementedError

    def refuse(self, refused: list[Refused]) -> "asyncio.Future[None]":
        """Keep refused input; on the collector's loop only. Errors as `append`."""
        raise NotImplementedError

    def read(self, after: int, bytes_max: int = 256 * 1024) -> list[Block]:
        """Committed blocks with events after `after`; any thread.

        Whole blocks, so the first may hold records up to `after` as well; at least one where there is one, about `bytes_max`
        bytes of records otherwise.

        Raises:
            DamagedBlock: the next block cannot be read.
        """
        raise NotImplementedError

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called on the writer thread after each commit with events; returns what ends it."""
        raise NotImplementedError

    def write(self, change: Callable[[Transaction], T], *, soon: bool = False) -> "concurrent.futures.Future[T]":
        """Run `change` in the writer's next transaction, in call order; any thread.

        `change` may run more than once (its transaction is tried again without a failing neighbour), so it does nothing
        but call its transaction and return a value. What it raises becomes the future's exception, and nothing of it is kept.

        Args:
            soon: it may wait up to 100 ms for a commit with events, to save an fsync.

        Returns:
            A future with the value, resolved after the commit.
        """
        raise NotImplementedError

    @property
    def failed(self) -> LogFailed | None:
        """Why the log is at its end; None while it works."""
        raise NotImplementedError

    def on_failure(self, callback: Callable[[LogFailed], None]) -> None:
        """Have `callback` called once, on the writer thread, when the log fails."""
        raise NotImplementedError

    def on_audit(self, callback: Callable[[Audit], None]) -> None:
        """Have `callback` called, on the writer thread, whenever something is dropped to stay within a budget."""
        raise NotImplementedError

    def set_active(self, destinations: Iterable[str]) -> None:
        """Which destinations hold back trimming; until it is called, all that the log knows do."""
        raise NotImplementedError

    def stats(self) -> LogStats:
        """Figures of the moment; any thread."""
        raise NotImplementedError

    def progress(self, destination: str) -> Progress | None:
        """Where a destination stands; None for one that the log does not know."""
        raise NotImplementedError

    def destinations(self) -> dict[str, Progress]:
        """All destinations that the log knows, parked ones too."""
        raise NotImplementedError

    def backlog(self, destination: str, low: int | None = None) -> Backlog:
        """What lies above `low` (default: its saved progress)."""
        raise NotImplementedError

    def held_heads(self, destination: str) -> list[HeldHead]:
        """The head of every held lane."""
        raise NotImplementedError

    def held_jobs(self, destination: str, lane: str, limit: int = 1000) -> list[HeldJob]:
        """A lane's jobs in (sequence, part) order."""
        raise NotImplementedError

    def joined(self, destination: str) -> dict[str, str]:
        """Member lane -> the lane it joined."""
        raise NotImplementedError

    def skips(self, destination: str) -> list[Skip]:
        """Ranges that the destination skipped, ascending."""
        raise NotImplementedError

    def replays(self) -> dict[str, ReplayCursor]:
        """Replays under way, by name."""
        raise NotImplementedError

    def dead_letters(
        self, criteria: DeadFilter | None = None, after_id: int = 0, limit: int = 100
    ) -> list[DeadLetter]:
        """Dead letters with an id above `after_id`, ascending."""
        raise NotImplementedError

    def dead_letter(self, letter_id: int) -> DeadLetter | None:
        """One dead letter."""
        raise NotImplementedError

    def refused(self, after_id: int = 0, limit: int = 100) -> list[RefusedInput]:
        """Refused input with an id above `after_id`, ascending."""
        raise NotImplementedError

    def find(self, message_id: str, source: str | None = None) -> list[Found]:
        """Events with this messageId that the log still keeps, newest first; scans, so not on an event loop."""
        raise NotImplementedError

    def sequence_at(self, received_ms: int) -> int:
        """First sequence of the first block that holds an event received at or after this wall time.

        One past the last sequence when all are older. Approximate where the wall clock jumped.
        """
        raise NotImplementedError
