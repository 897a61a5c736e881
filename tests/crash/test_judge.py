"""The harness proves itself first: the judge finds every kind of fault, and finds none where there is none."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.judge import Entry, judge
from tests.support.sink import Arrival


def arrived(n: int, *, run: int = 1, status: int = 200, person: str = "p", message_id: str = "") -> Arrival:
    return Arrival(0.0, run, 0, status, person, n, message_id or f"{person}:{n}", "track", "x", "")


def sent(*numbers: int, person: str = "p", acknowledged: bool = True) -> dict[tuple[str, int], Entry]:
    return {(person, n): Entry(f"{person}:{n}", acknowledged) for n in numbers}


def test_all_in_order_is_clean() -> None:
    verdict = judge(sent(1, 2, 3), [arrived(1), arrived(2), arrived(3)])
    assert verdict.clean
    assert not verdict.duplicates


def test_what_was_only_refused_is_lost_and_unanswered_requests_owe_nothing() -> None:
    assert judge(sent(1, 2), [arrived(1), arrived(2, status=500)]).lost == [("p", 2)]
    assert judge(sent(1), []).lost == [("p", 1)]
    assert judge(sent(1, acknowledged=False), []).clean


def test_an_inversion_counts_on_first_tries_and_on_first_acceptances() -> None:
    assert len(judge(sent(1, 2), [arrived(2, status=500), arrived(1), arrived(2)]).inversions) == 1
    assert len(judge(sent(1, 2), [arrived(1, status=500), arrived(2), arrived(1)]).inversions) == 1
    assert judge(sent(1, 2), [arrived(1), arrived(2), arrived(1, run=2), arrived(2, run=2)]).clean


def test_repeats_are_told_apart_by_run() -> None:
    verdict = judge(sent(1, 2), [arrived(1), arrived(2), arrived(2, run=3), arrived(2, run=4)])
    assert verdict.clean
    assert verdict.duplicates == {1: 1, 3: 1}
    tried_again = [arrived(1), arrived(1, run=2, status=500), arrived(1, run=2), arrived(1, run=3)]
    assert judge(sent(1), tried_again).duplicates == {1: 1, 2: 1}, "a retried duplicate is one duplicate"
    assert judge(sent(1), [arrived(1), arrived(1)]).repeated == [("p", 1)]
    assert judge(sent(1), [arrived(1, status=500), arrived(1)]).clean, "a retry is no repeat"


def test_ids_and_strangers() -> None:
    assert judge(sent(1), [arrived(1, message_id="other")]).changed_ids == [("p", 1)]
    made = {("p", 1): Entry("", True)}
    assert judge(made, [arrived(1, message_id="a"), arrived(1, run=2, message_id="a")]).clean
    assert judge(made, [arrived(1, message_id="a"), arrived(1, run=2, message_id="b")]).changed_ids == [("p", 1)]
    assert judge(sent(1), [arrived(1), arrived(1, person="q")]).strangers == [("q", 1)]


@given(st.lists(st.integers(1, 20), min_size=2, max_size=20, unique=True), st.randoms())
def test_exactly_the_ascending_order_is_accepted(numbers: list[int], draw: random.Random | Any) -> None:
    shuffled = list(numbers)
    draw.shuffle(shuffled)
    clean = judge(sent(*numbers), [arrived(n) for n in shuffled]).clean
    assert clean == (shuffled == sorted(shuffled))
