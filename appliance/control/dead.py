"""Searching dead letters: pages, counts, and the ids an action is about. Blocking; called in a worker thread."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

from appliance.control import views
from appliance.control.query import Query
from appliance.core.event import Record
from appliance.wal.types import DeadFilter, DeadLetter

READ_LETTERS = 200
"""Letters read at once."""
MATCHING_MAX = 1_000_000
"""One action is about at most so many letters."""


class DeadStore(Protocol):
    """The reading side of the log that holds them."""

    def dead_letters(
        self, criteria: DeadFilter | None = None, after_id: int = 0, limit: int = 100
    ) -> list[DeadLetter]: ...


class Matching(NamedTuple):
    """What an action would be about."""

    ids: list[int]
    people: int
    destinations: int
    oldest_ms: int
    """Wall time of the oldest burial; 0 when there is none."""


class Page(NamedTuple):
    """Some letters, by ascending id."""

    letters: list[DeadLetter]
    after_id: int
    """Where the next page begins; 0 when this was the last."""


def page(store: DeadStore, query: Query, now_ms: int, after_id: int, limit: int) -> Page:
    """The first `limit` letters above `after_id` that match."""
    letters = []
    for letter in _matching(store, query, now_ms, after_id):
        letters.append(letter)
        if len(letters) == limit:
            return Page(letters, letter.id)
    return Page(letters, 0)


def matching(store: DeadStore, query: Query, now_ms: int) -> Matching:
    """All letters that match, in short."""
    ids: list[int] = []
    people: set[str] = set()
    destinations: set[str] = set()
    oldest_ms = 0
    for letter in _matching(store, query, now_ms, 0):
        ids.append(letter.id)
        people.add(letter.lane)
        destinations.add(letter.destination)
        oldest_ms = min(oldest_ms or letter.buried_ms, letter.buried_ms)
        if len(ids) == MATCHING_MAX:
            break
    return Matching(ids, len(people), len(destinations), oldest_ms)


def _matching(store: DeadStore, query: Query, now_ms: int, after_id: int) -> Iterator[DeadLetter]:
    while letters := store.dead_letters(None, after_id, READ_LETTERS):
        for letter in letters:
            if query.matches(DeadSubject(letter, now_ms)):
                yield letter
        after_id = letters[-1].id


class DeadSubject:
    """A dead letter as a filter sees it."""

    __slots__ = ("_letter", "_now_ms", "_view")

    def __init__(self, letter: DeadLetter, now_ms: int) -> None:
        self._letter, self._now_ms = letter, now_ms
        self._view: views.DeadView | None = None

    def values(self, key: str) -> Sequence[str]:
        if key == "dest":
            return (self._letter.destination,)
        view = self._view = self._view or views.dead_view(self._letter)
        found = {
            "source": (view.source,),
            "type": (view.type,),
            "event": (view.event,),
            "id": (view.message_id,),
            "user": (view.user_id, view.anonymous_id),
            "stage": (view.stage,),
            "reason": (view.reason, view.kind),
            "code": (str(view.code or ""),),
        }
        return [value for value in found.get(key, ()) if value]

    def age_ms(self) -> int:
        return self._now_ms - self._letter.buried_ms

    def text(self) -> str:
        letter = self._letter
        of = views.original_of(letter) or views.transformed_of(letter)
        payload = of.raw if isinstance(of, Record) else of.json if of else b""
        return f"{letter.destination} {letter.reason} {letter.sample} {payload.decode('utf-8', 'replace')}"
