"""Live tail: events as they are collected, processed and delivered, for those who watch; it drops rather than slows.

Nothing is done while nobody watches. Collected and processed events are read from the log behind the commits, delivered
ones come from the dispatcher's tap. Every `TICK_S` at most `EVENTS_PER_TICK` are looked at; where more come, one in so
many is taken, evenly, and a frame `sampled` says so. What a slow watcher has no room for is said by a frame `missed`.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, Literal, NamedTuple

from appliance.control.ports import Dispatcher
from appliance.control.query import Query
from appliance.control.sampling import Left, Thinner, left_out, spots
from appliance.control.tail_subjects import DeliveredSubject, ProcessedSubject, RecordSubject, Subject
from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.errors import DamagedRecord
from appliance.core.event import Event, Record
from appliance.deliver.outcome import Result
from appliance.wal.log import DamagedBlock, Log

TICK_S = 0.1
EVENTS_PER_TICK = 100
READ_BYTES = 256 * 1024
BEHIND_MAX = 2_000
"""Further behind the log than this, a tail begins to sample; it ends once it keeps up."""
SPOTS_PER_TICK = 20
"""Blocks that are read for a sample; each gives a few events that stand side by side."""
WATCHERS_MAX = 16
FRAMES_MAX = 1_000
"""Frames that wait for one watcher."""
_LOG = logs.logger("control")
Point = Literal["collected", "processed", "delivered"]
POINTS: tuple[Point, ...] = ("collected", "processed", "delivered")


class Frame(NamedTuple):
    """One server-sent event."""

    name: str
    data: dict[str, Any]


class TooManyWatchers(Exception):
    """`WATCHERS_MAX` are watching already."""


class Watcher:
    """One who watches; iterate it for frames."""

    def __init__(self, point: Point, query: Query, payload: bool) -> None:
        self.point, self.query, self._payload = point, query, payload
        self._frames: deque[Frame] = deque()
        self._missed = 0
        self._left = Left(1, 0)
        self._wake = asyncio.Event()
        self._closed = False

    def offer(self, subject: Subject) -> None:
        """Show an event, if it matches and there is room."""
        if not self.query.matches(subject):
            return
        if len(self._frames) >= FRAMES_MAX:
            self._missed += 1
        else:
            self._frames.append(Frame(self.point, subject.view(self._payload)))
        self._wake.set()

    def sampled(self, left: Left) -> None:
        """Not all events were looked at."""
        self._left = Left(left.one_in, self._left.events + left.events)
        self._wake.set()

    def close(self) -> None:
        """End the iteration."""
        self._closed = True
        self._wake.set()

    async def frames(self, idle_s: float) -> AsyncIterator[Frame | None]:
        """Frames as they come; None when there was none for `idle_s`, so that a dead connection is noticed."""
        while not self._closed:
            try:
                await asyncio.wait_for(self._wake.wait(), idle_s)
            except TimeoutError:
                yield None
                continue
            self._wake.clear()
            if self._missed:
                count, self._missed = self._missed, 0
                yield Frame("missed", {"events": count})
            if self._left.events:
                left, self._left = self._left, Left(1, 0)
                yield Frame("sampled", {"one_in": left.one_in, "events_left_out": left.events})
            while self._frames and not self._closed:
                yield self._frames.popleft()


class Tail:
    """All watchers of one process; lives on control's loop."""

    def __init__(self, log: Log, dispatcher: Dispatcher, clock: Clock, executor: Executor) -> None:
        self._log, self._dispatcher, self._clock, self._executor = log, dispatcher, clock, executor
        self._watchers: dict[Point, set[Watcher]] = {point: set() for point in POINTS}
        self._pumps: dict[Point, asyncio.Task[None]] = {}

    def watch(self, point: Point, query: Query, *, payload: bool = True) -> Watcher:
        """Begin to watch; give it back to `leave`.

        Raises:
            TooManyWatchers: there are too many already.
        """
        if sum(map(len, self._watchers.values())) >= WATCHERS_MAX:
            raise TooManyWatchers
        watcher = Watcher(point, query, payload)
        self._watchers[point].add(watcher)
        if point not in self._pumps:
            pump = self._delivered() if point == "delivered" else self._following(point)
            self._pumps[point] = asyncio.get_running_loop().create_task(self._pumped(point, pump))
        return watcher

    def leave(self, watcher: Watcher) -> None:
        """Stop watching; the last one out ends the pump."""
        watcher.close()
        self._watchers[watcher.point].discard(watcher)
        if not self._watchers[watcher.point] and (pump := self._pumps.pop(watcher.point, None)):
            pump.cancel()

    def close(self) -> None:
        """End everybody's watch."""
        for watchers in self._watchers.values():
            for watcher in list(watchers):
                self.leave(watcher)

    async def _pumped(self, point: Point, pump: Coroutine[None, None, None]) -> None:
        """A pump that fails ends the watch of those who depend on it; whoever comes next starts another."""
        try:
            await pump
        except Exception:
            _LOG.exception("tail_ended", kind=point)
            self._pumps.pop(point, None)
            for watcher in list(self._watchers[point]):
                self.leave(watcher)

    async def _following(self, point: Point) -> None:
        """Behind the commits of the log."""
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        unsubscribe = self._log.subscribe(_threadsafe(loop, wake))
        after, sampling = self._log.last_sequence, False
        try:
            while True:
                await wake.wait()
                wake.clear()
                last = self._log.last_sequence
                sampling = last - after > (EVENTS_PER_TICK if sampling else BEHIND_MAX)
                read = self._sampled if sampling else self._read
                subjects, after, left = await loop.run_in_executor(self._executor, read, point, after, last)
                self._left(point, left)
                self._show(point, subjects)
                if self._log.last_sequence > after:
                    wake.set()
                await asyncio.sleep(TICK_S)
        finally:
            unsubscribe()

    def _read(self, point: Point, after: int, last: int) -> tuple[list[Subject], int, Left]:
        """At most a tick's worth of events above `after`, and where to go on."""
        try:
            blocks = self._log.read(after, READ_BYTES)
        except DamagedBlock as damaged:
            return [], damaged.last_sequence, Left(1, 0)
        except DamagedRecord:
            return [], last, Left(1, 0)
        records = [record for block in blocks for record in block.records if record.sequence > after]
        if len(records) > EVENTS_PER_TICK:
            records = records[:EVENTS_PER_TICK]
            return self._subjects(point, records), records[-1].sequence, Left(1, 0)
        return self._subjects(point, records), blocks[-1].last_sequence if blocks else after, Left(1, 0)

    def _sampled(self, point: Point, after: int, last: int) -> tuple[list[Subject], int, Left]:
        """A tick's worth of the events up to `last`, from places evenly apart."""
        records: list[Record] = []
        most = EVENTS_PER_TICK // SPOTS_PER_TICK
        previous = after
        for spot in spots(after, last, SPOTS_PER_TICK):
            try:
                found = self._log.read(spot - 1, 1)
            except DamagedRecord:
                continue
            near = [one for block in found[:1] for one in block.records if previous < one.sequence <= spot]
            records += near[-most:]
            previous = spot
        return self._subjects(point, records), last, left_out(last - after, len(records))

    def _subjects(self, point: Point, records: Sequence[Record]) -> list[Subject]:
        if point == "collected":
            return [RecordSubject(record, self._clock) for record in records]
        subjects: list[Subject] = []
        for record in records:
            try:
                event, destinations = self._dispatcher.processed(record)
                subjects.append(ProcessedSubject(event, destinations, self._clock))
            except Exception as error:  # what an event causes costs that event; its dead letter tells more
                _LOG.debug("event_not_processed_for_tail", error=str(error), sequence=record.sequence)
        return subjects

    async def _delivered(self) -> None:
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        rouse = _threadsafe(loop, wake)
        waiting: deque[Subject] = deque()
        thinner = Thinner(EVENTS_PER_TICK)

        def tapped(destination: str, event: Event, result: Result, attempts: int, took_ms: float) -> None:
            """On the delivery loop: microseconds, whatever happens here."""
            if thinner.passes():
                waiting.append(DeliveredSubject(destination, event, result, attempts, took_ms, self._clock))
            rouse()

        untap = self._dispatcher.tap(tapped)
        try:
            while True:
                await wake.wait()
                wake.clear()
                self._left("delivered", thinner.taken())
                self._show("delivered", [waiting.popleft() for _ in range(len(waiting))])
                await asyncio.sleep(TICK_S)
        finally:
            untap()

    def _show(self, point: Point, subjects: Sequence[Subject]) -> None:
        for subject in subjects:
            for watcher in self._watchers[point]:
                watcher.offer(subject)

    def _left(self, point: Point, left: Left) -> None:
        if left.events:
            for watcher in self._watchers[point]:
                watcher.sampled(left)


def _threadsafe(loop: asyncio.AbstractEventLoop, wake: asyncio.Event) -> Callable[[], None]:
    """Sets `wake` from another thread, without a call into the loop while it is set already."""

    def rouse() -> None:
        if not wake.is_set():
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:
                return  # The loop has ended; nobody watches any more.

    return rouse
