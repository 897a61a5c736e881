"""The review list: what is suggested, what is not again, and what becomes of it when somebody decides."""

from typing import Any

import pytest

from appliance.core.config import IdentityConfig
from appliance.identity.graph import Graph
from appliance.identity.review import AT_ONCE_MAX, OPEN, REPLACED, SuggestedPair, Suggesting
from appliance.identity.rules import Id, Rules
from appliance.identity.suggested import Suggested, count, one_suggested, suggested
from tests.support.graph import LOG, Fed

ANN, ANNE, BOB, ZOE = (Id("user_id", name) for name in ("ann", "anne", "bob", "zoe"))


def pair(a: Id, b: Id, weight: float = 7.0) -> SuggestedPair:
    return SuggestedPair(a, b, 0.99, weight, ["last name same: lee"])


def suggest(fed: Fed, *pairs: SuggestedPair, first: bool = True) -> str:
    return fed.act(suggest=Suggesting(list(pairs), first)).done


def listed(fed: Fed, state: str = OPEN) -> list[set[Id]]:
    return [set(one.ids) for one in suggested(fed.lookup, state, 100)]


@pytest.fixture
def known(fed: Fed) -> Fed:
    """Four people, one of them with several ids."""
    fed.feed(*({"userId": one.value} for one in (ANN, ANNE, BOB, ZOE)))
    fed.feed({"userId": "ann", "anonymousId": "a1"}, {"userId": "anne", "anonymousId": "a2"})
    return fed


def test_the_likeliest_come_first_with_who_they_are_and_why(known: Fed) -> None:
    said = suggest(known, pair(BOB, ZOE, 3.0), pair(ANNE, ANN, 9.0))
    assert said == "2 are there to be decided"
    first, second = suggested(known.lookup, OPEN, 10)
    assert set(first.ids) == {ANN, ANNE} and set(second.ids) == {BOB, ZOE}
    assert first.people == tuple(known.who(*one) for one in first.ids)
    assert (first.probability, first.weight, first.why, first.state) == (0.99, 9.0, ["last name same: lee"], "open")
    assert one_suggested(known.lookup, second.number) == second
    assert one_suggested(known.lookup, 99) is None and count(known.lookup, OPEN) == 2
    assert known.who(*ANN) != known.who(*ANNE), "nothing follows from a suggestion"


def test_pages_follow_one_another(known: Fed) -> None:
    suggest(known, pair(ANN, ANNE), pair(BOB, ZOE), pair(ANN, BOB, 8.0), pair(ANN, ZOE, 2.0))
    whole, pages, after = suggested(known.lookup, OPEN, 10), list[Suggested](), 0
    while page := suggested(known.lookup, OPEN, 1, after):
        pages += page
        after = page[-1].number
    assert pages == whole and len(whole) == 4
    with pytest.raises(ValueError, match="there is no suggestion 99"):
        suggested(known.lookup, OPEN, 1, 99)


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ([{"reject": (ANNE, ANN)}], "rejected or parted before"),
        ([{"forbid": (ANN, Id("anonymous_id", "a2"))}], "rejected or parted before"),
        ([{"link": (ANN, ANNE)}], "one person already"),
        ([{"link": (ANN, ANNE)}, {"undo": "8"}], "rejected or parted before"),
    ],
)
def test_who_was_told_apart_or_is_one_is_not_suggested_again(
    known: Fed, before: list[dict[str, Any]], reason: str
) -> None:
    suggest(known, pair(ANN, ANNE))
    for act in before:
        assert known.act(**act).changed, act
    by_others = SuggestedPair(("anonymous_id", "a1"), ("anonymous_id", "a2"), 0.9, 3.0, [])
    for again in (pair(ANN, ANNE), by_others):
        assert suggest(known, again, pair(BOB, ZOE)) == f"1 is there to be decided; left out: 1 {reason}"
        assert listed(known) == [{BOB, ZOE}]


def test_what_nobody_has_what_comes_twice_and_what_is_shared_is_left_out(known: Fed) -> None:
    for user in ("u1", "u2", "u3", "u4"):
        known.feed({"userId": user, "anonymousId": "kiosk"})
    said = suggest(
        known, pair(ANN, Id("user_id", "nobody")), pair(ANN, ANNE), pair(ANNE, ANN), pair(ANN, ANN),
        pair(ANN, Id("anonymous_id", "kiosk")),
    )  # fmt: skip
    assert said == (
        "1 is there to be decided; left out: 1 unknown, 1 one person already, 1 shared with others, 1 there twice"
    )


