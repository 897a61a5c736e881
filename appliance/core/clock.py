"""Time comes in from outside: wall time for people, monotonic time for waits, so that tests never sleep."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a part gets its time; the log clock (ages that survive an NTP jump) is built on it in `wal`."""

    def wall_ms(self) -> int:
        """Milliseconds since 1970, UTC; may jump."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back; meaningless across processes."""


class SystemClock:
    """The machine's clocks."""

    def wall_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> int:
        return time.monotonic_ns() // 1_000_000
