"""Judges a person graph against its log and against what a destination received. Values in, faults out."""

import json
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from appliance.core.event import Record
from appliance.identity.graph import Graph
from appliance.identity.past import Past
from appliance.identity.rules import Rules
from appliance.identity.stitch import Change
from appliance.wal.offline import StoppedLog
from tests.support.judge import Findings
from tests.support.sink import Arrival


@dataclass
class Faults(Findings):
    """What is wrong. Events are called by their messageIds."""

    changed: list[str] = field(default_factory=list)
    """Arrived more than once, with different people."""
    wrong: list[str] = field(default_factory=list)
    """Arrived with another person than the graph says they were at their place."""
    unmarked: list[str] = field(default_factory=list)
    """Arrived without a person, or with two different ones in the two places where it stands."""
    homeless: list[str] = field(default_factory=list)
    """In the log, but one of their ids has no person."""
    otherwise: list[str] = field(default_factory=list)
    """A graph that reads the same log from its beginning gives them another person."""
    overtaking: list[str] = field(default_factory=list)
    """Tried first before an earlier event of the same person, by the graph at that point, was taken."""

    def __str__(self) -> str:
        return ", ".join(self.words()) or "clean"


def all_records(log: StoppedLog) -> list[Record]:
    """Everything that stands in a log that nobody runs."""
    records: list[Record] = []
    while blocks := log.read(records[-1].sequence if records else 0):
        records += [record for block in blocks for record in block.records]
    return records


def judge_people(
    records: Sequence[Record], log_id: str, graph: Path, arrivals: Iterable[Arrival], rules: Rules, scratch: Path
) -> Faults:
    """Compare the log, the graph and what arrived.

    Args:
        graph: the file of a process that has stopped.
        rules: those that it had all the time.
        scratch: where a second graph may be made.
    """
    faults, past = Faults(), Past(graph, log_id)
    try:
        people = past.people(records)
        changes = past.changes(0, records[-1].sequence)
        name = past.store().names.text
        expected = {record.message_id: name(number) for record, number in zip(records, people, strict=True)}
        for record in records:
            ids = rules.read(record).ids if record.source else []
            if len(past.store().find(ids)) < len(ids):
                faults.homeless.append(record.message_id)
    finally:
        past.close()
    faults.otherwise = _told_anew(records, people, log_id, rules, scratch)
    seen = list(arrivals)
    _judge_arrivals(seen, expected, faults)
    faults.overtaking = _overtaking(records, people, changes, seen)
    return faults


def _overtaking(
    records: Sequence[Record], people: Sequence[int], changes: Sequence[Change], arrivals: Sequence[Arrival]
) -> list[str]:
    """The messageIds, in the order of the log."""
    tried: dict[str, int] = {}
    taken: dict[str, int] = {}
    for at, arrival in enumerate(arrivals):
        tried.setdefault(arrival.message_id, at)
        if arrival.accepted:
            taken.setdefault(arrival.message_id, at)
    found, left = [], deque(changes)
    last_taken: dict[int, int] = {}
    """Person -> when the last of all was taken that their next event has to wait for."""
    for record, person in zip(records, people, strict=True):
        while left and left[0].sequence <= record.sequence:
            change = left.popleft()
            one, other = (change.lane, change.other) if change.split else (change.other, change.lane)
            last_taken[one] = max(last_taken.get(one, -1), last_taken.get(other, -1))
        if record.source and record.message_id in tried:
            if tried[record.message_id] < last_taken.get(person, -1):
                found.append(record.message_id)
            last_taken[person] = max(last_taken.get(person, -1), taken.get(record.message_id, len(arrivals)))
    return found


def _told_anew(records: Sequence[Record], people: Sequence[int], log_id: str, rules: Rules, scratch: Path) -> list[str]:
    again = Graph(scratch, rules, log_id, 1 << 40)
    try:
        anew = again.apply(records, records[-1].sequence).people
    finally:
        again.close()
    return [
        record.message_id
        for record, one, two in zip(records, people, anew, strict=True)
        if one != two and record.source
    ]


def _judge_arrivals(arrivals: Iterable[Arrival], expected: dict[str, str], faults: Faults) -> None:
    said: dict[str, set[str]] = {}
    for arrival in arrivals:
        event: dict[str, Any] = json.loads(arrival.body)
        person = event.get("rudderId", "")
        if not person or event.get("context", {}).get("sternpost", {}).get("personId") != person:
            faults.unmarked.append(arrival.message_id)
        said.setdefault(arrival.message_id, set()).add(person)
    faults.changed = [message_id for message_id, people in said.items() if len(people) > 1]
    faults.wrong = [message_id for message_id, people in said.items() if people != {expected.get(message_id)}]
