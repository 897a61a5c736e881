"""What an undo or a forbid would do: who is parted from whom, worked out as the graph would, and nothing changed."""

from appliance.identity.findings import Merge
from appliance.identity.forbidden import Forbidden
from appliance.identity.lookup import Lookup, one_moment, roots
from appliance.identity.person import merge_number
from appliance.identity.rules import Id, Rules
from appliance.identity.split import components
from appliance.identity.store import IdRow, Store

Groups = list[list[Id]]
"""The ids of each person that there would be, the largest first; one group where nobody is parted."""


_MERGES = "`sternpost people merges` lists those that hold, such as 17"


class Refused(ValueError):
    """Nobody can be parted so; the text says why.

    Attributes:
        next_step: what to do.
    """

    def __init__(self, words: str, next_step: str) -> None:
        super().__init__(words)
        self.next_step = next_step


class Unknown(Refused):
    """What was asked for is not there."""


class Ended(Refused):
    """A merge that does not hold any more."""


def held(lookup: Lookup, name: str) -> Merge:
    """A merge that can be undone.

    Raises:
        Unknown: there is no such merge.
        Ended: it does not hold any more.
        Refused: no merge can be called so.
    """
    return _held(lookup, name)[0]


def of_merge(lookup: Lookup, name: str) -> Groups:
    """Who would be parted from whom if this merge were undone. Errors as `held`."""
    store = lookup.store()
    with one_moment(store):
        _, person, a, b = _held(lookup, name)
        return _groups(store, lookup.rules, person, a, b)


def _held(lookup: Lookup, name: str) -> tuple[Merge, int, int, int]:
    """The merge, the person who came of it as they are now, and its two ids."""
    try:
        merge = lookup.merge(name)
    except ValueError as error:
        raise Refused(str(error), _MERGES) from None
    if merge is None:
        raise Unknown(f"there is no merge {name}", _MERGES)
    store = lookup.store()
    with one_moment(store):
        a, b = next(iter(store.rows("SELECT a, b FROM merges WHERE merge = ?", merge_number(name))))
        at = set(roots(store, [row.origin for row in store.ids([a, b])]).values())
    if len(at) > 1:
        why = merge.ended or "its ids are of two people already"
        next_step = (
            "`sternpost people merges --all` lists what ended, and `people allow` lets two ids be one person's again"
        )
        raise Ended(f"merge {merge.name} holds no more: {why}", next_step)
    return merge, at.pop(), a, b


def of_pair(lookup: Lookup, one: Id, two: Id) -> Groups:
    """Who would be parted from whom if these ids were never to be one person's.

    Raises:
        Unknown: nobody has one of them.
        Refused: both are the same.
    """
    store = lookup.store()
    with one_moment(store):
        rows = _both(store, one, two)
        at = roots(store, [row.origin for row in rows])
        a, b = (row.id for row in rows)
        people = [at[row.origin] for row in rows]
        if people[0] == people[1]:
            return _groups(store, lookup.rules, people[0], a, b)
        return [[store.id_of(row) for row in store.members([person])] for person in people]


def _both(store: Store, one: Id, two: Id) -> list[IdRow]:
    if one == two:
        raise Refused("that is the same id twice", "name two ids; `sternpost people show ID` lists those of a person")
    rows = store.find([one, two])
    for each in (one, two):
        if each not in rows:
            raise Unknown(f"nobody has the {each.type} {each.value}", "`sternpost people find ID` looks for ids")
    return [rows[one], rows[two]]


def _groups(store: Store, rules: Rules, root: int, a: int, b: int) -> Groups:
    """As `Splitter` parts two ids of one person: by the links that hold but theirs, taken in the same order."""
    named = sorted((store.text(row.type), row.value, row) for row in store.members([root]))
    members = {row.id: row for _, _, row in named}
    rank = {number: index for index, number in enumerate(members)}
    edges = [edge for edge in store.edges_of(members, holding=True) if {edge.a, edge.b} != {a, b}]
    edges.sort(key=lambda edge: (edge.place, rank[edge.a], rank[edge.b]))
    apart = Forbidden(store).pairs
    for one, other in ((a, b), (b, a)):
        apart.setdefault(one, set()).add(other)
    groups, _ = components({row.id: type for type, _, row in named}, edges, rules, apart)
    return [[store.id_of(members[number]) for number in numbers] for numbers in groups]
