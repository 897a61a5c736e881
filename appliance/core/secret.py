"""Secrets by reference: `env:NAME`, `file:PATH`; never printed, compared in constant time."""

import hmac
import os
from pathlib import Path

NAMES = ("authorization", "cookie", "token", "secret", "signature", "password", "apikey", "-key", "_key")
"""Parts of names, of headers and keys, whose values nobody is shown."""
TOKEN_CHARACTERS_MIN = 16
"""A token of the admin API that is shorter could be guessed."""


def names_a_secret(name: str) -> bool:
    """Whether a header or key of this name is taken to hold a secret."""
    lower = name.lower()
    return any(part in lower for part in NAMES)


class Secret:
    """A secret value that does not show itself in repr, logs or JSON.

    Raises:
        ValueError: from `resolve`, when the reference cannot be read; the text names the reference, never the value.
    """

    __slots__ = ("_reference", "_value")

    def __init__(self, value: str, reference: str = "") -> None:
        self._value, self._reference = value, reference

    @classmethod
    def resolve(cls, text: str, *, literal: bool = False) -> "Secret":
        """Read `env:NAME` or `file:PATH` (trailing newline dropped); other text only where `literal` is true."""
        if text.startswith("env:"):
            name = text[4:]
            if not os.environ.get(name):
                raise ValueError(f"the environment variable {name} is not set or empty")
            return cls(os.environ[name], text)
        if text.startswith("file:"):
            try:
                value = Path(text[5:]).expanduser().read_text(encoding="utf-8").rstrip("\r\n")
            except (OSError, UnicodeDecodeError) as error:
                raise ValueError(f"{text[5:]} cannot be read: {error.__class__.__name__}") from None
            if not value:
                raise ValueError(f"{text[5:]} is empty")
            return cls(value, text)
        if not literal:
            raise ValueError("a secret is given as env:NAME or file:PATH, never as a literal")
        return cls(text)

    def reveal(self) -> str:
        """The value itself; call it where it leaves the process, nowhere else."""
        return self._value

    def matches(self, candidate: str) -> bool:
        """Whether `candidate` is the value, in constant time."""
        return hmac.compare_digest(self._value.encode(), candidate.encode("utf-8", "surrogatepass"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._value)

    def __hash__(self) -> int:
        return hash(self._reference)

    def __repr__(self) -> str:
        return f"Secret({self._reference or 'literal, masked'})"

    __str__ = __repr__
