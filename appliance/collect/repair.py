"""The second, slower parser: reads what clients send that is almost JSON, and changes nothing but what is broken.

Bare `NaN` and infinities become null, lone surrogates U+FFFD, a byte order mark is dropped. In a batch every event is
looked at on its own, so one that is nested too deeply for a decoder costs only itself. Runs in a worker thread.

Source: contract/http.md, What real clients do, point 9.
"""

import re
from collections.abc import Iterator

from appliance.collect import parse
from appliance.collect.parse import Envelope, Limits, Parsed
from appliance.core import json_text
from appliance.core.event import REPAIRED
from appliance.core.id_text import text_of

# A string, to be left alone, or a number that is none.
_NUMBER = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|-?(?:NaN|Infinity)', re.DOTALL)
# A backslash with what belongs to it: a pair of surrogates, a lone one (group 1), anything else.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"


class _TooMany(Exception):
    """More events than a batch may have."""


def parse_event(body: bytes, type: str, envelope: Envelope, limits: Limits) -> Parsed:
    """As `parse.parse_event`, for a body that it could not read."""
    body = body.strip(_SPACE)
    if json_text.nested_deeper(body, limits.depth_max):
        return parse.refused(parse.TOO_DEEP, body)
    text = repaired(body)
    if not parse.is_strict(text):
        return parse.refused(parse.INVALID_JSON, body)
    parsed = parse.take_one(text, 0 if text == body else REPAIRED, type, envelope, limits)
    return parsed if parsed.records else parse.refused(parsed.refused[0][0], body)


def parse_batch(body: bytes, envelope: Envelope, limits: Limits) -> Parsed:
    """As `parse.parse_batch`, for a body that it could not read."""
    text = body.strip(_SPACE).removeprefix(_BYTE_ORDER_MARK)
    try:
        text.decode()
        outer = dict(_outer(text, limits))
        events = outer.get(b'"batch"', b"null")
        if events[:1] != b"[":
            return parse.refused(parse.EMPTY_BATCH, body)
        envelope = envelope.sent(text_of(outer.get(b'"sentAt"', b"")))
        parsed = parse.take(_events(events, limits), envelope, limits)
    except _TooMany:
        return parse.refused(parse.TOO_MANY, body)
    except ValueError as error:
        return parse.refused(parse.INVALID_JSON._replace(detail=str(error)), body)
    return parsed if parsed.records or parsed.refused_count else parse.refused(parse.EMPTY_BATCH, body)


def repaired(text: bytes) -> bytes:
    """The text with what is broken replaced; everything else keeps its bytes."""
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if b"\\ud" in text or b"\\uD" in text:
        text = _ESCAPE.sub(lambda found: b"\\ufffd" if found[1] else found[0], text)
    if b"NaN" in text or b"Infinity" in text:
        text = _NUMBER.sub(lambda found: found[0] if found[0][:1] == b'"' else b"null", text)
    return text


def _outer(text: bytes, limits: Limits) -> Iterator[tuple[bytes, bytes]]:
    """The members of the batch's object, repaired, but for the batch itself; ValueError where one is no JSON."""
    for key, value in json_text.members(text):
        if key != b'"batch"':
            value = repaired(value)
            if json_text.nested_deeper(value, limits.depth_max) or not parse.is_strict(value):
                raise ValueError(f"broken at {key[:100].decode(errors='replace')}")
        yield key, value


def _events(text: bytes, limits: Limits) -> Iterator[tuple[bytes, int]]:
    """Each event and its repair flag; ValueError where one cannot be repaired."""
    for index, raw in enumerate(json_text.elements(text)):
        if index == parse.EVENTS_MAX:
            raise _TooMany
        if parse.is_strict(raw) or json_text.nested_deeper(raw, limits.depth_max):
            yield raw, 0
            continue
        mended = repaired(raw)
        if not parse.is_strict(mended):
            raise ValueError(f"event {index} of the batch is broken")
        yield mended, REPAIRED
