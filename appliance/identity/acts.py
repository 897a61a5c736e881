"""What operators do to the graph: entries of the log like any event, so that it happens at one place for everybody."""

from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.core.errors import SternpostError
from appliance.core.event import Record
from appliance.identity.known import DAY_MS, Known, Seen
from appliance.identity.person import merge_number, merge_text
from appliance.identity.review import Review, Suggesting
from appliance.identity.rules import Id
from appliance.identity.split import Splitter
from appliance.identity.stitch import ANEW, FORBIDDEN, HOLDS, REASONS, UNDONE, Stitcher

TYPE = "@identity"
"""The type of the record; its source is "", which no client's can be."""


class Undoing(msgspec.Struct):
    """Which merge is undone: that of these two ids.

    They are the same in every graph that reads this log; a merge's name and place are not. A graph that is made anew
    counts the logs from 0 again, and where the log was trimmed, the two were joined by another event or by none.
    """

    merge: str
    """How the graph called it when that was asked for; for words alone."""
    ids: tuple[Id, Id]
    """By which two people became one."""


class Act(msgspec.Struct, omit_defaults=True):
    """One of these, and who asked for it.

    Ids stand in it by type and value, as the graph keeps them: what is known of an id by a number is known to one file.
    """

    undo: Undoing | str = ""
    """A name alone stands in entries of before: it is taken for a merge of the graph that reads it."""
    forbid: tuple[Id, Id] | None = None
    allow: tuple[Id, Id] | None = None
    link: tuple[Id, Id] | None = None
    """They are one person: an accepted suggestion."""
    suggest: Suggesting | None = None
    """What a search for people who may be one has found."""
    reject: tuple[Id, Id] | None = None
    """They are not one person: a rejected suggestion."""
    rules: msgspec.Raw = msgspec.Raw()
    """The identity configuration from here on."""
    by: str = ""
    """Who asked for it, as the audit trail calls them; "" for entries of before."""


class _Kept(Act, omit_defaults=True):
    """An act as the graph keeps it: of suggestions, that there were some."""

    suggest: Any = None


class Outcome(msgspec.Struct, omit_defaults=True):
    """What came of an act."""

    done: str
    """In words."""
    changed: bool = True
    people: list[str] = []
    """The people that the ids of the act belong to now."""
    count: int = 0
    """Of what was suggested, how much is there to decide."""
    by: str = ""
    """Who asked for it."""
    when_ms: int = 0
    """Wall time at which they did; 0: nobody knows."""


_ACT = msgspec.json.Decoder(Act)
_KEPT = msgspec.json.Decoder(_Kept)
_ENCODE = msgspec.json.Encoder().encode


def record_of(act: Act, message_id: str, now_ms: int) -> Record:
    """The act as an entry of the log."""
    return Record(0, "", now_ms, "", TYPE, "", "", message_id, "", 0, _ENCODE(act))


def act_of(record: Record) -> Act | None:
    """The act that this record is; None where it is an event, or nothing that can be read."""
    if record.source or record.type != TYPE:
        return None
    try:
        return _ACT.decode(record.raw)
    except msgspec.DecodeError:
        return None


