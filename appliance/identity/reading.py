"""Reads the JSON values that stand at given places of an event, and decodes nothing else of it. Pure, never raises.

One typed decoding reads all places at once, into a struct that is made for them, and skips the rest of the event; that
costs less than to look for the keys' bytes first. An event in which something stands that fits no struct (a list for an
object, a null) is walked place by place instead, and gives what can be read.
"""

from collections.abc import Callable, Sequence
from itertools import count
from operator import attrgetter
from typing import Any

import msgspec

Place = tuple[str, ...]
"""Keys from the event's own object down: ("context", "device", "id")."""

_NONE = msgspec.Raw()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Reader:
    """Reads the same places of every event.

    Args:
        places: at least one; the same keys may begin several.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        tree: dict[str, Any] = {}
        for index, place in enumerate(places):
            _plant(tree, place, index)
        self._root = _Node(tree, count())
        self._decode = msgspec.json.Decoder(self._root.whole).decode
        leaves = sorted(self._root.leaves())
        self._look = _getter([name for _, name in leaves])
        self._order = [place for place, _ in leaves]
        self._nothing = self._root.whole()

    def read(self, raw: bytes) -> list[tuple[int, bytes]]:
        """(number of the place, value as JSON text) of all places where something stands, by number."""
        try:
            whole = self._decode(raw)
        except _UNREADABLE:
            found: list[tuple[int, bytes]] = []
            self._root.walk(raw, found)
            return sorted(found)
        if whole == self._nothing:
            return []
        return [(place, bytes(value)) for place, value in zip(self._order, self._look(whole), strict=True) if value]


def _plant(tree: dict[str, Any], place: Place, index: int) -> None:
    """Put a place into the tree of keys: key -> ([places that end here], the tree below it)."""
    for key in place[:-1]:
        tree = tree.setdefault(key, ([], {}))[1]
    tree.setdefault(place[-1], ([], {}))[0].append(index)


class _Node:
    """One object of the event, and what is wanted of it.

    Attributes:
        whole: struct of all that is wanted below here, for events of the expected shape.
    """

    def __init__(self, tree: dict[str, Any], names: "count[int]") -> None:
        self._all: list[tuple[str, list[int], _Node | None]] = []
        whole: list[tuple[str, Any, Any]] = []
        keys: dict[str, str] = {}
        for key, (places, below) in tree.items():
            name = f"key{next(names)}"
            inner = _Node(below, names) if below else None
            whole.append((name, inner.whole, inner.whole()) if inner else (name, msgspec.Raw, _NONE))
            self._all.append((name, places, inner))
            keys[name] = key
        self.whole: Any = msgspec.defstruct("Whole", whole, rename=keys, frozen=True, gc=False)
        flat = [(name, msgspec.Raw, _NONE) for name in keys]
        self._flat = msgspec.json.Decoder(msgspec.defstruct("Flat", flat, rename=keys, gc=False))

    def leaves(self) -> list[tuple[int, str]]:
        """(place, dotted name in `whole`) of all places below here that an event of the expected shape can have."""
        found: list[tuple[int, str]] = []
        for name, places, inner in self._all:
            if inner:
                found += [(place, f"{name}.{deeper}") for place, deeper in inner.leaves()]
            else:
                found += [(place, name) for place in places]
        return found

    def walk(self, raw: bytes, found: list[tuple[int, bytes]]) -> None:
        """Put what can be read into `found`, whatever stands there."""
        try:
            flat = self._flat.decode(raw)
        except _UNREADABLE:
            return
        for name, places, inner in self._all:
            value = bytes(getattr(flat, name))
            if inner and value[:1] == b"{":
                inner.walk(value, found)
            elif value:
                found += [(place, value) for place in places]


def _getter(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """What stands at these dotted names, always as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    one = attrgetter(*names)
    return lambda whole: (one(whole),)
