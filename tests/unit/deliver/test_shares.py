"""What a destination may take: the shares of all fit into the log's budget, whatever their number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.config import WalConfig
from appliance.deliver.shares import UNSETTLED_BYTES_MAX, Shares, shares_of

MIB = 1 << 20


@pytest.mark.parametrize(
    ("disk_mib", "held_mib", "destinations", "expected"),
    [
        (4096, 512, 0, Shares(512 * MIB, 4096 * MIB // 100, UNSETTLED_BYTES_MAX)),
        (4096, 512, 1, Shares(512 * MIB, 4096 * MIB // 100, UNSETTLED_BYTES_MAX)),
        (4096, 512, 7, Shares(4096 * MIB // 14, 4096 * MIB // 700, UNSETTLED_BYTES_MAX)),
        (4000, 512, 100, Shares(20 * MIB, 4 * MIB // 10, 6 * MIB // 10)),
        (40, 512, 1, Shares(20 * MIB, 4 * MIB // 10, 6 * MIB // 10)),
        (40, 1, 2, Shares(MIB, 2 * MIB // 10, 3 * MIB // 10)),
    ],
)
def test_shares(disk_mib: int, held_mib: int, destinations: int, expected: Shares) -> None:
    found = shares_of(WalConfig(disk_bytes_max=disk_mib * MIB, held_bytes_max=held_mib * MIB), destinations)
    assert found.held_bytes == expected.held_bytes
    assert found.slack_bytes == pytest.approx(expected.slack_bytes, abs=1)
    assert found.unsettled_bytes == pytest.approx(expected.unsettled_bytes, abs=1)


@given(st.integers(1 * MIB, 1 << 44), st.floats(0.5, 1.0), st.integers(1, 2000))
def test_all_together_leave_half_to_the_events_and_fit_into_the_reserve(
    disk_bytes: int, high_water: float, destinations: int
) -> None:
    found = shares_of(WalConfig(disk_bytes_max=disk_bytes, high_water=high_water), destinations)
    assert found.held_bytes * destinations <= disk_bytes / 2
    reserve_bytes = disk_bytes - disk_bytes * high_water
    assert found.slack_bytes <= 0.1 * reserve_bytes / destinations + 1
    assert 1 <= found.unsettled_bytes <= max(1, 0.15 * reserve_bytes / destinations + 1)
