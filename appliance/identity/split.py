"""Parting people: what of a person still hangs together once an edge does not hold, and who is who afterwards.

`components` and `assign` are pure; `Splitter` brings their outcome into the graph.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from appliance.core.errors import SternpostError
from appliance.identity.person import ORDINALS_MAX, sequence_of
from appliance.identity.rules import Rules
from appliance.identity.stitch import FORBIDDEN, HOLDS, SHARED, UNDONE, Change, Known, Stitcher, refusal
from appliance.identity.store import EdgeRow, IdRow, MergeRow

Apart = Mapping[int, set[int]]
"""Ids and those that must not be of one person with them, both ways."""


def components(
    types: Mapping[int, str], edges: Sequence[EdgeRow], rules: Rules, apart: Apart
) -> tuple[list[list[int]], dict[tuple[int, int], int]]:
    """What hangs together by edges that hold, taken in the order of their places, and those that no longer may hold.

    Args:
        types: of each id, by its number.
        edges: those that hold, by place.
        apart: pairs that must not meet.

    Returns:
        Groups of ids, the largest first, and the state of each edge that was left out.
    """
    group = {number: [number] for number in types}
    counts = {number: {type: 1} for number, type in types.items()}
    at = {number: number for number in types}
    left: dict[tuple[int, int], int] = {}
    for edge in edges:
        one, two = at[edge.a], at[edge.b]
        if one == two:
            continue
        state = refusal(counts[one], counts[two], rules, explicit=bool(edge.explicit))
        small, large = sorted((one, two), key=lambda head: len(group[head]))
        if (
            state == HOLDS
            and apart
            and any(at.get(no) == large for number in group[small] for no in apart.get(number, ()))
        ):
            state = FORBIDDEN
        if state != HOLDS:
            left[edge.a, edge.b] = state
            continue
        for number in group[small]:
            at[number] = large
        group[large] += group.pop(small)
        for type, count in counts.pop(small).items():
            counts[large][type] = counts[large].get(type, 0) + count
    return sorted(group.values(), key=lambda numbers: (-len(numbers), min(numbers))), left


def assign(groups: Sequence[Sequence[int]], origins: Mapping[int, int], new: Iterable[int]) -> list[int]:
    """Who each group is: the person most of its ids began with, as far as no larger group is; 0: somebody new.

    Args:
        groups: the largest first.
        origins: of each id.
        new: ids whose group is somebody new in any case.
    """
    taken: set[int] = set()
    fresh = set(new)
    found = []
    for numbers in groups:
        person = 0
        if fresh.isdisjoint(numbers):
            wanted = Counter(origins[number] for number in numbers)
            for origin, _ in sorted(wanted.items(), key=lambda item: (-item[1], item[0])):
                if origin not in taken:
                    person = origin
                    break
        taken.add(person)
        found.append(person)
    return found


class Splitter:
    """Changes the graph through the stitcher's store; the stitcher forgets what it knew afterwards."""

    def __init__(self, stitcher: Stitcher) -> None:
        self._stitcher, self._store = stitcher, stitcher.store

    def share(self, known: Known, place: int) -> None:
        """From here on this id is shared: it leaves its person and is one of its own."""
        stitcher = self._stitcher
        known.shared = place
        stitcher.touch(known)
        stitcher.flush()
        self._part(stitcher.root(known.origin), place, {}, alone=known.number)

    def undo(self, a: int, b: int, root: int, place: int) -> int:
        """Part two ids of one person by leaving out what joins them; returns how many people there are now."""
        self._stitcher.flush()
        return self._part(root, place, {a: {b}, b: {a}}, UNDONE)

    def forbid(self, root: int, place: int) -> int:
        """Part a person by the pairs that are forbidden by now; returns how many people there are now."""
        self._stitcher.flush()
        return self._part(root, place, {})

    def _part(self, root: int, place: int, apart: dict[int, set[int]], state: int = FORBIDDEN, alone: int = 0) -> int:
        store, rules = self._store, self._stitcher.rules
        members = {row.id: row for row in store.members([root])}
        edges = [edge for edge in store.edges_of(members) if edge.state == HOLDS]
        bridges = {(edge.a, edge.b): SHARED for edge in edges if alone in (edge.a, edge.b)}
        edges = [edge for edge in edges if (edge.a, edge.b) not in bridges]
        both = {number: set(others) for number, others in self._stitcher.forbidden.items()}
        for number, others in apart.items():
            both.setdefault(number, set()).update(others)
        types = {row.id: store.text(row.type) for row in members.values()}
        groups, left = components(types, edges, rules, both)
        if len(groups) >= ORDINALS_MAX // 2:
            raise SternpostError(f"a person would fall into {len(groups)} people at once, which is not supported")
        left = {pair: state if why == FORBIDDEN else why for pair, why in left.items()}
        self._leave_out({**left, **bridges})
        if len(groups) > 1:
            fresh = [alone] if alone and len(members) > 1 else []
            people = assign(groups, {row.id: row.origin for row in members.values()}, fresh)
            self._move(root, place, members, groups, people)
        self._stitcher.forget()
        return len(groups)

    def _leave_out(self, states: Mapping[tuple[int, int], int]) -> None:
        for (a, b), state in states.items():
            self._store.write("UPDATE edges SET state = ? WHERE a = ? AND b = ?", state, a, b)

    def _move(
        self,
        root: int,
        place: int,
        members: Mapping[int, IdRow],
        groups: Sequence[Sequence[int]],
        people: Sequence[int],
    ) -> None:
        store, stitcher = self._store, self._stitcher
        people = [person or stitcher.next_number() for person in people]
        once = self._all_of(root, members)
        store.write(
            "UPDATE merges SET until = ? WHERE until IS NULL AND loser IN (SELECT value FROM json_each(?))",
            place,
            store.array(once),
        )
        moved, former, most = [], [], dict[int, int]()
        for numbers, person in zip(groups, people, strict=True):
            for number in numbers:
                row = members[number]
                most.setdefault(row.origin, person)
                if row.origin != person:
                    former.append((number, place, row.origin))
                    moved.append(row._replace(origin=person))
        store.insert("INSERT OR IGNORE INTO former", "", 3, former)
        store.put_ids(moved)
        nobody = sorted(once - set(people))
        store.put_merges(
            [MergeRow(stitcher.next_number(), person, most.get(person, people[0]), 0, 0, None) for person in nobody]
        )
        splits = [(stitcher.next_number(), person, root) for person in people if person != root]
        store.insert("INSERT INTO splits", "", 3, splits)
        stitcher.changes += [Change(sequence_of(place), person, former, True) for _, person, former in splits]

    def _all_of(self, root: int, members: Mapping[int, IdRow]) -> set[int]:
        """The person and all who became it."""
        found = self._store.losers(root)
        return found | {row.origin for row in members.values()} | {root}
