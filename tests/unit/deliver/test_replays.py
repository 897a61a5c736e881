"""Where a replay begins and ends: exact by the time of receipt, whatever the blocks."""

from pathlib import Path

import pytest

from appliance.core.event import Record
from appliance.deliver import replays
from appliance.process.pipeline import Pipeline
from appliance.process.resolve import IdResolver
from tests.unit.wal.tools import opened, record

START_MS = 1_700_000_000_000
MINUTE_MS = 60_000


def at(second: int, name: str = "") -> Record:
    made = record(name or f"s{second}")
    made.received_ms = START_MS + second * 1000
    return made


@pytest.mark.parametrize(
    ("first_s", "end_s", "expected"),
    [
        (0, 10, ["s0", "s1", "s2", "s3", "slow"]),
        (1, 3, ["s1", "s2"]),
        (2, 3, ["s2"]),
        (3, 600, ["s3", "slow"]),
        (600, 601, ["s600"]),
        (601, 700, None),
        (-700, 0, None),
        (100, 500, None),
    ],
    ids=str,
)
async def test_the_range_holds_what_was_received_then_and_the_filter_nothing_else(
    tmp_path: Path, first_s: int, end_s: int, expected: list[str] | None
) -> None:
    """One block has four seconds; an event whose body was slow stands behind a later one."""
    received_ms = range(START_MS + first_s * 1000, START_MS + end_s * 1000)
    async with opened(tmp_path / "wal") as log:
        await log.append([at(0), at(1), at(2), at(3)])
        await log.append([at(20, "quick")])
        await log.append([at(3, "slow")])
        await log.append([at(600)])
        if expected is None:
            with pytest.raises(ValueError, match="no event of that time"):
                replays.planned(log, "crm", received_ms, {}, 0)
            return
        cursor = replays.planned(log, "crm", received_ms, {"type": ""}, 0)
        goes = Pipeline(IdResolver(), 1 << 20).goes(None, frozenset({"crm"}), cursor.criteria)
        taken = [
            one for block in log.read(cursor.low, 1 << 20) for one in block.records if one.sequence <= cursor.until
        ]
        assert [one.message_id for one in taken if goes(one) and one.message_id != "quick"] == expected


def test_names_are_free() -> None:
    assert replays.fresh_name("crm", []) == "crm#1"
    assert replays.fresh_name("crm", ["crm#1", "crm#3", "web#2"]) == "crm#2"
