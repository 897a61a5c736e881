"""When a warehouse that failed is tried again, and when it refuses everybody, so that nobody is to blame. Pure but for
the clock and chance.
"""

import random
import time

from appliance.core.config import DestinationConfig
from appliance.deliver.backoff import delay_ms
from appliance.deliver.outcome import Result


class Tries:
    """Failures in a row of one warehouse."""

    def __init__(self, config: DestinationConfig) -> None:
        self._config = config
        self.attempts = 0
        """Failed in a row; 0 while it works."""
        self.since_s = self.next_s = 0.0
        """Monotonic seconds: of the first of them, and of the next try."""
        self._aborted = 0
        self._reason = ""
        self.refuses_everybody = False
        """So many single events were refused with no success between that it is the warehouse's fault, not theirs."""

    def wait_s(self) -> float:
        """Seconds until the next try."""
        return self.next_s - time.monotonic() if self.attempts else 0.0

    def soon(self) -> None:
        """Try at once."""
        self.next_s = 0.0

    def succeeded(self, with_events: bool) -> None:
        """A load went in. One without events proves that the warehouse works, but not that it takes any."""
        self.attempts = 0
        if with_events:
            self._aborted, self.refuses_everybody = 0, False

    def is_everybody(self, result: Result) -> bool:
        """A single event was refused: whether it is one of so many that none is to be given up any more."""
        self._aborted = self._aborted + 1 if result.reason == self._reason else 1
        self._reason = result.reason
        self.refuses_everybody = self._aborted > self._config.breaker.people
        return self.refuses_everybody

    def failed(self, result: Result) -> float:
        """Nothing goes in now; returns the seconds to wait."""
        now_s = time.monotonic()
        if not self.attempts:
            self.since_s = now_s
        self.attempts += 1
        retry = self._config.retry
        wait_ms = delay_ms(self.attempts, int(retry.delay_min * 1000), int(retry.delay_max * 1000), random.random())
        wait_s = max(wait_ms / 1000, result.after_s or 0.0)
        self.next_s = now_s + wait_s
        return wait_s