class Acting:
    """Carries acts out, all but `rules`, which is the graph's own."""

    def __init__(self, stitcher: Stitcher) -> None:
        self._stitcher, self._splitter, self._review = stitcher, Splitter(stitcher), Review(stitcher)

    def act(self, act: Act, record: Record, place: int) -> Outcome:
        """Do it at this place; what is not possible is said in the outcome."""
        self._stitcher.begin(place)
        outcome = self._outcome(act, record, place)
        outcome.by, outcome.when_ms = act.by, record.received_ms
        return outcome

    def _outcome(self, act: Act, record: Record, place: int) -> Outcome:
        try:
            if act.undo:
                return self._undo(act.undo, record, place)
            if act.forbid:
                return self._forbid(act.forbid, record, place)
            if act.allow:
                return self._allow(act.allow)
            if act.link:
                return self._link(act.link, record, place)
            if act.suggest:
                count, words = self._review.suggest(act.suggest, record.received_ms)
                return Outcome(words, True, count=count)
            if act.reject:
                self._review.reject(self._numbers(act.reject))
                return Outcome("they are not suggested again", True, self._people(act.reject))
        except (SternpostError, ValueError) as error:
            return Outcome(f"nothing was changed: {error}", False)
        return Outcome("nothing was asked for", False)

    def _undo(self, asked: Undoing | str, record: Record, place: int) -> Outcome:
        stitcher = self._stitcher
        name, ids = (asked.merge, asked.ids) if isinstance(asked, Undoing) else self._merge_named(asked)
        a, b = self._both(ids, record, place)
        one, two = stitcher.root(a.origin), stitcher.root(b.origin)
        if one == two:
            self._splitter.undo(a.number, b.number, one, place)
        elif not stitcher.store.edge_states({(a.number, b.number), (b.number, a.number)}):
            # A graph made anew of a log that was trimmed: what joined them is gone, and must not come again either.
            stitcher.put_edge(a, b, Seen(place, record, ids, True), UNDONE)
        else:
            raise ValueError(f"merge {name} holds no more: its ids are of two people already")
        return Outcome(f"merge {name} is undone", True, self._people(ids))

    def _merge_named(self, name: str) -> tuple[str, tuple[Id, Id]]:
        """How a merge of this graph is written, and the ids by which it came about."""
        store, merge = self._stitcher.store, merge_number(name)
        row = next(iter(store.rows("SELECT a, b FROM merges WHERE merge = ?", merge)), None)
        if row is None or not row[0]:
            raise ValueError(f"there is no merge {name}")
        ids = {one.id: store.id_of(one) for one in store.ids(row)}
        return merge_text(merge), (ids[row[0]], ids[row[1]])

    def _forbid(self, pair: tuple[Id, Id], record: Record, place: int) -> Outcome:
        stitcher, forbidden = self._stitcher, self._stitcher.forbidden
        one, two = self._both(pair, record, place)
        if forbidden.has(one.number, two.number):
            return Outcome("they were forbidden to be one person already", False, self._people(pair))
        root = stitcher.root(one.origin)
        if root != stitcher.root(two.origin):
            forbidden.add(one.number, two.number)
            return Outcome("they will never be one person", True, self._people(pair))
        self._splitter.forbid(one.number, two.number, root, place)
        forbidden.add(one.number, two.number)
        return Outcome("they are two people from here on, and will never be one", True, self._people(pair))

    def _allow(self, pair: tuple[Id, Id]) -> Outcome:
        """What an operator kept apart between the two people is decided anew, by whichever of their ids."""
        stitcher, store = self._stitcher, self._stitcher.store
        one, two = self._both(pair)
        stitcher.flush()
        stitcher.forbidden.remove(one.number, two.number)
        roots = {stitcher.root(known.origin) for known in (one, two)}
        members = [row.id for row in store.members(roots)]
        store.let_decide_anew(members, (UNDONE, FORBIDDEN), ANEW)
        stitcher.forget()
        for root in roots:
            stitcher.settled.parted(root)
        done = "they may be one person again, once they are seen together"
        return Outcome(done, True, self._people(pair))

    def _link(self, pair: tuple[Id, Id], record: Record, place: int) -> Outcome:
        stitcher = self._stitcher
        one, two = self._both(pair, record, place)
        state = stitcher.link(one, two, Seen(place, record, pair, True))
        if state != HOLDS:
            raise ValueError(f"they cannot be one person: {REASONS[state]}")
        self._review.accepted((one.number, two.number))
        return Outcome("they are one person from here on", True, self._people(pair))

    def _numbers(self, pair: tuple[Id, Id]) -> tuple[int, int]:
        one, two = self._both(pair)
        return one.number, two.number

    def _both(self, pair: tuple[Id, Id], record: Record | None = None, place: int = 0) -> list[Known]:
        """Two ids that were known when the act was asked for.

        Args:
            record: of the act. A graph that is made anew of a log that was trimmed may not know them any more; they
                are somebody from here on, of whom the act holds. None: then there is nothing to do for it.
        """
        if pair[0] == pair[1]:
            raise ValueError("that is the same id twice")
        stitcher, store = self._stitcher, self._stitcher.store
        # Asking the stitcher for an id that nobody has would reserve a number for it.
        there = store.find(pair)
        for one in pair:
            if one not in there and (record is None or self._word(one.type, place) is None):
                raise ValueError(f"nobody has the {one.type} {one.value}")
        found = [stitcher.known(one) for one in pair]
        for one, known in zip(pair, found, strict=True):
            if one not in there and known is not None and record is not None:
                stitcher.mint(known)
                known.first_ms, known.last_day = record.received_ms, record.received_ms // DAY_MS
        return [known for known in found if known is not None]

    def _word(self, type: str, place: int) -> int | None:
        """The number of an id's type; None where it is one too many."""
        return self._stitcher.store.word(type, place, ours=self._stitcher.rules.names(type))

    def _people(self, ids: Sequence[Id]) -> list[str]:
        stitcher = self._stitcher
        numbers = {stitcher.root(known.origin): None for one in ids if (known := stitcher.known(one)) is not None}
        return [stitcher.store.names.text(number) for number in numbers]


def kept_json(act: Act, record: Record) -> str:
    """The act as the graph keeps it beside its outcome."""
    return record.raw.decode() if act.suggest is None else '{"suggest":{}}'


def act_kept(text: str) -> Act:
    """What `kept_json` was given, but for suggestions."""
    return _KEPT.decode(text)


def outcome_json(outcome: Outcome) -> str:
    """As the graph keeps it."""
    return _ENCODE(outcome).decode()


def outcome_of(text: Any) -> Outcome:
    """What `outcome_json` was given."""
    return msgspec.json.decode(text, type=Outcome)
