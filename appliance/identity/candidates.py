"""People with what they said of themselves, for a search for those who may be one. Reads only, in bounded memory."""

from collections.abc import Iterator

import msgspec

from appliance.identity.lookup import Lookup, one_moment, roots
from appliance.identity.rules import Id, Rules
from appliance.identity.store import IdRow, Store

IDS_AT_ONCE = 500
"""Ids with traits that are looked at together, with all ids of their people."""
VALUES_MAX = 20
"""Values of one trait of one person, the newest."""
_TRAITS = msgspec.json.Decoder(dict[str, str])


class Described(msgspec.Struct, frozen=True):
    """A person, called by one of their ids as well."""

    person: str
    id: Id
    """Type and value of their id of the highest priority, of several the oldest."""
    traits: dict[str, list[str]]
    """All that their ids have said, newest first."""


def candidates(lookup: Lookup) -> Iterator[list[Described]]:
    """Everybody who has said something, some people at a time; what is shared by many is nobody.

    Each batch shows its own moment, so that a slow reader holds nothing back: who became another meanwhile may be
    there twice, or not at all.
    """
    after = -1
    while True:
        store = lookup.store()
        with one_moment(store):
            said = [row[0] for row in store.rows("SELECT id FROM traits WHERE id > ? ORDER BY id LIMIT ?",
                                                 after, IDS_AT_ONCE)]  # fmt: skip
            found = _people(store, lookup.rules, said)
        if not said:
            return
        after = said[-1]
        yield found


def _people(store: Store, rules: Rules, said: list[int]) -> list[Described]:
    """Whose first id with traits, in the order of the ids' numbers, is one of these."""
    origins = {row.origin for row in store.ids(said)}
    members = store.members(set(roots(store, origins).values()))
    at = roots(store, {row.origin for row in members})
    traits = _traits(store, members)
    people: dict[int, list[IdRow]] = {}
    for row in members:
        people.setdefault(at[row.origin], []).append(row)
    here, found = set(said), []
    for root, rows in people.items():
        if min(row.id for row in rows if row.id in traits) in here:
            usable = [row for row in rows if row.shared is None]
            if usable:
                naming = min(usable, key=lambda row: (rules.priority(store.text(row.type)), row.first_ms, row.value))
                found.append(Described(store.names.text(root), store.id_of(naming), _gathered(rows, traits)))
    return found


def _traits(store: Store, rows: list[IdRow]) -> dict[int, dict[str, str]]:
    sql = "SELECT id, traits FROM traits WHERE id IN (SELECT value FROM json_each(?1))"
    return {number: _TRAITS.decode(text) for number, text in store.rows(sql, store.array(row.id for row in rows))}


def _gathered(rows: list[IdRow], traits: dict[int, dict[str, str]]) -> dict[str, list[str]]:
    """The values of every trait, those of the ids that were seen last first."""
    values: dict[str, dict[str, None]] = {}
    for row in sorted(rows, key=lambda row: (-row.last_day, -row.first_ms, row.id)):
        for name, value in traits.get(row.id, {}).items():
            kept = values.setdefault(name, {})
            if len(kept) < VALUES_MAX:
                kept[value] = None
    return {name: list(kept) for name, kept in values.items()}
