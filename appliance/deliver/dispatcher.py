"""All destinations: one worker each, on a loop and thread of their own, so that no plug-in can stop collection."""

import asyncio
import concurrent.futures
import contextlib
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.config import Config, DestinationConfig
from appliance.core.errors import LogFailed, Overloaded
from appliance.core.event import Event, Record
from appliance.core.pauses import Pauses
from appliance.deliver import operations
from appliance.deliver.backlog import enforce_backlog
from appliance.deliver.figures import DestinationStatus
from appliance.deliver.http_client import HttpClient
from appliance.deliver.instance import Instance
from appliance.deliver.load_ledger import Reloaded
from appliance.deliver.load_worker import LoadWorker
from appliance.deliver.outcome import Result
from appliance.deliver.plugins import Plugin
from appliance.deliver.ports import People, Pipeline, Stages, Station
from appliance.deliver.replay_names import ReplayNames
from appliance.deliver.replays import Replays
from appliance.deliver.shares import Shares, shares_of
from appliance.deliver.stream import Delivered, Stream
from appliance.deliver.watchdog import Watchdog
from appliance.deliver.worker import Worker
from appliance.sdk import Answer
from appliance.sdk import Config as PluginConfig
from appliance.wal.log import Log, Progress, ReplayCursor, Transaction

CALLS_TIMEOUT_S = 6.0
"""Calls under way may take so long to end at a stop."""
END_S = 8.8
"""After that a stop goes on without the deliveries: somebody's code blocks their loop."""
BACKLOG_CHECK_S = 5.0
_LOG = logs.logger("deliver")
T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Bound:
    """A destination as configured, with its plug-in and that plug-in's own configuration."""

    config: DestinationConfig
    plugin: Plugin
    options: PluginConfig


