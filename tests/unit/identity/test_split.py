"""Who hangs together once an edge does not hold, and who is who afterwards; and when two people may not be one."""

from typing import Any

import pytest

from appliance.identity.split import Assigned, assign, components
from appliance.identity.stitch import FORBIDDEN, HOLDS, MOST, SIZE, UNIQUE, refusal
from appliance.identity.store import EdgeRow, MergeRow
from tests.support.graph_log import rules

FREE: dict[str, Any] = {"ids_max": 0, "ids": {name: {"most": 0} for name in ("user_id", "email", "anonymous_id")}}
LETTERS = {"u": "user_id", "e": "email", "a": "anonymous_id"}


def edge(a: int, b: int, place: int, *, explicit: bool = False) -> EdgeRow:
    return EdgeRow(a, b, place, 0, 0, 0, "", 1, int(explicit), HOLDS)


def merge(number: int, loser: int, winner: int, a: int = 0, b: int = 0) -> MergeRow:
    return MergeRow(number, loser, winner, a, b, None)


def types(text: str) -> dict[int, str]:
    """u e a -> ids 1, 2, 3 of these types."""
    return {number: LETTERS[letter] for number, letter in enumerate(text, 1)}


CONNECTED = {
    "nothing": ("", [], [], []),
    "one id": ("u", [], [[1]], []),
    "two that do not meet": ("ue", [], [[1], [2]], []),
    "a pair": ("ue", [(1, 2)], [[1, 2]], []),
    "a chain": ("eaaa", [(1, 2), (2, 3), (3, 4)], [[1, 2, 3, 4]], []),
    "a ring": ("eaa", [(1, 2), (2, 3), (3, 1)], [[1, 2, 3]], []),
    "the larger first": ("eaaaa", [(4, 5), (5, 3)], [[3, 4, 5], [1], [2]], []),
    "of equals the earlier first": ("eaaa", [(3, 4), (1, 2)], [[1, 2], [3, 4]], []),
    "two customers on one device": ("uua", [(1, 3), (2, 3)], [[1, 3], [2]], [((2, 3), UNIQUE)]),
}


@pytest.mark.parametrize("name", CONNECTED)
def test_components(name: str) -> None:
    letters, pairs, groups, left = CONNECTED[name]
    edges = [edge(a, b, place) for place, (a, b) in enumerate(pairs)]
    found, states = components(types(letters), edges, rules(FREE), {})
    assert [sorted(group) for group in found] == groups
    assert states == dict(left)


def test_an_explicit_edge_joins_unique_ids_and_nothing_joins_what_is_kept_apart() -> None:
    edges = [edge(1, 3, 1), edge(2, 3, 2, explicit=True)]
    assert len(components(types("uua"), edges, rules(FREE), {})[0]) == 1
    groups, left = components(types("uua"), edges, rules(FREE), {1: {2}, 2: {1}})
    assert [sorted(group) for group in groups] == [[1, 3], [2]]
    assert left == {(2, 3): FORBIDDEN}


def test_the_edge_that_came_first_stays_where_one_of_two_has_to_go() -> None:
    apart = {1: {4}, 4: {1}}
    chain = [edge(1, 2, 1), edge(3, 4, 2), edge(2, 3, 3)]
    assert components(types("eaaa"), chain, rules(FREE), apart)[1] == {(2, 3): FORBIDDEN}
    turned = [chain[2], chain[0], chain[1]]
    assert components(types("eaaa"), turned, rules(FREE), apart)[1] == {(3, 4): FORBIDDEN}


@pytest.mark.parametrize(
    ("config", "left"),
    [
        ({"ids_max": 3}, {(1, 4): SIZE, (1, 5): SIZE}),
        ({"ids": {"anonymous_id": {"most": 2}}}, {(1, 4): MOST, (1, 5): MOST}),
        (
            {"ids": {"anonymous_id": {"most": 2}, "email": {"most": 0}}, "ids_max": 2},
            {(1, 3): SIZE, (1, 4): SIZE, (1, 5): SIZE},
        ),
    ],
)
def test_limits_hold_when_a_person_is_built_anew(config: dict[str, Any], left: dict[tuple[int, int], int]) -> None:
    edges = [edge(1, other, other) for other in (2, 3, 4, 5)]
    assert components(types("eaaaa"), edges, rules(config), {})[1] == left


