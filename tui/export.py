"""Writes dead letters to a file of JSON lines that only its owner may read."""

import os
from datetime import UTC, datetime
from pathlib import Path

from tui.client import Client


async def export_dead(client: Client, ids: list[int], query: str, now_ms: int, folder: Path) -> tuple[Path, int]:
    """Write these letters, or all that match where `ids` is empty, into a folder.

    Returns:
        The file and how many letters are in it.

    Raises:
        ApiError, Unreachable: as the client.
        OSError: the file cannot be written; what was written of it stays.
    """
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"sternpost-dead-{stamp}.ndjson"
    count = 0
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        if ids:
            for one in ids:
                async for line in client.lines(f"/v1/dead/{one}"):
                    opened.write(line)
                opened.write(b"\n")
                count += 1
        else:
            async for line in client.lines("/v1/dead/export", query=query):
                opened.write(line)
                count += line.endswith(b"\n")
    return path, count
