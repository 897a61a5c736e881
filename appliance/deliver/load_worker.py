"""One warehouse at work: takes ranges of the log, has them made into tables, loads them, keeps the outcomes.

The warehouse's own cursor is the authority: it is committed with the rows, so a range goes in once, whenever the
process or the warehouse dies. The log's progress is written afterwards, for trimming. Order needs no lanes here, since
rows are told apart by their ids and times. One load is under way at a time; what it does not take is halved until
single events are left, which become dead letters.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.config import DestinationConfig
from appliance.core.event import Event, Record
from appliance.core.job import DestinationState
from appliance.deliver.figures import DestinationStatus, Figures, LoadFigures
from appliance.deliver.instance import CLOSE_TIMEOUT_S, Instance
from appliance.deliver.load_ledger import LoadLedger, Reloaded
from appliance.deliver.load_people import LoadedPeople
from appliance.deliver.load_taking import Item, Piece, held_piece, taken_piece
from appliance.deliver.load_tries import Tries
from appliance.deliver.outcome import Result
from appliance.deliver.ports import People, Pipeline, Stage
from appliance.deliver.status import load_status_of
from appliance.deliver.stream import Stream
from appliance.deliver.worker import STOP_S
from appliance.sdk import Answer, Known, Load, Table
from appliance.wal.log import Log

STALLED_S = 1.0
"""Wait after an unexpected error before the warehouse goes on."""
_LOG = logs.logger("deliver")


class _Later(Exception):
    """The warehouse takes nothing now."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.reason)
        self.result = result


