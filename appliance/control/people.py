"""Who is this: the people behind an id, what of theirs waits behind what, and their newest events. Blocking.

Looks through the log from its end: whatever came with the id, and whatever else came in the same lanes. Today the
person is the lane; a graph will answer more.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from appliance.control import views
from appliance.control.ports import DestinationStatus
from appliance.control.replies import People, PersonView, QueueView, RecordView
from appliance.core.event import Record
from appliance.process.resolve import lane_of
from appliance.wal.log import DamagedBlock, Log

EVENTS_MAX = 200_000
TIME_MAX_S = 2.0
PEOPLE_MAX = 20
"""People of one id that are shown, those with the newest events first."""
SHOWN_MAX = 20
"""Events of each."""
IDS_MAX = 20
STRIDE = 5_000
"""Sequences that are read at once, going backwards."""


class _Person:
    """What was found of one lane."""

    def __init__(self) -> None:
        self.anonymous: dict[str, None] = {}
        self.users: dict[str, None] = {}
        self.newest: list[Record] = []
        self.sequences: list[tuple[str, int]] = []

    def add(self, record: Record) -> None:
        for ids, one in ((self.anonymous, record.anonymous_id), (self.users, record.user_id)):
            if one and len(ids) < IDS_MAX:
                ids[one] = None
        if len(self.newest) < SHOWN_MAX:
            self.newest.append(record)
        self.sequences.append((record.source, record.sequence))


def find(
    log: Log,
    destinations: Sequence[DestinationStatus],
    wanted: str,
    skew_ms: int,
    payloads: bool,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> People:
    """All people that an id belongs to.

    Args:
        destinations: configured ones.
        wanted: an anonymousId or a userId, or a lane as other answers call it (`a:...`, `u:...`).
        skew_ms: wall time minus log time.
        monotonic_s: a clock for how long it may take.
    """
    lanes = {f"a:{wanted}", f"u:{wanted}", *([wanted] if wanted[:2] in ("a:", "u:") else [])}
    found: dict[str, _Person] = {}
    scanned, complete = 0, True
    deadline_s = monotonic_s() + TIME_MAX_S
    for records, is_all in _backwards(log):
        for record in records:
            lane = lane_of(record)
            known = lane in lanes or wanted in (record.anonymous_id, record.user_id)
            if known and (lane in found or len(found) < PEOPLE_MAX):
                lanes.add(lane)
                found.setdefault(lane, _Person()).add(record)
        scanned += len(records)
        complete = is_all
        if scanned >= EVENTS_MAX or monotonic_s() > deadline_s:
            break
    for lane in sorted(lanes - set(found)):
        if len(found) < PEOPLE_MAX and any(log.held_head(one.name, lane) for one in destinations):
            found[lane] = _Person()
    people = [_view(log, destinations, lane, person, skew_ms, payloads) for lane, person in found.items()]
    return People(people=people, scanned_events=scanned, complete=complete)


def _view(
    log: Log, destinations: Sequence[DestinationStatus], lane: str, person: _Person, skew_ms: int, payloads: bool
) -> PersonView:
    kind, _, own = lane.partition(":")
    if not person.newest:
        (person.anonymous if kind == "a" else person.users)[own] = None
    return PersonView(
        person=lane,
        ids={"anonymousId": list(person.anonymous), "userId": list(person.users)},
        queues=[_queue(log, one, lane, person, skew_ms) for one in destinations],
        events=[RecordView(**views.record_view(record, payloads)) for record in person.newest],
    )


def _queue(log: Log, status: DestinationStatus, lane: str, person: _Person, skew_ms: int) -> QueueView:
    # What is on disk, progress first: an event goes from one to the other in one transaction, so none is missed.
    progress, head = log.progress(status.name), log.held_head(status.name, lane)
    if head is not None:
        shown = views.held_view(head, skew_ms)
        return QueueView(destination=status.name, state="held", events=head.count, head=shown)
    low, settled = (progress.low, progress.ranges) if progress else (0, [])
    wanted = None if status.sources is None else set(status.sources)
    waiting = sum(
        sequence > low
        and (wanted is None or source in wanted)
        and not any(first <= sequence <= last for first, last in settled)
        for source, sequence in person.sequences
    )
    return QueueView(destination=status.name, state="waiting" if waiting else "clear", events=waiting, head=None)


def _backwards(log: Log) -> Iterator[tuple[list[Record], bool]]:
    """The log's events from the newest on, and whether there is nothing before them."""
    end = log.last_sequence
    first = max(1, log.stats().first_sequence)
    while end >= first:
        start = max(first - 1, end - STRIDE)
        yield list(_between(log, start, end))[::-1], start < first
        end = start


def _between(log: Log, after: int, until: int) -> Iterator[Record]:
    while after < until:
        try:
            blocks = log.read(after)
        except DamagedBlock as damaged:
            after = damaged.last_sequence
            continue
        if not blocks:
            return
        for block in blocks:
            for record in block.records:
                if after < record.sequence <= until:
                    yield record
        after = max(after, blocks[-1].last_sequence)
