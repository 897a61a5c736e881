"""Parting people: what of a person still hangs together once an edge does not hold, and who is who afterwards.

`components` and `assign` are pure; `Splitter` brings their outcome into the graph. Only what leaves is written: people,
and merges of which both ids stay together, are as they were. So an undo gives back the very people of before.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from appliance.core.errors import SternpostError
from appliance.identity.known import Known
from appliance.identity.person import sequence_of
from appliance.identity.rules import Rules
from appliance.identity.stitch import FORBIDDEN, HOLDS, SHARED, UNDONE, Change, Stitcher, refusal
from appliance.identity.store import EdgeRow, IdRow, MergeRow

Apart = Mapping[int, set[int]]
"""Ids and those that must not be of one person with them, both ways."""
Pairs = Mapping[tuple[int, int], int]
"""Edges and what their state becomes."""


class TooMany(SternpostError):
    """A person would fall into more people than can be told apart at one place; nothing was changed."""


class Assigned(NamedTuple):
    """Who is who after a split. Groups are called by their index."""

    people: list[int]
    """Of each group; 0: somebody new."""
    ended: list[int]
    """Merges that do not hold any more."""
    redirected: list[tuple[int, int]]
    """(person who is nobody by themselves now, group that they belong to)."""
    moved: list[tuple[int, int]]
    """(id whose person has gone elsewhere, its group)."""


def components(
    types: Mapping[int, str], edges: Sequence[EdgeRow], rules: Rules, apart: Apart
) -> tuple[list[list[int]], dict[tuple[int, int], int]]:
    """What hangs together by edges that hold, taken in their order, and those that no longer may hold.

    Args:
        types: of each id, by its number; earlier ids go first where groups are of one size.
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
        if apart and any(at.get(other) == large for number in group[small] for other in apart.get(number, ())):
            state = FORBIDDEN
        if state != HOLDS:
            left[edge.a, edge.b] = state
            continue
        for number in group[small]:
            at[number] = large
        group[large] += group.pop(small)
        for type, count in counts.pop(small).items():
            counts[large][type] = counts[large].get(type, 0) + count
    rank = {number: index for index, number in enumerate(types)}
    return sorted(group.values(), key=lambda numbers: (-len(numbers), min(rank[number] for number in numbers))), left


def assign(
    groups: Sequence[Sequence[int]],
    origins: Mapping[int, int],
    merges: Sequence[MergeRow],
    root: int,
    alone: Collection[int] = (),
) -> Assigned:
    """Who each group is: the person that all of them were, the one it was before it was joined to others, or a new one.

    Args:
        groups: the largest first; at least two.
        origins: the person that each id was given; the oldest first.
        merges: those by which these people are one, in force.
        root: whom they became.
        alone: ids each of which is a group by itself, and somebody new as long as there is anybody else.
    """
    group_of = {number: index for index, numbers in enumerate(groups) for number in numbers}
    homes = _homes(group_of, origins, merges, root, alone)
    above: dict[int, int] = {}
    ended = []
    for merge in merges:
        home = homes[merge.loser]
        together = not merge.a or group_of.get(merge.a) == group_of.get(merge.b) == home
        if together and home == homes[merge.winner]:
            above[merge.loser] = merge.winner
        else:
            ended.append(merge.merge)

    def top(person: int) -> int:
        while person in above:
            person = above[person]
        return person

    heads = sorted(person for person in homes if person not in above)
    sizes: Counter[int] = Counter()
    moved = []
    for number, origin in origins.items():
        if homes[origin] == group_of[number]:
            sizes[top(origin)] += 1
        else:
            moved.append((number, group_of[number]))
    people = [0] * len(groups)
    for person in sorted(heads, key=lambda head: (head != root, -sizes[head], head)):
        people[homes[person]] = people[homes[person]] or person
    redirected = [(person, homes[person]) for person in heads if people[homes[person]] != person]
    return Assigned(people, ended, redirected, moved)


def _homes(
    group_of: Mapping[int, int],
    origins: Mapping[int, int],
    merges: Sequence[MergeRow],
    root: int,
    alone: Collection[int],
) -> dict[int, int]:
    """The group where each person is at home: that of their oldest id, or of the oldest of those who became them."""
    winner = {merge.loser: merge.winner for merge in merges}
    own: dict[int, int] = {}
    for number in [each for each in origins if each not in alone] or origins:
        own.setdefault(origins[number], group_of[number])
    below: dict[int, int] = {}
    for origin, group in own.items():
        person = winner.get(origin)
        while person is not None:
            below.setdefault(person, group)
            person = winner.get(person)
    homes = {}
    for first in {root, *origins.values(), *winner, *winner.values()}:
        person = first
        while person not in own and person not in below:
            person = winner[person]
        homes[first] = own[person] if person in own else below[person]
    return homes