class Dispatcher:
    """Public methods may be called from any thread; the `async` ones are awaited on another loop than the delivery's.

    Args:
        stages: what makes tables of events, for each warehouse.
        people: who is who, for warehouses; None without a graph.
        paused_file: JSON list of the destinations that an operator paused; survives a restart. Beside it
            replays.json holds the last number of a replay of each destination.
    """

    def __init__(
        self,
        log: Log,
        pipeline: Pipeline,
        stages: Stages,
        people: People | None,
        clock: Clock,
        config: Config,
        paused_file: Path,
    ) -> None:
        self._log, self._pipeline, self._clock, self._config = log, pipeline, clock, config
        self._stages, self._people = stages, people
        self._wal = config.wal
        """As the log was opened with it: a re-load does not change it."""
        self._paused = Pauses(paused_file)
        self.workers: dict[str, Station] = {}
        """By stream: destinations and replays at work."""
        self._bound: dict[str, Bound] = {}
        self._taps: set[Delivered] = set()
        self._replays = Replays(self, ReplayNames(paused_file.with_name("replays.json")), log, clock)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="deliver", daemon=True)
        self._wake_pending = False
        self._unsubscribe: Callable[[], None] = lambda: None
        self._watchdog = Watchdog(self._loop, self._thread)
        self._client = HttpClient(config.outbound)
        self._acting = asyncio.Lock()
        """Held by whoever starts, stops or counts on workers: one at a time."""

    # Life ----------------------------------------------------------------------------------------------------

    def start(self, bound: Mapping[str, Bound]) -> None:
        """Start the delivery thread and its workers; blocking, seconds at most."""
        self._thread.start()
        self._watchdog.start()
        self._unsubscribe = self._pipeline.subscribe(self._grown)  # First: what comes while they begin must wake them.
        asyncio.run_coroutine_threadsafe(self._begin(dict(bound)), self._loop).result()

    async def stop(self) -> None:
        """End all deliveries within 10 s; what is not settled stays where it is."""
        self._unsubscribe()
        self._watchdog.stop()
        if not self._thread.is_alive():
            return
        join_s = 0.0
        try:
            async with asyncio.timeout(END_S):
                await self._on_loop(self._end())
            join_s = 0.5
        except TimeoutError:
            _LOG.error("deliveries_left_behind", after_s=END_S, kept="what was not settled is sent again")
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            await asyncio.to_thread(self._thread.join, join_s)

    async def apply(self, config: Config, bound: Mapping[str, Bound]) -> list[str]:
        """Go over to another configuration; returns what changed, in words. Unchanged destinations do not notice."""
        return await self._on_loop(self.alone(self._apply(config, dict(bound))))

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _begin(self, bound: dict[str, Bound]) -> None:
        await self._client.start()
        await self._apply(self._config, bound)
        self._check_backlogs()

    async def _end(self) -> None:
        stops = [worker.stop(CALLS_TIMEOUT_S) for worker in self.workers.values()]
        for failed in [one for one in await asyncio.gather(*stops, return_exceptions=True) if one is not None]:
            _LOG.error("destination_not_stopped_cleanly", error=str(failed), kept="what was not settled is sent again")
        await self._client.close()

    async def _apply(self, config: Config, bound: dict[str, Bound]) -> list[str]:
        self._config = config
        changes = []
        for name in [name for name in self._bound if name not in bound]:
            await self._remove(name)
            parked = "removed; it keeps its position until `sternpost destinations forget`"
            changes.append(f"destination {name} {'stopped' if name in config.destinations else parked}")
        old, self._bound = self._bound, bound
        new = {name: one for name, one in config.destinations.items() if self._log.progress(name) is None}
        if new:  # For nothing, a re-load would need room in a log that has none.
            await self.log_write(lambda transaction: self._begin_new(transaction, new))
        self._log.set_active(config.destinations)
        changes += await self._replays.end_parked(config.destinations)
        for name, one in bound.items():
            before = old.get(name)
            if before == one:
                continue
            if before is not None:
                await self._remove(name)
            await self._start_worker(name, one)
            changes.append(f"destination {name} {'added' if before is None else 'changed'}")
        return changes

    async def _remove(self, name: str) -> None:
        for key, worker in list(self.workers.items()):
            if worker.stream.destination == name:
                del self.workers[key]
                await self.halt(worker)

    async def halt(self, worker: Station) -> None:
        """Stop it. What it gave up waiting for may still be saved: only then is it known where its successor begins."""
        try:
            await worker.stop(CALLS_TIMEOUT_S)
        except TimeoutError:
            _LOG.error("outcomes_not_saved", destination=worker.stream.key, kept="the events, which are sent again")
            with contextlib.suppress(Overloaded, LogFailed):  # Whatever was before it is through then as well.
                await self.log_write(lambda _: None)

    def _begin_new(self, transaction: Transaction, destinations: Mapping[str, DestinationConfig]) -> None:
        """New ones get their position at once, those whose plug-in is broken too: their events wait in the log."""
        for name, destination in destinations.items():
            low = self._start_of(destination.start)
            transaction.save_progress(name, Progress(low=low, read=low, start=low))

    def _start_of(self, start: str) -> int:
        if start == "now":
            return self._log.last_sequence
        if start == "oldest":
            return max(0, self._log.stats().first_sequence - 1)
        when = datetime.fromisoformat(start)
        return max(0, self._log.sequence_at(int(when.timestamp() * 1000)) - 1)

    async def _start_worker(self, name: str, one: Bound) -> None:
        goes = self._pipeline.goes(one.config.sources, _names(name, one))
        worker = await self._make(Stream(name, taps=self._taps), one, goes, None)
        worker.paused = name in self._paused or not one.config.enabled
        worker.wake()
        await self._replays.resume(name)

    async def make_replay(self, name: str, cursor: ReplayCursor, ended: Callable[[], None]) -> None:
        """Put a replay to work."""
        one = self._bound[cursor.destination]
        goes = self._pipeline.goes(one.config.sources, _names(cursor.destination, one), cursor.criteria)
        worker = await self._make(Stream(cursor.destination, name, cursor, self._taps), one, goes, ended)
        worker.paused = cursor.destination in self._paused or not one.config.enabled
        worker.wake()

    async def _make(
        self, stream: Stream, one: Bound, goes: Callable[[Record], bool], ended: Callable[[], None] | None
    ) -> Station:
        instance = Instance(stream.destination, one.plugin, one.options, one.config, self._client)
        await instance.open()
        common = (stream, one.config, instance, self._log, self._pipeline, self._clock, goes)
        station: Station
        if one.plugin.kind == "load":
            stage = self._stages(stream.destination, one.plugin.dialect, one.config)
            people = None if stream.replay else self._people
            station = LoadWorker(*common, stage, people, ended)
        else:
            station = Worker(*common, self._shares, ended)
        self.workers[stream.key] = station
        return station

    def _shares(self) -> Shares:
        return shares_of(self._wal, max(len(self._bound), len(self.workers)))

    # Waking --------------------------------------------------------------------------------------------------

    def _grown(self) -> None:
        """On any thread: there is more of the log to read."""
        if not self._wake_pending:
            self._wake_pending = True
            try:
                self._loop.call_soon_threadsafe(self._wake_all)
            except RuntimeError:
                return  # The loop has ended; the process is stopping.

    def _wake_all(self) -> None:
        self._wake_pending = False
        for worker in self.workers.values():
            worker.wake()

    def _check_backlogs(self) -> None:
        self._loop.call_later(BACKLOG_CHECK_S, self._check_backlogs)
        for worker in list(self.workers.values()):
            enforce_backlog(worker, self._log, self._wal.disk_bytes_max)

    # What operators ask --------------------------------------------------------------------------------------

    def status(self) -> Sequence[DestinationStatus]:
        """Every configured destination in the order of the configuration, then replays under way."""
        workers = dict(self.workers)
        live = [workers[name].status() for name in self._bound if name in workers]
        return live + [worker.status() for worker in workers.values() if worker.stream.replay]

    def route(self, record: Record) -> Mapping[str, Sequence[str]]:
        """Destination -> the lanes into which this event goes there; empty where it is filtered."""
        lane, _ = self._pipeline.event(record)
        workers = dict(self.workers)
        return {name: [lane] if workers[name].goes(record) else [] for name in self._bound if name in workers}

    def processed(self, record: Record) -> tuple[Event, list[str]]:
        """The event as it leaves the pipeline now, and the destinations that it goes to. Any thread."""
        goes = {name: worker.goes for name, worker in list(self.workers.items()) if not worker.stream.replay}
        return self._pipeline.event(record)[1], [name for name in self._bound if name in goes and goes[name](record)]

    def executing(self, sequence: int) -> Mapping[str, int]:
        """Destination or replay -> the attempt under way at this event; those whose plug-in has it in hand now."""
        workers = dict(self.workers)
        return {name: attempt for name, worker in workers.items() if (attempt := worker.executing(sequence))}

    def tap(self, callback: Delivered) -> Callable[[], None]:
        """Have `callback` called on the delivery loop after each delivery, until the returned function is called."""
        self._loop.call_soon_threadsafe(self._taps.add, callback)
        return lambda: _quietly(self._loop.call_soon_threadsafe, self._taps.discard, callback)

    async def pause(self, name: str) -> None:
        """Stop delivering; position and pause survive a restart."""
        await self._on_loop(self._set_paused(name, True))

    async def resume(self, name: str) -> None:
        """Deliver again from where it stood."""
        await self._on_loop(self._set_paused(name, False))

    async def _set_paused(self, name: str, paused: bool) -> None:
        if name not in self._bound:
            raise KeyError(name)
        await asyncio.to_thread(self._paused.set, name, paused)
        for worker in list(self.workers.values()):
            if worker.stream.destination != name:
                continue
            if paused:
                worker.paused = True
            else:
                worker.resume()

    async def requeue(self, ids: Sequence[int], edited: Record | None = None) -> int:
        """Bring dead letters back into their lanes at their original sequence; returns how many there still were.

        Args:
            edited: takes the place of the original; for a single letter, of the same person and sequence.
        """
        work = operations.requeue(list(ids), edited, self._log, self._pipeline, self.workers)
        return await self._on_loop(self.alone(work))

    async def drain(self, name: str) -> int:
        """Whoever waits for a next try is tried now, an open breaker probes; returns how many people that is."""
        return await self._on_loop(self._drain(name))

    async def _drain(self, name: str) -> int:
        if name not in self._bound:
            raise KeyError(name)
        mine = [worker for worker in self.workers.values() if worker.stream.destination == name]
        return sum(worker.hasten(self._log.log_now_ms()) for worker in mine)

    async def replay(self, name: str, from_ms: int, to_ms: int, criteria: Mapping[str, str]) -> str:
        """Deliver what was received in [from_ms, to_ms) again; returns the replay's name."""
        if name not in self._bound:
            raise KeyError(name)
        return await self._on_loop(self.alone(self._replays.begin(name, from_ms, to_ms, dict(criteria))))

    async def cancel_replay(self, name: str) -> None:
        """End a replay where it stands: what it holds is dropped, its dead letters stay."""
        await self._on_loop(self.alone(self._replays.cancel(name)))

    async def test(self, name: str, event: Event) -> Result:
        """Call the plug-in once with this event, outside of lanes and log."""
        return await self._on_loop(self._test(name, event))

    async def _test(self, name: str, event: Event) -> Result:
        return await self.workers[name].test(event)

    async def query(self, name: str, sql: str, rows_max: int) -> tuple[Result, Answer | None]:
        """Ask a warehouse; None where it gives nothing."""
        return await self._on_loop(self._warehouse(name).query(sql, rows_max))

    async def reload_warehouse(self, name: str) -> Reloaded:
        """Have a warehouse loaded again from where its own cursor stands, as far as the log reaches."""
        return await self._on_loop(self._warehouse(name).reload())

    def _warehouse(self, name: str) -> LoadWorker:
        worker = self.workers.get(name) if name in self._bound else None
        if not isinstance(worker, LoadWorker):
            raise KeyError(name)
        return worker

    async def forget(self, name: str) -> None:
        """End a parked destination: its cursor and held queue go; its dead letters stay until purged."""
        await self._on_loop(self.alone(self._forget(name)))

    async def _forget(self, name: str) -> None:
        if name in self._bound:
            raise ValueError(f"{name} is configured; take [destinations.{name}] out of the file and re-load first")
        if self._log.progress(name) is None:
            raise KeyError(name)
        await self.log_write(lambda transaction: transaction.forget(name))

    # Loops ---------------------------------------------------------------------------------------------------

    async def alone(self, work: Coroutine[Any, Any, T]) -> T:
        """Do this while nobody else starts, stops or counts on workers."""
        async with self._acting:
            return await work

    async def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def log_write(self, change: Callable[[Transaction], T]) -> T:
        """Have something written into the log."""
        written: concurrent.futures.Future[T] = self._log.write(change)
        return await asyncio.wrap_future(written)


def _names(name: str, one: Bound) -> frozenset[str]:
    """How an event's `integrations` may call this destination."""
    return frozenset({name.lower(), one.config.plugin.lower()})


def _quietly(call: Callable[..., Any], *arguments: Any) -> None:
    try:
        call(*arguments)
    except RuntimeError:
        return  # The loop has ended.
