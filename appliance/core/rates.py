"""How many of late: counts in a ring of buckets, so that adding costs the same however busy it is. Pure."""

PER_SECOND = (1_000, 11)
"""Width and number of the buckets for `per_s`: ten whole seconds, and the one that is filling."""
FIVE_MINUTES = (10_000, 30)
"""The same for `total` over five minutes."""


class Recent:
    """Counts of the last `width_ms * buckets`; one writer, any reader.

    Args:
        width_ms: time that one bucket covers.
        buckets: how many there are; older ones are written over.
    """

    __slots__ = ("_counts", "_slots", "_width_ms")

    def __init__(self, width_ms: int, buckets: int) -> None:
        self._width_ms = width_ms
        self._counts, self._slots = [0] * buckets, [-1] * buckets

    def add(self, count: int, now_ms: int) -> None:
        """So many happened now.

        Args:
            now_ms: of a clock that never goes back.
        """
        slot = now_ms // self._width_ms
        index = slot % len(self._counts)
        if self._slots[index] != slot:
            self._slots[index], self._counts[index] = slot, 0
        self._counts[index] += count

    def total(self, now_ms: int) -> int:
        """How many there were, the bucket that is filling included."""
        slot = now_ms // self._width_ms
        return self._sum(slot - len(self._counts) + 1, slot)

    def per_s(self, now_ms: int) -> float:
        """The mean over all buckets that are full: the one that is filling would pull it down."""
        slot, full = now_ms // self._width_ms, len(self._counts) - 1
        return self._sum(slot - full, slot - 1) * 1000 / (full * self._width_ms)

    def _sum(self, first: int, last: int) -> int:
        return sum(count for slot, count in zip(self._slots, self._counts, strict=True) if first <= slot <= last)
