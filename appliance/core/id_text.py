"""The text of an id: read from a JSON value as a client wrote it, and cleaned so that equal ids are equal. Pure."""

import math
import re

import msgspec

NUMBER_CHARACTERS_MAX = 1_000
"""A number of more characters is no id."""

_TEXT = msgspec.json.Decoder(str)
_NUMBER_STARTS = frozenset(b"%c" % character for character in b"-0123456789")
# Controls, format characters that show nothing, fillers and variation selectors; not those of category Cf that do show,
# such as Arabic number signs.
_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)


def text_of(value: bytes) -> str:
    """The text of a JSON string that is strict; "" for any other value."""
    return _TEXT.decode(value) if value[:1] == b'"' else ""


def id_of(value: bytes) -> str:
    """An id as text: 7.0 is "7" as in JavaScript; a number beyond a float's reach keeps its digits.

    What is neither a string nor a number counts as absent: "".
    """
    if value[:1] not in _NUMBER_STARTS:
        return text_of(value)
    if len(value) > NUMBER_CHARACTERS_MAX:
        return ""
    text = value.decode()
    number = float(text)
    if text.lstrip("-").isdigit() or not math.isfinite(number):
        return text
    return str(int(number)) if number.is_integer() and abs(number) < 1e21 else repr(number)


def clean_id(text: str) -> str:
    """An id as a key: trimmed, without characters that nobody sees."""
    if text.isascii() and text.isprintable():
        return text.strip()
    return _INVISIBLE.sub("", text).strip()
