"""What must hold of the rows of a person graph at any time, whatever has happened."""

from collections import Counter
from pathlib import Path

from appliance.identity.split import components
from appliance.identity.stitch import HOLDS
from appliance.identity.store import IdRow
from tests.support.graph_log import World
from tests.support.graph_model import Limits


def sound(world: World, limits: Limits, *, rules_changed: bool) -> None:
    """Fails where the store contradicts itself.

    Args:
        rules_changed: what the rules of before allowed may be beyond those of now.
    """
    store = world.store
    winner = dict(store.rows("SELECT loser, winner FROM merges WHERE until IS NULL"))
    assert len(winner) == store.one("SELECT count(*) FROM merges WHERE until IS NULL"), "one person became two"
    rows = store.ids(number for (number,) in store.rows("SELECT id FROM ids"))
    people: dict[int, list[IdRow]] = {}
    for row in rows:
        assert row.origin, f"{store.id_of(row)} has no person"
        people.setdefault(root_of(row.origin, winner), []).append(row)
    _edges_connect_exactly_the_people(world, people)
    for person, members in people.items():
        assert sorted(store.members([person])) == sorted(members), "the index of members"
        counts = Counter(store.text(row.type) for row in members)
        assert {store.text(type): count for _, type, count in store.counts([person])} == counts
        if not rules_changed:
            over = {type: count for type, count in counts.items() if 0 < limits.most.get(type, 0) < count}
            assert not over, f"more than a person may have: {over}"
            assert not limits.ids_max or len(members) <= limits.ids_max
            assert_hangs_together(world, members)
        if any(row.shared for row in members):
            assert len(members) == 1, "what is shared is a person of its own"


def sound_file(path: Path, log_id: str) -> str:
    """As `sound`, of a graph that nobody runs, with the rules by default; returns figures of it."""
    with World(path, log_id=log_id) as world:
        ids, merges, splits = (
            world.store.one(f"SELECT count(*) FROM {table}") for table in ("ids", "merges", "splits")
        )
        shared = world.store.one("SELECT count(*) FROM ids WHERE shared IS NOT NULL")
        sound(world, Limits(ids_max=500), rules_changed=False)
        return f"{ids} ids, {merges} merges, {splits} splits, {shared} shared ids"


def root_of(person: int, winner: dict[int, int]) -> int:
    """Who somebody is; fails where that goes round in a circle."""
    met = {person}
    while person in winner:
        person = winner[person]
        assert person not in met, "the merges go round in a circle"
        met.add(person)
    return person


def _edges_connect_exactly_the_people(world: World, people: dict[int, list[IdRow]]) -> None:
    groups = {row.id: frozenset({row.id}) for members in people.values() for row in members}
    for a, b in world.store.rows("SELECT a, b FROM edges WHERE state = ?", HOLDS):
        both = groups[a] | groups[b]
        groups.update(dict.fromkeys(both, both))
    assert set(groups.values()) == {frozenset(row.id for row in members) for members in people.values()}


def assert_hangs_together(world: World, members: list[IdRow]) -> None:
    """Were the person built anew from their edges, nothing would fall off: only what is undone or forbidden parts."""
    store, graph = world.store, world.graph
    named = sorted((store.text(row.type), row.value, row.id) for row in members)
    types = {number: type for type, _, number in named}
    rank = {number: index for index, number in enumerate(types)}
    edges = [edge for edge in store.edges_of(types) if edge.state == HOLDS]
    edges.sort(key=lambda edge: (edge.place, rank[edge.a], rank[edge.b]))
    groups, left = components(types, edges, graph.rules, {})
    assert len(groups) == 1, f"{named} falls apart: {left}"
