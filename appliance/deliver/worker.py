"""One destination at work: feeds its order machine, calls its plug-in, makes the outcomes durable.

Everything happens in `_pump`, which runs on the delivery loop whenever something changed: the log grew, a call came
back, a write became durable, a time came. It never waits; what waits are the calls, one task each.
"""

import asyncio
import time
from collections.abc import Callable, Mapping

from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.config import DestinationConfig
from appliance.core.event import Event, Record
from appliance.core.job import DestinationState
from appliance.deliver.breaker import BreakerState
from appliance.deliver.cursor import Cursor
from appliance.deliver.feed import Feed
from appliance.deliver.figures import DestinationStatus, Figures, OldestHeld
from appliance.deliver.held_store import Restored, stored_jobs
from appliance.deliver.instance import CLOSE_TIMEOUT_S, Instance
from appliance.deliver.lane import Batch, Buried, Effect, Job, Lane, Settled
from appliance.deliver.ledger import Ledger
from appliance.deliver.order import Order
from appliance.deliver.outcome import Result
from appliance.deliver.ports import Pipeline
from appliance.deliver.rules import breaker_of, rules_of
from appliance.deliver.shares import RESERVE_USED_MAX, Shares
from appliance.deliver.status import state_of, status_of
from appliance.deliver.stream import Stream
from appliance.wal.log import Log, Progress, Transaction

STALLED_S = 1.0
"""Wait after an unexpected error before the destination goes on."""
STOP_S = 8.5
"""A stop takes so long at most, whatever hangs."""
CANCEL_TIMEOUT_S = 0.3
"""A call that is cancelled and goes on all the same is left behind after that."""
CLOSE_S_MIN = 0.3
"""So long a plug-in may take to close, however much time its calls took."""
SETTLE_TIMEOUT_S = 1.5
"""At a stop, outcomes that cannot be made durable in this time are given up: those events are sent again."""
_LOG = logs.logger("deliver")


