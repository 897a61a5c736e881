"""How far a warehouse is, as the log notes it behind the warehouse's own cursor, and what it could not take."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import msgspec

from appliance.core import logs
from appliance.deliver.ledger import original, packed_or_empty
from appliance.deliver.load_taking import Item, Piece
from appliance.deliver.outcome import Result
from appliance.deliver.ports import Pipeline
from appliance.deliver.stream import Stream
from appliance.wal.log import DeadLetter, Log, Progress, Skip, Transaction

T = TypeVar("T")
_ENCODER = msgspec.msgpack.Encoder()
_LOG = logs.logger("deliver")


class Reloaded(NamedTuple):
    """What is loaded again."""

    first: int
    last: int
    lost: int
    """So many before that the warehouse lacks too, and the log does not hold any more; gaps may count."""


class LoadLedger:
    """Lives on the delivery loop."""

    def __init__(self, log: Log, pipeline: Pipeline, stream: Stream) -> None:
        self._log, self._pipeline, self._stream = log, pipeline, stream
        progress = stream.cursor.progress if stream.cursor else log.progress(stream.destination)
        progress = progress or Progress(low=stream.cursor.low if stream.cursor else 0)
        self.low, self._start = progress.low, progress.start
        """Everything up to here is in the warehouse, or a dead letter."""
        self.above = {number for first, last in progress.ranges for number in range(first, last + 1)}
        """Above it, dead letters."""
        self.filtered_total = 0
        self.behind = ""
        """Why the warehouse must not go on: it lacks what was loaded; "" while it has it."""

    @property
    def began(self) -> int:
        """Everything up to here was never meant for this warehouse."""
        return max(self._start, 0)

    @property
    def taken(self) -> int:
        """The last sequence that is settled."""
        return max(self.low, *self.above, 0)

    async def compare(self, cursor: int | None, earlier: int = 0) -> None:
        """Take over the warehouse's own cursor: it is ahead after a crash, behind where it was restored.

        Args:
            earlier: its furthest cursor of another log. A log that was salvaged has a new id, but the sequences and
                the progress of the one before: a warehouse that has all of that lacks nothing.
        """
        self.behind = ""
        if cursor is not None and cursor > self._log.last_sequence:
            self.behind = (
                f"the warehouse has events up to {cursor} of this log, which ends at {self._log.last_sequence}: the "
                "log lost its end, or a copy of it was loaded elsewhere"
            )
        elif cursor is not None and cursor >= self.low:
            if cursor > self.low:
                _LOG.info("load_found", destination=self._stream.key, low=self.low, cursor=cursor)
                self._pass(cursor)
                await self._write(self._save)
        elif self._stream.cursor is None and self._start < self.low and (cursor is not None or earlier < self.low):
            self.behind = (
                f"the warehouse has events up to {cursor or 0} of this log, and was loaded up to {self.low}: is it "
                f"another one, or restored from an older backup? `sternpost warehouse reload "
                f"{self._stream.destination}` loads what the log still holds"
            )
        if self.behind:
            _LOG.error(
                "warehouse_restored", destination=self._stream.key, error=self.behind, kept="the events, in the log"
            )

    async def reload_from(self, cursor: int) -> Reloaded:
        """Go back to where the warehouse is, as far as the log reaches."""
        last = self.low
        first = min(max(cursor + 1, self._log.stats().first_sequence), last + 1)
        self.low, self._start, self.above, self.behind = first - 1, first - 1, set(), ""
        await self._write(self._save)
        return Reloaded(first, last, first - 1 - cursor)

    async def loaded(self, piece: Piece) -> None:
        """This is in the warehouse, for good."""
        if piece.last:
            self._pass(piece.last)
            self.filtered_total += piece.filtered
            if self._stream.cursor is not None:
                self._stream.cursor.delivered += len(piece.items)
            skips = [self._skip(piece.first, piece.last, piece.damage)] if piece.damage else []
            await self._write(lambda transaction: self._save(transaction, skips), soon=True)
            return
        keys = [(job.lane, job.sequence, job.part) for item in piece.items if (job := item.held)]
        if keys:
            await self._write(lambda transaction: transaction.release(self._stream.key, keys))

    async def bury(self, item: Item, result: Result) -> None:
        """This cannot be loaded: a dead letter, before the load that passes it."""
        letter = self._letter(item, result)
        if item.held is None:
            self.above.add(item.event.sequence)

        def change(transaction: Transaction) -> None:
            transaction.bury([letter])
            if item.held:
                job = item.held
                transaction.release(self._stream.key, [(job.lane, job.sequence, job.part)])
            else:
                self._save(transaction)

        await self._write(change)

    def skip_to(self, sequence: int) -> int:
        """Leave out everything up to `sequence`; returns the first that is left out."""
        first = self.low + 1
        self._pass(sequence)
        self._start = self.low  # What is left out is never meant for it: lacking it, the warehouse is not behind.
        self._log.write(self._save)
        return first

    def _pass(self, sequence: int) -> None:
        self.low = max(self.low, sequence)
        self.above = {number for number in self.above if number > self.low}

    def _save(self, transaction: Transaction, skips: list[Skip] | None = None) -> None:
        ranges = [(number, number) for number in sorted(self.above)]
        progress = Progress(self.low, ranges, {}, self.taken, "", self._start)
        for skip in skips or []:
            transaction.save_skip(skip)
        if self._stream.cursor is None:
            transaction.save_progress(self._stream.destination, progress)
        else:
            cursor = self._stream.cursor
            cursor.low, cursor.progress = self.low, progress
            transaction.save_replay(self._stream.replay, cursor)

    def _skip(self, first: int, last: int, reason: str) -> Skip:
        return Skip(self._stream.destination, first, last, self._log.log_now_ms(), reason)

    def _letter(self, item: Item, result: Result) -> DeadLetter:
        event, record = item.event, item.record
        lane = item.held.lane if item.held else self._pipeline.event(record)[0] if record else ""
        kept = _ENCODER.encode(record) if record else original(self._log, event.sequence)
        return DeadLetter(
            id=0,
            destination=self._stream.destination,
            lane=lane,
            sequence=event.sequence,
            part=event.part,
            stage="load",
            reason=result.reason,
            kind=result.reason[:80],
            sample=result.sample,
            attempts=1,
            first_failed_ms=self._log.log_now_ms(),
            buried_ms=0,
            event=packed_or_empty(event),
            record=kept,
        )

    async def _write(self, change: Callable[[Transaction], T], *, soon: bool = False) -> T:
        return await asyncio.wrap_future(self._log.write(change, soon=soon))
