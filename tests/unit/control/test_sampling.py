"""What a tail looks at when there is too much: bounded, even, and everything accounted for."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from appliance.control.sampling import Left, Thinner, left_out, spots


@given(after=st.integers(0, 10**9), behind=st.integers(1, 10**7), count=st.integers(1, 50))
def test_spots_are_few_even_and_end_with_the_newest(after: int, behind: int, count: int) -> None:
    last = after + behind
    found = spots(after, last, count)
    assert 1 <= len(found) <= count and found[-1] == last and found[0] > after
    apart = {later - earlier for earlier, later in itertools.pairwise(found)}
    assert len(apart) <= 1
    assert found[0] - after <= max(apart, default=behind)


@given(stretches=st.lists(st.integers(0, 5_000), max_size=20), most=st.integers(1, 100))
def test_a_thinner_lets_at_most_so_many_pass_and_counts_the_rest(stretches: list[int], most: int) -> None:
    thinner = Thinner(most)
    for seen in stretches:
        passed = sum(thinner.passes() for _ in range(seen))
        left = thinner.taken()
        assert passed <= most and left.events == seen - passed
        if passed:
            assert left.one_in * passed >= seen


def test_a_steady_flood_is_thinned_evenly_from_the_second_stretch_on() -> None:
    thinner = Thinner(100)
    for _ in range(2_000):
        thinner.passes()
    assert thinner.taken() == Left(20, 1_900)
    passed = [number for number in range(2_000) if thinner.passes()]
    assert thinner.taken() == Left(20, 1_900)
    assert {later - earlier for earlier, later in itertools.pairwise(passed)} == {20}


def test_nothing_left_out_is_one_in_one() -> None:
    assert left_out(5, 5) == Left(1, 0) and left_out(0, 0) == Left(1, 0) and left_out(7, 0) == Left(7, 7)
