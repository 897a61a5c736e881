"""What an operator sees of one destination: counts since the start, latencies of the last calls, errors by kind."""

from collections import deque
from typing import Any

import msgspec

from appliance.core.job import DestinationState
from appliance.deliver.outcome import Result

KINDS_MAX = 50
"""Different errors that are told apart."""


class ErrorKind(msgspec.Struct):
    """Errors with the same words."""

    count: int
    last_ms: int
    """Wall time."""
    sample: str


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


class Figures:
    """Counts that the worker keeps while it works."""

    def __init__(self) -> None:
        self.delivered_total = self.failed_total = self.aborted_total = self.filtered_total = 0
        self.last_error = self.last_error_sample = ""
        self.errors: dict[str, ErrorKind] = {}
        self._latencies_ms: deque[float] = deque(maxlen=500)

    def called(self, latency_ms: float) -> None:
        """One call of the plug-in took so long."""
        self._latencies_ms.append(latency_ms)

    def failed(self, result: Result, now_ms: int) -> None:
        """One event was not delivered."""
        self.failed_total += 1
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
