"""The product with people who are joined and split again all the time, by the place in the log alone.

Usage: python joined.py run ...

Every person `pK` with an odd K and the one before them are one person through every second stretch of the log.
"""

import sys

from appliance.__main__ import main
from appliance.core.plan import Change, Join, Split
from appliance.process.resolve import IdResolver, Resolution
from appliance.wal.types import Block

PAIRS, STRETCH = 6, 40
"""A stretch is so many sequences long."""


def lane_at(person: str, sequence: int) -> str:
    """The lane of a person's event at this place."""
    number = int(person.removeprefix("p"))
    return f"p{number - number % 2 * (sequence // STRETCH % 2)}"


def changes_between(after: int, upto: int) -> list[Change]:
    """Everybody's joins and splits above `after`, up to `upto`."""
    places = range((after // STRETCH + 1) * STRETCH, upto + 1, STRETCH)
    return [_change(place, 2 * pair) for place in places for pair in range(PAIRS)]


def _change(sequence: int, first: int) -> Change:
    other = f"p{first + 1}"
    return Join(sequence, other, f"p{first}") if sequence // STRETCH % 2 else Split(sequence, other, f"p{first}")


class Stretches(IdResolver):
    """Instead of a graph: nothing that a kill could harm."""

    def resolve(self, block: Block) -> Resolution:
        lanes = [lane_at(record.anonymous_id, record.sequence) for record in block.records]
        return Resolution(lanes, changes_between(block.first_sequence - 1, block.last_sequence))

    def changes(self, after: int, upto: int) -> list[Change]:
        return changes_between(after, upto)

    def current(self, lane: str, at: int) -> str:
        return lane_at(lane, at)

    def knows(self, lane: str) -> bool:
        return True


if __name__ == "__main__":
    for name in ("resolve", "changes", "current", "knows"):
        setattr(IdResolver, name, getattr(Stretches, name))
    sys.exit(main())
