"""The breaker of one destination: when many people fail and nobody succeeds, stop trying everybody. Pure.

    closed --20 people fail, no success--> open           --a probe is answered, even refused--> closed
    closed --20 people abort alike, ----> misconfigured   --a probe succeeds--> closed
             no success

While it is not closed, probes go out one at a time, ever further apart.
"""

from enum import Enum


class BreakerState(Enum):
    """Where the breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    MISCONFIGURED = "misconfigured"


class Breaker:
    """Counts different people between two successes. Times are milliseconds of any clock that does not go back."""

    def __init__(self, people: int, window_ms: int, probe_min_ms: int, probe_max_ms: int) -> None:
        self.state = BreakerState.CLOSED
        self.cause = ""
        """The reason that opened it, in the plug-in's words."""
        self.opened_ms = 0
        self.next_probe_ms = 0
        self.probing = False
        self._people, self._window_ms = people, window_ms
        self._probe_min_ms, self._probe_max_ms = probe_min_ms, probe_max_ms
        self._wait_ms = probe_min_ms
        self._probed_ms = 0
        self._failed: dict[str, int] = {}
        self._aborted: dict[str, dict[str, int]] = {}

    @property
    def closed(self) -> bool:
        return self.state is BreakerState.CLOSED

    def succeeded(self) -> None:
        """One delivery succeeded, or an open breaker's probe was answered: it is closed."""
        self._failed.clear()
        self._aborted.clear()
        self.state = BreakerState.CLOSED
        self.probing, self._wait_ms, self.cause = False, self._probe_min_ms, ""

    def failed(self, person: str, reason: str, now_ms: int, *, probe: bool) -> None:
        """A single event of `person` failed and may be retried; may open the breaker."""
        if probe:
            self._probe_failed(now_ms)
        elif self.closed and self._counted(self._failed, person, now_ms) >= self._people:
            self._open(BreakerState.OPEN, reason, now_ms)

    def aborted(self, person: str, kind: str, now_ms: int, *, probe: bool) -> bool:
        """A single event of `person` was refused for good. Returns whether that may be believed.

        False: the destination, not the event, is at fault; the event must be kept.
        """
        if probe and self.state is BreakerState.OPEN:
            self.succeeded()
        elif probe:
            self._probe_failed(now_ms)
        if not self.closed:
            return False
        if len(self._aborted) >= 64:
            self._aborted.clear()
        if self._counted(self._aborted.setdefault(kind, {}), person, now_ms) < self._people:
            return True
        self._open(BreakerState.MISCONFIGURED, kind, now_ms)
        return False

    def may_probe(self, now_ms: int, *, new_kind: bool = False) -> bool:
        """Whether the next probe may go out now; one of a kind that has not failed need not wait for long."""
        return not self.probing and now_ms >= (self.next_new_kind_ms if new_kind else self.next_probe_ms)

    @property
    def next_new_kind_ms(self) -> int:
        """When a probe of a kind that has not failed may go out."""
        return min(self.next_probe_ms, self._probed_ms + self._probe_min_ms)

    def probe_left_undecided(self, next_probe_ms: int) -> None:
        """A probe neither succeeded nor failed (it was throttled): another may follow at `next_probe_ms`."""
        self.probing, self.next_probe_ms = False, next_probe_ms

    def restore(self, cause: str, now_ms: int) -> None:
        """A former process found everybody refused alike; so it is until a probe succeeds."""
        self._open(BreakerState.MISCONFIGURED, cause, now_ms)
        self.next_probe_ms = now_ms

    def probe_soon(self, now_ms: int) -> None:
        """Somebody changed something (a re-load, a resume): probe at once."""
        self.next_probe_ms, self._wait_ms = now_ms, self._probe_min_ms

    def _counted(self, people: dict[str, int], person: str, now_ms: int) -> int:
        people.pop(person, None)
        people[person] = now_ms
        while (oldest := next(iter(people))) != person and people[oldest] < now_ms - self._window_ms:
            del people[oldest]
        return len(people)

    def _open(self, state: BreakerState, cause: str, now_ms: int) -> None:
        self.state, self.cause, self.opened_ms = state, cause, now_ms
        self.probing, self._wait_ms = False, self._probe_min_ms
        self.next_probe_ms = now_ms + self._wait_ms
        self._probed_ms = now_ms
        self._failed.clear()
        self._aborted.clear()

    def _probe_failed(self, now_ms: int) -> None:
        self.probing = False
        self._probed_ms = now_ms
        self._wait_ms = min(self._wait_ms * 2, self._probe_max_ms)
        self.next_probe_ms = now_ms + self._wait_ms
