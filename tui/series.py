"""Rates from counters that only grow: what sparklines show. Pure; the time comes from outside."""

from collections import deque
from collections.abc import Mapping

POINTS_MAX = 150


class Series:
    """One counter over time, as events per second between two looks."""

    def __init__(self) -> None:
        self._last: tuple[float, float] | None = None
        self._looks: deque[tuple[float, float]] = deque(maxlen=330)
        self.rates: deque[float] = deque(maxlen=POINTS_MAX)

    def look(self, now_s: float, total: float) -> None:
        """The counter stands at `total`; one that went back (a restart) starts anew."""
        if self._last is not None:
            then_s, before = self._last
            if now_s <= then_s:
                return
            grown = total - before
            self.rates.append(max(0.0, grown) / (now_s - then_s))
            if grown < 0:
                self._looks.clear()
        self._last = (now_s, total)
        self._looks.append(self._last)

    def point(self, value: float) -> None:
        """A rate that somebody else has measured already."""
        self.rates.append(value)

    @property
    def rate(self) -> float:
        """Over the last few looks, so that it does not flicker."""
        recent = list(self.rates)[-5:]
        return sum(recent) / len(recent) if recent else 0.0

    def within(self, window_s: float) -> int:
        """By how much it has grown within the window, so far as it was looked at."""
        if self._last is None:
            return 0
        now_s, total = self._last
        first = next((value for at_s, value in self._looks if now_s - at_s <= window_s), total)
        return int(total - first)


class Many:
    """A series for each name; those of names that are gone go too."""

    def __init__(self) -> None:
        self._series: dict[str, Series] = {}

    def look(self, now_s: float, totals: Mapping[str, float]) -> None:
        """All counters at once."""
        for name in self._series.keys() - totals.keys():
            del self._series[name]
        for name, total in totals.items():
            self._series.setdefault(name, Series()).look(now_s, total)

    def of(self, name: str) -> Series:
        """One of them."""
        return self._series.get(name) or Series()
