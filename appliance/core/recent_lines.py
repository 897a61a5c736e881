"""The last log lines of the process, in memory, for those who look from outside. Any thread."""

import threading
from collections import deque
from typing import Any, NamedTuple

LINES_MAX = 2_000
LEVELS = ("debug", "info", "warning", "error")


class Line(NamedTuple):
    """One line as it was written, secrets masked."""

    id: int
    """Ascending, from 1; of this process."""
    when_ms: int
    """Wall time."""
    level: str
    logger: str
    """Name of the room."""
    event: str
    fields: dict[str, Any]


class RecentLines:
    """A ring; the oldest line goes when a new one comes."""

    def __init__(self, lines_max: int = LINES_MAX) -> None:
        self._lines: deque[Line] = deque(maxlen=lines_max)
        self._last_id = 0
        self._lock = threading.Lock()

    def add(self, when_ms: int, level: str, logger: str, event: str, fields: dict[str, Any]) -> None:
        """Keep one line."""
        with self._lock:
            self._last_id += 1
            self._lines.append(Line(self._last_id, when_ms, level, logger, event, fields))

    def after(self, line_id: int, level: str = "debug") -> tuple[list[Line], int]:
        """The lines above an id, of this level or a graver one, ascending; and the id of the last line there is."""
        with self._lock:
            lines, last = list(self._lines), self._last_id
        gravest = LEVELS.index(level)
        return [line for line in lines if line.id > line_id and LEVELS.index(line.level) >= gravest], last
