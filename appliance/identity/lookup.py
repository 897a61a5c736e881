"""Who is this: people by any of their ids, all that the graph knows of a person, merges newest first. Reads only.

Every question is answered within one moment of the graph, by indices: by an id's digest, a person's members, the edges
that begin at an id, and those left out that end at one.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from appliance.identity.findings import Found, Link, Member, Merge, Person
from appliance.identity.forbidden import Forbidden
from appliance.identity.normalise import LeftOut
from appliance.identity.past import Past, attribution
from appliance.identity.person import SEQUENCE_BITS, merge_number, merge_text, minted_at, number_of, sequence_of
from appliance.identity.rules import Id, Rules
from appliance.identity.stitch import ANEW, REASONS, UNDONE
from appliance.identity.store import EdgeRow, IdRow, Store, unpacked

LINKS_MAX = 1_000
"""So many left-out links of a person are told, the newest; a kiosk may have been seen with everybody."""
NOW = 1 << 62
"""Behind every place."""
_EDGE_COLUMNS = "a, b, place, received_ms, age_ms, source, message, version, explicit, state"
_MERGES = f"""SELECT merge, loser, winner, merges.a, merges.b, until, edges.a, edges.{_EDGE_COLUMNS[3:]}
    FROM merges LEFT JOIN edges ON edges.a = merges.a AND edges.b = merges.b"""
_HOLDS = "(until IS NULL OR (state = 0 AND place <= merge >> 16))"
_LEFT_OUT = """FROM edges WHERE state <> 0 AND {} IN (SELECT value FROM json_each(?1))"""
"""Edges that do not hold, by one of their ends; of a hub that everybody sends there may be millions."""


class Lookup:
    """Any thread, each on a connection of its own, which `past` gives."""

    def __init__(self, past: Past) -> None:
        self._past = past
        self._rules_of = lru_cache(maxsize=2)(Rules.from_json)
        self._words: tuple[int, list[str]] = (0, [])

    @property
    def rules(self) -> Rules:
        """The rules in force, by which ids are read."""
        json = self.store().one("SELECT json FROM rules ORDER BY version DESC LIMIT 1")
        return self._rules_of(json.encode())

    def store(self) -> Store:
        """This thread's connection to the graph."""
        return self._past.store()

    def id_of(self, type: str, value: str) -> Id:
        """An id as the rules read it.

        Raises:
            ValueError: it is none; the text says why.
        """
        return self._read(self.rules, type, value)

    @staticmethod
    def _read(rules: Rules, type: str, value: str) -> Id:
        if not rules.type_named(type):
            raise ValueError(f"{type!r} is no type of ids")
        try:
            return rules.id_named(type, value)
        except LeftOut as reason:
            raise ValueError(f"{value!r} {reason}") from None

    def find(self, text: str, type: str = "") -> list[Found]:
        """Everybody with this id, or whose own id it is, or was before others were found to be the same.

        Args:
            text: the value of an id, `TYPE:VALUE` where no type is given, or a person's own id.
            type: of the id; "": any.

        Raises:
            ValueError: it cannot be an id of this type; the text says why.
        """
        store = self.store()
        with one_moment(store):
            wanted = [self.id_of(type, text)] if type else self._readings(store, text)
            rows = store.find(wanted)
            people = {row.origin: None for row in rows.values()}
            own = None if type else store.names.number(text)
            if own is not None:
                people[own] = None
            at = roots(store, people)
            found: dict[int, list[Id]] = {}
            if own is not None and _is_somebody(store, at[own]):
                found[at[own]] = []
            for one, row in rows.items():
                found.setdefault(at[row.origin], []).append(one)
        return [Found(store.names.text(root), ids) for root, ids in found.items()]

    def person(self, text: str) -> Person | None:
        """Somebody by their own id, which may be one from before a merge; None where nobody was called so."""
        store = self.store()
        number = store.names.number(text)
        if number is None:
            return None
        with one_moment(store):
            root = roots(store, [number])[number]
            members = store.members([root])
            return _Reading(store, root, members).person() if members else None

    def names_and_ids(self, person: str) -> tuple[list[str], list[Id]]:
        """What somebody is and was called, and their ids, the oldest first; nothing where nobody is called so now."""
        store = self.store()
        number = store.names.number(person)
        if number is None:
            return [], []
        with one_moment(store):
            members = sorted(store.members([number]), key=lambda row: (row.first_ms, row.id))
            names = [store.names.text(one) for one in (number, *sorted(became(store, number)))]
            return names if members else [], [store.id_of(row) for row in members]

    def whose(self, events: Sequence[Sequence[Id]]) -> list[Id | None]:
        """By which of its ids each event is attributed, as the graph stands now; None: it knows none of them."""
        store = self.store()
        with one_moment(store):
            rows = store.find({one for ids in events for one in ids})
        found = [attribution([rows[one] for one in ids if one in rows], NOW) for ids in events]
        named = {row.id: one for one, row in rows.items()}
        return [None if row is None else named[row.id] for row in found]

    def merges(self, limit: int, before: str = "", *, ended: bool = False) -> list[Merge]:
        """Merges, the newest first.

        Args:
            before: only those before the merge of this name.
            ended: those too that do not hold any more.

        Raises:
            ValueError: `before` names no merge.
        """
        end = merge_number(before) if before else (1 << 63) - 1
        store = self.store()
        with one_moment(store):
            where = f"WHERE merges.a <> 0 AND merge < ?1 {'' if ended else f'AND {_HOLDS}'}"
            return _named(store, list(store.rows(f"{_MERGES} {where} ORDER BY merge DESC LIMIT ?2", end, limit)))

    def merge(self, name: str) -> Merge | None:
        """One merge; None where there was none of this name.

        Raises:
            ValueError: no merge can be called so.
        """
        store = self.store()
        with one_moment(store):
            sql = f"{_MERGES} WHERE merges.a <> 0 AND merge = ?1"
            found = _named(store, list(store.rows(sql, merge_number(name))))
        return found[0] if found else None

    def _readings(self, store: Store, text: str) -> list[Id]:
        """All that a text may be: of every type that was seen, and `TYPE:VALUE`."""
        found, rules = [], self.rules
        for type, value in [*((type, text) for type in self._types(store)), _typed(text)]:
            try:
                found.append(self._read(rules, type, value))
            except ValueError:
                continue
        return list(dict.fromkeys(found))

    def _types(self, store: Store) -> list[str]:
        """Types of the ids that were seen; sources are called by the same words, which costs a look each."""
        last, words = self._words
        if (now := store.one("SELECT max(word) FROM words") or 0) != last:
            words = [row[0] for row in store.rows("SELECT text FROM words ORDER BY word") if row[0]]
            self._words = now, words
        return words


