"""From nested objects to columns: `{"a": {"b": 1}}` is `a_b` = 1. What a key is called is worked out once and kept.

A `Branch` stands for one path of keys and maps each key below it to its column; branches are kept from event to event,
because the same keys come again and again. Of two keys with one column the later counts, and the earlier is told.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from appliance.warehouse import names
from appliance.warehouse.dialect import Dialect
from appliance.warehouse.types import Json

LEVELS_MAX = 64
"""Objects nested deeper stay one value, as JSON text."""
KEPT_CHARACTERS_MAX = 4 * 1024 * 1024
"""When keys of so many characters are kept, all are forgotten: clients may send ever new ones."""
_KEY_OVERHEAD = 200
_PREFIX_CHARACTERS_MAX = 256
"""No name is longer, so of a longer path no more is carried down."""

_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
Lost = list[tuple[str, Any]]
"""Column and value that another key of the same column took the place of."""


def json_text(value: Any) -> str:
    """A decoded value as JSON text, no digit lost."""
    return _ENCODE(value).decode()


class Tree:
    """The branches below one object of events.

    Args:
        dialect: whose rules names follow.
        prefix: "context" or "".
        dropped: columns that are ours, so that no key can have them.
        json_paths: paths of keys whose values stay JSON.
    """

    def __init__(
        self, dialect: Dialect, prefix: str, dropped: frozenset[str], json_paths: Iterable[tuple[str, ...]] = ()
    ) -> None:
        self.dialect, self.dropped = dialect, dropped
        self._prefix, self._json_paths = prefix, tuple(path for path in json_paths if path)
        self.kept_characters = 0
        self.root = self._plant()

    def flatten(self, given: dict[str, Any], into: dict[str, Any], lost: Lost) -> None:
        """Add the columns of an object to a row; null, "" and [] are left out."""
        if self.kept_characters > KEPT_CHARACTERS_MAX:
            self.kept_characters, self.root = 0, self._plant()
        _flatten(self.root, given, into, lost, LEVELS_MAX)

    def _plant(self) -> "Branch":
        paths = self._json_paths
        return Branch(self, self._prefix, "", b"", paths, at_start=not self._prefix, is_root=not self._prefix)


class Branch(dict[str, str | None]):
    """Key -> its column; None where that is one of ours.

    Args:
        words: the words of the path so far.
        lead: the underscores that it begins with.
        above: digest of the path.
        json_paths: those that lead through here, from here on.
        at_start: the path is nothing but underscores so far, so those of the next key count as well.
        is_root: there is no key yet.
    """

    __slots__ = ("_above", "_at_start", "_is_root", "_json_paths", "_lead", "_tree", "_words", "below", "json_keys")

    def __init__(
        self,
        tree: Tree,
        words: str,
        lead: str,
        above: bytes,
        json_paths: tuple[tuple[str, ...], ...],
        *,
        at_start: bool,
        is_root: bool = False,
    ) -> None:
        super().__init__()
        self._tree, self._words, self._lead, self._above, self._json_paths = tree, words, lead, above, json_paths
        self._at_start, self._is_root = at_start, is_root
        self.json_keys = frozenset(path[0] for path in json_paths if len(path) == 1)
        self.below: dict[str, Branch] = {}

    def __missing__(self, key: str) -> str | None:
        name = names.named(*self._extended(key)) or names.unnamed(names.digest_of(key, self._above))
        column = names.fitted(name, self._tree.dialect)
        self[key] = found = None if column in self._tree.dropped else column
        self._tree.kept_characters += len(key) + _KEY_OVERHEAD
        return found

    def grow(self, key: str) -> "Branch":
        """The branch of an object at this key, made and kept."""
        lead, words = self._extended(key)
        paths = tuple(path[1:] for path in self._json_paths if len(path) > 1 and path[0] == key)
        above, at_start = names.digest_of(key, self._above), self._at_start and not key.strip("_")
        self.below[key] = branch = Branch(self._tree, words, lead, above, paths, at_start=at_start)
        self._tree.kept_characters += len(key) + 3 * _KEY_OVERHEAD
        return branch

    def _extended(self, key: str) -> tuple[str, str]:
        """Leading underscores and words of the path with this key at its end."""
        words, lead = names.words_of(key), self._lead
        if self._at_start:
            lead += names.leading(key) if self._is_root else f"_{names.leading(key)}"
        joined = f"{self._words}_{words}" if self._words and words else self._words or words
        return lead[:_PREFIX_CHARACTERS_MAX], joined[:_PREFIX_CHARACTERS_MAX]


def _flatten(branch: Branch, given: dict[str, Any], into: dict[str, Any], lost: Lost, levels: int) -> None:
    below, json_keys = branch.below, branch.json_keys
    for key, value in given.items():
        kind = type(value)
        if kind is dict or kind is list:
            if not value:
                continue
            if key in json_keys:
                value = Json(json_text(value))
            elif kind is dict and levels > 1:
                child = below.get(key)
                _flatten(branch.grow(key) if child is None else child, value, into, lost, levels - 1)
                continue
            else:
                value = json_text(value)
        elif value is None or value == "":
            continue
        elif json_keys and key in json_keys:
            value = Json(json_text(value))
        column = branch[key]
        if column is None:
            continue
        if column in into:
            lost.append((column, into[column]))
        into[column] = value
