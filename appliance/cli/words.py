"""A filter typed as words of the command line becomes one text again."""

import re
from collections.abc import Sequence

_FILTER = re.compile(r"-?[a-z]+:\S+(\s+-?[a-z]+:\S+)+")


def filter_text(given: str, words: Sequence[str]) -> str:
    """`given` and `words` as one filter; words that the shell unquoted are quoted again.

    One word that holds a whole filter (`'dest:crm code:400'`, quoted for the shell) stays what it is.
    """
    return " ".join([given.strip(), *map(_quoted, words)]).strip()


def _quoted(word: str) -> str:
    if not any(character.isspace() for character in word) or '"' in word or _FILTER.fullmatch(word.strip()):
        return word
    key, colon, value = word.partition(":")
    if colon and key.lstrip("-").isalpha():
        return f'{key}:"{_escaped(value)}"'
    return f'"{_escaped(word)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
