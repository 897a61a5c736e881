"""A filter typed as words of the command line becomes one text again."""

from collections.abc import Sequence


def filter_text(given: str, words: Sequence[str]) -> str:
    """`given` and `words` as one filter; words that the shell unquoted are quoted again."""
    return " ".join([given.strip(), *map(_quoted, words)]).strip()


def _quoted(word: str) -> str:
    if not any(character.isspace() for character in word) or '"' in word:
        return word
    key, colon, value = word.partition(":")
    if colon and key.lstrip("-").isalpha():
        return f'{key}:"{_escaped(value)}"'
    return f'"{_escaped(word)}"'


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')