class Worker:
    """Lives on the delivery loop; `status` alone may be called from elsewhere.

    Args:
        goes: whether a record goes to this destination.
        ended: called once, on the loop, when a replay has delivered everything.
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
        shares: Callable[[], Shares],
        ended: Callable[[], None] | None = None,
    ) -> None:
        self.stream, self.config, self.instance = stream, config, instance
        self._log, self._pipeline, self._clock, self._ended = log, pipeline, clock, ended
        self._loop = asyncio.get_running_loop()
        self.paused = self.stopping = False
        self.figures = Figures(clock)
        self._oldest = OldestHeld(lambda: log.held_heads(stream.key))
        self._shares = shares
        self._calls: set[asyncio.Task[None]] = set()
        self._in_hand: dict[int, list[tuple[Job, int]]] = {}
        """What each call under way delivers, with the attempt that it is."""
        self._loads: list[tuple[Lane, int, int]] = []
        self._loads_blocked = 0
        self._scheduled = self._decisive = False
        self._timer: asyncio.TimerHandle | None = None
        self.order = Order(rules_of(config, instance), breaker_of(config))
        progress = stream.cursor.progress if stream.cursor else log.progress(stream.destination)
        saved = progress or Progress(low=stream.cursor.low if stream.cursor else 0)
        self._began = saved.start
        self.cursor = Cursor(saved.low, saved.ranges, saved.parts, saved.read)
        if saved.misconfigured:
            self.order.breaker.restore(saved.misconfigured, log.log_now_ms())
        self._restored = Restored(self.order.queues, log, stream.key, pipeline, self.cursor)
        until = stream.cursor.until if stream.cursor else None
        self.feed = Feed(
            log,
            pipeline,
            self.cursor,
            self.order,
            goes,
            config.read_ahead_max,
            lambda: shares().unsettled_bytes,
            until=until,
            destination=stream.destination,
        )
        self.ledger = Ledger(log, stream.key, stream.destination, self.cursor, self._save, self._saved)

    # Life ----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Something may have changed; on the loop."""
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump)

    async def stop(self, timeout_s: float) -> None:
        """Begin nothing new, let calls end for at most `timeout_s`, make outcomes durable, close the plug-in."""
        self.stopping, ends_s = True, self._loop.time() + STOP_S
        if self._timer:
            self._timer.cancel()
        if self._calls:
            _, late = await asyncio.wait(self._calls, timeout=timeout_s)
            for call in late:
                call.cancel()
            if late:
                _, hanging = await asyncio.wait(late, timeout=CANCEL_TIMEOUT_S)
                if hanging:
                    _LOG.error("calls_left_behind", destination=self.stream.key, calls=len(hanging), kept="the events")
        self.ledger.add(self._effects())
        try:
            async with asyncio.timeout(SETTLE_TIMEOUT_S):
                await self.ledger.settle()
        finally:
            await self.instance.close(max(CLOSE_S_MIN, min(CLOSE_TIMEOUT_S, ends_s - self._loop.time())))

    def hasten(self, now_ms: int) -> int:
        """Try everybody now who waits for a next try; returns how many people that is. `now_ms` is log time."""
        hastened = self.order.queues.hasten(lambda: now_ms)
        self.order.breaker.probe_soon(now_ms)
        self.wake()
        return hastened

    def resume(self) -> None:
        """Deliver again; an open breaker probes at once."""
        self.paused = False
        self.order.breaker.probe_soon(self._log.log_now_ms())
        self.wake()

    async def block_loads(self) -> None:
        """Until `requeued`, nothing is read from the held store, whose content changes from outside."""
        self._loads_blocked += 1

    def requeued(self, lanes: Mapping[str, int]) -> None:
        """So many jobs were put into these lanes of the held store from outside."""
        self._loads_blocked -= 1
        for lane, count in lanes.items():
            self.order.queues.requeued(lane, count, self._log.log_now_ms())
        self._restored.again(lanes)
        self.wake()

    def skip_to(self, sequence: int) -> tuple[int, int]:
        """Give up everything up to `sequence` that was not taken; what was taken moves to the held store."""
        self.order.queues.spill()
        first = self.feed.skip_to(sequence)
        self.wake()
        return first, sequence

    # The pump ------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        self._scheduled = False
        if self.stopping:
            return
        try:
            self._turn()
        except Exception:
            # A fault of ours or of the disk, never of one event: nothing is given up, the destination tries again.
            _LOG.exception("destination_stalled", destination=self.stream.key, again_in_s=STALLED_S)
            self._loop.call_later(STALLED_S, self.wake)

    def _turn(self) -> None:
        self._restored.go_on()
        if self._restored.waiting:
            self.ledger.add(self._effects())
            self.ledger.flush(urgent=self._decisive)
            if self._restored.ready:
                self.wake()
            return
        now_ms = self._log.log_now_ms()
        more = (self._may_read(now_ms) or self.feed.passing) and self.feed.fill()
        self.ledger.add(self._effects())
        starved = False if self.paused else self._send(now_ms)
        wanted = [] if self.paused else self.order.queues.wanted(now_ms, 2 * self.order.rules.in_flight_max)
        self._loads += [(lane, lane.version, self.ledger.decided) for lane in wanted]
        self.ledger.flush(urgent=self._urgent(starved))
        self._load()
        if self.feed.passing or (more and not starved and self.order.breaker.closed):
            self.wake()
        self._arm(now_ms, starved)
        left = self.cursor.unsettled or self.order.queues.stored or self.ledger.unsaved
        if self._ended and self.feed.ended and not left:
            ended, self._ended = self._ended, None
            ended()

    def _may_read(self, now_ms: int) -> bool:
        if self.paused or self.ledger.failed:
            return False
        if self.cursor.recovering:
            return True  # Nothing held goes out before that; a full held queue could never drain.
        held_bytes, shares = self._log.held_size(self.stream.key)[1], self._shares()
        if held_bytes >= shares.held_bytes:
            return False
        if held_bytes > shares.slack_bytes and self._log.reserve_used > RESERVE_USED_MAX:
            return False
        return self.order.breaker.closed or self.order.wants_fresh(now_ms)

    def _send(self, now_ms: int) -> bool:
        """Start what may go out. Returns whether unsaved outcomes held something back."""
        rules = self.order.rules
        budget = rules.in_flight_max * rules.batch_events_max + self.config.unsaved_max
        while not self.ledger.failed:
            room = budget - self.order.queues.in_flight_jobs - self.ledger.unsaved
            if room < 1:
                return True
            batch = self.order.take(now_ms, room)
            if batch is None:
                break
            call = self._loop.create_task(self._call(batch), name=self.stream.destination)
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
        return False

    def _urgent(self, starved: bool) -> bool:
        return starved or bool(self._loads) or self._decisive or self.ledger.unsaved * 4 >= self.config.unsaved_max * 3

    def _effects(self) -> list[Effect]:
        """What the order machine decided since the last time, with the figures kept."""
        effects = self.order.effects()
        self._decisive = False
        if settled := [effect for effect in effects if isinstance(effect, Settled)]:
            self.figures.delivered(len(settled))
            self.feed.left(settled)
        for effect in effects:
            if isinstance(effect, Buried):
                self.figures.aborted_total += 1
                _LOG.warning(
                    "event_aborted",
                    destination=self.stream.destination,
                    error=effect.reason,
                    kept="as a dead letter",
                    advice="sternpost dead list",
                )
            if not isinstance(effect, Settled):
                self._decisive = True
        return effects

    def _saved(self, effects: list[Effect]) -> None:
        """These are durable; none are where a write failed that may be tried again."""
        self.feed.left(effect for effect in effects if not isinstance(effect, Settled))
        self.wake()

    def _arm(self, now_ms: int, starved: bool) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        due_ms = None if self.paused or starved else self.order.next_wake_ms()
        if due_ms is not None and not self._scheduled:
            self._timer = self._loop.call_later(max(due_ms - now_ms, 1) / 1000, self.wake)

    # Calls ---------------------------------------------------------------------------------------------------

    async def _call(self, batch: Batch) -> None:
        jobs = batch.jobs
        events = [job.event for job in jobs if job.event is not None]
        attempts = [job.attempts + 1 for job in jobs]
        started, call = time.perf_counter(), id(batch)
        self._in_hand[call] = list(zip(jobs, attempts, strict=True))
        try:
            results = (await self.instance.call(events)).results
        finally:
            del self._in_hand[call]
        latency_ms = (time.perf_counter() - started) * 1000
        self.figures.called(latency_ms)
        self.order.settle(batch, results, self._log.log_now_ms())
        self.wake()
        for job, result, attempt in zip(jobs, results, attempts, strict=True):
            if result.kind != "succeeded":
                self._failed(result, attempt)
            for tap in self.stream.taps:
                assert job.event is not None
                tap(self.stream.destination, job.event, result, attempt, latency_ms)

    def _failed(self, result: Result, attempt: int) -> None:
        self.figures.failed(result)
        event = "plugin_faulted" if result.fault else "delivery_throttled" if result.throttled else "delivery_failed"
        _LOG.warning(
            event,
            destination=self.stream.destination,
            error=result.reason,
            attempt=attempt,
            kept="the event waits and is tried again" if result.kind == "retry" else "see the dead letters",
        )

    # The held store ------------------------------------------------------------------------------------------

    def _load(self) -> None:
        while self._loads and not self._loads_blocked and self._loads[0][2] <= self.ledger.durable:
            lane, version, _ = self._loads[0]
            # May raise: then it stays first, and the next turn tries again.
            jobs = stored_jobs(self._log, self.stream.key, lane.members)
            del self._loads[0]
            self.order.queues.loaded(lane, version, jobs)
            self.wake()

    def _save(self, transaction: Transaction, progress: Progress) -> None:
        breaker, progress.start = self.order.breaker, self._began
        progress.misconfigured = breaker.cause if breaker.state is BreakerState.MISCONFIGURED else ""
        if self.stream.cursor is None:
            transaction.save_progress(self.stream.destination, progress)
        else:
            cursor = self.stream.cursor
            cursor.low, cursor.progress, cursor.delivered = progress.low, progress, self.figures.delivered_total
            transaction.save_replay(self.stream.replay, cursor)

    # What operators see --------------------------------------------------------------------------------------

    @property
    def goes(self) -> Callable[[Record], bool]:
        """Whether a record goes to this destination."""
        return self.feed.goes

    @property
    def low(self) -> int:
        """Everything up to here is settled."""
        return self.cursor.low

    @property
    def taken(self) -> int:
        """The last sequence that was taken from the log."""
        return self.cursor.taken

    @property
    def end(self) -> int:
        """The last sequence that may be taken now."""
        return self.feed.end

    @property
    def waits(self) -> bool:
        """Whether there are events that were not taken yet, and may be."""
        return self.feed.behind

    async def test(self, event: Event) -> Result:
        """Call the plug-in once with this event, outside of lanes and log."""
        return await self.instance.test(event)

    def executing(self, sequence: int) -> int:
        """Attempts at this event, where a call has it in hand now: 1 for its first; 0 where none has. Any thread."""
        for jobs in list(self._in_hand.values()):
            for job, attempt in jobs:
                if job.sequence == sequence:
                    return attempt
        return 0

    def state(self) -> DestinationState:
        """Where it stands, in the operator's words; any thread."""
        return state_of(self)

    def status(self) -> DestinationStatus:
        """Its figures at this moment; any thread."""
        return status_of(self, self._log, self._clock, self._oldest)