@contextmanager
def one_moment(store: Store) -> Iterator[None]:
    """What is read within shows the graph as it is at one moment."""
    with store.connection:
        yield


def roots(store: Store, people: Iterable[int]) -> dict[int, int]:
    """Who each of these people is now."""
    wanted = list(people)
    winner_of = {pair[0]: pair[1] for pair in store.winners(wanted)}
    found = {}
    for person in wanted:
        root = person
        while root in winner_of:
            root = winner_of[root]
        found[person] = root
    return found


def became(store: Store, root: int) -> set[int]:
    """Everybody who is this person now."""
    return {merge.loser for merge in store.tree(root)}


class _Reading:
    """Puts one person together."""

    def __init__(self, store: Store, root: int, members: Sequence[IdRow]) -> None:
        self._store, self._root = store, root
        self._rows = {row.id: row for row in members}
        self._held = store.edges_of(self._rows, holding=True)
        left, numbers = dict[tuple[int, int], EdgeRow](), store.array(self._rows)
        for end in ("a", "b"):
            newest = f"SELECT {_EDGE_COLUMNS} {_LEFT_OUT.format(end)} ORDER BY place DESC LIMIT ?2"
            left |= {(row[0], row[1]): EdgeRow(*row) for row in store.rows(newest, numbers, LINKS_MAX)}
        self._left = sorted(left.values(), key=lambda edge: -edge.place)[:LINKS_MAX]
        self._left_count = len(left)
        if len(left) >= LINKS_MAX:
            away = f"SELECT count(*) {_LEFT_OUT.format('a')} AND b NOT IN (SELECT value FROM json_each(?1))"
            self._left_count = store.one(away, numbers) + store.one(f"SELECT count(*) {_LEFT_OUT.format('b')}", numbers)
        apart = Forbidden(store).pairs
        self._apart = [(number, other) for number in self._rows for other in sorted(apart.get(number, ()))]
        others = {number for edge in self._left for number in (edge.a, edge.b)} | {other for _, other in self._apart}
        self._others = {row.id: row for row in store.ids(others - self._rows.keys())}
        self._at = roots(store, {row.origin for row in self._others.values()})

    def person(self) -> Person:
        """All of it."""
        store, text = self._store, self._store.names.text
        devices = [row for row in self._others.values() if row.shared is not None]
        was = became(store, self._root)
        return Person(
            person=text(self._root),
            number=self._root,
            was=[text(number) for number in sorted(was)],
            members=self._members(self._rows.values()),
            links=[self._link(edge) for edge in self._held],
            left_out=[self._link(edge) for edge in self._left],
            left_out_count=self._left_count,
            devices=[(self._members([row])[0], text(self._at[row.origin])) for row in devices],
            merges=_named(store, self._merges({self._root} | was | {row.origin for row in self._rows.values()})),
            forbidden=[(self._id(one), self._id(other)) for one, other in self._apart],
        )

    def _members(self, rows: Iterable[IdRow]) -> list[Member]:
        edges = Counter(number for edge in self._held for number in (edge.a, edge.b))
        return [
            Member(self._store.id_of(row), row.first_ms, row.last_day, edges[row.id], row.shared is not None, row.users)
            for row in sorted(rows, key=lambda row: (row.first_ms, row.id))
        ]

    def _id(self, number: int) -> Id:
        row = self._rows.get(number) or self._others.get(number)
        return self._store.id_of(row) if row else Id("", "")

    def _link(self, edge: EdgeRow) -> Link:
        one, other = (edge.a, edge.b) if edge.a in self._rows else (edge.b, edge.a)
        far = self._others.get(other)
        return Link(
            one=self._id(one),
            other=self._id(other),
            person=self._store.names.text(self._at[far.origin] if far else self._root),
            reason=REASONS[edge.state],
            received_ms=edge.received_ms,
            event_ms=edge.received_ms - edge.age_ms,
            source=self._store.text(edge.source) if edge.source else "",
            message_id=unpacked(edge.message),
            explicit=bool(edge.explicit),
            version=edge.version,
        )

    def _merges(self, people: set[int]) -> list[tuple[Any, ...]]:
        """By loser, by winner as long as they hold; those that ended are found where the links that made them began."""
        store = self._store
        found = {}
        for condition in ("loser IN (SELECT value FROM json_each(?1))",
                          "winner IN (SELECT value FROM json_each(?1)) AND until IS NULL"):  # fmt: skip
            for row in store.rows(f"{_MERGES} WHERE {condition} AND merges.a <> 0", store.array(people)):
                found[row[0]] = row
        began = {number_of(edge.place, 0): None for edge in (*self._held, *self._left)}
        sql = f"""{_MERGES.replace("FROM merges", "FROM json_each(?1) AS began JOIN merges")}
            WHERE merge >= began.value AND merge < began.value + 65536 AND merges.a <> 0"""
        pairs = {(edge.a, edge.b) for edge in (*self._held, *self._left)}
        for row in store.rows(sql, store.array(began)):
            if (row[3], row[4]) in pairs:
                found[row[0]] = row
        return [found[merge] for merge in sorted(found, reverse=True)]


