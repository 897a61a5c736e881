"""The graph's door for its one writer: applies the log, batch by batch, each with the cursor in one transaction."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apsw
import msgspec

from appliance.core import logs
from appliance.core.event import Record
from appliance.identity.acts import Act, Acting, act_of, kept_json, outcome_json
from appliance.identity.known import Seen, day_of, hub_of
from appliance.identity.person import Names, number_of, place_of
from appliance.identity.rules import Rules
from appliance.identity.split import Splitter
from appliance.identity.stitch import Change, Stitcher
from appliance.identity.store import WORDS_MAX, Store
from appliance.identity.traits_kept import KeptTraits

AHEAD_EVENTS = 8
"""After somebody was parted the graph reads ahead for so many events, then for twice as many."""
_LOG = logs.logger("identity")


class Resolved(NamedTuple):
    """What the graph says of some records, each at its own place."""

    people: list[int]
    """Number of the person of each record."""
    changes: list[Change]
    """In the order in which they hold."""


class Graph:
    """Lives on one thread, but for `names`.

    Args:
        path: the SQLite file; made if it is not there.
        rules: those of the configuration; they hold for a new graph. Others are an act in the log.
        log_id: of the log that is read.
        last_sequence: its last event. A cursor behind that means that the log lost its end: it is read anew.

    Raises:
        SternpostError: a newer version of this program wrote the file.
        apsw.Error: SQLite cannot use the file.
    """

    def __init__(self, path: Path, rules: Rules, log_id: str, last_sequence: int) -> None:
        self.store = Store(path)
        self._log = self._enter(log_id, last_sequence)
        if self.store.one("SELECT max(version) FROM rules") is None:
            self.store.write("INSERT INTO rules VALUES (1, 0, ?)", rules.json.decode())
        self.store.commit()
        self.cursor: int = self.store.one("SELECT cursor FROM logs WHERE log = ?", self._log)
        """Last sequence applied and committed."""
        self._saved = self.safe = self.cursor
        """Last sequence of which everything is on disk for good: behind it the log may be trimmed."""
        self._take_rules()
        self.checkpoint()

    @property
    def names(self) -> Names:
        """What people are called; any thread."""
        return self.store.names

    @property
    def rules(self) -> Rules:
        """Those in force at the cursor."""
        return self._rules

    @property
    def rules_json(self) -> bytes:
        """The rules in force at the cursor."""
        return self._rules.json

    def apply(self, records: Sequence[Record], upto: int) -> Resolved:
        """Take over the next records of the log, in order; after an error nothing has changed.

        Args:
            upto: the new cursor: the last sequence of their block, or of a range that holds no more.

        Raises:
            apsw.Error: SQLite could not; try again.
        """
        try:
            people = self._apply(records)
            if self.store.connection.in_transaction:
                self._save_cursor(upto)
        except BaseException:
            self.store.rollback()
            self._take_rules()
            raise
        self.cursor = upto
        changes, self._stitcher.changes = self._stitcher.changes, []
        self._stitcher.trim()
        return Resolved(people, changes)

    def pass_over(self, record: Record) -> Resolved:
        """Leave out an event that cannot be applied: nothing is learned from it, now or when it is asked for later."""
        place = place_of(self._log, record.sequence)
        self.store.write("INSERT OR IGNORE INTO passed VALUES (?)", place)
        self._save_cursor(record.sequence)
        self.cursor = record.sequence
        return Resolved([number_of(place, 0)], [])

    def checkpoint(self) -> None:
        """Bring what was committed to the disk for good; then `safe` is the cursor.

        Raises:
            apsw.Error: SQLite could not; try again.
        """
        if self._saved < self.cursor:
            self._save_cursor(self.cursor)
        frames, moved = self.store.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if frames == moved:
            self.safe = self.cursor

    def forget_cached(self) -> None:
        """Drop what is in memory of the graph; it is read again when it is asked for."""
        self._stitcher.forget()
        self._stitcher.settled.clear()

    def close(self) -> None:
        """Close the file."""
        self.store.close()

    def _save_cursor(self, cursor: int) -> None:
        """An event that taught nothing new need not be saved as read: reading it again teaches nothing either."""
        self.store.write("UPDATE logs SET cursor = ? WHERE log = ?", cursor, self._log)
        self.store.commit()
        self._saved = cursor

    def _enter(self, log_id: str, last_sequence: int) -> int:
        store = self.store
        number = store.log_number(log_id)
        cursor = store.one("SELECT cursor FROM logs WHERE log = ?", number)
        if cursor <= last_sequence:
            return number
        _LOG.error(
            "log_lost_its_end",
            cursor=cursor,
            last=last_sequence,
            kept="the graph; the log is read from its beginning, people keep their ids",
        )
        store.write("UPDATE logs SET log_id = ? WHERE log = ?", f"{log_id} until {cursor} ({number})", number)
        store.log_ids[number] = f"{log_id} until {cursor} ({number})"
        return store.log_number(log_id)

    def _take_rules(self) -> None:
        version, json = next(iter(self.store.rows("SELECT version, json FROM rules ORDER BY version DESC LIMIT 1")))
        self._rules = Rules.from_json(json.encode())
        self._stitcher = Stitcher(self.store, self._rules, version)
        self._splitter, self._acting = Splitter(self._stitcher), Acting(self._stitcher)
        self._traits = KeptTraits(self.store)

    def _apply(self, records: Sequence[Record]) -> list[int]:
        people: list[int] = []
        run: list[Record] = []
        for record in records:
            if record.source:
                run.append(record)
                continue
            people += self._stitch(run)
            run = []
            place = place_of(self._log, record.sequence)
            people.append(number_of(place, 0))
            self._act(act_of(record), record, place)
        return people + self._stitch(run)

    def _stitch(self, records: Sequence[Record]) -> list[int]:
        stitcher, people = self._stitcher, []
        base, rules = place_of(self._log, 0), self._rules
        read, teaches, keep_traits = rules.read, rules.teaches, rules.keep_traits
        settled = stitcher.settled.key
        events = []
        for record in records:
            ids, explicit, _ = read(record)
            again = explicit or (keep_traits and record.type == "identify")
            key = None if again else settled(ids, day_of(record))
            events.append(Seen(base | record.sequence, record, tuple(ids), explicit, key))
        self._name(events)
        fetched, more = 0, len(events)
        for at, seen in enumerate(events):
            if at == fetched:
                stitcher.prefetch(events[at : at + more])
                fetched, more = at + more, 2 * more
            if not teaches(seen.record.source):
                people.append(self._attribute(seen))
                continue
            person = stitcher.stitch(seen)
            while stitcher.to_share:  # Without them the event may have another hub, and show that more are shared.
                self._splitter.share(stitcher.to_share, seen.place)
                stitcher.prefetch([seen])  # All was forgotten. The next may do the same: what is read ahead only grows.
                fetched, more = at + 1, AHEAD_EVENTS
                person = stitcher.stitch(seen)
            people.append(person)
            if seen.record.type == "identify" and keep_traits:
                known = [each for one in seen.ids if (each := stitcher.known(one))]
                self._traits.take(hub_of(known).number if known else 0, seen.record)
        stitcher.flush()
        self._traits.flush()
        return people

    def _attribute(self, seen: Seen) -> int:
        """The person of an event that teaches nothing: who is new is taken note of, who is known not even as seen."""
        known = self._stitcher.known(seen.ids[0]) if seen.ids else None
        return self._stitcher.root(known.origin) if known and known.origin else self._stitcher.stitch(seen)

    def _name(self, events: Sequence[Seen]) -> None:
        """Number new words in the order of the events: for which of them there is room does not depend on batches."""
        store, words, ours, left = self.store, self.store.words, self._rules.names, ""
        for seen in events:
            if seen.record.source not in words:
                store.word(seen.record.source, seen.place, ours=True)
            for type, _ in seen.ids:
                if type not in words and store.word(type, seen.place, ours=ours(type)) is None:
                    left = type
        if left:
            _LOG.warning(
                "id_type_left_out",
                type=left,
                error=f"clients have made up {WORDS_MAX} types of ids, and no more are taken",
                kept="its event, without ids of this type",
                advice=f'where people are known by it, give it a table: [identity.ids."{left}"]',
            )

    def _act(self, act: Act | None, record: Record, place: int) -> None:
        if act is None:
            return
        store = self.store
        if act.rules:
            self._change_rules(bytes(act.rules), place)
            return
        outcome = self._acting.act(act, record, place)
        self._stitcher.flush()
        kept = kept_json(act, record), outcome_json(outcome)
        store.write("INSERT OR REPLACE INTO acts VALUES (?, ?, ?)", place, *kept)

    def _change_rules(self, json: bytes, place: int) -> None:
        if json == self._rules.json:
            return
        try:
            Rules.from_json(json)
        except msgspec.DecodeError as error:
            _LOG.error("rules_refused", error=str(error), kept="the rules of before")
            return
        self.store.write("INSERT INTO rules (place, json) VALUES (?, ?)", place, json.decode())
        changes = self._stitcher.changes
        self._take_rules()
        self._stitcher.changes = changes
