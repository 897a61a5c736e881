"""Counts of late: against a list of everything that happened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.rates import FIVE_MINUTES, PER_SECOND, Recent

MOMENTS = st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 1_000)), max_size=60)


@given(steps=MOMENTS, wait_ms=st.integers(0, 700_000), width_ms=st.sampled_from([1, 250, 1_000, 10_000]))
def test_totals_and_rates_are_those_of_the_events_themselves(
    steps: list[tuple[int, int]], wait_ms: int, width_ms: int
) -> None:
    recent, now_ms, happened = Recent(width_ms, 11), 5, []
    for after_ms, count in steps:
        now_ms += after_ms
        recent.add(count, now_ms)
        happened.append((now_ms, count))
    now_ms += wait_ms
    slot = now_ms // width_ms
    kept = [(at_ms // width_ms, count) for at_ms, count in happened if slot - at_ms // width_ms <= 10]
    assert recent.total(now_ms) == sum(count for _, count in kept)
    whole = sum(count for at, count in kept if at < slot)
    assert recent.per_s(now_ms) == pytest.approx(whole * 1000 / (10 * width_ms))


def test_a_steady_stream_shows_its_rate_and_silence_shows_none() -> None:
    recent = Recent(*PER_SECOND)
    for at_ms in range(0, 30_000, 10):
        recent.add(2, at_ms)
    assert recent.per_s(29_999) == pytest.approx(200)
    assert recent.per_s(36_000) == pytest.approx(80) and recent.per_s(60_000) == 0


def test_five_minutes_are_five_minutes() -> None:
    recent = Recent(*FIVE_MINUTES)
    recent.add(3, 1_000)
    assert recent.total(1_000) == 3 and recent.total(299_999) == 3 and recent.total(300_000) == 0
