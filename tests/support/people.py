"""Who is who at every place of a log, known in advance: the naive model of order, and a resolver that stands for a graph."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

from appliance.core.plan import Change, Join, Split
from appliance.process.resolve import Resolution
from appliance.wal.keys import SEQUENCE_MAX
from appliance.wal.types import Block


@dataclass
class People:
    """What was collected: lanes as they were resolved at each event's own position, and how they changed between."""

    lanes: list[str]
    changes: dict[int, list[Change]]
    """What happens to lanes before the event at this sequence."""

    @classmethod
    def draw(
        cls, rng: random.Random, events: int, people: int, join_share: float, split_share: float = 0.0
    ) -> "People":
        lane_of = {f"p{i}": f"p{i}" for i in range(people)}
        """Id -> the person's lane; several ids may be one person, and lanes without an id are free to be given again."""
        lanes, changes = [], dict[int, list[Change]]()
        for sequence in range(1, events + 1):
            found: list[Change] = []
            for _ in range(2):
                if rng.random() < join_share:
                    found += _join(rng, lane_of, sequence)
                if rng.random() < split_share:
                    found += _split(rng, lane_of, sequence)
            if found:
                changes[sequence] = found
            lanes.append(lane_of[f"p{rng.randrange(people)}"])
        return cls(lanes, changes)

    @property
    def splits(self) -> bool:
        return any(isinstance(change, Split) for found in self.changes.values() for change in found)

    def earlier_of(self, sequence: int) -> set[int]:
        """Events of the same person, by the graph at that point, before this one: the naive model's whole rule."""
        same = {self.lanes[sequence - 1]}
        found = set()
        for before in range(sequence, 0, -1):
            if before < sequence and self.lanes[before - 1] in same:
                found.add(before)
            for change in reversed(self.changes.get(before, [])):
                if isinstance(change, Split):
                    if change.lane in same:
                        same = same - {change.lane} | {change.former}
                elif change.winner in same:
                    same.add(change.loser)
        return found

    def overtaken(self, attempts: Iterable[tuple[int, bool]]) -> list[str]:
        """First attempts at an event while an earlier one of the same person was not taken, in words.

        Args:
            attempts: in order, each with the sequence and whether the destination took it.
        """
        found, done, tried = [], set[int](), set[int]()
        for sequence, took in attempts:
            if sequence not in tried and (missing := self.earlier_of(sequence) - done):
                found.append(f"{sequence} before {sorted(missing)}")
            tried.add(sequence)
            done |= {sequence} if took else set()
        return found

    def between(self, after: int, upto: int) -> list[Change]:
        """Changes above `after`, up to `upto`."""
        places = sorted(sequence for sequence in self.changes if after < sequence <= upto)
        return [change for sequence in places for change in self.changes[sequence]]

    def current(self, lane: str, at: int) -> str:
        """The lane that this one has become through joins up to the sequence `at`."""
        history = self.between(0, at)
        last = max((n for n, change in enumerate(history) if change[1] == lane), default=None)  # loser, or split off
        if last is None or isinstance(history[last], Split):
            return lane
        for change in history[last:]:
            if isinstance(change, Join) and change.loser == lane:
                lane = change.winner
        return lane


def _join(rng: random.Random, lane_of: dict[str, str], sequence: int) -> list[Change]:
    alive = sorted(set(lane_of.values()))
    if len(alive) < 2:
        return []
    loser, winner = rng.sample(alive, 2)
    lane_of.update({name: winner for name, lane in lane_of.items() if lane == loser})
    return [Join(sequence, loser, winner)]


def _split(rng: random.Random, lane_of: dict[str, str], sequence: int) -> list[Change]:
    """Some ids of a person become one of their own, new or with the lane of one who was joined before."""
    former = rng.choice(sorted(set(lane_of.values())))
    ids = sorted(name for name, lane in lane_of.items() if lane == former)
    leaving = rng.sample(ids, rng.randint(1, max(1, len(ids) - 1)))
    free = sorted(set(lane_of) - set(lane_of.values()))
    lane = rng.choice([*free, f"s{sequence}"]) if f"s{sequence}" not in lane_of.values() else f"t{sequence}"
    lane_of.update(dict.fromkeys(leaving, lane))
    return [Split(sequence, lane, former)]


class Graph:
    """A resolver that has read to the end of the log before any destination does.

    Attributes:
        reach: how far it lets itself be asked.
        asked: ranges whose changes somebody wanted without their events.
    """

    is_graph = True

    def __init__(self, people: People, reach: int = SEQUENCE_MAX) -> None:
        self.people, self.reach = people, reach
        self.asked: list[tuple[int, int]] = []

    def resolve(self, block: Block) -> Resolution:
        """See `appliance.process.resolve.Resolver`, as all of these."""
        assert block.last_sequence <= self.reach
        lanes = [self.people.lanes[record.sequence - 1] for record in block.records]
        return Resolution(lanes, self.people.between(block.first_sequence - 1, block.last_sequence))

    def changes(self, after: int, upto: int) -> list[Change]:
        assert after < upto <= self.reach
        self.asked.append((after, upto))
        return self.people.between(after, upto)

    def current(self, lane: str, at: int) -> str:
        return self.people.current(lane, min(at, self.reach))

    def knows(self, lane: str) -> bool:
        return True

    def person_id(self, lane: str) -> str:
        return lane