# Persons are 100, 200, ...; ids 1, 2, ... the oldest first.
ASSIGNED = {
    "what a merge joined is what it was": (
        [[1, 2], [3]], {1: 100, 2: 100, 3: 200}, [merge(7, 200, 100, 1, 3)], 100, (),
        Assigned([100, 200], [7], [], []),
    ),
    "the loser may be larger by now": (
        [[3, 4, 5], [1]], {1: 100, 3: 200, 4: 200, 5: 200}, [merge(7, 200, 100, 1, 3)], 100, (),
        Assigned([200, 100], [7], [], []),
    ),
    "those who came to the winner by ids of the loser go with it": (
        [[2, 3, 4], [1]], {1: 100, 2: 200, 3: 100, 4: 100}, [merge(7, 200, 100, 1, 2)], 100, (),
        Assigned([200, 100], [7], [], [(3, 0), (4, 0)]),
    ),
    "people who were merged before stay merged": (
        [[1, 2], [3, 4, 5]],
        {1: 100, 2: 200, 3: 300, 4: 400, 5: 500},
        [merge(5, 200, 100, 1, 2), merge(6, 400, 300, 3, 4), merge(7, 500, 300, 3, 5), merge(8, 300, 100, 1, 3)],
        100, (),
        Assigned([100, 300], [8], [], []),
    ),
    "an id that was new falls off as somebody new": (
        [[1, 2], [3]], {1: 100, 2: 100, 3: 100}, [], 100, (), Assigned([100, 0], [], [], [(3, 1)]),
    ),
    "the person goes with the oldest id, not with the most": (
        [[2, 3], [1]], {1: 100, 2: 100, 3: 100}, [], 100, (), Assigned([0, 100], [], [], [(2, 0), (3, 0)]),
    ),
    "a kiosk leaves its name to who used it": (
        [[2, 3], [1]], {1: 100, 2: 100, 3: 100}, [], 100, {1}, Assigned([100, 0], [], [], [(1, 1)]),
    ),
    "a kiosk that was somebody before leaves as somebody new": (
        [[2], [1]], {1: 100, 2: 200}, [merge(7, 200, 100, 1, 2)], 100, {1},
        Assigned([100, 0], [7], [(200, 0)], [(1, 1)]),
    ),
    "who has no ids any more is who has theirs": (
        [[1, 2], [3]], {1: 200, 2: 200, 3: 300}, [merge(6, 300, 200, 1, 3), merge(5, 200, 100)], 100, (),
        Assigned([100, 300], [6], [], []),
    ),
    "somebody without ids goes with those who became them": (
        [[3], [2]], {2: 200, 3: 300}, [merge(5, 200, 100), merge(6, 100, 300, 2, 3)], 300, (),
        Assigned([300, 100], [6], [], []),
    ),
    "two kiosks leave at once, and neither takes the name along": (
        [[1], [2], [3], [4]], {1: 100, 2: 100, 3: 100, 4: 100}, [], 100, {1, 3},
        Assigned([0, 100, 0, 0], [], [], [(1, 0), (3, 2), (4, 3)]),
    ),
    "where all that there is are kiosks, the oldest keeps the name": (
        [[1], [2]], {2: 100, 1: 100}, [], 100, {1, 2}, Assigned([0, 100], [], [], [(1, 0)]),
    ),
    "and so it is where somebody became them": (
        [[1], [2]], {1: 100, 2: 200}, [merge(7, 200, 100, 1, 2)], 100, {1, 2},
        Assigned([100, 200], [7], [], []),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ASSIGNED)
def test_assign(name: str) -> None:
    groups, origins, merges, root, alone, expected = ASSIGNED[name]
    assert assign(groups, origins, merges, root, alone) == expected


ALONE: dict[str, int] = {"user_id": 1}
REFUSED = [
    # one, two, configuration, explicit, why
    (ALONE, {"anonymous_id": 1}, {}, False, HOLDS),
    (ALONE, ALONE, {}, False, UNIQUE),
    (ALONE, ALONE, {}, True, HOLDS),
    (ALONE, ALONE, {"ids": {"user_id": {"unique": False}}}, False, HOLDS),
    ({"email": 1}, {"email": 1}, {"ids": {"email": {"unique": True}}}, False, UNIQUE),
    ({"user_id": 9}, ALONE, {}, True, HOLDS),
    ({"user_id": 10}, ALONE, {}, True, MOST),
    ({"user_id": 10}, ALONE, {"ids": {"user_id": {"most": 0}}}, True, HOLDS),
    ({"user_id": 10}, ALONE, {}, False, UNIQUE),
    ({"email": 3}, {"email": 2}, {}, False, HOLDS),
    ({"email": 3}, {"email": 3}, {}, False, MOST),
    ({"liveramp": 5}, {"liveramp": 1}, {}, False, MOST),
    ({"liveramp": 5}, {"crm": 5}, {}, False, HOLDS),
    ({"email": 3, "user_id": 1}, {"email": 3, "user_id": 1}, {}, False, UNIQUE),
    ({"email": 9}, {"anonymous_id": 1}, {"ids": {"email": {"most": 5}}}, False, HOLDS),
    ({"email": 300}, {"phone": 200}, {}, False, HOLDS),
    ({"email": 300}, {"phone": 201}, {}, False, SIZE),
    ({"email": 300}, {"phone": 201}, {}, True, SIZE),
    ({"email": 300}, {"phone": 201}, {"ids_max": 0}, False, HOLDS),
]  # fmt: skip


@pytest.mark.parametrize(("one", "two", "config", "explicit", "why"), REFUSED)
def test_refusal_is_the_same_from_both_sides(
    one: dict[str, int], two: dict[str, int], config: dict[str, Any], explicit: bool, why: int
) -> None:
    compiled = rules(config)
    assert refusal(one, two, compiled, explicit=explicit) == why
    assert refusal(two, one, compiled, explicit=explicit) == why
