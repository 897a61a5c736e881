"""The cursor against a set of settled sequences: whatever is saved and restored, nothing unsettled counts as settled."""

import random

from hypothesis import given
from hypothesis import strategies as st

from appliance.deliver.cursor import Cursor


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 3))
def test_settled_is_exactly_what_was_settled(seed: int, events: int, lives: int) -> None:
    rng = random.Random(seed)
    parts = {sequence: rng.choice([1, 1, 2, 3]) for sequence in range(1, events + 1) if rng.random() < 0.8}
    settled: set[tuple[int, int]] = set()
    cursor = Cursor()
    for _ in range(lives):
        open_parts: list[tuple[int, int]] = []
        for sequence in range(cursor.read + 1, events + 1):
            if cursor.settled_before(sequence) or sequence not in parts:
                assert sequence not in parts or {(sequence, part) for part in range(parts[sequence])} <= settled
                cursor.passed(sequence)
                continue
            done = cursor.parts_before(sequence)
            assert {(sequence, part) for part in done} <= settled
            left = set(range(parts[sequence])) - set(done)
            cursor.opened(sequence, set(left), done)
            open_parts += [(sequence, part) for part in left]
            while open_parts and rng.random() < 0.5:
                one = open_parts.pop(rng.randrange(len(open_parts)))
                settled.add(one)
                cursor.settle(*one)
            if rng.random() < 0.1:
                break
        assert all((s, p) in settled for s in parts if s <= cursor.low for p in range(parts[s]))
        for first, last in cursor.ranges():
            assert all((s, p) in settled for s in parts if first <= s <= last for p in range(parts[s]))
        cursor = Cursor(cursor.low, cursor.ranges(), cursor.parts())
