"""Stitches ids into people, event by event: what is decided, on memory; what it takes and gives, in batches.

An event's ids are taken by priority. The first that is not shared is the hub: by it the event is attributed, and every
other id is linked to it by one edge, decided once per pair. A new id joins the hub's person, two people become one; or
the id is left out, and the edge says why. What is shared never bridges.
"""

from collections.abc import Iterable
from typing import NamedTuple

from appliance.core.enrich import event_ms
from appliance.identity.forbidden import Forbidden
from appliance.identity.known import Known, Seen, day_of, hub_of
from appliance.identity.person import ORDINALS_MAX, number_of, sequence_of
from appliance.identity.rules import Id, Rules
from appliance.identity.settled import Settled
from appliance.identity.store import EdgeRow, MergeRow, Store, after, carried, packed

EXPLICIT = 100
"""Added to an edge's state in memory where the client itself said that two ids are one person."""
IDS_KEPT_MAX = 10_000
"""Ids, pairs and people in memory between batches; beyond it they are read anew."""

HOLDS, UNDONE, UNIQUE, MOST, SIZE, SHARED, WINDOW, FORBIDDEN, ANEW = range(9)
REASONS = (
    "",
    "undone by an operator",
    "two people with an id of a type that is unique; only an alias, a merge or an operator joins them",
    "more ids of one type than a person may have",
    "more ids than a person may have",
    "one of them is shared",
    "not seen for longer than its window",
    "forbidden by an operator",
    "an operator allowed it; it is decided anew once they are seen together",
)
"""Why an edge does not hold, by its state."""


class Change(NamedTuple):
    """Before the event at `sequence`: `lane` becomes part of `other` (a join), or leaves it (a split)."""

    sequence: int
    lane: int
    other: int
    split: bool


