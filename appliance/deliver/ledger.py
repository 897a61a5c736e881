"""What the order machine decided, made durable: effects go into the log's transactions, the cursor beside them.

One write is out at a time, so whatever is durable is a prefix of what was decided: progress never runs ahead of the
held job or dead letter that it stands for.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable

import msgspec

from appliance.core import logs
from appliance.core.errors import LogFailed
from appliance.core.event import Event, pack_event
from appliance.deliver.cursor import Cursor
from appliance.deliver.lane import Buried, Effect, Held, Job, Joined, Parted, Settled, Skipped
from appliance.wal.log import DamagedBlock, DeadLetter, HeldJob, Log, Progress, Skip, Transaction

AGAIN_S = 1.0
"""Wait before a refused write is tried again."""
_LOG = logs.logger("deliver")
_ENCODER = msgspec.msgpack.Encoder()

Save = Callable[[Transaction, Progress], None]
"""Puts the cursor where it belongs: a destination's progress, or a replay's cursor."""


class Ledger:
    """Lives on the delivery loop.

    Args:
        key: under which held jobs are kept: the destination's name, or the replay's.
        destination: whom dead letters name.
        saved: called on the loop with what became durable, in order; with nothing where it may be tried again.
    """

    def __init__(
        self, log: Log, key: str, destination: str, cursor: Cursor, save: Save, saved: Callable[[list[Effect]], None]
    ) -> None:
        self._log, self._key, self._destination, self._cursor = log, key, destination, cursor
        self._save, self._saved = save, saved
        self._loop = asyncio.get_running_loop()
        self._pending: list[Effect] = []
        self._out: list[Effect] = []
        self._writing: concurrent.futures.Future[None] | None = None
        self._soon = False
        self._saved_low = self._saving_low = -1
        self._not_before = 0.0
        self.refusal = ""
        """Why the last write was refused; "" once one went through."""
        self.failed: LogFailed | None = None
        self.decided = 0
        """Effects ever added."""
        self.durable = 0
        """Of them, on disk."""

    @property
    def unsaved(self) -> int:
        """Effects decided and not yet durable."""
        return self.decided - self.durable

    def add(self, effects: list[Effect]) -> None:
        """Take over what was decided, in order."""
        for effect in effects:
            if isinstance(effect, Settled | Held | Buried) and not effect.stored:
                self._cursor.settle(effect.job.sequence, effect.job.part)
        self._pending += effects
        self.decided += len(effects)

    @property
    def _idle(self) -> bool:
        """Nothing is pending, and the cursor has not moved past filtered events either."""
        return not self._pending and self._cursor.low == self._saved_low

    def flush(self, *, urgent: bool) -> None:
        """Start a write of what is pending; one that is not urgent may share a later commit."""
        if self._writing is not None:
            if urgent and self._soon:
                self._soon = False
                self._log.write(_nothing)
            return
        if self._idle or self.failed or self._loop.time() < self._not_before:
            return
        change = self._change(self._pending)
        self._out, self._pending, self._saving_low = self._pending, [], self._cursor.low
        self._soon = not urgent
        try:
            self._writing = self._log.write(change, soon=self._soon)
        except LogFailed as error:
            self.failed = error
            return
        self._writing.add_done_callback(self._done_elsewhere)

    async def settle(self) -> None:
        """Make everything durable that was decided until now.

        Raises:
            LogFailed: it cannot be.
        """
        goal = self.decided
        while not self.failed and (self.durable < goal or self._writing is not None or not self._idle):
            self.flush(urgent=True)
            if self._writing is not None:
                await asyncio.wait([asyncio.wrap_future(self._writing)], timeout=AGAIN_S)
            await asyncio.sleep(0 if self._loop.time() >= self._not_before else 0.05)
        if self.failed:
            raise self.failed

    def _done_elsewhere(self, _: "concurrent.futures.Future[None]") -> None:
        try:
            self._loop.call_soon_threadsafe(self._done)
        except RuntimeError:
            return  # The loop has stopped; who waits for this asks `settle`, and nobody does any more.

    def _done(self) -> None:
        assert self._writing is not None
        error = self._writing.exception()
        self._writing, saved = None, list[Effect]()
        if error is None:
            saved, self.refusal = self._out, ""
            self.durable += len(saved)
            self._saved_low = self._saving_low
        elif isinstance(error, LogFailed):
            self.failed = error
        else:
            self._pending, self.refusal = self._out + self._pending, str(error)
            self._not_before = self._loop.time() + AGAIN_S
            self._loop.call_later(AGAIN_S, self._saved, [])
            _LOG.warning("outcome_not_saved", destination=self._destination, error=str(error), again_in_s=AGAIN_S)
        self._out = []
        self._saved(saved)

    def _change(self, effects: list[Effect]) -> Callable[[Transaction], None]:
        held = [self._held_job(effect) for effect in effects if isinstance(effect, Held) and not effect.stored]
        tried = [self._held_job(effect) for effect in effects if isinstance(effect, Held) and effect.stored]
        letters = [self._letter(effect) for effect in effects if isinstance(effect, Buried)]
        gone = [_key(each.job) for each in effects if isinstance(each, Settled | Buried) and each.stored]
        joins = [effect for effect in effects if isinstance(effect, Joined | Parted)]
        skips = [self._skip(effect) for effect in effects if isinstance(effect, Skipped) and not self._replay]
        progress = Progress(self._cursor.low, self._cursor.ranges(), self._cursor.parts(), self._cursor.taken)

        def change(transaction: Transaction) -> None:
            for join in joins:
                if isinstance(join, Joined):
                    transaction.save_joined(self._key, join.member, join.lane)
                else:
                    transaction.drop_joined(self._key, list(join.members))
            if held:
                transaction.hold(held)
            if tried:
                transaction.update_held(tried)
            if gone:
                transaction.release(self._key, gone)
            if letters:
                transaction.bury(letters)
            for skip in skips:
                transaction.save_skip(skip)
            self._save(transaction, progress)

        return change

    def _held_job(self, effect: Held) -> HeldJob:
        job = effect.job
        assert job.event is not None
        return HeldJob(
            destination=self._key,
            lane=job.lane,
            sequence=job.sequence,
            part=job.part,
            attempts=effect.attempts,
            next_try_ms=effect.not_before_ms,
            first_failed_ms=effect.first_failed_ms,
            held_ms=self._log.log_now_ms(),
            error=effect.error,
            event=pack_event(job.event),
            replay=self._replay,
        )

    @property
    def _replay(self) -> str:
        """Name of the replay; "" for the live log. What a replay cannot read, its destination may have had before."""
        return self._key if self._key != self._destination else ""

    def _skip(self, effect: Skipped) -> Skip:
        return Skip(self._destination, effect.first, effect.last, self._log.log_now_ms(), effect.reason)

    def _letter(self, effect: Buried) -> DeadLetter:
        job = effect.job
        assert job.event is not None
        return DeadLetter(
            id=0,
            destination=self._destination,
            lane=job.lane,
            sequence=job.sequence,
            part=job.part,
            stage=effect.stage,
            reason=effect.reason,
            kind=effect.reason[:80],
            sample=effect.sample,
            attempts=job.attempts,
            first_failed_ms=job.first_failed_ms,
            buried_ms=0,
            event=packed_or_empty(job.event),
            record=original(self._log, job.sequence),
        )


def original(log: Log, sequence: int) -> bytes:
    """The record as it was collected, while the log still has it, undamaged; else empty."""
    try:
        blocks = log.read(sequence - 1, 1)
    except DamagedBlock:
        return b""
    for block in blocks:
        for record in block.records:
            if record.sequence == sequence:
                return _ENCODER.encode(record)
    return b""


def packed_or_empty(event: Event) -> bytes:
    """The event as it was to be delivered; empty where it could not be made."""
    try:
        return pack_event(event)
    except Exception:
        return b""


def _key(job: Job) -> tuple[str, int, int]:
    return job.lane, job.sequence, job.part


def _nothing(_: Transaction) -> None:
    """A change that only wants a commit now."""
