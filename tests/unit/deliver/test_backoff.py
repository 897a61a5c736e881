"""The wait between attempts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.deliver.backoff import delay_ms


@pytest.mark.parametrize(
    ("attempts", "ceiling"), [(1, 1_000), (2, 2_000), (3, 4_000), (9, 256_000), (10, 300_000), (1_000, 300_000)]
)
def test_the_ceiling_doubles_up_to_the_highest(attempts: int, ceiling: int) -> None:
    assert delay_ms(attempts, 1_000, 300_000, 0.999_999) == ceiling - 1
    assert delay_ms(attempts, 1_000, 300_000, 0.5) == ceiling // 2
    assert delay_ms(attempts, 1_000, 300_000, 0.0) == 0


@given(st.integers(1, 10**9), st.integers(1, 10**6), st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_it_is_never_over_the_highest_ceiling(attempts: int, low: int, high: int, random: float) -> None:
    assert 0 <= delay_ms(attempts, low, high, random) <= high
