"""Cuts JSON text into its parts as written: for text that a decoder refuses, and for keys that must keep their escapes.

Nothing here recurses, so no nesting is too deep, and every function takes time linear in its input. Tokens that are no
JSON (`NaN`) pass as scalars: who needs valid text decodes the parts.
"""

import re
from collections.abc import Iterator

# An unclosed string runs to the end; else every quote in it would be tried, each with a look to the end.
_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_NESTING = re.compile(_STRING + rb"|[\[{]++|[\]}]++", re.DOTALL)
_KEY = re.compile(rb'[ \t\r\n]*("[^"\\]*+(?:\\.[^"\\]*+)*+")[ \t\r\n]*:[ \t\r\n]*', re.DOTALL)
_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s,\[\]{}":]++', re.DOTALL)
_NEXT = re.compile(rb"[ \t\r\n]*([,\]}])[ \t\r\n]*")
_SPACE = b" \t\r\n"


def nested_deeper(text: bytes, levels: int) -> bool:
    """Whether objects and arrays are nested in more than so many levels; `1` has none, `{}` and `[]` have one."""
    level = 0
    for token in _NESTING.finditer(text):
        first, length = text[token.start()], token.end() - token.start()
        if first in b"[{":
            level += length
            if level > levels:
                return True
        elif first in b"]}":
            level -= length
    return False


def members(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The members of an object in order, duplicates included: key with its quotes and value, both as written.

    Raises:
        ValueError: while iterating: the object's own punctuation is broken, or something stands behind it.
    """
    text = text.strip(_SPACE)
    at = 1
    if text[:1] != b"{":
        raise ValueError("not an object")
    if not text[1:].lstrip(_SPACE).startswith(b"}"):
        while True:
            key = _KEY.match(text, at)
            if key is None:
                raise ValueError(f"no key at byte {at}")
            end = _value_end(text, key.end())
            yield key[1], text[key.end() : end]
            is_last, at = _next(text, end, b"}")
            if is_last:
                break
    else:
        at = text.index(b"}") + 1
    if at != len(text):
        raise ValueError(f"more behind the object at byte {at}")


def elements(text: bytes) -> Iterator[bytes]:
    """The elements of an array in order, as written.

    Raises:
        ValueError: as `members`.
    """
    text = text.strip(_SPACE)
    if text[:1] != b"[":
        raise ValueError("not an array")
    at = len(text) - len(text[1:].lstrip(_SPACE))
    if text[at : at + 1] == b"]":
        at += 1
    else:
        while True:
            end = _value_end(text, at)
            yield text[at:end]
            is_last, at = _next(text, end, b"]")
            if is_last:
                break
    if at != len(text):
        raise ValueError(f"more behind the array at byte {at}")


def _next(text: bytes, at: int, closing: bytes) -> tuple[bool, int]:
    """Whether the object or array ends here, and where to go on."""
    found = _NEXT.match(text, at)
    if found is None or found[1] not in (b",", closing):
        raise ValueError(f"neither comma nor end at byte {at}")
    return found[1] == closing, found.end()


def _value_end(text: bytes, at: int) -> int:
    """Where the value that begins at `at` ends."""
    if text[at : at + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(text, at)
        if scalar is None:
            raise ValueError(f"no value at byte {at}")
        return scalar.end()
    level = 0
    for token in _NESTING.finditer(text, at):
        first, start, end = text[token.start()], token.start(), token.end()
        if first in b"[{":
            level += end - start
        elif first in b"]}":
            if level <= end - start:
                return start + level
            level -= end - start
    raise ValueError(f"unclosed at byte {at}")
