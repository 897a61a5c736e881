"""What an operator sees of a destination: the oldest held event, rates and errors by kind."""

import pytest

from appliance.deliver.figures import KINDS_MAX, OLDEST_KEPT_MS, Figures, OldestHeld
from appliance.deliver.outcome import Result
from appliance.wal.types import HeldHead


class Clock:
    now_ms = 1_000_000

    def wall_ms(self) -> int:
        return self.now_ms + 5

    def monotonic_ms(self) -> int:
        return self.now_ms


def head(first_failed_ms: int) -> HeldHead:
    return HeldHead("a:1", 1, 0, 1, 0, first_failed_ms, "", 1, 1)


def test_the_oldest_is_the_first_that_failed_whoever_has_not_yet() -> None:
    heads, looks = [head(0), head(70), head(50), head(0)], []

    def look() -> list[HeldHead]:
        looks.append(1)
        return heads

    oldest = OldestHeld(look, lambda: 0.0)
    assert oldest.first_failed_ms(100) == 50
    heads = [head(70)]
    assert [oldest.first_failed_ms(100 + OLDEST_KEPT_MS - 1) for _ in range(1_000)] == [50] * 1_000
    assert len(looks) == 1, "so a thousand people who wait are read once"
    assert oldest.first_failed_ms(100 + OLDEST_KEPT_MS) == 70
    heads = []
    assert oldest.first_failed_ms(100 + 3 * OLDEST_KEPT_MS) == 0
    heads = [head(90)]
    assert oldest.first_failed_ms(100 + 3 * OLDEST_KEPT_MS) == 90, "nothing found is not remembered"


@pytest.mark.parametrize("first_failed_ms", [50, 0])
def test_a_look_that_takes_long_is_seldom_taken(first_failed_ms: int) -> None:
    """Requests wait for it."""
    now_s, looks = 0.0, 0

    def look() -> list[HeldHead]:
        nonlocal now_s, looks
        now_s, looks = now_s + 2.0, looks + 1
        return [head(first_failed_ms)]

    oldest = OldestHeld(look, lambda: now_s)
    for now_ms in range(300_000, 500_000, 1_000):
        oldest.first_failed_ms(now_ms)
    assert looks == 1, "two seconds of two hundred"
    oldest.first_failed_ms(500_000)
    assert looks == 2


def test_rates_and_errors_of_late() -> None:
    clock = Clock()
    figures = Figures(clock)
    for _ in range(10):
        clock.now_ms += 1_000
        figures.delivered(7)
    clock.now_ms += 1_000
    assert figures.delivered_total == 70 and figures.delivered_per_s == 7
    for number in range(KINDS_MAX + 10):
        figures.failed(Result(kind="retry", reason=f"HTTP {number}", sample="s"))
    assert figures.failed_5m == figures.failed_total == KINDS_MAX + 10 and len(figures.errors) == KINDS_MAX
    assert figures.last_error == f"HTTP {KINDS_MAX + 9}" and figures.last_error_ms == clock.wall_ms()
    clock.now_ms += 300_000
    assert figures.failed_5m == 0 and figures.delivered_per_s == 0
