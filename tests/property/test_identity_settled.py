"""What is remembered of sightings: it may forget, and never tells another person than a model that forgets nothing."""

from itertools import product
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from appliance.core.config import IdentityConfig
from appliance.core.event import Record
from appliance.identity import settled
from appliance.identity.graph import Graph
from appliance.identity.known import DAY_MS
from appliance.identity.rules import Id, Rules
from appliance.identity.settled import WAYS, Settled

PUT = st.tuples(st.just("put"), st.integers(0, 40), st.integers(1, 9))
MERGED = st.tuples(st.just("merged"), st.integers(1, 9), st.integers(1, 9))
PARTED = st.tuples(st.just("parted"), st.integers(1, 9), st.just(0))


def root(became: dict[int, int], person: int) -> int:
    while person in became:
        person = became[person]
    return person


@given(steps=st.lists(st.one_of(PUT, PUT, MERGED, PARTED), max_size=60), places=st.sampled_from([WAYS, 16, 64]))
def test_it_never_tells_a_wrong_person(steps: list[tuple[str, int, int]], places: int) -> None:
    """People merge only while they are nobody else yet; who was parted must be asked for anew."""
    table, became = Settled(b"secret", places), dict[int, int]()
    right: dict[int, int] = {}
    keys = {number: table.key([Id("user_id", f"u{number}")], 1) for number in range(41)}
    for what, one, two in steps:
        if what == "put":
            person = root(became, two)
            table.put(keys[one], person)
            right[one] = person
        elif what == "merged" and (loser := root(became, one)) != (winner := root(became, two)):
            table.merged(loser, winner)
            became[loser] = winner
        elif what == "parted":
            gone = root(became, one)
            table.parted(gone)
            right = {number: person for number, person in right.items() if root(became, person) != gone}
            became = {loser: winner for loser, winner in became.items() if root(became, loser) != gone}
        for number, key in keys.items():
            found = table.get(key)
            assert found in (0, root(became, right.get(number, 0))), (number, found)


def test_what_fits_is_remembered() -> None:
    table = Settled(b"secret")
    keys = [table.key([Id("user_id", f"u{number}")], 20_000) for number in range(3_000)]
    for _, (number, key) in product(range(4), enumerate(keys)):  # It is begun again as it grows.
        table.put(key, number + 1)
    assert sum(table.get(key) == number + 1 for number, key in enumerate(keys)) > 2_950


def test_another_day_other_ids_and_another_secret_are_another_sighting() -> None:
    table, ids = Settled(b"secret"), [Id("user_id", "u"), Id("email", "e")]
    keys = {
        table.key(ids, 1),
        table.key(ids, 2),
        table.key(ids[::-1], 1),
        table.key(ids[:1], 1),
        Settled(b"other").key(ids, 1),
        table.key([Id("user_id", "\ud800")], 1),
    }
    assert len(keys) == 6


def test_people_who_change_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settled, "MOVED_MAX", 3)
    table = Settled(b"secret", 16)
    key = table.key([Id("user_id", "u")], 1)
    table.put(key, 1)
    for person in range(1, 4):
        table.merged(person, person + 1)
        assert table.get(key) == person + 1
    table.merged(4, 5)
    assert table.get(key) == 0
    table.put(key, 5)
    assert table.get(key) == 5


@pytest.mark.parametrize("cold", [False, True])
def test_a_clock_that_goes_back_leaves_the_same_graph_with_and_without_it(tmp_path: Path, cold: bool) -> None:
    graph = Graph(tmp_path / "people.sqlite", Rules(IdentityConfig()), "log", 3)
    for sequence, day in enumerate((20_000, 20_001, 20_000), 1):
        graph.apply(
            [Record(sequence, "web", day * DAY_MS, "", "track", "a", "u", f"m{sequence}", "", 0, b"{}")], sequence
        )
        if cold:
            graph.forget_cached()
    assert list(graph.store.rows("SELECT DISTINCT last_day FROM ids")) == [(20_001,)]
    graph.close()
