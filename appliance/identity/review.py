"""The review list: pairs of people who may be one, for somebody to decide. Nothing in the graph follows from them.

A pair is known by an id of each. It is not suggested again where an operator has said that the two people are not one:
by rejecting it, by an undo or by a forbid, whichever of their ids that was about.

    open -> accepted | rejected       rejected -> accepted       open -> replaced -> open: a later run finds it again
"""

from collections import Counter
from collections.abc import Iterable
from typing import Annotated

import msgspec

from appliance.identity.rules import Id
from appliance.identity.stitch import UNDONE, Stitcher
from appliance.identity.store import IdRow

OPEN, ACCEPTED, REJECTED, REPLACED = "open", "accepted", "rejected", "replaced"
AT_ONCE_MAX = 200
"""Suggestions of one act."""
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
_Words = Annotated[str, msgspec.Meta(max_length=500)]
_APART = """
    SELECT a, b FROM suggestions WHERE state = 'rejected' AND a IN (SELECT value FROM json_each(?1))
    UNION SELECT a, b FROM suggestions WHERE state = 'rejected' AND b IN (SELECT value FROM json_each(?1))
    UNION SELECT a, b FROM edges WHERE state <> 0 AND state = ?2 AND b IN (SELECT value FROM json_each(?1))"""
_REASONS = ("unknown", "one person already", "shared with others", "rejected or parted before", "there twice")
"""Why something is left out, in words."""
UNKNOWN, ONE, SHARED, APART, TWICE = _REASONS


class SuggestedPair(msgspec.Struct):
    """Two people who may be one."""

    a: tuple[_Text, _Text]
    """Type and value of an id of the one, as the graph keeps it."""
    b: tuple[_Text, _Text]
    probability: Annotated[float, msgspec.Meta(ge=0, le=1)]
    weight: Annotated[float, msgspec.Meta(ge=-1_000_000, le=1_000_000)]
    """Evidence in bits."""
    why: Annotated[list[_Words], msgspec.Meta(max_length=20)]
    """In words, what weighs most first."""


class Suggesting(msgspec.Struct):
    """What a search has found, or a part of it."""

    pairs: Annotated[list[SuggestedPair], msgspec.Meta(max_length=AT_ONCE_MAX)]
    first: bool = False
    """A new search begins: what is open of earlier ones and is not found again is to be decided no more."""


class Review:
    """Belongs to the graph's thread, between batches of events."""

    def __init__(self, stitcher: Stitcher) -> None:
        self._stitcher, self._store = stitcher, stitcher.store

    def suggest(self, given: Suggesting, now_ms: int) -> tuple[int, str]:
        """Put pairs on the list; returns how many, and in words what was done with the others."""
        if given.first:
            self._store.write("DELETE FROM suggestions WHERE state = ?", REPLACED)
            self._store.write("UPDATE suggestions SET state = ? WHERE state = ?", REPLACED, OPEN)
        rows = self._store.find({Id(*one) for pair in given.pairs for one in (pair.a, pair.b)})
        root = {row.id: self._stitcher.root(row.origin) for row in rows.values()}
        met = self._apart(set(root.values()))
        left: Counter[str] = Counter()
        taken: list[tuple[int | float | str, ...]] = []
        for pair in given.pairs:
            one, two = rows.get(Id(*pair.a)), rows.get(Id(*pair.b))
            if reason := _reason(one, two, root):
                left[reason] += 1
                continue
            assert one is not None and two is not None
            people = frozenset((root[one.id], root[two.id]))
            if people in met:
                left[met[people]] += 1
                continue
            met[people] = TWICE
            a, b = sorted((one.id, two.id))
            why = msgspec.json.encode(pair.why).decode()
            taken.append((a, b, pair.probability, pair.weight, why, now_ms, OPEN))
        self._put(taken)
        others = [f"{left[reason]} {reason}" for reason in _REASONS if left[reason]]
        words = f"{len(taken)} {'is' if len(taken) == 1 else 'are'} there to be decided"
        return len(taken), words + (f"; left out: {', '.join(others)}" if others else "")

    def accepted(self, pair: tuple[int, int]) -> None:
        """They are one person now: where that was suggested, it is decided."""
        self._set(pair, ACCEPTED)

    def reject(self, pair: tuple[int, int]) -> None:
        """They are not one person.

        Raises:
            ValueError: that was not suggested, or they were made one.
        """
        state = self._store.one("SELECT state FROM suggestions WHERE a = ? AND b = ?", *sorted(pair))
        if state is None:
            raise ValueError("it is not suggested that they are one person; `sternpost people suggestions` lists all")
        if state == ACCEPTED:
            raise ValueError("that they are one person was accepted; `sternpost people undo` takes a merge back")
        self._set(pair, REJECTED)

    def _set(self, pair: tuple[int, int], state: str) -> None:
        self._store.write("UPDATE suggestions SET state = ? WHERE a = ? AND b = ?", state, *sorted(pair))

    def _put(self, rows: list[tuple[int | float | str, ...]]) -> None:
        for row in rows:
            self._store.write(
                """INSERT INTO suggestions (a, b, probability, weight, why, made_ms, state) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (a, b) DO UPDATE SET probability = excluded.probability, weight = excluded.weight,
                why = excluded.why, made_ms = excluded.made_ms, state = excluded.state""",
                *row,
            )

    def _apart(self, people: set[int]) -> dict[frozenset[int], str]:
        """Who of these an operator has told apart from whom."""
        stitcher = self._stitcher
        person_of = {row.id: stitcher.root(row.origin) for row in self._store.members(people)}
        pairs: set[tuple[int, int]] = {(a, b) for a, others in stitcher.forbidden.pairs.items() for b in others}
        pairs.update((row[0], row[1]) for row in self._store.rows(_APART, self._store.array(person_of), UNDONE))
        known = ((person_of.get(a), person_of.get(b)) for a, b in pairs)
        return dict.fromkeys(_pairs(known), APART)


def _pairs(people: Iterable[tuple[int | None, int | None]]) -> Iterable[frozenset[int]]:
    return (frozenset((one, two)) for one, two in people if one is not None and two is not None)


def _reason(one: IdRow | None, two: IdRow | None, root: dict[int, int]) -> str:
    """Why these are nobody to decide about, as far as the two alone tell; "" where they are."""
    if one is None or two is None:
        return UNKNOWN
    if root[one.id] == root[two.id]:
        return ONE
    return SHARED if one.shared or two.shared else ""
