"""What an operator sees of one destination: counts since the start, latencies of the last calls, errors by kind."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from appliance.core.clock import Clock
from appliance.core.job import DestinationState
from appliance.core.loads import Load
from appliance.core.rates import FIVE_MINUTES, PER_SECOND, Recent
from appliance.deliver.outcome import Result
from appliance.wal.types import HeldHead

OLDEST_KEPT_MS = 5_000
LOOK_SHARE = 0.01
"""Of the time, at most, that goes into looking at all who wait: with 200,000 of them one look takes a second."""
KINDS_MAX = 50
"""Different errors that are told apart."""


class ErrorKind(msgspec.Struct):
    """Errors with the same words."""

    count: int
    last_ms: int
    """Wall time."""
    sample: str


class LoadStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What was loaded into a warehouse since the start of the process, and how the last load was."""

    loads_total: int
    rows_total: int
    load_ms_total: float
    """So long the warehouse was at work for them."""
    last_ms: int
    """Wall time of the last load; 0: there was none yet."""
    last_rows: int
    last_tables: int
    last_columns: int
    """Columns that it added, those of new tables included."""
    last_duration_ms: float


class DestinationStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One destination at this moment. Counts are events since the start of the process."""

    name: str
    plugin: str
    state: DestinationState
    enabled: bool
    sequence_low: int
    lag_events: int
    oldest_undelivered_ms: int
    held_people: int
    held_events: int
    in_flight: int
    delivered_total: int
    failed_total: int
    aborted_total: int
    filtered_total: int
    latency_p50_ms: float
    latency_p95_ms: float
    last_error: str
    last_error_sample: str
    breaker: dict[str, Any]
    errors: dict[str, ErrorKind]
    unsaved: int
    hung: int
    sources: list[str] | None
    """Names of the sources delivered there; None: all."""
    delivered_per_s: float
    """Over the last 10 s."""
    failed_5m: int
    """Failed calls per event of the last five minutes, retried ones and given up ones."""
    last_error_ms: int
    """Wall time; 0: never."""
    load: LoadStatus | None = None
    """Of a warehouse."""


class LoadFigures:
    """Counts that a warehouse's worker keeps."""

    def __init__(self) -> None:
        self._status = LoadStatus(
            loads_total=0,
            rows_total=0,
            load_ms_total=0.0,
            last_ms=0,
            last_rows=0,
            last_tables=0,
            last_columns=0,
            last_duration_ms=0.0,
        )

    def loaded(self, load: Load, columns: int, seconds: float, now_ms: int) -> None:
        """A load went in; it has added so many columns."""
        self._status = LoadStatus(
            loads_total=self._status.loads_total + 1,
            rows_total=self._status.rows_total + load.rows,
            load_ms_total=self._status.load_ms_total + seconds * 1000,
            last_ms=now_ms,
            last_rows=load.rows,
            last_tables=len(load.tables),
            last_columns=columns,
            last_duration_ms=seconds * 1000,
        )

    def status(self) -> LoadStatus:
        """As it is now; any thread."""
        return self._status


class OldestHeld:
    """When the held event that failed first did so; looked up anew now and then, since that reads every held head.

    Args:
        heads: of all held lanes.
        seconds: a clock for how long a look takes.
    """

    def __init__(self, heads: Callable[[], list[HeldHead]], seconds: Callable[[], float] = time.perf_counter) -> None:
        self._heads, self._seconds = heads, seconds
        self._found_ms = self._looked_ms = self._rest_ms = 0

    def first_failed_ms(self, now_ms: int) -> int:
        """Log time, a few seconds late to notice that it was settled; 0 where none has failed yet."""
        if now_ms - self._looked_ms >= max(self._rest_ms, OLDEST_KEPT_MS if self._found_ms else 0):
            began_s, self._looked_ms = self._seconds(), now_ms
            self._found_ms = min((head.first_failed_ms for head in self._heads() if head.first_failed_ms), default=0)
            self._rest_ms = int((self._seconds() - began_s) * 1000 / LOOK_SHARE)
        return self._found_ms


class Figures:
    """Counts that the worker keeps while it works."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last_error_ms = 0
        self._delivered, self._failed = Recent(*PER_SECOND), Recent(*FIVE_MINUTES)
        self.delivered_total = self.failed_total = self.aborted_total = self.filtered_total = 0
        self.last_error = self.last_error_sample = ""
        self.errors: dict[str, ErrorKind] = {}
        self._latencies_ms: deque[float] = deque(maxlen=500)

    def called(self, latency_ms: float) -> None:
        """One call of the plug-in took so long."""
        self._latencies_ms.append(latency_ms)

    def delivered(self, count: int) -> None:
        """So many events were delivered."""
        self.delivered_total += count
        self._delivered.add(count, self._clock.monotonic_ms())

    @property
    def delivered_per_s(self) -> float:
        """Over the last 10 s."""
        return self._delivered.per_s(self._clock.monotonic_ms())

    @property
    def failed_5m(self) -> int:
        """Events not delivered, each attempt, over the last five minutes."""
        return self._failed.total(self._clock.monotonic_ms())

    def failed(self, result: Result) -> None:
        """One event was not delivered."""
        now_ms = self.last_error_ms = self._clock.wall_ms()
        self.failed_total += 1
        self._failed.add(1, self._clock.monotonic_ms())
        self.last_error, self.last_error_sample = result.reason, result.sample
        kind = self.errors.pop(result.reason, None) or ErrorKind(0, 0, "")
        kind.count, kind.last_ms, kind.sample = kind.count + 1, now_ms, result.sample
        self.errors[result.reason] = kind
        if len(self.errors) > KINDS_MAX:
            del self.errors[next(iter(self.errors))]

    def latency_ms(self, share: float) -> float:
        """The latency that `share` of the last calls stayed under; 0 before the first."""
        ordered = sorted(self._latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
