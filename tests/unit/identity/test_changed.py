"""Who keeps a copy of who is who has, once all changes were taken over, exactly what the graph says."""

import random
from pathlib import Path
from typing import Any

import pytest

from appliance.identity.acts import Act
from appliance.identity.changed import changed, graph_id, last
from appliance.identity.export import rows
from appliance.identity.person import merge_text
from appliance.identity.rules import Id
from tests.support.graph_log import Journey, World

MOSTS = (1, 3, 1_000)


def copy(world: World, into: dict[tuple[str, str], str], after: int, most: int) -> int:
    """Take over all there is; returns how far."""
    while True:
        ids, upto = changed(world.past.store(), after, most)
        into.update({(type, value): person for type, value, person in ids})
        if upto == after:
            assert upto == last(world.past.store())
            return upto
        after = upto


def graph(world: World) -> dict[tuple[str, str], str]:
    return {(row.id_type, row.id_value): row.person_id for batch in rows(world.past.store()) for row in batch}


@pytest.mark.parametrize("most", MOSTS)
def test_a_copy_is_what_the_graph_says_after_any_log(tmp_path: Path, most: int, seed: int) -> None:
    rng = random.Random(seed)
    log = Journey()
    with World(tmp_path / "people.sqlite", {"shared_after": 2}) as world:
        held: dict[tuple[str, str], str] = {}
        upto, read = 0, 0
        for _ in range(60):
            _something(log, world, rng)
            world.read(log.records[read:])
            read = len(log.records)
            if rng.random() < 0.5:
                upto = copy(world, held, upto, most)
        copy(world, held, upto, most)
        assert held == graph(world)
        assert len(set(held.values())) > 1
        assert graph_id(world.past.store())


def _something(log: Journey, world: World, rng: random.Random) -> None:
    user, browser = rng.choice(["ann", "bob", "cid", ""]), f"a{rng.randrange(6)}"
    what: Any = rng.random()
    merges = [row[0] for row in world.store.rows("SELECT merge FROM merges WHERE until IS NULL AND a <> 0")]
    if what < 0.15:
        log.alias(rng.choice(["ann", "bob"]), rng.choice(["cid", "dan"]))
    elif what < 0.3 and merges:
        log.act(Act(undo=merge_text(rng.choice(merges))))
    elif what < 0.35:
        log.act(Act(forbid=(Id("anonymous_id", "a0"), Id("anonymous_id", "a1"))))
    else:
        log.track(user=user, anonymous=browser, email=rng.choice(["", "", "x@example.com"]))
