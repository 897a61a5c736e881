"""Judges what arrived against what was sent: losses, order, duplicates, ids. Pure: values in, a verdict out."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.support.sink import Arrival

Key = tuple[str, int]
"""Person and the event's number; a person's numbers grow in the order in which its events were sent."""


class Entry(NamedTuple):
    """One event that a client sent."""

    message_id: str
    """"" where the client sent none."""
    acknowledged: bool
    answered_s: float = 0.0
    """Monotonic time of the acknowledgement."""


class Ledger:
    """What the clients sent and what the collector answered. A person belongs to one client, which sends one request
    after the other: so the numbers of a person's acknowledged events grow in the order of acknowledgement."""

    def __init__(self) -> None:
        self.entries: dict[Key, Entry] = {}
        self.answers: Counter[int] = Counter()
        """How often each status was answered; 0: no answer."""
        self.latencies_s: list[float] = []
        """Of requests answered 200."""

    def note(self, key: Key, message_id: str) -> None:
        """About to be sent."""
        self.entries[key] = Entry(message_id, acknowledged=False)

    def acknowledge(self, keys: Iterable[Key]) -> None:
        """Answered 200."""
        now_s = time.monotonic()
        for key in keys:
            self.entries[key] = Entry(self.entries[key].message_id, True, now_s)

    @property
    def acknowledged(self) -> set[Key]:
        return {key for key, entry in self.entries.items() if entry.acknowledged}


class Findings:
    """What is wrong, by kind: every list of it must be empty."""

    @property
    def clean(self) -> bool:
        return not self.words()

    def words(self) -> list[str]:
        """How many there are of each kind, and some of them."""
        kinds = [(name, found) for name, found in vars(self).items() if isinstance(found, list) and found]
        return [f"{len(found)} {name.replace('_', ' ')} {found[:5]}" for name, found in kinds]


@dataclass
class Verdict(Findings):
    """What is wrong; `duplicates` are bounded by the caller."""

    lost: list[Key] = field(default_factory=list)
    """Acknowledged, never accepted by the sink."""
    inversions: list[str] = field(default_factory=list)
    """Told in words: who, and which number came after which."""
    duplicates: Counter[int] = field(default_factory=Counter)
    """By run: different events accepted in it that arrived again in later ones, until accepted once more."""
    repeated: list[Key] = field(default_factory=list)
    """Accepted and sent again within one run: no crash excuses it."""
    changed_ids: list[Key] = field(default_factory=list)
    """Arrived with a messageId other than the one sent, or with several."""
    strangers: list[Key] = field(default_factory=list)
    """Arrived, but nobody sent them."""

    def __str__(self) -> str:
        worst = max(self.duplicates.values(), default=0)
        return "; ".join([*self.words(), f"{self.duplicates.total()} duplicates, at most {worst} per kill"])


def judge(entries: Mapping[Key, Entry], arrivals: Iterable[Arrival]) -> Verdict:
    """Compare what was sent with what arrived, in order of arrival.

    Order is judged twice on first arrivals: on the first attempt of every event, and on the first accepted one.
    """
    verdict, accepted_in, seen_ids = Verdict(), dict[Key, int](), dict[Key, set[str]]()
    newest: dict[tuple[str, bool], int] = {}
    attempted: set[Key] = set()
    again: set[tuple[Key, int]] = set()
    for arrival in arrivals:
        key = (arrival.person, arrival.n)
        if key not in entries:
            verdict.strangers.append(key)
            continue
        seen_ids.setdefault(key, set()).add(arrival.message_id)
        if key not in attempted:
            attempted.add(key)
            _order(verdict, newest, key, accepted=False)
        if key in accepted_in:
            _repeat(verdict, again, key, accepted_in[key], arrival.run)
        elif arrival.accepted:
            _order(verdict, newest, key, accepted=True)
        if arrival.accepted:
            accepted_in[key] = arrival.run
    verdict.lost = [key for key, entry in entries.items() if entry.acknowledged and key not in accepted_in]
    verdict.changed_ids = [key for key, ids in seen_ids.items() if not _same_id(entries[key].message_id, ids)]
    return verdict


def _order(verdict: Verdict, newest: dict[tuple[str, bool], int], key: Key, *, accepted: bool) -> None:
    person, n = key
    last = newest.get((person, accepted), -1)
    if n < last:
        verdict.inversions.append(f"{person}: {n} {'accepted' if accepted else 'tried'} after {last}")
    newest[person, accepted] = max(n, last)


def _repeat(verdict: Verdict, again: set[tuple[Key, int]], key: Key, run_before: int, run: int) -> None:
    if run == run_before:
        verdict.repeated.append(key)
    elif (key, run_before) not in again:
        again.add((key, run_before))
        verdict.duplicates[run_before] += 1


def _same_id(sent: str, ids: set[str]) -> bool:
    return len(ids) == 1 and "" not in ids and (not sent or ids == {sent})


def drained(keys: Iterable[Key], run: int | None = None) -> Callable[[list[Arrival]], bool]:
    """For `Sink.wait`: whether every one of these was accepted (in this run); looks only at what is new each time."""
    missing, looked = set(keys), 0

    def enough(arrivals: list[Arrival]) -> bool:
        nonlocal looked
        for arrival in arrivals[looked:]:
            if arrival.accepted and run in (None, arrival.run):
                missing.discard((arrival.person, arrival.n))
        looked = len(arrivals)
        return not missing

    return enough


def delays_s(entries: Mapping[Key, Entry], arrivals: Iterable[Arrival]) -> dict[Key, float]:
    """Seconds from the acknowledgement to the first accepted arrival, of every acknowledged event that arrived."""
    delays: dict[Key, float] = {}
    for arrival in arrivals:
        key = (arrival.person, arrival.n)
        if arrival.accepted and key not in delays and key in entries and entries[key].acknowledged:
            delays[key] = arrival.time_s - entries[key].answered_s
    return delays
