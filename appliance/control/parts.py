"""What all handlers of the admin API share: the parts they ask, small pools for what blocks, and their errors."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from appliance.control.audit import AuditTrail, Entry
from appliance.control.ports import Collector, Dispatcher, Host
from appliance.control.tail import Tail
from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.errors import SternpostError
from appliance.core.metrics import Metrics
from appliance.identity.lookup import Lookup
from appliance.process.identify import Identifier
from appliance.wal.log import Log

P = ParamSpec("P")
T = TypeVar("T")
_LOG = logs.logger("control")


class ApiError(SternpostError):
    """A request is answered with an error.

    Args:
        status: of HTTP.
        code: one word for programs: invalid, unauthorized, not_found, changed, refused, ...
        message: what happened, and what was kept.
        next_step: what to do about it.
    """

    def __init__(self, status: int, code: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.next_step = status, code, message, next_step


class Pools:
    """Threads for what blocks, apart, so that what takes long keeps nobody else waiting; each starts when needed."""

    def __init__(self) -> None:
        self.searches = ThreadPoolExecutor(2, thread_name_prefix="control-search")
        """For seconds: what looks through the log or the dead letters. Two at a time."""
        self.looks = ThreadPoolExecutor(2, thread_name_prefix="control")
        """For milliseconds: one read of the log, one line of the audit trail."""
        self.probes = ThreadPoolExecutor(1, thread_name_prefix="control-probe")
        """For health, readiness and metrics alone: whoever watches must not take a busy appliance for a dead one."""

    def shutdown(self) -> None:
        """End them; what has not begun never does."""
        for pool in (self.searches, self.looks, self.probes):
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass(slots=True, frozen=True)
class Parts:
    """The parts of one process that the admin API speaks for."""

    log: Log
    dispatcher: Dispatcher
    collector: Collector
    host: Host
    clock: Clock
    metrics: Metrics
    data: Path
    audit: AuditTrail
    tail: Tail
    pools: Pools
    identifier: Identifier | None
    """The person graph, which acts go to; None where it is not enabled."""
    lookup: Lookup | None
    """Who asks the person graph."""
    started_ms: int
    """Wall time."""

    async def blocking(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads or writes a little, off the loop."""
        return await _run(self.pools.looks, lambda: call(*args, **kwargs))

    async def searching(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what may look through all of the log; it waits while two others search."""
        return await _run(self.pools.searches, lambda: call(*args, **kwargs))

    async def probing(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what tells how the appliance is, whatever else goes on."""
        return await _run(self.pools.probes, lambda: call(*args, **kwargs))

    async def note(self, entry: Entry) -> bool:
        """Write a line of the audit trail, and whether that went well.

        A trail that cannot be written (a full disk, say) must not keep an operator from acting.
        """
        try:
            await self.blocking(self.audit.append, entry)
        except (OSError, UnicodeEncodeError, RuntimeError) as error:
            _LOG.error("audit_entry_not_written", error=str(error), what=entry.what, target=entry.target)
            return False
        return True

    def skew_ms(self) -> int:
        """Wall time minus log time."""
        return self.clock.wall_ms() - self.log.log_now_ms()


def invalid(message: str, next_step: str = "") -> ApiError:
    """400: the request cannot be understood; nothing was done."""
    return ApiError(400, "invalid", message, next_step)


def unknown_destination(name: str) -> ApiError:
    """404 for a destination."""
    return ApiError(404, "not_found", f"there is no destination {name!r}", "`sternpost destinations list` shows them")


def unknown_source(name: str) -> ApiError:
    """404 for a source."""
    return ApiError(404, "not_found", f"there is no source {name!r}", "`sternpost keys` shows them")


async def _run(pool: ThreadPoolExecutor, call: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(pool, call)
