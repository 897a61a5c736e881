"""What one destination may take of the log's disk budget, and of memory on the way there. Pure."""

from typing import NamedTuple

from appliance.core.config import WalConfig

UNSETTLED_BYTES_MAX = 8 << 20
"""Bytes of events that one destination has in memory."""
RESERVE_USED_MAX = 0.1
"""Of the reserve; it counts as used beyond this. All slack together is as much again."""
_UNSETTLED_SHARE = 0.15
"""Of the reserve above high water, for all destinations together. A dead letter takes more than twice of its event."""


class Shares(NamedTuple):
    """Bounds of one destination."""

    held_bytes: int
    """At this size of its held queues it stops reading."""
    slack_bytes: int
    """With more than that held it stops reading while the reserve is used: one who waits stops nobody."""
    unsettled_bytes: int
    """Bytes of events taken from the log and not safe elsewhere; one larger event still goes through."""


def shares_of(wal: WalConfig, destinations: int) -> Shares:
    """Equal shares for so many destinations.

    All held queues together leave half of the budget to the events. What is in memory may have to be held all at
    once, before a single block of the log can go for it; so it is bounded by a part of the reserve that the log keeps
    free of events. A destination that took more than fits there could never save what it holds, nor go on.
    """
    count = max(1, destinations)
    reserve = wal.disk_bytes_max * (1 - wal.high_water)
    return Shares(
        held_bytes=min(wal.held_bytes_max, wal.disk_bytes_max // (2 * count)),
        slack_bytes=int(reserve * RESERVE_USED_MAX) // count,
        unsettled_bytes=max(1, min(UNSETTLED_BYTES_MAX, int(reserve * _UNSETTLED_SHARE) // count)),
    )
