"""What becomes of an id's value before ids are compared: one spelling, or the reason why it is nobody's. Pure.

Every normaliser takes text and returns text, and its own output unchanged: what it returned once it returns again.
"""

import re
import unicodedata
from collections.abc import Callable

from appliance.core.id_text import clean_id

BYTES_MAX = 255
"""A longer value, in UTF-8, is no id: every id is kept for good."""

IS_BLOCKED = "is blocked: it is nobody's id"
IS_LONG = f"is longer than {BYTES_MAX} bytes"
IS_NO_TEXT = "is no valid Unicode"
IS_NO_EMAIL = "is no e-mail address"
IS_NO_PHONE = "is no phone number: 8 to 15 digits behind the country code's +"
IS_NATIONAL = "has no country code, and phone_country is not set in [identity]"
IS_NO_NUMBER = "holds other than digits"

NOBODY = frozenset(
    {
        "null", "(null)", "<null>", "undefined", "none", "(none)", "nil", "nan", "unknown", "anonymous", "guest",
        "not set", "(not set)", "n/a", "-1", "true", "false", "[object object]", "{}", "[]",
    }
)  # fmt: skip
"""What programs write where there is no id, in lower case; what is nothing but `ZEROS` comes on top."""
ZEROS = "0-._: "
"""Zeros and what stands between them: `0`, `---`, `00000000-0000-0000-0000-000000000000`, `00:00:00:00`."""

_EMAIL_PART = r'[^\s@"(),:;<>\[\\\]./]'
_EMAIL = re.compile(rf'[^\s@"(),:;<>\[\\\]]+@(?:{_EMAIL_PART}{{1,63}}\.)+{_EMAIL_PART}{{2,63}}')
_BETWEEN_DIGITS = re.compile(r"[\s().\-/\u2010-\u2015\u2212\u00b7]+")
_COUNTRY_KEEPS_ZERO = "39"
"""Italy: the zero belongs to the number. Source: ITU-T E.164, national numbering plans."""
_TEN_DIGITS = {"1": "1", "7": "78"}
"""Countries whose numbers have ten digits -> what may stand before these where the country code has no +."""


class LeftOut(ValueError):
    """A value that is no usable id; its words are the reason."""


def normaliser(kind: str, phone_country: str = "") -> Callable[[str], str]:
    """The function of a configured `normalise`.

    Args:
        kind: trim, lower, digits, email or phone.
        phone_country: calling code of phone numbers that have none; "": such numbers are left out.

    Returns:
        From a value to its one spelling, "" where nothing of it is left; it raises `LeftOut`, and nothing else.
    """
    if kind == "phone":
        return lambda text: phone(text, phone_country)
    return {"trim": clean_id, "lower": lower, "digits": digits, "email": email}[kind]


def lower(text: str) -> str:
    """Trimmed, in lower case."""
    return clean_id(text).lower()


def digits(text: str) -> str:
    """The digits of a number in groups, as on a card: `1234 5678` and `1234-5678` are one.

    Raises:
        LeftOut: it holds something else.
    """
    number = _BETWEEN_DIGITS.sub("", _plain_digits(clean_id(text)))
    if number and not number.isdecimal():
        raise LeftOut(IS_NO_NUMBER)
    return number


def email(text: str) -> str:
    """Trimmed, in lower case; a domain in another script stays as it is written.

    Raises:
        LeftOut: it does not look like an address: something before an @, a domain with a dot behind it.
    """
    address = lower(text)
    if address and not _EMAIL.fullmatch(address):
        raise LeftOut(IS_NO_EMAIL)
    return address


def phone(text: str, country: str = "") -> str:
    """A phone number as E.164 has it: `+`, country code, number, digits alone.

    Args:
        country: calling code of a number that has none. Such a number's leading zero is dropped, but in Italy.

    Raises:
        LeftOut: it is none, or has no country code and `country` is "".

    Source: ITU-T E.164, 6 (number structure: at most 15 digits); RFC 3966 for `tel:`.
    """
    written = _plain_digits(clean_id(text))
    if written[:4].lower() == "tel:":
        written = written[4:].lstrip()
    if written.startswith(("+", "00")):
        written = written.replace("(0)", "")
    number = _BETWEEN_DIGITS.sub("", written)
    if not number:
        return ""
    if number.startswith("00"):
        number = "+" + number[2:]
    if not number.startswith("+"):
        if not number.isdecimal():
            raise LeftOut(IS_NO_PHONE)
        if not country:
            raise LeftOut(IS_NATIONAL)
        number = f"+{country}{_national(number, country)}"
    figures = number[1:]
    if not figures.isdecimal() or not 8 <= len(figures) <= 15 or figures[0] == "0":
        raise LeftOut(IS_NO_PHONE)
    return number


def _national(number: str, country: str) -> str:
    """A number without what people dial before it within their country."""
    if country in _TEN_DIGITS:
        return number[1:] if len(number) == 11 and number[0] in _TEN_DIGITS[country] else number
    return number[1:] if number[0] == "0" and country != _COUNTRY_KEEPS_ZERO else number


def _plain_digits(text: str) -> str:
    """Digits of every script, and the wide plus, as ASCII has them."""
    if text.isascii():
        return text
    plain = (str(unicodedata.decimal(one, "")) if one.isdecimal() else one for one in text)
    return "".join(plain).replace("\uff0b", "+")
