"""Replays of the past: begun, gone on with after a start, ended, cancelled. On the delivery loop."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine
from typing import Any, Protocol

from appliance.core import logs
from appliance.core.clock import Clock
from appliance.deliver.ports import Station
from appliance.deliver.replay_names import ReplayNames
from appliance.deliver.reviving import new_replay
from appliance.wal.log import Log, ReplayCursor, Transaction

_LOG = logs.logger("deliver")


class Host(Protocol):
    """What replays need of the destinations that they belong to."""

    workers: dict[str, Station]

    async def make_replay(self, name: str, cursor: ReplayCursor, ended: Callable[[], None], /) -> None:
        """Put a replay to work."""
        ...

    async def halt(self, worker: Station, /) -> None:
        """Stop a worker, whatever it does."""
        ...

    def log_write(self, change: Callable[[Transaction], Any], /) -> Awaitable[Any]:
        """Have something written into the log."""
        ...

    async def alone(self, work: Coroutine[Any, Any, Any], /) -> Any:
        """Do this while nobody else starts or stops workers."""
        ...


class Replays:
    """Lives on the delivery loop; each method is called `alone`."""

    def __init__(self, host: Host, names: ReplayNames, log: Log, clock: Clock) -> None:
        self._host, self._names, self._log, self._clock = host, names, log, clock
        self._ending: asyncio.Task[None] | None = None

    async def begin(self, destination: str, from_ms: int, to_ms: int, criteria: dict[str, str]) -> str:
        """Begin one of what was received in [from_ms, to_ms); returns its name.

        Raises:
            ValueError: the log holds nothing of that time.
        """
        cursor = new_replay(self._log, destination, from_ms, to_ms, criteria, self._clock.wall_ms())
        name = await asyncio.to_thread(self._names.take, destination, self._log.replays())
        await self._host.log_write(lambda transaction: transaction.save_replay(name, cursor))
        await self._start(name, cursor)
        return name

    async def resume(self, destination: str) -> None:
        """Go on with those of a destination that has begun to work."""
        for name, cursor in self._log.replays().items():
            if cursor.destination == destination:
                await self._start(name, cursor)

    async def cancel(self, name: str) -> None:
        """End one where it stands.

        Raises:
            KeyError: there is none of this name.
        """
        if name not in self._log.replays():
            raise KeyError(name)
        worker = self._host.workers.pop(name, None)
        if worker is not None:
            await self._host.halt(worker)
        await self._drop(name, "cancelled by an operator")

    async def end_parked(self, configured: Collection[str]) -> list[str]:
        """Those of destinations that are not configured any more end, since nobody goes on with them; in words."""
        changes = []
        for name, cursor in self._log.replays().items():
            if cursor.destination not in configured:
                await self._drop(name, f"destination {cursor.destination} is not configured any more")
                changes.append(f"replay {name} ended with its destination; start it again where it is still wanted")
        return changes

    async def _start(self, name: str, cursor: ReplayCursor) -> None:
        loop = asyncio.get_running_loop()

        def ended() -> None:
            self._ending = loop.create_task(self._host.alone(self._end(name, cursor)))

        await self._host.make_replay(name, cursor, ended)

    async def _end(self, name: str, cursor: ReplayCursor) -> None:
        worker = self._host.workers.get(name)
        if worker is None or worker.stream.cursor is not cursor:
            return  # A re-load came first, and what started anew will end again; or it was cancelled.
        del self._host.workers[name]
        await self._host.halt(worker)
        await self._host.log_write(lambda transaction: transaction.drop_replay(name))
        _LOG.info("replay_finished", destination=worker.stream.destination, replay=name)

    async def _drop(self, name: str, reason: str) -> None:
        await self._host.log_write(lambda transaction: transaction.drop_replay(name, reason))
        _LOG.warning("replay_ended", replay=name, reason=reason, kept="its dead letters")
