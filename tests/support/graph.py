"""A person graph on a real file, fed with events as a log would hold them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from appliance.core.config import IdentityConfig, Teaching
from appliance.core.event import Record
from appliance.identity.acts import Act, Outcome, record_of
from appliance.identity.graph import Graph
from appliance.identity.lookup import Lookup
from appliance.identity.past import Past
from appliance.identity.rules import Id, Rules

LOG = "0123456789abcdef"
STARTED_MS = 1_900_000_000_000


class Fed:
    """A graph, its past and look-ups in it; event after event, each in a batch of its own.

    Attributes:
        records: all that was fed.
    """

    def __init__(
        self, folder: Path, config: IdentityConfig | None = None, teaching: Mapping[str, Teaching] | None = None
    ) -> None:
        self.path = folder / "graph.sqlite"
        self.graph = Graph(self.path, Rules(config or IdentityConfig(), teaching), LOG, 0)
        self.past = Past(self.path, LOG)
        self.lookup = Lookup(self.past)
        self.records: list[Record] = []

    def feed(self, *events: dict[str, Any]) -> list[str]:
        """Take over these events; returns the person of each."""
        people = []
        for event in events:
            self.records.append(self._record(event))
            people += self.graph.apply(self.records[-1:], len(self.records)).people
        return [self.graph.names.text(number) for number in people]

    def act(self, **act: Any) -> Outcome:
        """What came of an operator's act."""
        sequence = len(self.records) + 1
        record = record_of(Act(**act), f"act-{sequence}", STARTED_MS + sequence * 1000)
        record.sequence = sequence
        self.records.append(record)
        self.graph.apply([record], sequence)
        return self.past.outcome(sequence)

    def who(self, type: str, value: str) -> str:
        """The person with this id; "" where nobody has it."""
        found = self.lookup.find(value, type)
        return found[0].person if found else ""

    def ids(self, person: str) -> list[Id]:
        """The ids of a person."""
        found = self.lookup.person(person)
        return [member.id for member in found.members] if found else []

    def close(self) -> None:
        self.past.close()
        self.graph.close()

    def _record(self, event: dict[str, Any]) -> Record:
        sequence = len(self.records) + 1
        event = {"type": "track", "messageId": f"m{sequence}", **event}
        return Record(
            sequence,
            event.pop("source", "web"),
            event.pop("received_ms", STARTED_MS + sequence * 1000),
            "203.0.113.9",
            event["type"],
            event.get("anonymousId", ""),
            event.get("userId", ""),
            event["messageId"],
            "",
            0,
            msgspec.json.encode(event),
        )
