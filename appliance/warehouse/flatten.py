"""From nested objects to columns: `{"a": {"b": 1}}` is `a_b` = 1. What a key is called is worked out once and kept.

A `Branch` stands for one path of keys and maps each key below it to its column; branches are kept from event to event,
because the same keys come again and again. Of two keys with one column the later counts, and the earlier is told.
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from appliance.warehouse import names
from appliance.warehouse.dialect import Dialect
from appliance.warehouse.errors import COLUMNS_MAX, TooManyColumns
from appliance.warehouse.types import Json, Value

LEVELS_MAX = 64
"""Objects nested deeper stay one value, as JSON text."""
KEPT_CHARACTERS_MAX = 4 * 1024 * 1024
"""When keys of so many characters are kept, all are forgotten: clients may send ever new ones."""
_KEY_OVERHEAD = 200
_PREFIX_CHARACTERS_MAX = 256
"""No name is longer, so of a longer path no more is carried down."""

_ENCODE = msgspec.json.Encoder(decimal_format="number").encode
Lost = list[tuple[str, Value]]
"""Column and value that another key of the same column took the place of."""


def json_text(value: Any) -> str:
    """A decoded value as JSON text, no digit lost."""
    return _ENCODE(value).decode()


class _TwinFound(Exception):
    """A second key has a column, for the first time."""


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
        self._has_twins = False  # Two keys have had one column, so all objects are to be looked at for that.
        self._found: dict[Any, Value] = {}
        self.meets_context = False
        """A column is named as those of the context are."""
        self._clear()

    def flatten(self, given: dict[str, Any], lost: Lost) -> dict[str, Value]:
        """The columns of an object; null, "" and [] are left out. What loses its column is added to `lost`.

        Raises:
            TooManyColumns: there are more than any event may have.
        """
        if self.kept_characters > KEPT_CHARACTERS_MAX:
            self._clear()
        if not self._json_paths and not self._has_twins:
            found = self._found = {}
            try:
                _quickly(self.root, given, found, LEVELS_MAX)
                found.pop(None, None)
                return found
            except _TwinFound:
                self._has_twins = True
        found = self._found = {}
        _carefully(self.root, given, found, lost, LEVELS_MAX)
        found.pop(None, None)
        return found

    def named(self, column: str, added_characters: int) -> str | None:
        """Take note of another key with this column; None where it is one of ours.

        Raises:
            TooManyColumns: the object has more columns already than any event may have.
        """
        self.kept_characters += added_characters
        if column in self.dropped:
            return None
        if len(self._found) > COLUMNS_MAX + 1:  # None may be one of them
            raise TooManyColumns
        if column in self._columns and not self._has_twins:
            raise _TwinFound
        self._columns.add(column)
        self.meets_context = self.meets_context or column[:8].lower() == "context_"
        return column

    def _clear(self) -> None:
        at_start = not self._prefix
        self.kept_characters, self._has_twins, self.meets_context = 0, False, False
        self._columns: set[str] = set()
        self.root = Branch(self, self._prefix, "", b"", self._json_paths, at_start=at_start, is_root=at_start)


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
        self[key] = found = self._tree.named(names.fitted(name, self._tree.dialect), len(key) + _KEY_OVERHEAD)
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


def _quickly(branch: Branch, given: dict[str, Any], into: dict[Any, Value], levels: int) -> None:
    """Columns of an object whose keys all have columns of their own; those of ours come together under None."""
    for key, value in given.items():
        kind = type(value)
        if kind is dict:
            if not value:
                continue
            if levels > 1:
                child = branch.below.get(key)
                _quickly(branch.grow(key) if child is None else child, value, into, levels - 1)
            else:
                into[branch[key]] = json_text(value)
        elif kind is list:
            if value:
                into[branch[key]] = json_text(value)
        elif value is not None and value != "":
            into[branch[key]] = value


def _carefully(branch: Branch, given: dict[str, Any], into: dict[Any, Value], lost: Lost, levels: int) -> None:
    """As `_quickly`, for any keys, with an eye on paths that stay JSON."""
    for key, value in given.items():
        if value is None or value == "" or value == [] or value == {}:
            continue
        if key in branch.json_keys:
            value = Json(json_text(value))
        elif isinstance(value, dict) and levels > 1:
            child = branch.below.get(key)
            _carefully(branch.grow(key) if child is None else child, value, into, lost, levels - 1)
            continue
        elif isinstance(value, dict | list):
            value = json_text(value)
        column = branch[key]
        if column is not None and column in into:
            lost.append((column, into[column]))
            if len(lost) > COLUMNS_MAX:
                raise TooManyColumns
        into[column] = value