def test_a_new_run_replaces_what_is_open_and_numbers_stay_with_their_pair(known: Fed) -> None:
    suggest(known, pair(ANN, ANNE), pair(BOB, ZOE))
    before = {frozenset(one.ids): one.number for one in suggested(known.lookup, OPEN, 10)}
    suggest(known, pair(ANN, BOB))
    suggest(known, pair(BOB, ZOE), first=False)
    now = {frozenset(one.ids): one.number for one in suggested(known.lookup, OPEN, 10)}
    assert now.keys() == {frozenset((ANN, BOB)), frozenset((BOB, ZOE))}
    assert now[frozenset((BOB, ZOE))] == before[frozenset((BOB, ZOE))]
    assert listed(known, REPLACED) == [{ANN, ANNE}]
    suggest(known)
    suggest(known)
    suggest(known, pair(ANN, ZOE))
    (last,) = suggested(known.lookup, OPEN, 10)
    assert last.number > max(*before.values(), *now.values()), "a number is never given again"


def test_an_accepted_link_makes_one_person_from_the_next_event_on(known: Fed) -> None:
    suggest(known, pair(ANN, ANNE))
    outcome = known.act(link=(ANNE, ANN))
    assert outcome.done == "they are one person from here on" and outcome.people == [known.who(*ANN)]
    assert known.feed({"userId": "anne"}) == known.feed({"userId": "ann"}) == [known.who(*ANN)]
    assert listed(known) == [] and listed(known, "accepted") == [{ANN, ANNE}]
    refused = known.act(reject=(ANN, ANNE))
    assert not refused.changed and "was accepted" in refused.done and "people undo" in refused.done


def test_a_link_that_cannot_be_made_says_why_and_stays_open(known: Fed) -> None:
    for number in range(10):
        known.act(link=(BOB, Id("user_id", f"b{number}")) if known.feed({"userId": f"b{number}"}) else None)
    suggest(known, pair(BOB, ZOE))
    outcome = known.act(link=(BOB, ZOE))
    assert not outcome.changed and "more ids of one type than a person may have" in outcome.done
    assert listed(known) == [{BOB, ZOE}] and known.who(*BOB) != known.who(*ZOE)


def test_a_rejected_one_may_be_accepted_after_all(known: Fed) -> None:
    suggest(known, pair(ANN, ANNE))
    assert known.act(reject=(ANN, ANNE)).done == "they are not suggested again"
    assert listed(known, "rejected") == [{ANN, ANNE}] and known.who(*ANN) != known.who(*ANNE)
    assert known.act(link=(ANN, ANNE)).changed and listed(known, "rejected") == []


def test_what_was_never_suggested_cannot_be_rejected(known: Fed) -> None:
    for two, words in (((ANN, ZOE), "it is not suggested"), ((ANN, Id("user_id", "x")), "nobody has the user_id x")):
        outcome = known.act(reject=two)
        assert not outcome.changed and words in outcome.done


def test_whom_an_event_joins_meanwhile_and_who_is_forbidden_is_not_to_be_decided_any_more(known: Fed) -> None:
    suggest(known, pair(ANN, ANNE), pair(BOB, ZOE), pair(ANN, BOB))
    known.feed({"type": "alias", "userId": "ann", "previousId": "anne"})
    known.act(forbid=(BOB, ZOE))
    assert listed(known) == [{ANN, BOB}]


def test_the_graph_keeps_what_is_suggested_once(known: Fed) -> None:
    suggest(known, pair(ANN, ANNE))
    acts = [row[0] for row in known.graph.store.rows("SELECT act FROM acts")]
    assert len(acts) == 1 and "last name" not in acts[0]


def test_more_than_an_act_may_hold_is_not_read(known: Fed) -> None:
    with pytest.raises(KeyError):
        suggest(known, *[pair(ANN, ANNE)] * (AT_ONCE_MAX + 1))
    assert listed(known) == []


def test_who_was_parted_and_is_allowed_again_may_be_suggested_again(known: Fed) -> None:
    suggest(known, pair(ANN, ANNE))
    known.act(link=(ANN, ANNE))
    known.act(undo=known.lookup.merges(1)[0].name)
    assert "1 rejected or parted before" in suggest(known, pair(ANN, ANNE))
    known.act(allow=(ANN, ANNE))
    assert suggest(known, pair(ANN, ANNE)) == "1 is there to be decided"
    assert known.act(link=(ANN, ANNE)).changed and known.who(*ANN) == known.who(*ANNE)


def test_the_list_outlives_a_restart_and_a_batch_that_fails_leaves_it_as_it_was(
    known: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    suggest(known, pair(ANN, ANNE))
    save = known.graph._save_cursor
    monkeypatch.setattr(known.graph, "_save_cursor", lambda upto: (_ for _ in ()).throw(OSError("the disk is full")))
    before = list(known.records)
    with pytest.raises(OSError, match="full"):
        suggest(known, pair(BOB, ZOE))
    assert listed(known) == [{ANN, ANNE}]
    monkeypatch.setattr(known.graph, "_save_cursor", save)
    known.records = before
    known.graph.close()
    known.graph = Graph(known.path, Rules(IdentityConfig()), LOG, len(known.records))
    suggest(known, pair(BOB, ZOE), first=False)
    assert listed(known) == [{ANN, ANNE}, {BOB, ZOE}]
