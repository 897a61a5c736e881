"""What the writer counts: commit times, totals, growth."""

from array import array
from collections import deque

from appliance.wal.types import Audit

_LATENCIES = 1024
_SAMPLE_MS = 60_000
_SAMPLES = 60


class Figures:
    """Written by the writer thread alone, read by any."""

    def __init__(self) -> None:
        self.events_total = self.event_bytes_total = self.stored_bytes_total = self.commits_total = 0
        self.dead_evicted_total = self.refused_evicted_total = self.events_dropped_total = 0
        self._latencies = array("d")
        self._next = 0
        self._growth: deque[tuple[int, int]] = deque(maxlen=_SAMPLES)

    def committed(self, events: int, event_bytes: int, stored_bytes: int, seconds: float) -> None:
        """Count one commit with events."""
        self.commits_total += 1
        self.events_total += events
        self.event_bytes_total += event_bytes
        self.stored_bytes_total += stored_bytes
        if len(self._latencies) < _LATENCIES:
            self._latencies.append(seconds)
        else:
            self._latencies[self._next] = seconds
            self._next = (self._next + 1) % _LATENCIES

    def audited(self, audit: Audit) -> None:
        """Count what was dropped."""
        if audit.action == "dead_evicted":
            self.dead_evicted_total += audit.count
        elif audit.action == "refused_evicted":
            self.refused_evicted_total += audit.count
        elif audit.action == "events_dropped":
            self.events_dropped_total += audit.count

    def sample(self, now_ms: int, used_bytes: int) -> None:
        """Remember the size, at most once a minute."""
        if not self._growth or now_ms - self._growth[-1][0] >= _SAMPLE_MS:
            self._growth.append((now_ms, used_bytes))

    def latency_ms(self, share: float) -> float:
        """Commit time below which `share` of the last thousand commits stayed."""
        ordered = sorted(self._latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] * 1000 if ordered else 0.0

    def full_in_s(self, used_bytes: int, room_bytes: int) -> float | None:
        """When `room_bytes` more are used, at the last hour's pace."""
        samples = list(self._growth)
        if len(samples) < 2 or used_bytes <= samples[0][1]:
            return None
        span_ms = samples[-1][0] - samples[0][0]
        grown = samples[-1][1] - samples[0][1]
        return room_bytes * span_ms / grown / 1000 if grown > 0 else None
