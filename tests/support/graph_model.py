"""The naive model of the person graph: a list of decisions, and everybody's people worked out anew from all of them.

It knows nothing of numbers, names, batches or files. An id is a pair of texts; a person is a set of ids.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

Id = tuple[str, str]
Person = frozenset[Id]

HOLDS, LEFT_OUT, UNDONE, FORBIDDEN, ANEW = "holds", "left out", "undone", "forbidden", "to be decided anew"


@dataclass(frozen=True)
class Limits:
    """The rules, as far as they concern who is joined to whom. A limit of 0 is none."""

    unique: frozenset[str] = frozenset({"user_id"})
    most: Mapping[str, int] = field(default_factory=dict)
    ids_max: int = 0
    shared_after: int = 3
    window_days: Mapping[str, int] = field(default_factory=dict)
    priority: Mapping[str, int] = field(default_factory=dict)
    blocked: frozenset[Id] = frozenset()
    teaching: Mapping[str, str] = field(default_factory=dict)
    """By source: "sightings" or "none"; a source that is not there teaches all."""

    def allow(self, one: Iterable[Id], two: Iterable[Id]) -> bool:
        """Whether these two may be one by their size; two unique ids are another question."""
        one, two = list(one), list(two)
        for type, most in self.most.items():
            counts = [sum(each == type for each, _ in ids) for ids in (one, two)]
            if most and all(counts) and sum(counts) > most:
                return False
        return not self.ids_max or len(one) + len(two) <= self.ids_max

    def clash(self, one: Iterable[Id], two: Iterable[Id]) -> bool:
        """Whether both have an id of one type that is unique."""
        return bool({type for type, _ in one} & {type for type, _ in two} & self.unique)


class Merge(NamedTuple):
    """Two people became one."""

    sequence: int
    a: Id
    b: Id


@dataclass
class Edge:
    """What was decided of a pair, and by which event."""

    sequence: int
    explicit: bool
    state: str


class Model:
    """What has happened so far."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.ids: set[Id] = set()
        self.edges: dict[tuple[Id, Id], Edge] = {}
        self.forbidden: set[frozenset[Id]] = set()
        self.shared: set[Id] = set()
        self.last_day: dict[Id, int] = {}
        self.users: dict[Id, set[Id]] = {}
        self.merges: list[Merge] = []
        self.counted: list[Id] = []
        """Those that were seen with one more unique id by this event."""

    # Who is who ----------------------------------------------------------------------------------------------

    def person(self, id: Id) -> Person:
        """Everything that hangs together with this id by edges that hold."""
        found, size = {id}, 0
        while size != len(found):
            size = len(found)
            for (a, b), edge in self.edges.items():
                if edge.state == HOLDS and (a in found or b in found):
                    found |= {a, b}
        return frozenset(found)

    def people(self) -> set[Person]:
        """Everybody."""
        return {self.person(id) for id in self.ids}

    # What happens --------------------------------------------------------------------------------------------

    def event(self, sequence: int, ids: list[Id], explicit: bool, day: int, source: str = "") -> Id | None:
        """An event with these ids; returns the one by which it is attributed, None where it is nobody's."""
        teaching = self.limits.teaching.get(source, "full")
        ids = [id for id in ids if id not in self.limits.blocked]
        ids = sorted(dict.fromkeys(ids), key=lambda id: self.limits.priority.get(id[0], 0))
        if not ids:
            return None
        if teaching == "none":
            if ids[0] not in self.ids:
                self.ids.add(ids[0])
                self.last_day[ids[0]] = max(day, self.last_day.get(ids[0], 0))
            return ids[0]
        explicit = explicit and teaching == "full"
        while True:
            hub, self.counted = self.hub(ids), []
            self._link_all(sequence, hub, ids, explicit, day)
            self.ids |= set(ids)
            crowded = [id for id in self.counted if len(self.users[id]) > self.limits.shared_after]
            if not set(crowded) - self.shared:
                break
            self._share(set(crowded) - self.shared)
        for id in ids:
            self.last_day[id] = max(day, self.last_day.get(id, 0))
        return hub

    def hub(self, ids: list[Id]) -> Id:
        """By which an event is attributed: the first that is not shared."""
        return next((id for id in ids if id not in self.shared), ids[0])

    def _link_all(self, sequence: int, hub: Id, ids: list[Id], explicit: bool, day: int) -> None:
        others = [id for id in ids if id != hub and self._open(hub, id, explicit)]
        seen, new = [id for id in others if id in self.ids], [id for id in others if id not in self.ids]
        for other in seen + new:
            if self._decide(sequence, hub, other, explicit, day) == HOLDS:
                self.ids |= {hub, other}

    def _open(self, hub: Id, other: Id, explicit: bool) -> bool:
        edge = self.edges.get((hub, other))
        if edge is None or edge.state == ANEW:
            return True
        return explicit and not edge.explicit and edge.state == LEFT_OUT

    def _decide(self, sequence: int, hub: Id, other: Id, explicit: bool, day: int, act: bool = False) -> str:
        pair, turned = (hub, other), (other, hub)
        if pair not in self.edges and turned not in self.edges and not explicit:
            for one, two in (pair, turned):
                if two[0] in self.limits.unique and one[0] not in self.limits.unique:
                    self.users.setdefault(one, set()).add(two)
                    self.counted.append(one)
        both = hub in self.ids and other in self.ids
        one, two = self.person(hub), self.person(other)
        undone = turned in self.edges and self.edges[turned].state == UNDONE and not act
        if self.shared & {hub, other}:
            state = LEFT_OUT
        elif frozenset(pair) in self.forbidden:
            state = FORBIDDEN
        elif both and one == two:
            state = HOLDS
        elif both and undone:
            state = UNDONE
        elif (
            any(self._is_old(id, day) for id in pair)
            or not self.limits.allow(one, two)
            or (self.limits.clash(one, two) and not explicit)
        ):
            state = LEFT_OUT
        elif self._apart(one, two, self.forbidden):
            state = FORBIDDEN
        else:
            state = HOLDS
        if state == HOLDS and both and one != two:
            self.merges.append(Merge(sequence, hub, other))
        self.edges[pair] = Edge(sequence, explicit, state)
        return state

    def _is_old(self, id: Id, day: int) -> bool:
        window_days = self.limits.window_days.get(id[0], 0)
        return bool(window_days) and id in self.last_day and day - self.last_day[id] > window_days

    @staticmethod
    def _apart(one: Iterable[Id], two: Iterable[Id], pairs: set[frozenset[Id]]) -> bool:
        return any(frozenset((a, b)) in pairs for a in one for b in two)

    def _share(self, leaving: set[Id]) -> None:
        people = {self.person(id) for id in leaving}
        self.shared |= leaving
        for pair, edge in self.edges.items():
            if not leaving.isdisjoint(pair) and edge.state == HOLDS:
                edge.state = LEFT_OUT
        for person in people:
            self._part(person, set(), FORBIDDEN)

    def _part(self, person: Person, apart: set[frozenset[Id]], why: str) -> None:
        """Build a person anew from the edges that hold, in their order; one that must not hold does not."""
        edges = [
            (edge.sequence, pair) for pair, edge in self.edges.items() if edge.state == HOLDS and pair[0] in person
        ]
        groups = [{id} for id in person]
        for _, pair in sorted(edges):
            one, two = (next(group for group in groups if id in group) for id in pair)
            if one is two:
                continue
            edge = self.edges[pair]
            if self._apart(one, two, self.forbidden | apart):
                edge.state = why
            elif not self.limits.allow(one, two) or (self.limits.clash(one, two) and not edge.explicit):
                edge.state = LEFT_OUT
            else:
                groups = [group for group in groups if group is not one and group is not two] + [one | two]

    # What operators do ---------------------------------------------------------------------------------------

    def undo(self, merge: Merge) -> None:
        """The two ids by which it came about are of two people, if they were not already."""
        if self.person(merge.a) == self.person(merge.b):
            self._tear(merge.a, merge.b, UNDONE)

    def _meet(self, day: int, *ids: Id) -> None:
        """Whom an act speaks of there is from then on."""
        self.last_day.update({id: day for id in ids if id not in self.ids})
        self.ids |= set(ids)

    def forbid(self, a: Id, b: Id, day: int) -> None:
        """Never one person."""
        if a == b:
            return
        self._meet(day, a, b)
        if frozenset((a, b)) not in self.forbidden and self.person(a) == self.person(b):
            self._tear(a, b, FORBIDDEN)
        self.forbidden.add(frozenset((a, b)))

    def _tear(self, a: Id, b: Id, why: str) -> None:
        person = self.person(a)
        for pair in ((a, b), (b, a)):
            if pair in self.edges and self.edges[pair].state == HOLDS:
                self.edges[pair].state = why
        self._part(person, {frozenset((a, b))}, why)

    def allow(self, a: Id, b: Id) -> None:
        """They may be one again."""
        if not {a, b} <= self.ids or a == b:
            return
        self.forbidden.discard(frozenset((a, b)))
        both = self.person(a) | self.person(b)
        for pair, edge in self.edges.items():
            if edge.state in (UNDONE, FORBIDDEN) and both.issuperset(pair):
                edge.state = ANEW

    def link(self, sequence: int, a: Id, b: Id, day: int) -> None:
        """They are one person."""
        if a != b:
            self._meet(day, a, b)
            self._decide(sequence, a, b, explicit=True, day=day, act=True)
