"""Live tail: events as they are collected and delivered, for those who watch; it drops rather than slows.

Nothing is done while nobody watches. Collected events are read from the log behind the commits, delivered ones come
from the dispatcher's tap. Every `TICK_S` at most `EVENTS_PER_TICK` are looked at; what is beyond that, and what a slow
watcher has no room for, is counted and said, never waited for.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import Executor
from typing import Any, Literal, NamedTuple

from appliance.control import views
from appliance.control.ports import Dispatcher
from appliance.control.query import Query
from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.errors import DamagedRecord
from appliance.core.event import Event, Record, event_name
from appliance.deliver.outcome import Result
from appliance.wal.log import DamagedBlock, Log

TICK_S = 0.1
EVENTS_PER_TICK = 100
READ_BYTES = 256 * 1024
BEHIND_MAX = 2_000
"""Further behind the log than this, a tail jumps to its end."""
WATCHERS_MAX = 16
FRAMES_MAX = 1_000
"""Frames that wait for one watcher."""
STATES = {"succeeded": "succeeded", "retry": "failed", "abort": "aborted"}
"""An outcome of a call in the words of job states."""
_LOG = logs.logger("control")
Point = Literal["collected", "delivered"]


class Frame(NamedTuple):
    """One server-sent event."""

    name: str
    data: dict[str, Any]


class TooManyWatchers(Exception):
    """`WATCHERS_MAX` are watching already."""


class Watcher:
    """One who watches; iterate it for frames. A frame `missed` says how many events were not shown."""

    def __init__(self, point: Point, query: Query, payload: bool) -> None:
        self.point, self.query, self._payload = point, query, payload
        self._frames: deque[Frame] = deque()
        self._missed = 0
        self._wake = asyncio.Event()
        self._closed = False

    def offer(self, subject: "_Subject") -> None:
        """Show an event, if it matches and there is room."""
        if not self.query.matches(subject):
            return
        if len(self._frames) >= FRAMES_MAX:
            self._missed += 1
        else:
            self._frames.append(Frame(self.point, subject.view(self._payload)))
        self._wake.set()

    def missed(self, count: int) -> None:
        """So many events were not looked at."""
        self._missed += count
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
            while self._frames and not self._closed:
                yield self._frames.popleft()


class Tail:
    """All watchers of one process; lives on control's loop."""

    def __init__(self, log: Log, dispatcher: Dispatcher, clock: Clock, executor: Executor) -> None:
        self._log, self._dispatcher, self._clock, self._executor = log, dispatcher, clock, executor
        self._watchers: dict[Point, set[Watcher]] = {"collected": set(), "delivered": set()}
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
            pump = self._collected() if point == "collected" else self._delivered()
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

    async def _collected(self) -> None:
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        unsubscribe = self._log.subscribe(_threadsafe(loop, wake))
        after = self._log.last_sequence
        try:
            while True:
                await wake.wait()
                wake.clear()
                behind = self._log.last_sequence - after
                if behind > BEHIND_MAX:
                    after += behind - EVENTS_PER_TICK
                    self._missed("collected", behind - EVENTS_PER_TICK)
                records, after = await loop.run_in_executor(self._executor, self._read, after)
                self._show("collected", [RecordSubject(record, self._clock) for record in records])
                if self._log.last_sequence > after:
                    wake.set()
                await asyncio.sleep(TICK_S)
        finally:
            unsubscribe()

    def _read(self, after: int) -> tuple[list[Record], int]:
        """At most a tick's worth of records above `after`, and where to go on."""
        try:
            blocks = self._log.read(after, READ_BYTES)
        except DamagedBlock as damaged:
            return [], damaged.last_sequence
        except DamagedRecord:
            return [], self._log.last_sequence
        records = [record for block in blocks for record in block.records if record.sequence > after]
        if len(records) > EVENTS_PER_TICK:
            records = records[:EVENTS_PER_TICK]
            return records, records[-1].sequence
        return records, blocks[-1].last_sequence if blocks else after

    async def _delivered(self) -> None:
        loop = asyncio.get_running_loop()
        wake = asyncio.Event()
        rouse = _threadsafe(loop, wake)
        waiting: deque[_Delivered] = deque()
        left_out = [0]

        def tapped(destination: str, event: Event, result: Result, attempts: int, took_ms: float) -> None:
            """On the delivery loop: microseconds, whatever happens here."""
            if len(waiting) < EVENTS_PER_TICK:
                waiting.append(_Delivered(destination, event, result, attempts, took_ms, self._clock))
            else:
                left_out[0] += 1
            rouse()

        untap = self._dispatcher.tap(tapped)
        try:
            while True:
                await wake.wait()
                wake.clear()
                self._show("delivered", [waiting.popleft() for _ in range(len(waiting))])
                if left_out[0]:
                    count, left_out[0] = left_out[0], 0
                    self._missed("delivered", count)
                await asyncio.sleep(TICK_S)
        finally:
            untap()

    def _show(self, point: Point, subjects: "Sequence[_Subject]") -> None:
        for subject in subjects:
            for watcher in self._watchers[point]:
                watcher.offer(subject)

    def _missed(self, point: Point, count: int) -> None:
        for watcher in self._watchers[point]:
            watcher.missed(count)


