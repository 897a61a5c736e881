"""The audit trail: who did what, when and to how many, one JSON line each in DATA/audit.jsonl.

    {"when":"2030-01-31T12:00:00.000Z","who":"admin","user":"root","from":"127.0.0.1","what":"dead.purge",
     "target":"dest:crm","count":12,"outcome":"done"}

Lines are only ever appended. At `FILE_BYTES_MAX` the file is set aside as audit.1.jsonl, the one before as
audit.2.jsonl, up to `FILES_MAX`. What the log dropped to stay within its budgets stands here too, with `who` "log".
"""

import os
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


def now() -> str:
    """This moment as the trail writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