class LoadWorker:
    """Lives on the delivery loop; `status` alone may be called from elsewhere.

    Args:
        goes: whether a record goes to this warehouse.
        stage: makes tables of events; called in a thread.
        people: who is who; None where there is no graph, or it is not this stream's business.
        ended: called once, on the loop, when a replay has loaded everything.
    """

    def __init__(
        self,
        stream: Stream,
        config: DestinationConfig,
        instance: Instance,
        log: Log,
        pipeline: Pipeline,
        clock: Clock,
        goes: Callable[[Record], bool],
        stage: Stage,
        people: People | None,
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.stream, self.config, self.instance, self.goes = stream, config, instance, goes
        self._log, self._pipeline, self._clock, self._stage, self._ended = log, pipeline, clock, stage, ended
        self._people = LoadedPeople(people, stage, instance, stream) if people else None
        self._loop = asyncio.get_running_loop()
        self.paused = self.stopping = False
        self.figures, self.loads = Figures(clock), LoadFigures()
        self.tries = Tries(config)
        self.ledger = LoadLedger(log, pipeline, stream)
        self._known: Known | None = None
        self.loading: frozenset[int] = frozenset()
        self._held_blocked = 0
        self._due_s = 0.0
        """Monotonic seconds at which what waits is loaded; the first load comes at once."""
        self._woken, self._busy = asyncio.Event(), asyncio.Lock()
        self._task = self._loop.create_task(self._run(), name=stream.key)

    # Life ----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have changed; on the loop."""
        self._woken.set()

    async def stop(self, timeout_s: float) -> None:
        """Begin nothing new, let a load end for at most `timeout_s`, close the plug-in."""
        self.stopping, ends_s = True, self._loop.time() + STOP_S
        self.wake()
        _, late = await asyncio.wait({self._task}, timeout=timeout_s)
        if late:
            self._task.cancel()
            _LOG.error(
                "load_left_behind", destination=self.stream.key, kept="the events; the cursor tells what went in"
            )
        await self.instance.close(max(0.3, min(CLOSE_TIMEOUT_S, ends_s - self._loop.time())))

    def resume(self) -> None:
        """Load again, at once."""
        self.paused = False
        self.hasten(0)

    def hasten(self, now_ms: int) -> int:
        """Try now, and load what waits; returns how many people waited by themselves, which nobody does."""
        self.tries.soon()
        self._due_s = 0.0
        self.wake()
        return 0

    async def block_loads(self) -> None:
        """Until `requeued`, nothing is read from the held store, whose content changes from outside."""
        self._held_blocked += 1

    def requeued(self, lanes: Mapping[str, int]) -> None:
        """So many jobs were put into these lanes of the held store from outside."""
        self._held_blocked -= 1
        self.hasten(0)

    # The run -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        while not self.stopping:
            self._woken.clear()
            try:
                async with self._busy:
                    wait_s = await self._turn()
            except _Later as later:
                wait_s = self._failed(later.result)
            except Exception:
                # A fault of ours or of the disk, never of one event: nothing is given up.
                _LOG.exception("destination_stalled", destination=self.stream.key, again_in_s=STALLED_S)
                self._known, wait_s = None, STALLED_S
            if not self.stopping:
                await self._sleep(wait_s)

    async def _sleep(self, wait_s: float | None) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._woken.wait()
        except TimeoutError:
            pass

    async def _turn(self) -> float | None:
        """One step; returns after how many seconds the next one is due, None: when there is something new."""
        if self.paused:
            return None
        if (wait_s := self.tries.wait_s()) > 0:
            return wait_s
        if self._known is None:
            await self._look()
        if self.ledger.behind:
            return None
        if self._log.held_size(self.stream.key)[0] and not self._held_blocked:
            await self._settle(await asyncio.to_thread(held_piece, self._log, self.stream.key, self._events_max))
        if not self.waits and not (self._people and self._people.waits):
            self._at_the_end()
            return None
        now_s = time.monotonic()
        if now_s < self._due_s and self.end - self.ledger.low < self._events_max:
            return self._due_s - now_s
        self._due_s = now_s + self._every_s
        if self.waits:
            await self._settle(await asyncio.to_thread(self._take))
        if self._people:
            await self._load_people(self._people)
        return 0

    def _at_the_end(self) -> None:
        if self._ended and self.stream.cursor and self.ledger.low >= self.stream.cursor.until:
            ended, self._ended = self._ended, None
            ended()

    @property
    def _events_max(self) -> int:
        return self.config.load.events_max

    @property
    def _every_s(self) -> float:
        every_s = self.config.load.every
        return self.instance.limits.load_every_s if every_s is None else every_s

    async def _look(self) -> None:
        """What the warehouse has, and how far it is."""
        result, known = await self.instance.inspect(self.stream.key)
        if known is None:
            raise _Later(result)
        cursors = dict(known.cursors)
        await self.ledger.compare(cursors.pop(self._log.log_id, None), max(cursors.values(), default=0))
        self._known = known

    async def _load_people(self, people: LoadedPeople) -> None:
        while more := await people.next(_instant(self._clock.wall_ms()), self._events_max):
            if more.kind != "succeeded":
                raise _Later(more)

    def _take(self) -> Piece:
        load = self.config.load
        return taken_piece(self._log, self._pipeline, self.ledger, self.goes, self.end, load.events_max, load.bytes_max)

    # One piece -----------------------------------------------------------------------------------------------

    async def _settle(self, piece: Piece) -> None:
        """Load it, by halves where it is refused as a whole."""
        result = await self._try(piece)
        if result.kind == "succeeded":
            self.tries.succeeded(bool(piece.items))
            await self.ledger.loaded(piece)
            return
        if result.kind == "retry":
            raise _Later(result)
        if len(piece.items) > 1:
            for half in piece.halves():
                await self._settle(half)
            return
        if not piece.items or self.tries.is_everybody(result):
            raise _Later(result)
        await self._bury(piece.items.pop(), result)
        if piece.last:
            await self._settle(piece)

    async def _try(self, piece: Piece) -> Result:
        assert self._known is not None
        loaded_at = _instant(self._clock.wall_ms())
        events = [item.event for item in piece.items]
        staged = await asyncio.to_thread(self._stage, events, self._known.tables, loaded_at)
        for index, reason in sorted(staged.unmappable, reverse=True):
            await self._bury(piece.items.pop(index), Result(kind="abort", reason=reason))
        load = Load(
            stream=self.stream.key,
            log_id=self._log.log_id,
            first_sequence=piece.first,
            last_sequence=piece.last,
            loaded_at=loaded_at,
            tables=staged.tables,
        )
        self.loading, began_s = frozenset(item.event.sequence for item in piece.items), time.perf_counter()
        try:
            result = await self.instance.load(load)
        finally:
            self.loading = frozenset()
        seconds = time.perf_counter() - began_s
        self.figures.called(seconds * 1000)
        self._told(piece, result, seconds)
        if result.kind == "succeeded":
            self.figures.delivered(len(piece.items))
            self.loads.loaded(load, _grown(self._known, load.tables), seconds, self._clock.wall_ms())
        elif len(piece.items) == 1:
            self.figures.failed(result)
        return result

    async def _bury(self, item: Item, result: Result) -> None:
        await self.ledger.bury(item, result)
        self.figures.aborted_total += 1
        _LOG.warning(
            "event_aborted",
            destination=self.stream.destination,
            error=result.reason,
            kept="as a dead letter",
            advice="sternpost dead list",
        )

    def _failed(self, result: Result) -> float:
        """Nothing was loaded; returns after how many seconds it is tried again."""
        self._known = None  # A load that timed out may still come about: its cursor will tell.
        if self._people:
            self._people.forget()
        wait_s = self.tries.failed(result)
        self.figures.failed(result)
        _LOG.warning(
            "load_failed",
            destination=self.stream.key,
            error=result.reason,
            attempt=self.tries.attempts,
            again_in_s=round(wait_s, 1),
            kept="the events, in the log",
        )
        return wait_s

    def _told(self, piece: Piece, result: Result, seconds: float) -> None:
        for tap in self.stream.taps:
            for item in piece.items:
                tap(self.stream.destination, item.event, result, self.tries.attempts + 1, seconds * 1000)

    # Where it stands -----------------------------------------------------------------------------------------

    @property
    def low(self) -> int:
        """Everything up to here is loaded, or a dead letter."""
        return self.ledger.low

    @property
    def taken(self) -> int:
        """The last sequence that it has settled in some way."""
        return self.ledger.taken

    @property
    def end(self) -> int:
        """The last sequence that may be taken now."""
        last = self._log.last_sequence
        return last if self.stream.cursor is None else min(self.stream.cursor.until, last)

    @property
    def waits(self) -> bool:
        """Whether there are events that were not loaded yet, and may be."""
        return self.low < self.end

    def skip_to(self, sequence: int) -> tuple[int, int]:
        """Give up everything up to `sequence` that was not loaded."""
        first = self.ledger.skip_to(sequence)
        self.hasten(0)
        return first, sequence

    async def query(self, sql: str, rows_max: int) -> tuple[Result, Answer | None]:
        """Ask the warehouse; None where it gives nothing."""
        if self.instance.plugin.query is None:
            words = f"plug-in {self.config.plugin} answers no queries; ask the warehouse with a client of its own"
            return Result(kind="abort", reason=words), None
        return await self.instance.query(sql, rows_max)

    async def reload(self) -> Reloaded:
        """Load again from where the warehouse's cursor stands.

        Raises:
            ValueError: the warehouse could not be asked.
        """
        async with self._busy:
            result, known = await self.instance.inspect(self.stream.key)
            if known is None:
                raise ValueError(f"the warehouse could not be asked where it stands: {result.reason}")
            reloaded = await self.ledger.reload_from(known.cursors.get(self._log.log_id, self.ledger.began))
            self._known = None
        self.hasten(0)
        return reloaded

    async def test(self, event: Event) -> Result:
        """Whether the warehouse can be used; the event does not go there."""
        checked = (await self.instance.check()).results[0]
        return checked if checked.kind != "succeeded" else (await self.instance.inspect(self.stream.key))[0]

    def executing(self, sequence: int) -> int:
        """1 where this event is being loaded, else 0. Any thread."""
        return int(sequence in self.loading)

    def state(self) -> DestinationState:
        """Where it stands, in the operator's words; any thread."""
        if self.stopping:
            return DestinationState.STOPPED
        if self.paused:
            return DestinationState.PAUSED
        if self.ledger.behind or self.tries.refuses_everybody:
            return DestinationState.MISCONFIGURED
        return DestinationState.OPEN if self.tries.attempts else DestinationState.RUNNING

    def status(self) -> DestinationStatus:
        """Its figures at this moment; any thread."""
        return load_status_of(self, self._log, self._clock)


def _grown(known: Known, tables: Sequence[Table]) -> int:
    """Take over what a load has added; returns how many columns that is."""
    added = 0
    for table in tables:
        columns = known.tables.setdefault(table.name, {})
        for column in table.columns:
            if column.name not in columns:
                columns[column.name] = column.type
                added += 1
    return added


def _instant(ms: int) -> str:
    seconds, rest_ms = divmod(ms, 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest_ms:03}Z"
