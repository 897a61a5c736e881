"""What the stitcher works on: an event with its ids, and ids in memory as their rows say."""

from collections.abc import Sequence
from typing import NamedTuple

from appliance.core.event import Record
from appliance.identity.rules import Id
from appliance.identity.settled import Key
from appliance.identity.store import IdRow

DAY_MS = 86_400_000


class Seen(NamedTuple):
    """One event of the log, read."""

    place: int
    record: Record
    ids: tuple[Id, ...]
    """Usable ones, by priority."""
    explicit: bool
    """The client itself, or an operator, says that these are one person."""
    key: Key | None = None
    """By which `Settled` may know it; None where it has to be looked at in any case."""


class Known:
    """One id in memory; `origin` is 0 until it has a person.

    Attributes:
        stored: the store had it when it was asked; without that, edges of it stand in memory alone.
    """

    __slots__ = (
        "dirty",
        "first_ms",
        "id",
        "last_day",
        "number",
        "origin",
        "shared",
        "stored",
        "users",
        "value",
        "word",
    )

    def __init__(self, id: Id, number: int, word: int, value: str) -> None:
        self.id, self.number, self.word, self.value = id, number, word, value
        self.origin = self.first_ms = self.last_day = self.users = 0
        self.shared: int | None = None
        self.dirty = self.stored = False

    def row(self) -> IdRow:
        """As the store keeps it."""
        return IdRow(
            self.number, self.word, self.value, self.origin, self.first_ms, self.last_day, self.users, self.shared
        )


def day_of(record: Record) -> int:
    """The day on which an event was received, since 1970."""
    return record.received_ms // DAY_MS


def hub_of(ids: Sequence[Known]) -> Known:
    """By which of its ids an event is attributed."""
    first = ids[0]
    return first if not first.shared else next((known for known in ids if not known.shared), first)
