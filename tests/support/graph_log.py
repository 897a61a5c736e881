"""A log for the person graph, written by hand: events and operators' acts, and the graph that reads it in any batches."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from appliance.core.config import IdentityConfig
from appliance.core.event import Record
from appliance.identity.acts import Act, record_of
from appliance.identity.graph import Graph
from appliance.identity.past import Past
from appliance.identity.rules import Id, Rules
from appliance.identity.stitch import Change
from appliance.identity.store import Store

LOG_ID = "6f1f7c0e"
DAY_MS = 86_400_000
START_MS = 20_000 * DAY_MS


def event(
    sequence: int,
    type: str = "track",
    *,
    user: str = "",
    anonymous: str = "",
    day: int = 0,
    message_id: str = "",
    source: str = "web",
    **body: Any,
) -> Record:
    """One event as the collector leaves it in the log; `body` is the JSON beside its ids, `day` counts from the first."""
    raw = json.dumps({"type": type, **body}).encode()
    message_id = message_id or f"m{sequence}"
    return Record(
        sequence, source, START_MS + day * DAY_MS + sequence, "", type, anonymous, user, message_id, "", 0, raw
    )


class Journey:
    """Events one after the other, as people make them. Every method returns the event's sequence."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def track(
        self,
        *,
        user: str = "",
        anonymous: str = "",
        email: str = "",
        email_too: str = "",
        phone: str = "",
        device: str = "",
        external: Iterable[tuple[str, str]] = (),
        day: int = 0,
        type: str = "track",
        source: str = "web",
    ) -> int:
        """An event with these ids, in the places where SDKs put them."""
        traits = {"email": email} if email_too else {}
        others = {"email": email_too or email, "phone": phone}
        context: dict[str, Any] = {"traits": others, "device": {"id": device}}
        context["externalId"] = [{"type": kind, "id": value} for kind, value in external]
        body = {"traits": traits, "context": context}
        place = len(self.records) + 1
        return self._put(event(place, type, user=user, anonymous=anonymous, day=day, source=source, **body))

    def alias(self, user: str, previous: str, *, anonymous: str = "", day: int = 0, source: str = "web") -> int:
        """The client says that `previous` is this user."""
        body = {"user": user, "anonymous": anonymous, "previousId": previous}
        return self._put(event(len(self.records) + 1, "alias", day=day, source=source, **body))

    def merge(self, *ids: tuple[str, str], day: int = 0, source: str = "web") -> int:
        """The client says that all of these are one person."""
        properties = [{"type": kind, "value": value} for kind, value in ids]
        return self._put(event(len(self.records) + 1, "merge", day=day, source=source, mergeProperties=properties))

    def act(self, act: Act, day: int = 0) -> int:
        """An operator does something."""
        place = len(self.records) + 1
        record = record_of(act, f"act{place}", START_MS + day * DAY_MS)
        record.sequence = place
        return self._put(record)

    def _put(self, record: Record) -> int:
        self.records.append(record)
        return record.sequence


def rules(config: Mapping[str, Any] | None = None) -> Rules:
    """Rules with these keys of [identity]; everything else is as by default. `sources` is what each may teach."""
    table = dict(config or {})
    teaching = table.pop("sources", {})
    return Rules(msgspec.convert(table, IdentityConfig), teaching)


class Reading(NamedTuple):
    """What a graph said while it read a log."""

    people: list[int]
    changes: list[Change]


class World:
    """A graph in a folder, and its past."""

    def __init__(
        self, path: Path, config: Mapping[str, Any] | None = None, *, log_id: str = LOG_ID, last_sequence: int = 1 << 40
    ) -> None:
        self.path = path
        self.graph = Graph(path, rules(config), log_id, last_sequence)
        self.past = Past(path, log_id)

    def __enter__(self) -> "World":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close both."""
        self.past.close()
        self.graph.close()

    @property
    def store(self) -> Store:
        return self.graph.store

    def read(self, records: Sequence[Record], batch: int = 0, *, forgetful: bool = False) -> Reading:
        """Apply what the graph has not read of these, so many at a time; 0: all at once.

        Args:
            forgetful: after every batch the graph drops what it has in memory.
        """
        fresh = [record for record in records if record.sequence > self.graph.cursor]
        people, changes = list[int](), list[Change]()
        for start in range(0, len(fresh), batch or len(fresh) or 1):
            some = fresh[start : start + (batch or len(fresh))]
            resolved = self.graph.apply(some, some[-1].sequence)
            if forgetful:
                self.graph.forget_cached()
            people += resolved.people
            changes += resolved.changes
        return Reading(people, changes)

    def person(self, id: Id, place: int) -> int:
        """Whose this id was after the event at `place`."""
        return self.people([id], place)[0]

    def people(self, ids: Sequence[Id], place: int) -> list[int]:
        """Whose these ids were after the event at `place`: an event there with one id alone would be theirs."""
        return self.past.people([probe(id, place) for id in ids])

    def merges(self) -> list[tuple[int, Id, Id]]:
        """(number, one id, other id) of all merges ever made by an event or a link, in order."""
        rows = self.store.rows("SELECT merge, a, b FROM merges WHERE a <> 0 ORDER BY merge")
        return [(merge, self.id(a), self.id(b)) for merge, a, b in rows]

    def id(self, number: int) -> Id:
        """The id of a row."""
        return self.store.id_of(self.store.ids([number])[0])


def probe(id: Id, place: int) -> Record:
    """An event at this place that has one id alone."""
    if id.type == "user_id":
        return event(place, user=id.value)
    if id.type == "anonymous_id":
        return event(place, anonymous=id.value)
    return event(place, context={"externalId": [{"type": id.type, "id": id.value}]})
