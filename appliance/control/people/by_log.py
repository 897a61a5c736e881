"""Who is this, without a person graph: the lanes behind an id, what waits in them, their newest events. Blocking.

Looks through the log from its end: whatever came with the id, and whatever else came in the same lanes. With a graph,
`people_of_graph.py` answers.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from appliance.control import views
from appliance.control.people.replies import People, PersonView, QueueView
from appliance.control.ports import DestinationStatus
from appliance.control.replies import RecordView
from appliance.core.event import Record
from appliance.process.resolve import lane_of
from appliance.wal.log import DamagedBlock, Log
from appliance.wal.types import HeldHead

EVENTS_MAX = 200_000
TIME_MAX_S = 2.0
PEOPLE_MAX = 20
"""People of one id that are shown, those with the newest events first."""
SHOWN_MAX = 20
"""Events of each."""
IDS_MAX = 20
LANES_ASKED_MAX = 100
"""A person of more lanes is looked for among all who are held."""
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
    for records, is_all in backwards(log):
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
        queues=[queue(log, one, [lane], person.sequences, skew_ms) for one in destinations],
        events=[RecordView(**views.record_view(record, payloads)) for record in person.newest],
    )


def queue(
    log: Log, status: DestinationStatus, lanes: Sequence[str], events: Sequence[tuple[str, int]], skew_ms: int
) -> QueueView:
    """How a person stands at one destination.

    Args:
        lanes: all that are the person.
        events: source and sequence of theirs, as far as they were looked at.
    """
    # What is on disk, progress first: an event goes from one to the other in one transaction, so none is missed.
    progress = log.progress(status.name)
    if heads := _held(log, status.name, lanes):
        first = min(heads, key=lambda head: (head.sequence, head.part))
        count = sum(head.count for head in heads)
        return QueueView(destination=status.name, state="held", events=count, head=views.held_view(first, skew_ms))
    low, settled = (progress.low, progress.ranges) if progress else (0, [])
    wanted = None if status.sources is None else set(status.sources)
    waiting = sum(
        sequence > low
        and (wanted is None or source in wanted)
        and not any(first <= sequence <= last for first, last in settled)
        for source, sequence in events
    )
    return QueueView(destination=status.name, state="waiting" if waiting else "clear", events=waiting, head=None)


def _held(log: Log, destination: str, lanes: Sequence[str]) -> list[HeldHead]:
    """What is held of these lanes, and of those that they wait for: of who was parted, or called otherwise."""
    if len(lanes) > LANES_ASKED_MAX:
        joined = log.joined(destination)
        wanted = {*lanes, *(joined[lane] for lane in lanes if lane in joined)}
        return [head for head in log.held_heads(destination) if head.lane in wanted]
    waited_for = [other for lane in lanes if (other := log.joined_to(destination, lane))]
    asked = dict.fromkeys([*lanes, *waited_for])
    return [head for lane in asked if (head := log.held_head(destination, lane)) is not None]


def backwards(log: Log) -> Iterator[tuple[list[Record], bool]]:
    """The log's events from the newest on, and whether there is nothing before them."""
    end = log.last_sequence
    first = max(1, log.stats().first_sequence)
    while end >= first:
        start = max(first - 1, end - STRIDE)
        yield list(between(log, start, end))[::-1], start < first
        end = start


def between(log: Log, after: int, until: int) -> Iterator[Record]:
    """The log's events above `after`, up to `until`; what is damaged is passed over."""
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
