"""What every client test sets up: a webhook and a jsonl destination, and how the file is read."""

import time
from pathlib import Path
from typing import Any

import msgspec

from tests.support.sink import Sink


class _Line(msgspec.Struct, rename="camel"):
    message_id: str


def two_destinations(sink: Sink, folder: Path) -> dict[str, Any]:
    """Destinations with cursors of their own: they agree on the order only if both follow the log's."""
    return {
        "hook": {"plugin": "webhook", "url": sink.url},
        "file": {"plugin": "jsonl", "folder": str(folder)},
    }


def wait_for_file(folder: Path, count: int, *, timeout_s: float = 20.0) -> list[str]:
    """The messageIds in the folder's files, in file order, once there are `count`."""
    deadline = time.monotonic() + timeout_s
    while len(ids := _read(folder)) < count:
        assert time.monotonic() < deadline, f"after {timeout_s} s {len(ids)} of {count} events in {folder}"
        time.sleep(0.05)
    return ids


def _read(folder: Path) -> list[str]:
    lines: list[bytes] = []
    for path in sorted(folder.glob("*.jsonl")):
        lines += path.read_bytes().splitlines(keepends=True)
    return [msgspec.json.decode(line, type=_Line).message_id for line in lines if line.endswith(b"\n")]
