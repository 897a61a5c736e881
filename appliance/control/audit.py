"""The audit trail: who did what, when and to how many, one JSON line each in DATA/audit.jsonl.

    {"when":"2030-01-31T12:00:00.000Z","who":"admin","user":"root","from":"127.0.0.1","what":"dead.purge",
     "target":"dest:crm","count":12,"outcome":"done"}

Lines are only ever appended. At `FILE_BYTES_MAX` the file is set aside as audit.1.jsonl, the one before as
audit.2.jsonl, up to `FILES_MAX`. What the log dropped to stay within its budgets stands here too, with `who` "log".
"""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

FILE = "audit.jsonl"
FILE_BYTES_MAX = 16 * 1024 * 1024
FILES_MAX = 8


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing done."""

    when: str
    """RFC 3339, UTC."""
    who: str
    """Role of the token, or `log` where the log acted by its rules."""
    what: str
    user: str = ""
    """What the client said of itself; not verified."""
    address: str = msgspec.field(default="", name="from")
    target: str = ""
    count: int = 0
    detail: dict[str, Any] = {}
    outcome: str = "done"
    """`done`, or why it failed."""


class AuditTrail:
    """Appends to one data folder's trail; small, blocking, so not for the event loop under load."""

    def __init__(self, data: Path) -> None:
        self._path = data / FILE

    def append(self, entry: Entry) -> None:
        """Write one line, durably.

        Raises:
            OSError: it cannot be written.
        """
        with self._path.open("ab") as opened:
            os.fchmod(opened.fileno(), 0o600)
            opened.write(msgspec.json.encode(entry) + b"\n")
            opened.flush()
            os.fsync(opened.fileno())
            size = opened.tell()
        if size >= FILE_BYTES_MAX:
            self._set_aside()

    def newest(self, limit: int) -> list[Entry]:
        """The last entries of the current file, newest first; a line that cannot be read is passed over."""
        try:
            with self._path.open("rb") as opened:
                opened.seek(max(0, opened.seek(0, os.SEEK_END) - 1024 * 1024))
                lines = opened.read().splitlines()
        except FileNotFoundError:
            return []
        entries: list[Entry] = []
        for line in reversed(lines):
            if len(entries) == limit:
                break
            try:
                entries.append(msgspec.json.decode(line, type=Entry))
            except msgspec.DecodeError:
                continue
        return entries

    def _set_aside(self) -> None:
        for number in range(FILES_MAX - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))
        self._numbered(FILES_MAX).unlink(missing_ok=True)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"audit.{number}.jsonl")


class Gathered:
    """What the log drops to stay within its budgets, summed up: under a flood it drops something at every commit.

    Args:
        write: gets one entry per kind, `wait_s` after the first of it; called on a thread of its own.
    """

    def __init__(self, write: Callable[[Entry], None], wait_s: float = 5.0) -> None:
        self._write, self._wait_s = write, wait_s
        self._lock = threading.Lock()
        self._sums: dict[str, Entry] = {}
        self._timer: threading.Timer | None = None

    def add(self, action: str, count: int, size: int, detail: str) -> None:
        """Count something dropped; any thread, microseconds."""
        with self._lock:
            entry = self._sums.get(action)
            if entry is None:
                entry = self._sums[action] = Entry(when=now(), who="log", what=f"log.{action}", detail={"bytes": 0})
            entry.count += count
            entry.detail = {"bytes": entry.detail["bytes"] + size, "detail": detail}
            if self._timer is None:
                self._timer = threading.Timer(self._wait_s, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what was summed up so far."""
        with self._lock:
            sums, self._sums = self._sums, {}
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        for entry in sums.values():
            self._write(entry)


def now() -> str:
    """This moment as the trail writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
