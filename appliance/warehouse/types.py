"""Values and their types: what a value is, and what becomes of one that meets a column of another type. Pure.

A number written with a point or an exponent that is an integer is an int (`1.0`, `1e3`), unless no 64 bits hold it.
Numbers keep all their digits until a column is too narrow for them. Those that no warehouse holds (more than 4,300
characters, or beyond 10 to the power of 10,000) are strings from the beginning.

Source: contract/warehouse.md, Types.
"""

import math
import re
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import msgspec

from appliance.warehouse.dialect import Dialect, Type

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
EXACT_MAX = 2**53
"""Integers up to it are floats without loss."""
_NUMBER_CHARACTERS_MAX = 4_300
_EXPONENT_MAX = 10_000
_FLOAT_CHARACTERS_MAX = 17
"""A number of so many characters is exactly the float that it is read as, and back."""

# Years 0 have no place in a calendar; what else is no day or hour `datetime` finds.
_INSTANT = re.compile(
    r"(?!0000)[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[Tt ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
)
_INSTANT_CHARACTERS_MAX = 64
_ENCODE = msgspec.json.Encoder(decimal_format="number").encode


class Json(str):
    """JSON text of a path that was declared to be JSON."""

    __slots__ = ()


Value = str | int | float | bool | Decimal
"""What a row holds; a `str` can be a `Json`.

Datetimes are texts, in UTC ISO 8601 with milliseconds: `2020-01-01T00:00:00.000Z`."""


class Discard(NamedTuple):
    """Why a value cannot stand in its column."""

    reason: str


TOO_BIG = Discard("the integer is beyond 64 bits")
TOO_BIG_FLOAT = Discard("the number is beyond the range of a float")
DIGITS = Discard("digits would be lost: the column is a float, the integer beyond 2^53")
OUT_OF_RANGE = Discard("the datetime is beyond what the warehouse holds")


def number(text: str) -> int | float | Decimal | str:
    """A JSON number that has a point or an exponent; as a decoder calls it."""
    if len(text) <= _FLOAT_CHARACTERS_MAX:
        value = float(text)
        if not value.is_integer():
            return value if math.isfinite(value) else _exact(text)
        if value and -EXACT_MAX <= value <= EXACT_MAX:
            return int(value)
    return _exact(text)  # Zero too: the text may be too small for a float.


def integer(text: str) -> int | str:
    """A JSON number of digits alone."""
    return int(text) if len(text) <= _NUMBER_CHARACTERS_MAX else text


def _exact(text: str) -> int | Decimal | str:
    if len(text) > _NUMBER_CHARACTERS_MAX:
        return text
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    if not value:
        return 0
    if abs(value.adjusted()) > _EXPONENT_MAX:
        return text
    if abs(value) < 2**63 and value == value.to_integral_value():
        return int(value)
    return value


def instant(text: str) -> str | None:
    """The datetime that a string is; None where it is none.

    ISO 8601: a date, or a date with a time of at least hours and minutes, behind a T or a space, perhaps with a zone;
    without one it is UTC. Years 1 to 9999, in UTC as well. Digits behind milliseconds are cut off.
    """
    if text[4:5] != "-" or len(text) > _INSTANT_CHARACTERS_MAX or _INSTANT.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text.upper())
        if len(text) == 24 and text[10] == "T" and text[23] == "Z":
            return text
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"


def typed(value: Value, dialect: Dialect) -> tuple[Type, Value]:
    """A value's own type, and the value as columns of that type hold it."""
    kind = type(value)
    if kind is str:
        assert isinstance(value, str)
        moment = instant(value)
        return ("string", value) if moment is None else ("datetime", moment)
    if kind is Json:
        return ("json", value) if dialect.has_json else ("string", str(value))
    return _TYPES[kind], value


_TYPES: dict[type, Type] = {bool: "boolean", int: "int", float: "float", Decimal: "float"}


def converted(value: Value, given: Type, wanted: Type, dialect: Dialect) -> Value | Discard:
    """A value of one type as a column of another holds it, or why it cannot.

    Anything becomes a string; an int becomes a float; a scalar becomes JSON. What is lost in between is said.
    """
    if wanted in ("string", "text"):
        return text_of(value)
    if wanted == "json":
        return value if given == "json" else Json(_ENCODE(value).decode())
    if given == wanted == "int":
        return value if isinstance(value, int) and INT_MIN <= value <= INT_MAX else TOO_BIG
    if wanted == "float" and given in ("int", "float"):
        return _float(value, dialect)
    if given == wanted == "datetime":
        return value if dialect.earliest <= str(value) <= dialect.latest else OUT_OF_RANGE
    if given == wanted:
        return value
    return _mismatch(given, wanted)


def _mismatch(given: Type, wanted: Type) -> Discard:
    return Discard(f"the column is {wanted}, the value {given}")


def _float(value: Value, dialect: Dialect) -> Value | Discard:
    if dialect.is_decimal or type(value) is float:
        return value
    try:
        nearest = float(value)
    except OverflowError:
        return TOO_BIG_FLOAT
    if math.isinf(nearest):
        return TOO_BIG_FLOAT
    if isinstance(value, int) and nearest != value:
        return DIGITS
    return nearest


def text_of(value: Value) -> str:
    """A value as a string column holds it, as JSON would write it but for the quotes of a string."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return str(value).replace("E", "e")
    return repr(value)