def _named(store: Store, rows: Sequence[tuple[Any, ...]]) -> list[Merge]:
    """Rows of `_MERGES` as people read them."""
    ids = {row.id: store.id_of(row) for row in store.ids({number for row in rows for number in row[3:5]})}
    return [_merge(store, row, ids) for row in rows]


def _merge(store: Store, row: tuple[Any, ...], ids: dict[int, Id]) -> Merge:
    merge, loser, winner, a, b, until = row[:6]
    edge = None if row[6] is None else EdgeRow(*row[6:])
    place = minted_at(merge)
    did_it = edge if edge is not None and edge.place == place else None
    ended = ""
    if until is not None:
        # Where the edge was decided anew since, or is about to be, an operator allowed again what one had parted.
        anew = edge is None or edge.place > place or edge.state == ANEW
        ended = REASONS[UNDONE if anew or edge is None else edge.state]
    nobody = Id("", "")
    return Merge(
        name=merge_text(merge),
        sequence=sequence_of(place),
        log=place >> SEQUENCE_BITS,
        loser=store.names.text(loser),
        winner=store.names.text(winner),
        ids=(ids.get(a, nobody), ids.get(b, nobody)),
        when_ms=did_it.received_ms if did_it else 0,
        message_id=unpacked(did_it.message) if did_it else "",
        source=store.text(did_it.source) if did_it and did_it.source else "",
        ended=ended,
    )


def _is_somebody(store: Store, root: int) -> bool:
    return store.one("SELECT 1 FROM ids WHERE origin = ? LIMIT 1", root) is not None


def _typed(text: str) -> tuple[str, str]:
    type, _, value = text.partition(":")
    return type, value
