"""What an undo or a forbid would do: who is parted from whom, worked out as the graph would, and nothing changed."""

from collections.abc import Mapping, Sequence

from appliance.identity.lookup import Lookup, one_moment, roots
from appliance.identity.person import merge_number
from appliance.identity.rules import Id, Rules
from appliance.identity.split import components
from appliance.identity.stitch import HOLDS
from appliance.identity.store import IdRow, Store

Groups = list[list[Id]]
"""The ids of each person that there would be, the largest first; one group where nobody is parted."""


class Unknown(ValueError):
    """What was asked for is not there; the text says what, and what to do."""


class Ended(ValueError):
    """A merge that does not hold any more; the text says why."""


def of_merge(lookup: Lookup, name: str) -> Groups:
    """Who would be parted from whom if this merge were undone.

    Raises:
        Unknown: there is no such merge.
        Ended: it does not hold any more.
        ValueError: no merge can be called so.
    """
    merge = lookup.merge(name)
    if merge is None:
        raise Unknown(f"there is no merge {name}; `sternpost people merges` lists them")
    if merge.ended:
        raise Ended(f"merge {merge.name} does not hold any more: {merge.ended}")
    store = lookup.store()
    with one_moment(store):
        sql = "SELECT winner, a, b FROM merges WHERE merge = ?"
        winner, a, b = next(iter(store.rows(sql, merge_number(name))))
        return _groups(store, lookup.rules, roots(store, [winner])[winner], {a: {b}, b: {a}}, undone=(a, b))


def of_pair(lookup: Lookup, one: Id, two: Id) -> Groups:
    """Who would be parted from whom if these ids were never to be one person's.

    Raises:
        Unknown: nobody has one of them.
        ValueError: both are the same.
    """
    store = lookup.store()
    with one_moment(store):
        rows = _both(store, one, two)
        at = roots(store, [row.origin for row in rows])
        a, b = (row.id for row in rows)
        people = [at[row.origin] for row in rows]
        if people[0] == people[1]:
            return _groups(store, lookup.rules, people[0], {a: {b}, b: {a}})
        return [[store.id_of(row) for row in store.members([person])] for person in people]


def _both(store: Store, one: Id, two: Id) -> list[IdRow]:
    if one == two:
        raise ValueError("that is the same id twice")
    rows = store.find([one, two])
    for each in (one, two):
        if each not in rows:
            raise Unknown(f"nobody has the {each.type} {each.value}; `sternpost people find` looks for ids")
    return [rows[one], rows[two]]


def _groups(store: Store, rules: Rules, root: int, apart: Mapping[int, set[int]], undone: Sequence[int] = ()) -> Groups:
    """As `Splitter` parts a person: by the links that hold, and the pairs that are kept apart."""
    members = {row.id: row for row in store.members([root])}
    edges = [edge for edge in store.edges_of(members) if edge.state == HOLDS and (edge.a, edge.b) != tuple(undone)]
    both = store.forbidden()
    for number, others in apart.items():
        both.setdefault(number, set()).update(others)
    groups, _ = components({row.id: store.text(row.type) for row in members.values()}, edges, rules, both)
    return [[store.id_of(members[number]) for number in numbers] for numbers in groups]