class Stitcher:
    """Works for one batch at a time: `prefetch`, then `stitch` event by event, then `flush`.

    Between `prefetch` and `flush` all that it decided stands in memory; afterwards in the store's transaction.
    """

    def __init__(self, store: Store, rules: Rules, version: int) -> None:
        self.store, self.rules, self.version = store, rules, version
        self.forbidden = Forbidden(store)
        self.changes: list[Change] = []
        """What changed for lanes since the caller took them."""
        self.to_share: list[Known] = []
        """Ids that became shared by the event just stitched."""
        self.settled = Settled(store.secret)
        self._ids: dict[Id, Known] = {}
        self._numbers: dict[int, Id] = {}
        self._next: dict[int, int] = {}
        """Person -> the one it became; itself for a root."""
        self._pairs: dict[tuple[int, int], int] = {}
        """Edge -> its state, EXPLICIT added where it is; beside it pairs that the store has no edge of."""
        self._no_edge = set[tuple[int, int]]()
        self._counts: dict[int, dict[str, int]] = {}
        """Root -> ids by type."""
        self._dirty: list[Known] = []
        self._edges: dict[tuple[int, int], EdgeRow] = {}
        self._merges: list[MergeRow] = []
        self._place = self._ordinal = 0

    # One batch -----------------------------------------------------------------------------------------------

    def prefetch(self, events: Iterable[Seen]) -> None:
        """Read what the events of a batch will ask for."""
        settled = self.settled.get
        fresh = [seen for seen in events if seen.key is None or not settled(seen.key)]
        if not fresh:
            return
        # A set minus the keys of a dictionary would walk through all of these; each is looked up instead.
        ids, people = self._ids, self._next
        self._load_ids({one for seen in fresh for one in seen.ids if one not in ids})
        linked = [[ids[one] for one in seen.ids if one in ids] for seen in fresh]
        self._load_winners({one.origin for known in linked for one in known if one.origin and one.origin not in people})
        several = [(hub_of(known), known) for known in linked if len(known) > 1]
        pairs = {(hub.number, one.number) for hub, known in several if hub.stored for one in known if one.stored}
        self._load_edges(pairs)
        self._load_edges({(b, a) for a, b in pairs if (a, b) in self._no_edge})
        roots: set[int] = set()
        for hub, known in several:
            if any((hub.number, other.number) not in self._pairs for other in known if other is not hub):
                roots.update([self.root(each.origin) for each in known if each.origin])
        self._load_counts({root for root in roots if root not in self._counts})

    def flush(self) -> None:
        """Write what was decided."""
        store = self.store
        if self._dirty:
            store.put_ids([known.row() for known in self._dirty])
            for known in self._dirty:
                known.dirty = False
            self._dirty = []
        if self._edges:
            store.put_edges(sorted(self._edges.values()))
            self._edges = {}
        if self._merges:
            store.put_merges(self._merges)
            self._merges = []

    def trim(self) -> None:
        """After a flush: keep memory within its bounds."""
        kept = (self._ids, self._pairs, self._no_edge, self._next, self._counts)
        if any(len(each) > IDS_KEPT_MAX for each in kept):
            self.forget()

    def forget(self) -> None:
        """Drop all that was read or decided and is not flushed.

        Ids of events still to come keep their numbers: others may have got the next ones because of them.
        """
        waiting = [known for known in self._ids.values() if not known.origin]
        for kept in (self._ids, self._numbers, self._next, self._counts, self._edges, self._pairs):
            kept.clear()
        self._no_edge.clear()
        self._ids.update({known.id: known for known in waiting})
        self._numbers.update({known.number: known.id for known in waiting})
        self.forbidden.forget()
        self._dirty, self._merges, self.to_share = [], [], []

    # One event -----------------------------------------------------------------------------------------------

    def stitch(self, seen: Seen) -> int:
        """The person of this event, once all is decided that follows from it.

        Where `to_share` has grown that is not yet so: the caller splits these off, and stitches the event again.
        """
        if seen.key is not None and (person := self.settled.get(seen.key)):
            return person
        ids = self._link_all(seen)
        if self.to_share:
            return 0
        day = day_of(seen.record)
        for known in ids:
            if known.last_day < day:  # Never back with the clock: whether Settled knows it must make no difference.
                known.last_day = day
                self.touch(known)
        person = self.root(hub_of(ids).origin) if ids else number_of(seen.place, 0)
        if seen.key is not None and ids:
            self.settled.put(seen.key, person)
        return person

    def _link_all(self, seen: Seen) -> list[Known]:
        self.begin(seen.place)
        ids = [known for one in seen.ids if (known := self.known(one)) is not None]
        if len(ids) > 1:
            hub = hub_of(ids)
            others = [other for other in ids if other is not hub and self._undecided(hub, other, seen)]
            for other in sorted(others, key=lambda known: not known.origin):
                self._decide(hub, other, seen)
        for known in ids:
            if not known.origin:
                self.mint(known)
            if not known.first_ms:
                known.first_ms = seen.record.received_ms
        return ids

    def link(self, hub: Known, other: Known, seen: Seen) -> int:
        """Link two known ids, whatever was decided before; returns the edge's state."""
        self._pairs[hub.number, other.number] = self._pairs.get((hub.number, other.number), HOLDS)
        self._decide(hub, other, seen)
        return self._pairs[hub.number, other.number] % EXPLICIT

    def begin(self, place: int) -> None:
        """What follows happens at this place; numbers given at it before are not given again."""
        if place != self._place:
            self._place, self._ordinal = place, 0

    def known(self, one: Id) -> Known | None:
        """The id in memory; with `origin` 0 where the graph has never seen it. None: its type is one too many."""
        if one not in self._ids:
            self._load_ids({one})
        return self._ids.get(one)

    def root(self, person: int) -> int:
        """Who this person is now."""
        while True:
            winner = self._next.get(person)
            if winner is None:
                self._load_winners({person})
            elif winner == person:
                return person
            else:
                person = winner

    def next_number(self) -> int:
        """A number for what comes about at this place."""
        number = number_of(self._place, self._ordinal)
        self._ordinal += 1
        return number

    def numbers_left(self) -> int:
        """So many numbers can still be given at this place."""
        return ORDINALS_MAX - self._ordinal

    def _undecided(self, hub: Known, other: Known, seen: Seen) -> bool:
        state = self._state(hub, other)
        if state is None or state % EXPLICIT == ANEW:
            return True
        # An alias or a merge may ask anew for what was left out when it was only seen.
        return seen.explicit and 0 < state < EXPLICIT and state not in (UNDONE, FORBIDDEN)

    def _state(self, a: Known, b: Known) -> int | None:
        """What was decided of this pair, EXPLICIT added where it was explicit; None: nothing."""
        pair = (a.number, b.number)
        state = self._pairs.get(pair)
        if state is None and a.stored and b.stored and pair not in self._no_edge:
            self._load_edges({pair})
            state = self._pairs.get(pair)
        return state

    def _decide(self, hub: Known, other: Known, seen: Seen) -> None:
        explicit = seen.explicit
        new = (hub.number, other.number) not in self._pairs and self._state(other, hub) is None
        state = self._refusal(hub, other, seen)
        if state == HOLDS:
            if not hub.origin and not other.origin:
                self.mint(hub)
            if not hub.origin:
                self._attach(hub, other)
            elif not other.origin:
                self._attach(other, hub)
            elif (one := self.root(hub.origin)) != (two := self.root(other.origin)):
                self._merge(one, two, hub, other)
        self.put_edge(hub, other, seen, state)
        if new and not explicit:
            self._count(hub, other)
            self._count(other, hub)

    def _refusal(self, hub: Known, other: Known, seen: Seen) -> int:
        """HOLDS, or why the two are not linked."""
        if hub.shared or other.shared:
            return SHARED
        if self.forbidden.has(hub.number, other.number):
            return FORBIDDEN
        one, two = self._root_of(hub), self._root_of(other)
        if one and two:
            if one == two:
                return HOLDS
            if (self._state(other, hub) or HOLDS) % EXPLICIT == UNDONE and seen.record.source:
                return UNDONE  # but for an operator's act, whose record has no source
        day = day_of(seen.record)
        for known in (hub, other):
            window_days = self.rules.window_days(known.id.type)
            if window_days is not None and known.last_day and day - known.last_day > window_days:
                return WINDOW
        state = refusal(self._counts_of(hub), self._counts_of(other), self.rules, explicit=seen.explicit)
        if state == HOLDS and one and two and self.forbidden.between(one, two, self.root):
            return FORBIDDEN
        return state

    def _count(self, known: Known, other: Known) -> None:
        """One more unique id was seen with `known`; with too many it is shared."""
        if self.rules.unique(known.id.type) or not self.rules.unique(other.id.type):
            return
        known.users += 1
        self.touch(known)
        if known.users > self.rules.shared_after and not known.shared:
            self.to_share.append(known)

    # People --------------------------------------------------------------------------------------------------

    def _root_of(self, known: Known) -> int:
        return self.root(known.origin) if known.origin else 0

    def _counts_of(self, known: Known) -> dict[str, int]:
        if not known.origin:
            return {known.id.type: 1}
        root = self.root(known.origin)
        if root not in self._counts:
            self._load_counts({root})
        return self._counts[root]

    def mint(self, known: Known) -> None:
        """An id that nobody has is a person of its own from here on."""
        known.origin = self.next_number()
        self._next[known.origin] = known.origin
        self._counts[known.origin] = {known.id.type: 1}
        self.touch(known)

    def _attach(self, known: Known, to: Known) -> None:
        counts = self._counts_of(to)
        known.origin = self.root(to.origin)
        counts[known.id.type] = counts.get(known.id.type, 0) + 1
        self.touch(known)

    def _merge(self, one: int, two: int, hub: Known, other: Known) -> None:
        """The smaller becomes the larger, of equals the younger the older."""
        counts_one, counts_two = self._counts_of(hub), self._counts_of(other)
        size_one, size_two = sum(counts_one.values()), sum(counts_two.values())
        swapped = (size_two, one) > (size_one, two)
        loser, winner = (one, two) if swapped else (two, one)
        counts, lost = (counts_two, counts_one) if swapped else (counts_one, counts_two)
        for type, count in lost.items():
            counts[type] = counts.get(type, 0) + count
        self._counts.pop(loser, None)
        self._next[loser] = winner
        self.settled.merged(loser, winner)
        self.forbidden.merged(loser, winner)
        self._merges.append(MergeRow(self.next_number(), loser, winner, hub.number, other.number, None))
        self.changes.append(Change(sequence_of(self._place), loser, winner, False))

    # Rows ----------------------------------------------------------------------------------------------------

    def touch(self, known: Known) -> None:
        """Write this id at the next flush."""
        if not known.dirty:
            known.dirty = True
            self._dirty.append(known)

    def put_edge(self, hub: Known, other: Known, seen: Seen, state: int) -> None:
        """Write down what was decided of these two, whatever was before."""
        pair, explicit = (hub.number, other.number), int(seen.explicit)
        self._pairs[pair] = state + EXPLICIT * explicit
        record = seen.record
        self._edges[pair] = EdgeRow(
            hub.number,
            other.number,
            seen.place,
            record.received_ms,
            record.received_ms - event_ms(record),
            self.store.word(record.source, seen.place, ours=True) or 0,
            packed(record.message_id),
            self.version,
            explicit,
            state,
        )

    def _load_ids(self, wanted: set[Id]) -> None:
        store, taken = self.store, self._numbers
        words = {type: store.known_word(type) for type in {one.type for one in wanted}}
        numbers = {one: store.digest(one) for one in wanted if words[one.type] is not None}
        while numbers:
            rows = {row.id: row for row in store.ids(numbers.values())}
            again: dict[Id, int] = {}
            for one, number in numbers.items():
                row, word, value = rows.get(number), words[one.type] or 0, carried(one.value)
                if taken.get(number, one) != one or (row and (row.type, row.value) != (word, value)):
                    again[one] = after(number)
                    continue
                known = self._ids[one] = Known(one, number, word, value)
                taken[number] = one
                if row is not None:
                    known.stored = True
                    _, _, _, known.origin, known.first_ms, known.last_day, known.users, known.shared = row
            numbers = again

    def _load_winners(self, persons: set[int]) -> None:
        if persons:
            links = self.store.winners(persons)
            for loser, winner in links:
                self._next.setdefault(loser, winner)
            for person in persons.union(*links):
                self._next.setdefault(person, person)

    def _load_counts(self, roots: set[int]) -> None:
        if roots:
            found: dict[int, dict[str, int]] = {root: {} for root in roots}
            for root, type, count in self.store.counts(roots):
                found[root][self.store.text(type)] = count
            self._counts.update(found)

    def _load_edges(self, pairs: set[tuple[int, int]]) -> None:
        pairs = {pair for pair in pairs if pair[0] != pair[1] and pair not in self._pairs and pair not in self._no_edge}
        if pairs:
            for a, b, state, explicit in self.store.edge_states(pairs):
                self._pairs[a, b] = state + EXPLICIT * explicit
            self._no_edge |= pairs


def refusal(one: dict[str, int], two: dict[str, int], rules: Rules, *, explicit: bool) -> int:
    """HOLDS, or why two people with so many ids of each type may not be one; the gravest reason first. Pure."""
    over = False
    for type, count in two.items():
        if beside := one.get(type):
            if not explicit and rules.unique(type):
                return UNIQUE
            most = rules.most(type)
            over = over or (most is not None and count + beside > most)
    if over:
        return MOST
    if rules.ids_max is not None and sum(one.values()) + sum(two.values()) > rules.ids_max:
        return SIZE
    return HOLDS
