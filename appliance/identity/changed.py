"""Who is who, in pieces: which ids are of another person than before, for those who keep a copy. Reads only."""

from typing import NamedTuple

from appliance.identity.lookup import one_moment, roots
from appliance.identity.store import Store


class Changed(NamedTuple):
    """What became otherwise."""

    ids: list[tuple[str, str, str]]
    """(type, value, name of the present person) of each id."""
    upto: int
    """Where to go on; the number that was given where there is nothing more."""


def changed(store: Store, after: int, most: int) -> Changed:
    """The next changes, and the present person of all ids that they touch.

    An id may come again with a later change; whoever takes over all of them in order has the present people.

    Args:
        after: how far they were taken over; 0: from the beginning of the graph.
        most: so many changes; a person who is touched brings all of their ids.
    """
    with one_moment(store):
        rows = list(
            store.rows("SELECT number, id, person FROM changed WHERE number > ? ORDER BY number LIMIT ?", after, most)
        )
        if not rows:
            return Changed([], after)
        people = set(roots(store, {person for _, _, person in rows if person is not None}).values())
        members = {row.id: row for row in store.members(people)}
        members |= {row.id: row for row in store.ids({id for _, id, _ in rows if id is not None})}
        at = roots(store, {row.origin for row in members.values()})
        text = store.names.text
        return Changed([(*store.id_of(row), text(at[row.origin])) for row in members.values()], rows[-1][0])


def last(store: Store) -> int:
    """The number of the last change; 0: there was none."""
    return int(store.one("SELECT max(number) FROM changed") or 0)


def graph_id(store: Store) -> str:
    """What tells this graph's numbers from those of another, made anew."""
    return str(store.meta("graph_id"))
