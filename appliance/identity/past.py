"""Who somebody was at any place of the log: the same answer as when the graph came by, for whoever reads behind it."""

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from appliance.core.event import Record
from appliance.identity.acts import Outcome, outcome_of
from appliance.identity.person import SEQUENCES_MAX, minted_at, number_of, place_of, sequence_of
from appliance.identity.rules import Rules
from appliance.identity.stitch import Change
from appliance.identity.store import WORDS_MAX, IdRow, MergeRow, Store


class Past:
    """Reads the graph's file; any thread, each on a connection of its own."""

    def __init__(self, path: Path, log_id: str) -> None:
        self._path, self._log_id = path, log_id
        self._local = threading.local()
        self._stores: list[Store] = []
        self._rules: tuple[list[int], list[Rules]] = ([], [])

    def store(self) -> Store:
        """This thread's connection."""
        store: Store | None = getattr(self._local, "store", None)
        if store is None:
            store = self._local.store = Store(self._path, read_only=True)
            self._stores.append(store)
        return store

    def close(self) -> None:
        """Close all connections; nobody may be reading."""
        for store in self._stores:
            store.close()
        self._stores = []

    def people(self, records: Sequence[Record]) -> list[int]:
        """The number of the person of each record, at its own place; the present one where the graph is not yet."""
        store = self.store()
        with store.connection:  # one moment for all that is read
            log = self._log(store)
            cursor = store.one("SELECT cursor FROM logs WHERE log = ?", log)
            places = [place_of(log, record.sequence) for record in records]
            at = [
                place if 0 < record.sequence <= cursor else place_of(log, SEQUENCES_MAX - 1)
                for place, record in zip(places, records, strict=True)
            ]
            rules_at = self._rules_of(store)
            read = [
                rules_at(place).read(record).ids if record.source else []
                for place, record in zip(at, records, strict=True)
            ]
            rows = store.find({one for ids in read for one in ids})
            late = dict(store.rows("SELECT text, place FROM words WHERE word > ?", WORDS_MAX))
            former = store.former(row.id for row in rows.values())
            origins = {row.origin for row in rows.values()} | {origin for each in former.values() for _, origin in each}
            became = _by_loser(store.merge_rows(origins))
            passed = {row[0] for row in store.rows("SELECT place FROM passed WHERE place >= ?", min(places, default=0))}
        found = []
        for place, here, ids in zip(places, at, read, strict=True):
            known = [rows[one] for one in ids if one in rows and late.get(one.type, 0) <= here]
            row = attribution(known, here) if place not in passed else None
            found.append(_root(_origin(row, former, here), became, here) if row else number_of(place, 0))
        return found

    def changes(self, after: int, upto: int) -> list[Change]:
        """Joins and splits after an event, up to another, in order."""
        store = self.store()
        log = self._log(store)
        first, end = number_of(place_of(log, after + 1), 0), number_of(place_of(log, upto) + 1, 0)
        return [
            Change(sequence_of(minted_at(number)), lane, other, bool(split))
            for number, lane, other, split in store.changes(first, end)
        ]

    def root(self, person: int, at: int) -> int:
        """Who this person is after the event at the sequence `at`."""
        store = self.store()
        return _root(person, _by_loser(store.merge_rows([person])), place_of(self._log(store), at))

    def knows(self, person: int) -> bool:
        """Whether anybody of this number has or had ids here."""
        sql = """SELECT 1 FROM ids WHERE origin = ?1 UNION ALL SELECT 1 FROM merges WHERE loser = ?1
            UNION ALL SELECT 1 FROM merges WHERE winner = ?1 AND until IS NULL LIMIT 1"""
        return self.store().one(sql, person) is not None

    def outcome(self, sequence: int) -> Outcome:
        """What came of an act, once the graph has come by.

        Raises:
            KeyError: there is no act at this place.
        """
        store = self.store()
        text = store.one("SELECT outcome FROM acts WHERE place = ?", place_of(self._log(store), sequence))
        if text is None:
            raise KeyError(sequence)
        return outcome_of(text)

    def _log(self, store: Store) -> int:
        # Of several with one id the last, whose text is the id alone, is the present one.
        return store.log_ids.index(self._log_id)

    def _rules_of(self, store: Store) -> Callable[[int], Rules]:
        """The rules at any place."""
        starts, rules = self._rules
        if store.one("SELECT count(*) FROM rules") != len(starts):
            rows = list(store.rows("SELECT place, json FROM rules ORDER BY version"))
            starts, rules = [row[0] for row in rows], [Rules.from_json(row[1].encode()) for row in rows]
            self._rules = starts, rules
        return lambda place: rules[bisect_right(starts, place) - 1]


def attribution(rows: Sequence[IdRow], place: int) -> IdRow | None:
    """By which of its ids an event at this place is attributed; None where the graph knows none of them. Pure."""
    return next((row for row in rows if row.shared is None or row.shared > place), rows[0] if rows else None)


def _origin(row: IdRow, former: dict[int, list[tuple[int, int]]], place: int) -> int:
    return next((origin for until, origin in former.get(row.id, ()) if until > place), row.origin)


def _by_loser(rows: Iterable[MergeRow]) -> dict[int, list[MergeRow]]:
    found: dict[int, list[MergeRow]] = {}
    for row in rows:
        found.setdefault(row.loser, []).append(row)
    return found


def _root(person: int, became: dict[int, list[MergeRow]], place: int) -> int:
    while True:
        for row in became.get(person, ()):
            if minted_at(row.merge) <= place and (row.until is None or place < row.until):
                person = row.winner
                break
        else:
            return person
