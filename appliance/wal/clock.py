"""The log clock: milliseconds that only grow, kept in the log, deaf to the wall clock.

A new log starts at the wall time, so that its numbers look familiar; from then on it advances with monotonic time
while a process runs and stands still while none does. Each block carries the log clock of its commit, so after a
crash the clock goes on from the newest block or the last mark in `meta`, whichever is later.
"""

from appliance.core.clock import Clock


class LogClock:
    """Ages within one log; read from any thread."""

    __slots__ = ("_clock", "_offset_ms")

    def __init__(self, clock: Clock, reached_ms: int) -> None:
        """`reached_ms` is where the log left off; 0 for a new log."""
        self._clock = clock
        self._offset_ms = (reached_ms or clock.wall_ms()) - clock.monotonic_ms()

    def now_ms(self) -> int:
        """Milliseconds on the log clock."""
        return self._clock.monotonic_ms() + self._offset_ms

    def monotonic_ms(self) -> int:
        """The monotonic clock below, for waits."""
        return self._clock.monotonic_ms()

    def wall_ms(self) -> int:
        """Wall time, for people."""
        return self._clock.wall_ms()
