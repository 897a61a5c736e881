"""The disk budget: what is kept free of events, also where the budget was made smaller than what is there."""

import pytest

from appliance.core.config import WalConfig
from appliance.wal.budget import Budget

MIB = 1 << 20
LARGE = WalConfig(disk_bytes_max=1000 * MIB)


@pytest.mark.parametrize(
    ("at_start_mib", "then_mib", "share", "refuses"),
    [
        (0, [0], 0.0, False),
        (0, [899], 0.0, False),
        (0, [950], 0.5, True),
        (950, [950], 0.5, True),
        (1000, [1000], 1.0, True),
        (0, [1200], 1.0, True),
        (1200, [1200], 0.0, True),
        (1200, [1250], 0.5, True),
        (1200, [1100, 1150], 0.5, True),
        (1200, [500, 950], 0.5, True),
        (1200, [500], 0.0, False),
    ],
)
def test_share_of_the_reserve_that_is_taken(
    at_start_mib: int, then_mib: list[int], share: float, refuses: bool
) -> None:
    """A log that is larger than its budget at the start has its reserve above what is there, and down with it."""
    budget = Budget(LARGE, at_start_mib * MIB)
    for used_mib in then_mib:
        budget.committed(used_mib * MIB)
    assert budget.reserve_used() == pytest.approx(share)
    assert bool(budget.refusal()) is refuses


def test_a_small_budget_that_was_outgrown_still_has_some_room() -> None:
    budget = Budget(WalConfig(disk_bytes_max=MIB), 100 * MIB)
    assert (budget.outgrown, budget.reserve_bytes) == (True, 16 * MIB)
    budget.committed(MIB // 2)
    assert not budget.outgrown
    assert budget.reserve_bytes == pytest.approx(0.1 * MIB, abs=1)
