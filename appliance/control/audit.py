"""The audit trail: who did what, when and to how many, one JSON line each in DATA/audit.jsonl.

    {"when":"2030-01-31T12:00:00.000Z","who":"admin","user":"root","from":"127.0.0.1","what":"dead.purge",
     "role":"admin","target":"dest:crm","count":12,"outcome":"done"}

Lines are only ever appended. At `FILE_BYTES_MAX` the file is set aside as audit.1.jsonl, the one before as
audit.2.jsonl, up to `FILES_MAX`. What the log dropped to stay within its budgets stands here too, with `who` "log".
"""

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from appliance.core import durable

FILE = "audit.jsonl"
FILE_BYTES_MAX = 16 * 1024 * 1024
FILES_MAX = 8
READ_BYTES = 64 * 1024


class Entry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One thing done."""

    when: str
    """RFC 3339, UTC."""
    who: str
    """Name of the token, or `log` where the log acted by its rules."""
    what: str
    role: str = ""
    """Of the token."""
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
        line = msgspec.json.encode(entry) + b"\n"
        with self._path.open("ab") as opened:
            os.fchmod(opened.fileno(), 0o600)
            opened.write(line)
            opened.flush()
            os.fsync(opened.fileno())
            size = opened.tell()
        if size == len(line):
            durable.sync_folder(self._path.parent)  # a new file's name must outlive a power cut as well
        if size >= FILE_BYTES_MAX:
            self._set_aside()

    def newest(self, limit: int, before: str = "") -> tuple[list[Entry], str]:
        """A page of entries, newest first, and where the next, older one begins: "" at the end.

        A line that cannot be read is passed over.

        Args:
            before: from the page before; "" begins with the newest.

        Raises:
            ValueError: `before` is no such place, or its file is gone.
        """
        entries: list[Entry] = []
        for place, line in self._backwards(before):
            try:
                entries.append(msgspec.json.decode(line, type=Entry))
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue
            if len(entries) == limit:
                return entries, place
        return entries, ""

    def _backwards(self, before: str) -> Iterator[tuple[str, bytes]]:
        """Every line from the newest on, with its place: the file's number (inode), which outlives its name, and
        where in it the line begins."""
        node, _, offset = before.partition("-")
        if before and not (_is_number(node) and _is_number(offset)):
            raise ValueError(f"{before[:40]!r} is no place in the audit trail")
        begun = not before
        for path in (self._path, *(self._numbered(number) for number in range(1, FILES_MAX))):
            try:
                opened = path.open("rb")
            except FileNotFoundError:
                continue
            with opened:
                status = os.fstat(opened.fileno())
                if not begun and str(status.st_ino) != node:
                    continue
                end = status.st_size if begun else min(int(offset), status.st_size)
                begun = True
                for start, line in _lines_backwards(opened, end):
                    yield f"{status.st_ino}-{start}", line
        if not begun:
            raise ValueError("that part of the audit trail is gone")

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


def _lines_backwards(opened: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    """Lines that begin before `end`, the last one first, each with where it begins."""
    rest = b""
    while end > 0:
        start = max(0, end - READ_BYTES)
        opened.seek(start)
        lines = (opened.read(end - start) + rest).split(b"\n")
        at = end + len(rest)
        for line in reversed(lines[1:]):
            at -= len(line)
            if line:
                yield at, line
            at -= 1
        rest, end = lines[0], start
    if rest:
        yield 0, rest


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def now() -> str:
    """This moment as the trail writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
