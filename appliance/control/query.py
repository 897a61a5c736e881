"""The filter language of dead letters, tail and dump. Pure.

    dest:crm code:400 type:track user:u1 event:"Order*" age:>1h "connection refused"

Terms stand side by side and must all hold; a key that is given twice holds when either value does; `-` in front of a
term turns it round. Values match whole, without regard to case, `*` stands for anything; values with spaces stand in
quotes. A term without a key is looked for anywhere in the text of the thing. `age` takes `>` or `<` and a duration.
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from fnmatch import translate
from typing import Protocol

from appliance.core.errors import SternpostError
from appliance.core.units import parse_seconds

TEXT_CHARACTERS_MAX = 2_000
TERMS_MAX = 32
KEYS = {
    "dest": "name of the destination",
    "source": "name of the source",
    "type": "identify, track, page, screen, group, alias",
    "event": "name of a track event, or of a page or screen",
    "user": "userId or anonymousId",
    "id": "messageId",
    "code": "HTTP status in the reason",
    "stage": "deliver, process or load",
    "reason": "the reason, in words",
    "state": "outcome of a delivery: succeeded, failed, aborted",
    "age": "how long ago, such as >1h or <2d",
}
"""Every key and what it means; one that a thing does not have matches nothing."""
_TERM = re.compile(r'\s*(-?)(?:([a-zA-Z_]+):)?(?:"((?:[^"\\]|\\.)*)"|([^\s"]+))(?=\s|$)', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)


class QueryError(SternpostError):
    """The filter cannot be read; the text says where and how to write it."""


class Subject(Protocol):
    """A thing that a filter is asked about."""

    def values(self, key: str) -> Sequence[str]:
        """What it has under a key of `KEYS`; none where it has nothing."""
        ...

    def age_ms(self) -> int:
        """How long ago it came about."""
        ...

    def text(self) -> str:
        """All of it that people would search in."""
        ...


class Query:
    """A filter, ready to ask. An empty one matches everything."""

    __slots__ = ("_terms", "source")

    def __init__(self, source: str, terms: "list[_Term]") -> None:
        self.source, self._terms = source, terms

    def matches(self, subject: Subject) -> bool:
        """Whether all terms hold."""
        return all(term.holds(subject) for term in self._terms)

    @property
    def searches_text(self) -> bool:
        """Whether it looks into all of the text, payloads included."""
        return any(not term.key for term in self._terms)

    def __bool__(self) -> bool:
        return bool(self._terms)


class _Term:
    """One key with its alternatives."""

    __slots__ = ("_patterns", "age_max_ms", "age_min_ms", "key", "literals", "negated")

    def __init__(self, key: str, negated: bool) -> None:
        self.key, self.negated = key, negated
        self.literals: list[str] = []
        self._patterns: list[re.Pattern[str]] = []
        self.age_min_ms, self.age_max_ms = 0, 1 << 62

    def add(self, value: str) -> None:
        if self.key == "age":
            self._add_age(value)
        self.literals.append(value)
        self._patterns.append(re.compile(_translated(value), re.IGNORECASE))

    def _add_age(self, value: str) -> None:
        found = re.fullmatch(r"([<>])=?\s*(.+)", value)
        try:
            age_ms = round(parse_seconds(found[2]) * 1000) if found else -1
        except ValueError as error:
            raise QueryError(f"age: {error}") from None
        if found is None:
            raise QueryError(f"age:{value} needs < or >, such as age:>1h")
        if found[1] == ">":
            self.age_min_ms = max(self.age_min_ms, age_ms)
        else:
            self.age_max_ms = min(self.age_max_ms, age_ms)

    def holds(self, subject: Subject) -> bool:
        return self._found(subject) != self.negated

    def _found(self, subject: Subject) -> bool:
        if self.key == "age":
            return self.age_min_ms <= subject.age_ms() <= self.age_max_ms
        if not self.key:
            text = subject.text().lower()
            return any(literal.lower() in text for literal in self.literals)
        return any(pattern.match(value) for value in subject.values(self.key) for pattern in self._patterns)


def parse(text: str) -> Query:
    """Read a filter.

    Raises:
        QueryError: it cannot be read.
    """
    if len(text) > TEXT_CHARACTERS_MAX:
        raise QueryError(f"a filter has at most {TEXT_CHARACTERS_MAX} characters")
    terms: dict[tuple[str, bool, int], _Term] = {}
    at = 0
    stripped = text.rstrip()
    while at < len(stripped):
        found = _TERM.match(stripped, at)
        if found is None:
            raise QueryError(f"cannot read the filter from {_shown(stripped[at:])} on; a quote may be missing")
        at = found.end()
        key = (found[2] or "").lower()
        value = _ESCAPE.sub(r"\1", found[3]) if found[3] is not None else found[4]
        if key and key not in KEYS:
            raise QueryError(_unknown(key))
        # Bare words must all occur, so each is a term of its own.
        place = (key, bool(found[1]), 0 if key else len(terms))
        terms.setdefault(place, _Term(key, bool(found[1]))).add(value)
        if len(terms) > TERMS_MAX:
            raise QueryError(f"a filter has at most {TERMS_MAX} terms")
    return Query(text, list(terms.values()))


def _translated(value: str) -> str:
    """Our one wildcard; what fnmatch adds (`?`, `[`) is taken literally."""
    return translate(re.sub(r"[?\[]", lambda found: f"[{found[0]}]", value))


def _unknown(key: str) -> str:
    near = get_close_matches(key, KEYS, 1)
    hint = f'did you mean "{near[0]}:"?' if near else f"keys: {', '.join(KEYS)}"
    return f'there is no filter "{key}:" ({hint})'


def _shown(text: str) -> str:
    return f'"{text if len(text) <= 40 else text[:37] + "..."}"'
