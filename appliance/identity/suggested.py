"""What stands on the review list, the likeliest first, with who the two people are now. Reads only."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from appliance.identity.forbidden import Forbidden
from appliance.identity.lookup import Lookup, one_moment, roots
from appliance.identity.review import OPEN
from appliance.identity.rules import Id
from appliance.identity.store import Store

_COLUMNS = "suggestion, a, b, probability, weight, why, made_ms, state"
_ORDER = "ORDER BY weight DESC, suggestion LIMIT ?"
_BEHIND = "(weight < ? OR (weight = ? AND suggestion > ?))"


class Suggested(NamedTuple):
    """Two people who may be one."""

    number: int
    ids: tuple[Id, Id]
    people: tuple[str, str]
    """Who has these ids now."""
    probability: float
    weight: float
    why: list[str]
    made_ms: int
    state: str


def suggested(lookup: Lookup, state: str, limit: int, after: int = 0) -> list[Suggested]:
    """Those in a state. Open ones leave out whom something else has made one, or forbidden to be one, meanwhile.

    Args:
        after: only those behind the one of this number; 0: from the first on.

    Raises:
        ValueError: there is no suggestion `after`.
    """
    store = lookup.store()
    found: list[Suggested] = []
    with one_moment(store):
        behind = _place(store, after)
        apart = Forbidden(store)
        while len(found) < limit and (rows := _page(store, state, limit, behind)):
            found += _to_decide(store, apart, rows) if state == OPEN else _shown(store, rows)
            behind = rows[-1][4], rows[-1][0]
    return found[:limit]


def one_suggested(lookup: Lookup, number: int) -> Suggested | None:
    """One by its number, whatever its state; None where there is none."""
    store = lookup.store()
    with one_moment(store):
        found = _shown(store, list(store.rows(f"SELECT {_COLUMNS} FROM suggestions WHERE suggestion = ?", number)))
    return found[0] if found else None


def count(lookup: Lookup, state: str) -> int:
    """How many are in a state."""
    number: int = lookup.store().one("SELECT count(*) FROM suggestions WHERE state = ?", state)
    return number


def _place(store: Store, after: int) -> tuple[float, int] | None:
    if not after:
        return None
    weight = store.one("SELECT weight FROM suggestions WHERE suggestion = ?", after)
    if weight is None:
        raise ValueError(f"there is no suggestion {after} any more")
    return weight, after


def _page(store: Store, state: str, limit: int, behind: tuple[float, int] | None) -> list[tuple[Any, ...]]:
    sql = f"SELECT {_COLUMNS} FROM suggestions WHERE state = ?"
    if behind is None:
        return list(store.rows(f"{sql} {_ORDER}", state, limit))
    return list(store.rows(f"{sql} AND {_BEHIND} {_ORDER}", state, behind[0], *behind, limit))


def _to_decide(store: Store, apart: Forbidden, rows: Sequence[tuple[Any, ...]]) -> Iterator[Suggested]:
    at = roots(store, {row.origin for row in store.ids(apart.pairs)})
    for one in _shown(store, rows):
        first, second = (store.names.number(person) or 0 for person in one.people)
        if first != second and not apart.between(first, second, at.__getitem__):
            yield one


def _shown(store: Store, rows: Sequence[tuple[Any, ...]]) -> list[Suggested]:
    ids = {row.id: row for row in store.ids({number for row in rows for number in row[1:3]})}
    at = roots(store, {row.origin for row in ids.values()})
    found = []
    for number, a, b, probability, weight, why, made_ms, state in rows:
        if a in ids and b in ids:
            two = store.id_of(ids[a]), store.id_of(ids[b])
            people = [store.names.text(at[ids[each].origin]) for each in (a, b)]
            words = msgspec.json.decode(why, type=list[str])
            found.append(Suggested(number, two, (people[0], people[1]), probability, weight, words, made_ms, state))
    return found
