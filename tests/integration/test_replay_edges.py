"""A replay brings what was received in its time and nothing else, however the events share blocks."""

import json
from pathlib import Path

import msgspec
import pytest

from tests.support.room import Room, running

START_MS = 1_700_000_000_000
BLOCKS = [[0, 1, 2], [3, 5, 4], [7, 8, 6], [9]]
"""Offsets of the received times; a slow body is stored behind what came in after it."""


async def collect(room: Room, offsets: list[int]) -> None:
    """One block."""
    records = [room.record({"userId": f"u{n % 3}", "messageId": f"m{n}", "event": "E"}) for n in offsets]
    for record, n in zip(records, offsets, strict=True):
        record.received_ms = START_MS + n
    await room.log.append(records)


def delivered(folder: Path) -> list[str]:
    lines = [line for path in sorted(folder.glob("*")) for line in path.read_text().splitlines()]
    return [json.loads(line)["messageId"] for line in lines]


@pytest.mark.parametrize(
    ("start", "end"), [(0, 10), (0, 1), (1, 2), (1, 4), (4, 6), (5, 7), (6, 7), (8, 10), (-5, 3), (9, 50), (2, 9)]
)
async def test_the_edges_are_exact(tmp_path: Path, start: int, end: int) -> None:
    out = tmp_path / "out"
    config = {"destinations": {"files": {"plugin": "jsonl", "folder": str(out)}}}
    async with running(tmp_path, config) as room:
        for offsets in BLOCKS:
            await collect(room, offsets)
        everything = [f"m{n}" for offsets in BLOCKS for n in offsets]
        await room.until("/v1/destinations", lambda answer: answer["destinations"][0]["delivered_total"] == 10)
        body = {"destination": "files", "from_ms": START_MS + start, "to_ms": START_MS + end}
        await room.post("/v1/replays", body)
        await room.until("/v1/replays", lambda answer: not answer["replays"])
        again = sorted(delivered(out))
        for each in everything:
            again.remove(each)
        assert again == [f"m{n}" for n in range(max(start, 0), min(end, 10))]


async def test_a_time_of_which_the_log_holds_nothing_is_refused(tmp_path: Path) -> None:
    config = {"destinations": {"files": {"plugin": "jsonl", "folder": str(tmp_path / "out")}}}
    async with running(tmp_path, config) as room:
        body = {"destination": "files", "from_ms": START_MS - 2_000_000, "to_ms": START_MS + 5}
        await room.post("/v1/replays", body, status=409)
        await collect(room, [0, 1, 2])
        for earlier, later in ((-2_000_000, -1_000_000), (1_000_000, 2_000_000)):
            body = {"destination": "files", "from_ms": START_MS + earlier, "to_ms": START_MS + later}
            refused = await room.post("/v1/replays", body, status=409)
            assert "holds no event of that time" in msgspec.json.encode(refused).decode()
