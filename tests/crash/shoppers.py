"""Clients of a shop whose events give a warehouse work: all types, tables and columns that come by and by, conflicts."""

import random
from typing import Any, NamedTuple

from tests.support.judge import Key, Ledger
from tests.support.load import Client

GRADES = (3, 7.5, "good")
"""Values of one property, whose column takes the type of whichever a table meets first."""
TABLES = {"identify": "identifies", "page": "pages", "screen": "screens", "group": "groups", "alias": "aliases"}
"""Type -> the table of its events; those of type `track` go into `tracks` and one named after the event."""


class Sent(NamedTuple):
    """What a client sent in one event, as far as it is looked for in the warehouse."""

    tables: tuple[str, ...]
    """Where it must be found."""
    user: str
    """Whose traits it told; "" where it is no `identify`."""
    n: int
    """Its number, in `context_n` of every table."""
    properties: dict[str, Any]
    """Column -> value, of the table that has the properties; the last of `tables`."""


class Story:
    """What all clients of a test send, and how far the shop has grown."""

    def __init__(self) -> None:
        self.ledger, self.sent = Ledger(), dict[str, Sent]()
        self.epoch = 1
        """Counted up while the clients send: each epoch has a table and a column of its own."""

    @property
    def acknowledged(self) -> set[str]:
        """The ids of what the collector promised to keep."""
        return {entry.message_id for entry in self.ledger.entries.values() if entry.acknowledged}


class Shopper(Client):
    """Sends the events of its own people; see `Client`."""

    def __init__(self, name: str, url: str, write_key: str, story: Story, draw: random.Random, **arguments: Any):
        super().__init__(name, url, write_key, story.ledger, draw, **arguments)
        self.story = story

    def event(self) -> tuple[dict[str, Any], Key]:
        """One event of one of its people."""
        person = self.draw.choice(self.people)
        self.numbers[person] += 1
        n = self.numbers[person]
        kind = self.draw.choice(("track", "track", "track", *TABLES))
        message_id = f"{person}:{n}"
        properties = {"n": n, f"since_{self.story.epoch}": n}
        event: dict[str, Any] = {
            "type": kind,
            "messageId": message_id,
            "anonymousId": f"{person}-browser",
            "userId": person,
            "context": {"n": n},
        }
        tables: tuple[str, ...] = (TABLES.get(kind, ""),)
        if kind == "track":
            name = self.draw.choice(("Product Viewed", "Order Completed", f"Stage {self.story.epoch}"))
            tables = ("tracks", name.lower().replace(" ", "_"))
            event["event"] = name
            properties["grade"] = self.draw.choice(GRADES)
        elif kind == "alias":
            event["previousId"], properties = f"{person}-before-{n}", {}
        elif kind == "group":
            event["groupId"] = f"team-{n % 5}"
        event["traits" if kind in ("identify", "group") else "properties"] = properties
        user = person if kind == "identify" else ""
        self.story.sent[message_id] = Sent(tables, user, n, properties)
        key = (person, n)
        self.ledger.note(key, message_id)
        return event, key


def shoppers(url: str, write_key: str, story: Story, seed: int, *, pause_s: float, name: str = "s") -> list[Shopper]:
    """Single events and batches, clients that repeat until they are answered and clients that give up."""
    kinds: list[dict[str, Any]] = [
        {},
        {"batch_max": 10},
        {"batch_max": 20, "people": 5},
        {"retry": False, "batch_max": 5},
        {"retry": False},
        {"people": 1, "batch_max": 3},
    ]
    return [
        Shopper(f"{name}{number}", url, write_key, story, random.Random(f"{seed}:{number}"), pause_s=pause_s, **kind)
        for number, kind in enumerate(kinds)
    ]
