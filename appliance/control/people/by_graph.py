"""Who is this, by the person graph: people behind an id, what waits in their lanes, their newest events. Blocking.

An event is whose the id is now that it is attributed by: so events from before a log-in, a merge or an undo stand with
the person they belong to today.
"""

import time
from collections.abc import Callable, Sequence

from appliance.control import views
from appliance.control.people.by_log import (
    EVENTS_MAX,
    IDS_MAX,
    PEOPLE_MAX,
    SHOWN_MAX,
    TIME_MAX_S,
    backwards,
    between,
    queue,
)
from appliance.control.people.replies import PartedView, People, PersonView
from appliance.control.people.views import PLAIN_TYPES, id_view
from appliance.control.ports import DestinationStatus
from appliance.control.replies import RecordView
from appliance.core.event import Record
from appliance.identity.findings import Found
from appliance.identity.lookup import Lookup
from appliance.identity.parted import parted
from appliance.identity.person import minted_at, place_of, sequence_of
from appliance.identity.rules import Id
from appliance.wal.log import Log


class _Person:
    """What was found of one person."""

    def __init__(self, names: list[str], ids: list[Id], matches: list[Id]) -> None:
        self.names, self.ids, self.matches = names, ids, matches
        self.newest: list[Record] = []
        self.events: list[tuple[str, int]] = []

    def add(self, record: Record) -> None:
        """An event of theirs; the newest comes first."""
        if len(self.newest) < SHOWN_MAX:
            self.newest.append(record)
        self.events.append((record.source, record.sequence))


def find(
    log: Log,
    lookup: Lookup,
    destinations: Sequence[DestinationStatus],
    wanted: str,
    type: str,
    skew_ms: int,
    payloads: bool,
    monotonic_s: Callable[[], float] = time.monotonic,
    *,
    events: bool = True,
) -> People:
    """All people that an id belongs to.

    Args:
        destinations: configured ones.
        wanted: the value of an id, `TYPE:VALUE` or a person's own id, also one from before a merge.
        type: of the id; "": any.
        skew_ms: wall time minus log time.
        payloads: whether ids other than userId and anonymousId may be looked for and shown.
        monotonic_s: a clock for how long it may take.
        events: whether the log is looked through for events and for what waits.

    Raises:
        ValueError: it can be no id of this type.
    """
    found = [one for one in lookup.find(wanted, type) if payloads or _is_plain(one)]
    people = [_Person(*lookup.names_and_ids(one.person), one.ids) for one in found[:PEOPLE_MAX]]
    people = [one for one in people if one.ids]
    scanned, complete = 0, len(found) <= PEOPLE_MAX
    if not events:
        destinations = []
    elif people:
        scanned, all_seen = _gather(log, lookup, people, monotonic_s)
        complete = complete and all_seen
    elif alone := _of_one_event(log, lookup, wanted):
        people = [alone]
    shown = [_view(log, lookup, destinations, one, skew_ms, payloads) for one in people]
    return People(people=shown, scanned_events=scanned, complete=complete)


def _is_plain(found: Found) -> bool:
    """Whether somebody was found by what every list shows."""
    return not found.ids or any(one.type in PLAIN_TYPES for one in found.ids)


def _gather(log: Log, lookup: Lookup, people: Sequence[_Person], monotonic_s: Callable[[], float]) -> tuple[int, bool]:
    """Give each their events; returns how many were looked at, and whether those are all."""
    theirs = {id: one for one in people for id in one.ids}
    read, scanned, complete = lookup.rules.read, 0, True
    deadline_s = monotonic_s() + TIME_MAX_S
    for records, is_all in backwards(log):
        maybe = []
        for record in records:
            ids = read(record).ids if record.source else []
            if any(one in theirs for one in ids):
                maybe.append((record, ids))
        for (record, _), hub in zip(maybe, lookup.whose([ids for _, ids in maybe]), strict=True):
            if hub in theirs:
                theirs[hub].add(record)
        scanned, complete = scanned + len(records), is_all
        if scanned >= EVENTS_MAX or monotonic_s() > deadline_s:
            break
    return scanned, complete


def _of_one_event(log: Log, lookup: Lookup, wanted: str) -> _Person | None:
    """Who has no usable id is a person of one event, at whose place in the log they were minted."""
    store = lookup.store()
    number = store.names.number(wanted)
    if number is None or number != minted_at(number) << 16:
        return None
    sequence = sequence_of(minted_at(number))
    present = store.log_ids.index(log.log_id) if log.log_id in store.log_ids else -1
    if present < 0 or minted_at(number) != place_of(present, sequence):
        return None
    for record in between(log, sequence - 1, sequence):
        if record.source and not lookup.rules.read(record).ids:
            person = _Person([wanted.lower()], [], [])
            person.add(record)
            return person
    return None


def _view(
    log: Log,
    lookup: Lookup,
    destinations: Sequence[DestinationStatus],
    person: _Person,
    skew_ms: int,
    payloads: bool,
) -> PersonView:
    ids: dict[str, list[str]] = {name: [] for name in PLAIN_TYPES.values()}
    for one in person.ids:
        if payloads or one.type in PLAIN_TYPES:
            values = ids.setdefault(PLAIN_TYPES.get(one.type, one.type), [])
            if len(values) < IDS_MAX:
                values.append(one.value)
    last = parted(lookup, person.names)
    return PersonView(
        person=person.names[0],
        ids=ids,
        ids_total=len(person.ids),
        matches=[id_view(one, payloads) for one in person.matches],
        parted=PartedView(*last) if last else None,
        queues=[queue(log, one, person.names, person.events, skew_ms) for one in destinations],
        events=[RecordView(**views.record_view(record, payloads)) for record in person.newest],
    )
