"""An event's JSON, decoded so that numbers keep their digits and every text can be stored. Pure."""

import json
from typing import Any

import msgspec

from appliance.core import json_text
from appliance.warehouse.errors import TOO_DEEP, Unmappable
from appliance.warehouse.types import integer, number

LEVELS_MAX = 200
"""Deeper nesting is refused: decoders would run out of stack."""


class Given(msgspec.Struct, rename="camel", gc=False):
    """What a warehouse wants to know of an event; None: not there. Values are anything that JSON can say."""

    message_id: Any = None
    anonymous_id: Any = None
    user_id: Any = None
    channel: Any = None
    event: Any = None
    name: Any = None
    group_id: Any = None
    previous_id: Any = None
    sent_at: Any = None
    timestamp: Any = None
    received_at: Any = None
    original_timestamp: Any = None
    request_ip: Any = msgspec.field(default=None, name="request_ip")
    context: Any = None
    properties: Any = None
    user_properties: Any = None
    traits: Any = None
    merge_properties: Any = None


_DECODE = msgspec.json.Decoder(Given, float_hook=number).decode
_REPLACED = "\ufffd"


def read(raw: bytes, *, holds_nul: bool) -> Given:
    """The event, its values decoded to what `types.Value` names, None, lists and dicts.

    Numbers with a point or an exponent are as `types.number` reads them. What cannot be stored as UTF-8 (lone
    surrogates, bytes that are none) is U+FFFD, and so is U+0000 where the warehouse does not hold it.

    Raises:
        Unmappable: it is no JSON object, or nested too deeply.
    """
    if holds_nul or b"\\u0000" not in raw:
        try:
            return _DECODE(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # Perhaps the standard library, which forgives more, can make something of it.
    return msgspec.convert(_read_slowly(raw, holds_nul=holds_nul), Given)


def _read_slowly(raw: bytes, *, holds_nul: bool) -> dict[str, Any]:
    if json_text.nested_deeper(raw, LEVELS_MAX):
        raise Unmappable(TOO_DEEP)
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
