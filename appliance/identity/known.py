"""An id in the memory of the stitcher: what its row says, and whether it must be written."""

from collections.abc import Sequence

from appliance.identity.rules import Id
from appliance.identity.store import IdRow


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


def hub_of(ids: Sequence[Known]) -> Known:
    """By which of its ids an event is attributed."""
    first = ids[0]
    return first if not first.shared else next((known for known in ids if not known.shared), first)