class Splitter:
    """Changes the graph through the stitcher's store; the stitcher forgets what it knew afterwards."""

    def __init__(self, stitcher: Stitcher) -> None:
        self._stitcher, self._store = stitcher, stitcher.store

    def share(self, ids: Iterable[Known], place: int) -> None:
        """From here on these ids are shared: each leaves its person and is one of its own.

        All leave at once, so that a person is taken apart once however many of their ids leave, and which of them goes
        first is no question. Where too many people would come of it, which takes limits that are off, they stay one;
        the ids are shared.
        """
        stitcher = self._stitcher
        leaving: dict[int, set[int]] = {}
        for known in ids:
            if not known.shared:
                known.shared = place
                stitcher.touch(known)
                leaving.setdefault(stitcher.root(known.origin), set()).add(known.number)
        stitcher.flush()
        for root, numbers in leaving.items():
            with suppress(TooMany):
                self._part(root, place, {}, {}, alone=numbers)
        stitcher.forget()

    def undo(self, a: int, b: int, root: int, place: int) -> None:
        """Part two ids of one person by leaving out what joins them.

        Raises:
            TooMany: nothing was changed.
        """
        self._stitcher.flush()
        self._part(root, place, {(a, b): UNDONE, (b, a): UNDONE}, {a: {b}, b: {a}}, UNDONE)

    def forbid(self, a: int, b: int, root: int, place: int) -> None:
        """Part two ids of one person, which are to be forbidden from here on.

        Raises:
            TooMany: nothing was changed.
        """
        self._stitcher.flush()
        self._part(root, place, {(a, b): FORBIDDEN, (b, a): FORBIDDEN}, {a: {b}, b: {a}})

    def _part(
        self, root: int, place: int, cut: Pairs, apart: Apart, state: int = FORBIDDEN, alone: Collection[int] = ()
    ) -> None:
        """Leave out the edges in `cut`, those of ids in `alone`, which are shared, and those that join ids which are to
        be apart; give each group its person."""
        store = self._store
        self._stitcher.settled.parted(root)
        # By type and value, not by number: a graph made anew has other numbers, and must come to the same people.
        named = [(store.text(row.type), row.value, row) for row in store.members([root])]
        members = {row.id: row for _, _, row in sorted(named)}
        types = {row.id: type for type, _, row in named}
        rank = {number: index for index, number in enumerate(members)}
        edges = store.edges_of(members, holding=True)
        present = {(edge.a, edge.b) for edge in edges}
        cut = {pair: why for pair, why in cut.items() if pair in present}
        cut |= {(edge.a, edge.b): SHARED for edge in edges if edge.a in alone or edge.b in alone}
        edges = [edge for edge in edges if (edge.a, edge.b) not in cut]
        edges.sort(key=lambda edge: (edge.place, rank[edge.a], rank[edge.b]))
        both = {number: set(others) for number, others in self._stitcher.forbidden.pairs.items()}
        for number, others in apart.items():
            both.setdefault(number, set()).update(others)
        groups, left = components({number: types[number] for number in members}, edges, self._stitcher.rules, both)
        left = {pair: state if why == FORBIDDEN else why for pair, why in left.items()}
        if len(groups) > 1:
            oldest = sorted(members.values(), key=lambda row: (row.first_ms, rank[row.id]))
            origins = {row.id: row.origin for row in oldest}
            assigned = assign(groups, origins, store.tree(root), root, alone)
            self._move(root, place, members, assigned)
        for (a, b), why in {**left, **cut}.items():
            store.write("UPDATE edges SET state = ? WHERE a = ? AND b = ?", why, a, b)
        self._stitcher.forget()

    def _move(self, root: int, place: int, members: Mapping[int, IdRow], assigned: Assigned) -> None:
        store, stitcher = self._store, self._stitcher
        if 2 * len(assigned.people) + len(assigned.redirected) > stitcher.numbers_left():
            raise TooMany(f"a person would fall into {len(assigned.people)} people at once, which is not supported")
        people = [person or stitcher.next_number() for person in assigned.people]
        store.write(
            "UPDATE merges SET until = ? WHERE merge IN (SELECT value FROM json_each(?))",
            place,
            store.array(assigned.ended),
        )
        moved = [(members[number], people[group]) for number, group in assigned.moved]
        store.insert("INSERT OR IGNORE INTO former", "", 3, [(row.id, place, row.origin) for row, _ in moved])
        store.put_ids([row._replace(origin=person) for row, person in moved])
        store.put_merges(
            [
                MergeRow(stitcher.next_number(), person, people[group], 0, 0, None)
                for person, group in assigned.redirected
            ]
        )
        splits = [(stitcher.next_number(), person, root) for person in people if person != root]
        store.insert("INSERT INTO splits", "", 3, splits)
        stitcher.changes += [Change(sequence_of(place), person, former, True) for _, person, former in splits]
