"""What all handlers of the admin API share: the parts they ask, a small pool for what blocks, and their errors."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from appliance.control.audit import AuditTrail
from appliance.control.ports import Collector, Dispatcher, Host
from appliance.control.tail import Tail
from appliance.core.clock import Clock
from appliance.core.errors import SternpostError
from appliance.core.metrics import Metrics
from appliance.wal.log import Log

P = ParamSpec("P")
T = TypeVar("T")


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
    pool: ThreadPoolExecutor
    started_ms: int
    """Wall time."""

    async def blocking(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run what reads the log or the disk in the pool; two at a time, so that nobody's search takes all threads."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, lambda: call(*args, **kwargs))

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
