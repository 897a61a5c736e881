"""Judges the tables of a warehouse against what was sent and what stands in the log. Pure: values in, faults out."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.crash.shoppers import TABLES, Sent
from tests.support.judge import Findings

Row = Mapping[str, Any]


class Held(NamedTuple):
    """All that a warehouse holds."""

    rows: dict[str, list[Row]]
    """Table -> its rows."""
    types: dict[str, dict[str, str]]
    """Table -> column -> "int", "float", "string", or whatever else the warehouse calls it."""


class Events(NamedTuple):
    """What the warehouse should hold."""

    sent: Mapping[str, Sent]
    acknowledged: set[str]
    logged: Counter[str]
    """messageId -> how often it stands in the log."""
    log_id: str
    after: int = 0
    """Where the log is a salvaged one: its first load may begin behind what was loaded before."""


@dataclass
class TableFaults(Findings):
    """What is wrong; all of it must be empty."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged, but not in the log."""
    missing: list[str] = field(default_factory=list)
    """In the log, but not in a table where it belongs."""
    twice: list[str] = field(default_factory=list)
    """More than once in a table."""
    strangers: list[str] = field(default_factory=list)
    """In a table, but not in the log, or of another table."""
    altered: list[str] = field(default_factory=list)
    """A row that says something other than what was sent."""
    users: list[str] = field(default_factory=list)
    """A user's row that is missing, twice, or not the latest."""
    discards: list[str] = field(default_factory=list)
    """Values that do not fit their column, and were not noted once; and what was noted without need."""
    people: list[str] = field(default_factory=list)
    """Ids that are told twice whose they are."""
    ranges: list[str] = field(default_factory=list)
    """Loads that overlap, or leave something out."""

    def __str__(self) -> str:
        return "; ".join(self.words()) or "no fault"


def judge_tables(held: Held, events: Events) -> TableFaults:
    """Compare all tables with what was sent."""
    faults = TableFaults(lost=sorted(events.acknowledged - events.logged.keys()))
    wanted: dict[str, set[str]] = {table: set() for table in ("tracks", *TABLES.values())}
    for message_id in events.logged:
        for table in events.sent[message_id].tables:
            wanted.setdefault(table, set()).add(message_id)
    for table, ids in wanted.items():
        rows = held.rows.get(table, [])
        found = Counter(row["id"] for row in rows)
        faults.missing += [f"{each} in {table}" for each in sorted(ids - found.keys())]
        faults.strangers += [f"{each} in {table}" for each in sorted(found.keys() - ids)]
        faults.twice += [f"{each} in {table}" for each, count in found.items() if count > 1]
        known = [row for row in rows if row["id"] in ids]
        faults.altered += [
            f"{row['id']} in {table}: {words}" for row in known for words in _altered(held, table, row, events)
        ]
    faults.discards = _discards(held, events)
    faults.users = _users(held.rows.get("users", []), events)
    people = held.rows.get("rudder_identity_mappings", [])
    named = Counter((row["merge_property_type"], row["merge_property_value"]) for row in people)
    faults.people = [f"{each}" for each, count in named.items() if count > 1]
    faults.ranges = _ranges(held.rows.get("sternpost_loads", []), events)
    return faults


def fitting(value: Any, kind: str) -> Any:
    """A value as a column of that type takes it; None where it must go to `rudder_discards`."""
    is_whole, is_number = isinstance(value, int), isinstance(value, int | float)
    return {"int": value if is_whole else None, "float": value if is_number else None, "string": str(value)}.get(kind)


def _altered(held: Held, table: str, row: Row, events: Events) -> list[str]:
    sent = events.sent[row["id"]]
    given = {"context_n": sent.n} | (sent.properties if table == sent.tables[-1] else {})
    wanted = {name: fitting(value, held.types[table][name]) for name, value in given.items()}
    looked_at = {name for name in row if name in ("n", "grade", "context_n") or name.startswith("since_")}
    return [
        f"{name} is {row.get(name)!r}, not {wanted.get(name)!r}"
        for name in sorted(looked_at | wanted.keys())
        if row.get(name) != wanted.get(name)
    ]


def _discards(held: Held, events: Events) -> list[str]:
    wanted = set()
    for message_id in events.logged:
        sent = events.sent[message_id]
        table = sent.tables[-1]
        kind = held.types.get(table, {}).get("grade", "")
        if "grade" in sent.properties and kind and fitting(sent.properties["grade"], kind) is None:
            wanted.add((table, message_id, "grade"))
    found = Counter(
        (row["table_name"], row["row_id"], row["column_name"]) for row in held.rows.get("rudder_discards", [])
    )
    words = [f"{each} not noted" for each in sorted(wanted - found.keys())]
    words += [f"{each} noted without need" for each in sorted(found.keys() - wanted)]
    return words + [f"{each} noted {count} times" for each, count in found.items() if count > events.logged[each[1]]]


def _users(rows: Sequence[Row], events: Events) -> list[str]:
    """A user has one row with its latest number; an event sent later that nobody acknowledged may have come too."""
    latest: dict[str, int] = {}
    for message_id in events.logged:
        sent = events.sent[message_id]
        if sent.user:
            latest[sent.user] = max(sent.n, latest.get(sent.user, 0))
    found = Counter(row["id"] for row in rows)
    words = [f"{user} is missing" for user in sorted(latest.keys() - found.keys())]
    words += [f"{user} is there {count} times" for user, count in found.items() if count > 1]
    numbers = {row["id"]: row["n"] for row in rows}
    return words + [f"{user}: {numbers[user]}, not {n}" for user, n in latest.items() if numbers.get(user, n) != n]


def _ranges(loads: Sequence[Row], events: Events) -> list[str]:
    """Of each stream and log, from 1 on, without a gap and without an overlap."""
    words = [] if any(load["log_id"] == events.log_id for load in loads) else ["no load of this log"]
    order = sorted(loads, key=lambda load: (load["destination"], load["log_id"], load["first_sequence"]))
    for (stream, log), group in itertools.groupby(order, key=lambda load: (load["destination"], load["log_id"])):
        end = 0
        for load in group:
            first, last = load["first_sequence"], load["last_sequence"]
            if not end and log == events.log_id and first == events.after + 1:
                end = events.after
            if first != end + 1 or last < first:
                words.append(f"{stream} of {log[:8]}: {first} to {last} after {end}")
            end = last
    return words
