"""An event's JSON, decoded so that numbers keep their digits and every text can be stored. Pure."""

import json
from typing import Any

import msgspec

from appliance.core import json_text
from appliance.warehouse.types import integer, number

LEVELS_MAX = 200
"""Deeper nesting is refused: decoders would run out of stack."""

_DECODE = msgspec.json.Decoder(dict[str, Any], float_hook=number).decode
_REPLACED = "\ufffd"


class Unmappable(Exception):
    """The event has no rows; it becomes a dead letter with this reason. The same words for the same cause."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read(raw: bytes, *, holds_nul: bool) -> dict[str, Any]:
    """The event as a dict of what `types.Value` names, None, lists and dicts.

    Numbers with a point or an exponent are as `types.number` reads them. What cannot be stored as UTF-8 (lone
    surrogates, bytes that are none) is U+FFFD, and so is U+0000 where the warehouse does not hold it.

    Raises:
        Unmappable: it is no JSON object, or nested too deeply.
    """
    try:
        event = _DECODE(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_slowly(raw, holds_nul=holds_nul)
    if not holds_nul and b"\\u0000" in raw:
        if json_text.nested_deeper(raw, LEVELS_MAX):
            raise Unmappable("nested too deeply")
        event = _cleaned(event, holds_nul=False)
    return event


def _read_slowly(raw: bytes, *, holds_nul: bool) -> dict[str, Any]:
    """As `read`, by the standard library, which forgives more."""
    if json_text.nested_deeper(raw, LEVELS_MAX):
        raise Unmappable("nested too deeply")
    try:
        text = raw.decode("utf-8", "replace")
        event = json.loads(text, parse_float=number, parse_int=integer, parse_constant=lambda name: None, strict=False)
    except ValueError as error:
        raise Unmappable("not JSON") from error
    if not isinstance(event, dict):
        raise Unmappable("not a JSON object")
    cleaned: dict[str, Any] = _cleaned(event, holds_nul=holds_nul)
    return cleaned


def _cleaned(value: Any, *, holds_nul: bool) -> Any:
    """The value with all its texts, keys too, as they can be stored."""
    if isinstance(value, str):
        if not value.isascii():
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value if holds_nul else value.replace("\0", _REPLACED)
    if isinstance(value, dict):
        return {
            _cleaned(key, holds_nul=holds_nul): _cleaned(inner, holds_nul=holds_nul) for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_cleaned(inner, holds_nul=holds_nul) for inner in value]
    return value
