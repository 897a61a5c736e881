"""Finds the line of every key in a TOML text, which `tomllib` does not tell.

The text has been accepted by `tomllib` before; so this scanner only has to follow its shape, never to judge it.
A path is the way to a value: `("sources", "web", "route", 0, "match")`; an integer counts the elements of an array
or of an array of tables.
"""

import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]

_SPACE = " \t"
_BETWEEN = " \t\r\n"
_SCALAR_END = ",]}#\r\n"
_BARE_KEY_END = " \t.=]"


def key_lines(text: str) -> dict[Path, int]:
    """Map each key, table and array element to the line (from 1) where it is first written.

    Args:
        text: valid TOML.

    Raises:
        RecursionError: arrays or inline tables are nested hundreds deep.
    """
    scanner = _Scanner(text)
    scanner.document()
    starts = [0] + [index + 1 for index, character in enumerate(text) if character == "\n"]
    return {path: bisect_right(starts, offset) for path, offset in scanner.offsets.items()}


class _Scanner:
    """Walks the text once; `offsets` gets where each path begins."""

    def __init__(self, text: str) -> None:
        self.text = text + "\n"
        self.at = 0
        self.offsets: dict[Path, int] = {}
        self._elements: dict[Path, int] = {}  # array of tables -> index of its newest element

    def document(self) -> None:
        table: Path = ()
        self._skip()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip()

    def _header(self) -> Path:
        start, is_array = self.at, self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        keys = self._dotted_key()
        self.at = self.text.index("]", self.at) + (2 if is_array else 1)
        path: Path = (*self._inside(self._down((), keys[:-1], start)), keys[-1])
        self.offsets.setdefault(path, start)
        if not is_array:
            return self._inside(path)
        self._elements[path] = self._elements.get(path, -1) + 1
        element = self._inside(path)
        self.offsets[element] = start
        return element

    def _pair(self, table: Path) -> None:
        start = self.at
        keys = self._dotted_key()
        self.at = self.text.index("=", self.at) + 1
        self._skip(_SPACE)
        path = self._down(table, keys, start)
        self._value(path)

    def _down(self, path: Path, keys: list[str], start: int) -> Path:
        """The path below `path` by `keys`, each step noted; arrays of tables mean their newest element."""
        for key in keys:
            path = (*self._inside(path), key)
            self.offsets.setdefault(path, start)
        return path

    def _inside(self, path: Path) -> Path:
        return (*path, self._elements[path]) if path in self._elements else path

    def _dotted_key(self) -> list[str]:
        keys = []
        while True:
            self._skip(_SPACE)
            keys.append(self._key())
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return keys
            self.at += 1

    def _key(self) -> str:
        start = self.at
        if self.text[start] in "\"'":
            self._string()
            return next(iter(tomllib.loads(f"{self.text[start : self.at]}=0")))
        while self.text[self.at] not in _BARE_KEY_END:
            self.at += 1
        return self.text[start : self.at]

    def _value(self, path: Path) -> None:
        first = self.text[self.at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self.text[self.at] not in _SCALAR_END:
                self.at += 1

    def _string(self) -> None:
        quote = self.text[self.at]
        if not self.text.startswith(quote * 3, self.at):
            self.at = self._closing(quote, self.at + 1)
            return
        self.at = self._closing(quote * 3, self.at + 3)
        # A multi-line string may end in up to two quotes of its own before the closing three.
        while self.text[self.at] == quote:
            self.at += 1

    def _closing(self, quotes: str, at: int) -> int:
        """The offset behind the closing quotes; in a basic string a backslash hides what follows it."""
        while not self.text.startswith(quotes, at):
            at += 2 if quotes[0] == '"' and self.text[at] == "\\" else 1
        return at + len(quotes)

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        self._skip()
        while self.text[self.at] != "]":
            element = (*path, index)
            self.offsets.setdefault(element, self.at)
            self._value(element)
            index += 1
            self._separator()
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        self._skip()
        while self.text[self.at] != "}":
            self._pair(path)
            self._separator()
        self.at += 1

    def _separator(self) -> None:
        self._skip()
        if self.text[self.at] == ",":
            self.at += 1
            self._skip()

    def _skip(self, characters: str = _BETWEEN) -> None:
        """Go to the next character that means something; comments count as space where lines may end."""
        while self.at < len(self.text):
            if self.text[self.at] in characters:
                self.at += 1
            elif self.text[self.at] == "#" and characters is _BETWEEN:
                self.at = self.text.index("\n", self.at)
            else:
                return
