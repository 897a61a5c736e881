"""Pairs of ids that never belong to one person, whatever is seen, and which people hold such ids."""

from collections.abc import Callable

from appliance.identity.store import Store


class Forbidden:
    """Kept in memory whole: operators forbid by hand.

    Attributes:
        pairs: numbers of ids, and of those that must not meet them, both ways.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.pairs = self._read()
        self._held: dict[int, set[int]] | None = None
        """Person -> the ids above that are theirs; None: to be read."""

    def add(self, a: int, b: int) -> None:
        """From here on these two are kept apart."""
        self._store.write("INSERT INTO forbidden VALUES (?, ?)", *sorted((a, b)))
        self.pairs = self._read()
        self.forget()

    def remove(self, a: int, b: int) -> None:
        """They are not kept apart any more."""
        self._store.write("DELETE FROM forbidden WHERE a = ? AND b = ?", *sorted((a, b)))
        self.pairs = self._read()
        self.forget()

    def has(self, a: int, b: int) -> bool:
        """Whether this very pair is kept apart."""
        return b in self.pairs.get(a, ())

    def between(self, one: int, two: int, root: Callable[[int], int]) -> bool:
        """Whether a pair stands between two people; `root` tells who somebody is now."""
        if not self.pairs:
            return False
        if self._held is None:
            self._held = {}
            for row in self._store.ids(self.pairs):
                self._held.setdefault(root(row.origin), set()).add(row.id)
        theirs = self._held.get(two, set())
        return any(not theirs.isdisjoint(self.pairs[number]) for number in self._held.get(one, ()))

    def merged(self, loser: int, winner: int) -> None:
        """The one became the other."""
        if self._held and loser in self._held:
            self._held.setdefault(winner, set()).update(self._held.pop(loser))

    def forget(self) -> None:
        """People have changed in other ways than by a merge."""
        self._held = None

    def _read(self) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for a, b in self._store.rows("SELECT a, b FROM forbidden"):
            found.setdefault(a, set()).add(b)
            found.setdefault(b, set()).add(a)
        return found