class RecordSubject:
    """An event of the log as a filter and a watcher see it."""

    __slots__ = ("_clock", "_record")

    def __init__(self, record: Record, clock: Clock) -> None:
        self._record, self._clock = record, clock

    def values(self, key: str) -> Sequence[str]:
        return _of_event(key, self._record, self._record.raw)

    def age_ms(self) -> int:
        return self._clock.wall_ms() - self._record.received_ms

    def text(self) -> str:
        return self._record.raw.decode("utf-8", "replace")

    def view(self, payload: bool) -> dict[str, Any]:
        view = views.record_view(self._record)
        if not payload:
            del view["payload"]
        return view


class _Delivered:
    """A delivery as a filter and a watcher see it."""

    __slots__ = ("_attempts", "_clock", "_destination", "_event", "_result", "_took_ms")

    def __init__(
        self, destination: str, event: Event, result: Result, attempts: int, took_ms: float, clock: Clock
    ) -> None:
        self._destination, self._event, self._result = destination, event, result
        self._attempts, self._took_ms, self._clock = attempts, took_ms, clock

    def values(self, key: str) -> Sequence[str]:
        own = {
            "dest": self._destination,
            "reason": self._result.reason,
            "state": STATES[self._result.kind],
            "code": str(views.code_of(self._result.reason) or ""),
        }
        if key in own:
            return (own[key],) if own[key] else ()
        return _of_event(key, self._event, self._event.json)

    def age_ms(self) -> int:
        return self._clock.wall_ms() - self._event.received_ms

    def text(self) -> str:
        return f"{self._destination} {self._result.reason} {self._event.json.decode('utf-8', 'replace')}"

    def view(self, payload: bool) -> dict[str, Any]:
        event = self._event
        view = {
            "destination": self._destination,
            "state": STATES[self._result.kind],
            "reason": self._result.reason,
            "attempts": self._attempts,
            "took_ms": round(self._took_ms, 3),
            "sequence": event.sequence,
            "part": event.part,
            "received_ms": event.received_ms,
            "source": event.source,
            "type": event.type,
            "event": event_name(event.json),
            "message_id": event.message_id,
            "user_id": event.user_id,
            "anonymous_id": event.anonymous_id,
            "replayed": event.replayed,
        }
        return {**view, "sample": self._result.sample, "payload": views.raw_json(event.json)} if payload else view


_Subject = RecordSubject | _Delivered


def _of_event(key: str, event: Record | Event, payload: bytes) -> Sequence[str]:
    if key == "event":
        return (event_name(payload),)
    if key == "user":
        return [name for name in (event.user_id, event.anonymous_id) if name]
    field = {"source": event.source, "type": event.type, "id": event.message_id}.get(key)
    return (field,) if field else ()


def _threadsafe(loop: asyncio.AbstractEventLoop, wake: asyncio.Event) -> Callable[[], None]:
    """Sets `wake` from another thread, without a call into the loop while it is set already."""

    def rouse() -> None:
        if not wake.is_set():
            try:
                loop.call_soon_threadsafe(wake.set)
            except RuntimeError:
                return  # The loop has ended; nobody watches any more.

    return rouse
