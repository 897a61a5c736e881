"""From the log into the order machine: reads blocks ahead, within bounds, and offers what goes to this destination."""

from collections import deque
from collections.abc import Callable, Iterable

from appliance.core import logs
from appliance.core.event import Record
from appliance.core.plan import Change, Planned
from appliance.deliver.cursor import Cursor
from appliance.deliver.lane import Buried, Effect, Held, Job, Settled, Skipped
from appliance.deliver.order import Order
from appliance.deliver.ports import Pipeline
from appliance.wal.log import DamagedBlock, Log

READ_BYTES = 256 * 1024
"""Bytes of records taken from the log at once."""
PASS_SEQUENCES = 20_000
"""Of a range whose events are not wanted, so much is looked through for joins and splits at once."""
ROW_BYTES = 400
"""What a held job takes beside its event, about."""
_LOG = logs.logger("deliver")


class Feed:
    """Reads for one destination. Every join and split up to `cursor.read` was applied, whatever became of the events.

    Args:
        unsettled_bytes_max: bytes of events in memory that are not safe elsewhere; one larger still goes through.
        until: last sequence to read; None: no end.
        goes: whether a record goes to this destination.
    """

    def __init__(
        self,
        log: Log,
        pipeline: Pipeline,
        cursor: Cursor,
        order: Order,
        goes: Callable[[Record], bool],
        read_ahead_max: int,
        unsettled_bytes_max: Callable[[], int],
        *,
        until: int | None = None,
        destination: str = "",
    ) -> None:
        self._log, self._pipeline, self._cursor, self._order = log, pipeline, cursor, order
        self.goes, self._until, self._destination = goes, until, destination
        self._read_ahead_max, self._unsettled_bytes_max = read_ahead_max, unsettled_bytes_max
        self._planned: deque[Planned] = deque()
        self._changes: deque[Change] = deque()
        self._pass_to = 0
        """Events up to here are not wanted."""
        self._bytes = 0
        self.filtered_total = 0
        self.oldest_ms = 0
        """Receiving time of the newest event offered: what is not offered yet is younger."""
        if not cursor.recovering:
            order.queues.recovered()

    @property
    def end(self) -> int:
        """The last sequence that may be taken now: in the log, and resolved."""
        last = min(self._log.last_sequence, self._pipeline.reach)
        return last if self._until is None else min(self._until, last)

    @property
    def behind(self) -> bool:
        """Whether there are events that were not taken yet, and may be."""
        return bool(self._planned) or self._cursor.read < self.end

    @property
    def passing(self) -> bool:
        """Whether it is on its way over events that are not wanted; no pause stops that, else it would pin the log."""
        return self._cursor.read < self._pass_to

    @property
    def ended(self) -> bool:
        """Whether everything up to `until` was taken."""
        return self._until is not None and not self._planned and self._cursor.read >= self._until

    def fill(self) -> bool:
        """Take what there is room for, at most one read. Returns whether there is more, and room for it."""
        if self.passing:
            self.pass_on()
            return True
        bytes_max = self._unsettled_bytes_max()
        if not self._planned and self.behind and self._room(bytes_max) and not self._read():
            return False  # What is there cannot be taken yet; once it can be, there is a wake.
        while self._planned and self._room(bytes_max):
            self._offer(self._planned.popleft())
        return self._more(bytes_max)

    def pass_on(self) -> None:
        """Go on over what is not wanted, a bounded way: joins and splits of that range count all the same."""
        upto = min(self._pass_to, self._cursor.read + PASS_SEQUENCES)
        if not self._order.queues.lanes:
            upto = self._pass_to  # Nobody waits: nothing can be joined, and nobody split off has to wait.
        else:
            for change in self._pipeline.changes(self._cursor.read, upto):
                self._order.queues.apply(change)
        self._cursor.passed(upto)
        self._recover()

    def left(self, effects: Iterable[Effect]) -> None:
        """These jobs are delivered, or safe elsewhere; what they took is free."""
        for effect in effects:
            if isinstance(effect, Settled | Held | Buried) and not effect.stored:
                self._bytes -= effect.job.size + ROW_BYTES

    def skip_to(self, sequence: int) -> int:
        """Leave out everything up to `sequence` that was not taken yet; returns the first sequence left out."""
        first = max(self._cursor.read, self._pass_to) + 1
        self._pass(sequence)
        return first

    def _more(self, bytes_max: int) -> bool:
        return self.passing or (self.behind and self._room(bytes_max))

    def _room(self, bytes_max: int) -> bool:
        if self._cursor.recovering:
            return True  # A former process had room for it, and nothing held goes out before it is here.
        return self._cursor.unsettled < self._read_ahead_max and self._bytes < bytes_max

    def _pass(self, sequence: int) -> None:
        """Leave out everything up to `sequence`; one step of the way is done at once, `fill` does the others."""
        self._planned.clear()
        self._changes.clear()
        self._pass_to = max(self._pass_to, sequence)
        if self.passing:
            self.pass_on()

    def _read(self) -> bool:
        """Plan what comes next, or pass over what does not come; returns whether there was either."""
        after, end, reach = self._cursor.read, self.end, self._pipeline.reach
        try:
            blocks = self._log.read(after, READ_BYTES)
        except DamagedBlock as damage:
            if damage.last_sequence > reach:
                return False
            _LOG.error(
                "block_skipped",
                destination=self._destination,
                error=str(damage),
                first=damage.first_sequence,
                last=damage.last_sequence,
                advice="sternpost wal verify tells how far the damage goes",
            )
            first = max(damage.first_sequence, after + 1)
            self._order.queues.effects.append(Skipped(first, damage.last_sequence, f"damaged block: {damage}"))
            self._pass(damage.last_sequence)
            return True
        for block in blocks:
            if block.first_sequence - after > PASS_SEQUENCES or block.last_sequence > reach:
                break
            plan = self._pipeline.plan(block, after, self.goes, replayed=self._until is not None)
            self._changes += plan.changes
            self._planned += plan.planned
            self._planned.append(Planned(block.last_sequence, "", []))
            after = block.last_sequence
        if not self._planned:  # A gap, and as far as events may be taken nothing else, or nothing yet.
            self._pass(min(end, blocks[0].first_sequence - 1) if blocks else end)
        return bool(self._planned) or self._cursor.read > after

    def _offer(self, planned: Planned) -> None:
        sequence = planned.sequence
        while self._changes and self._changes[0].sequence <= sequence:
            self._order.queues.apply(self._changes.popleft())
        if self._until is not None and sequence > self._until:
            self._planned.clear()
            self._cursor.passed(self._until)
        elif not planned.events or self._cursor.settled_before(sequence):
            self.filtered_total += bool(planned.lane and not planned.events)
            self._cursor.passed(sequence)
        else:
            self._open(planned)
        self._recover()

    def _open(self, planned: Planned) -> None:
        done = self._cursor.parts_before(planned.sequence)
        parts = [event for event in planned.events if event.part not in done]
        self._cursor.opened(planned.sequence, {event.part for event in parts}, done)
        for event in parts:
            self.oldest_ms = event.received_ms
            self._bytes += ROW_BYTES
            try:
                size = len(event.json)
            except Exception as error:
                job = Job(planned.lane, planned.sequence, event.part, event, 0)
                reason = f"the event could not be prepared: {type(error).__name__}: {error}"
                self._order.queues.effects.append(Buried(job, False, reason, "", stage="process"))
                continue
            self._bytes += size
            self._order.queues.offer(Job(planned.lane, planned.sequence, event.part, event, size))

    def _recover(self) -> None:
        if not self._cursor.recovering:
            self._order.queues.recovered()
