"""What a destination is given to deliver: the live log, or a replay of a part of it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.core.event import Event
from appliance.deliver.outcome import Result
from appliance.wal.log import ReplayCursor

Delivered = Callable[[str, Event, Result, int, float], None]
"""Is told of each delivery: destination, event, result, attempt, milliseconds."""


@dataclass(slots=True)
class Stream:
    """What a worker delivers: the live log (default), or a replay of a part of it."""

    destination: str
    replay: str = ""
    """Name of the replay; "" for the live log."""
    cursor: ReplayCursor | None = None
    taps: set[Delivered] = field(default_factory=set)

    @property
    def key(self) -> str:
        """Under which the log keeps its held jobs and joins."""
        return self.replay or self.destination
