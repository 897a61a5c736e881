"""JSON texts for property tests, written as many clients write them: any spacing, escapes, digits and key order."""

import json
import math
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DIGITS = st.sampled_from(["0", "-0", "7", "-1.50", "1e400", "1E-3", "9007199254740993", "7" * 4301, "0.1", "1.0"])
SCALARS = st.one_of(st.sampled_from(["true", "false", "null"]), DIGITS, st.builds(json.dumps, TEXT))
SPACE = st.text(st.sampled_from(" \t\r\n"), max_size=2)


def quoted(text: str, escaped: bool) -> str:
    """A JSON string; `escaped` writes every character as an escape."""
    if not escaped:
        return json.dumps(text, ensure_ascii=False)
    units = text.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2)) + '"'


KEYS = st.builds(
    quoted,
    st.one_of(TEXT, st.sampled_from(["type", "messageId", "batch", "", "context", "ip", "timestamp"])),
    st.booleans(),
)


@st.composite
def _object(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    pairs = draw(st.lists(st.tuples(KEYS, values), max_size=4))
    space = draw(SPACE)
    return "{" + space + f"{space},".join(f"{key}{space}:{space}{value}" for key, value in pairs) + "}"


@st.composite
def _array(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    space = draw(SPACE)
    return "[" + f"{space},{space}".join(draw(st.lists(values, max_size=4))) + space + "]"


VALUES: st.SearchStrategy[str] = st.recursive(SCALARS, lambda inner: _object(inner) | _array(inner), max_leaves=12)
"""The text of any JSON value."""
OBJECTS: st.SearchStrategy[str] = _object(VALUES)
"""The text of any JSON object; keys may come twice."""


class Number(str):
    """A number by its digits."""


def decoded(text: str | bytes) -> Any:
    """What strict JSON says: objects as lists of pairs, numbers by their digits.

    Raises:
        ValueError: it is no JSON, or has a lone surrogate, NaN or an infinity.
    """
    raw = text.encode() if isinstance(text, str) else text
    value = json.loads(
        raw.decode("utf-8"), object_pairs_hook=Pairs, parse_int=Number, parse_float=Number, parse_constant=_none
    )
    json.dumps(value, ensure_ascii=False).encode()
    return value


class Pairs(list[tuple[str, Any]]):
    """An object's members in order."""


def _none(name: str) -> float:
    raise ValueError(f"{name} is no JSON; {math.nan}")


def depth(value: Any) -> int:
    """How deep a decoded value is nested."""
    if isinstance(value, Pairs):
        return 1 + max((depth(inner) for _, inner in value), default=0)
    if isinstance(value, list):
        return 1 + max(map(depth, value), default=0)
    return 0
