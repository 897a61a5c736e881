"""Traits in a form that can be compared, and the keys under which people are looked for. Pure."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

VALUES_MAX = 5
"""Values of one trait that are compared, newest first."""
CHARACTERS_MAX = 100

COLUMNS = ("first_name", "last_name", "email", "mailbox", "phone", "birthday", "street", "postcode", "city", "country")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NOTHING = _words("null none nil nan undefined unknown anonymous guest test na n a 0") | {"n a"}
_TITLES = _words("mr mrs ms miss dr prof sir herr frau mme mlle sr sra")
_PARTICLES = _words("van von de der den del della di da dos du la le el al bin ibn st saint ter ten zu")
_ROLES = _words(
    "info admin administrator office contact sales support mail email hello help noreply no-reply test me webmaster "
    "postmaster billing accounts team service kontakt"
)
_STREETS = {
    "street": "st", "road": "rd", "avenue": "ave", "av": "ave", "lane": "ln", "drive": "dr", "court": "ct",
    "place": "pl", "boulevard": "blvd", "crescent": "cr", "circuit": "cct", "close": "cl", "terrace": "tce",
    "square": "sq", "highway": "hwy", "parade": "pde", "apartment": "apt", "strasse": "str",
}  # fmt: skip
_SOUNDS = {
    letter: code
    for code, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), 1)
    for letter in letters
}  # fmt: skip
_BETWEEN_WORDS = re.compile(r"[^\w]|_")
_NAME_LETTERS_MIN = 2


class Row(NamedTuple):
    """One person, ready to be compared: every value of every column, newest first, and the keys."""

    person: str
    values: dict[str, list[str]]
    keys: list[str]


def comparable(person: str, traits: Mapping[str, Sequence[str]]) -> Row | None:
    """A person's traits in comparable form; None where there is nothing to compare."""
    firsts, lasts = _names(traits)
    emails = _distinct(email_form(value) for value in _some(traits, "email"))
    mailboxes = [mailbox_form(email) for email in emails]
    streets = _some(traits, "street") or _some(traits, "address")
    values = {
        "first_name": firsts,
        "last_name": lasts,
        "email": emails,
        "mailbox": _distinct(box for box in mailboxes if not _says_the_name(box, firsts, lasts)),
        "phone": _distinct(phone_form(value) for value in _some(traits, "phone")),
        "birthday": _distinct(birthday_form(value) for value in _some(traits, "birthday")),
        "street": _distinct(street_form(value) for value in streets),
        "postcode": _distinct(text_form(value).replace(" ", "") for value in _some(traits, "postcode")),
        "city": _distinct(text_form(value) for value in _some(traits, "city")),
        "country": _distinct(text_form(value) for value in _some(traits, "country")),
    }
    return Row(_clean(person), values, _keys(values)) if any(values.values()) else None


def text_form(text: str) -> str:
    """Lower case, no accents, words apart by one space, nothing but letters and digits; "" for `null` and the like."""
    plain = _clean(text)[:CHARACTERS_MAX].casefold()
    if not plain.isascii():
        # Twice, since what a sign is taken apart into may have upper case and accents of its own, as in a `SM` mark.
        plain = _taken_apart(_taken_apart(plain).casefold())
    words = _BETWEEN_WORDS.sub(" ", plain)
    form = " ".join(words.split())[:CHARACTERS_MAX].rstrip()
    return "" if form in _NOTHING else form


def _taken_apart(text: str) -> str:
    return "".join(sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign))


def name_form(text: str) -> str:
    """A first or last name without apostrophes, so that O'Brien is obrien."""
    form = text_form(re.sub("['\u2019`]", "", text[:CHARACTERS_MAX]))
    return " ".join(word for word in form.split() if word not in _TITLES) or form


def split_name(text: str) -> tuple[str, str]:
    """First and last name of a full name: `Smith, Ann` and `Ann Smith`; one word alone is a first name.

    Middle names are left out; `van`, `de` and the like begin a last name.
    """
    before, comma, after = text[:CHARACTERS_MAX].partition(",")
    if comma and after.strip():
        return name_form(after).partition(" ")[0], name_form(before)
    words = name_form(text).split()
    if len(words) < 2:
        return (words[0] if words else ""), ""
    start = next((index for index, word in enumerate(words[1:-1], 1) if word in _PARTICLES), len(words) - 1)
    return words[0], " ".join(words[start:])


def email_form(text: str) -> str:
    """An address without `+tag`, dots of Gmail's names gone; "" for what is none."""
    local, at, domain = _clean(text)[: 2 * CHARACTERS_MAX].strip().casefold().rpartition("@")
    local = local.partition("+")[0]
    domain = {"googlemail.com": "gmail.com"}.get(domain, domain)
    if domain == "gmail.com":
        local = local.replace(".", "")
    return f"{local}@{domain}" if at and local and "." in domain and "@" not in local and " " not in local else ""


def mailbox_form(email: str) -> str:
    """What stands before the @, bare of dots; "" where it names an office or next to nothing."""
    local = email.partition("@")[0]
    bare = re.sub(r"[^\w]|_", "", local)
    return "" if local in _ROLES or len(bare) < 5 else bare


def phone_form(text: str) -> str:
    """The last nine digits: the country's code and the trunk's zero are written by some and not by others."""
    digits = "".join(sign for sign in text[:CHARACTERS_MAX] if sign in "0123456789").lstrip("0")
    return digits[-9:] if len(digits) >= 7 and len(set(digits)) > 1 else ""


def birthday_form(text: str) -> str:
    """YYYYMMDD; of `3/4/1990` the month is first, of `3.4.1990` the day; "" for what is no date at all.

    A mistyped month (19901349) stays as it is: it is still like the true one.
    """
    text = text[:CHARACTERS_MAX].strip()
    if match := re.match(r"(\d{4})[-/.]?(\d{2})[-/.]?(\d{2})(?!\d)", text, re.ASCII):
        return "".join(match.groups())
    if match := re.match(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?!\d)", text, re.ASCII):
        return f"{match[1]}{int(match[2]):02}{int(match[3]):02}"
    if match := re.match(r"(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4})(?!\d)", text, re.ASCII):
        first, second = int(match[1]), int(match[3])
        month, day = (second, first) if match[2] != "/" or first > 12 else (first, second)
        return f"{match[4]}{month:02}{day:02}"
    return ""


def street_form(text: str) -> str:
    """A street with its number, common words cut as people cut them."""
    words = (_STREETS.get(word, word) for word in text_form(text).split())
    return " ".join(re.sub(r"strasse$", "str", word) for word in words)


def sound(word: str) -> str:
    """Soundex, of whatever letters; "" for an empty word."""
    code, last = word[:1], _SOUNDS.get(word[:1], 0)
    for letter in word[1:]:
        sounds = _SOUNDS.get(letter, 0)
        if sounds and sounds != last:
            code += str(sounds)
        if letter not in "hw":
            last = sounds
    return code[:4]


def _names(traits: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """First and last names; the parts of a full name where one is missing."""
    firsts = _distinct(name_form(value) for value in _some(traits, "first_name"))
    lasts = _distinct(name_form(value) for value in _some(traits, "last_name"))
    if firsts and lasts:
        return firsts, lasts
    split = [split_name(value) for value in _some(traits, "name")]
    return firsts or _distinct(first for first, _ in split), lasts or _distinct(last for _, last in split)


def _keys(values: dict[str, list[str]]) -> list[str]:
    """Under what a person is looked for: two people are compared where they share one.

    Each key is of two traits or of a telling one, so that a mistake in any one trait leaves others.
    """
    keys: set[str] = set()
    keys.update(f"email {value}" for value in values["email"])
    keys.update(f"mailbox {value}" for value in values["mailbox"])
    keys.update(f"phone {value}" for value in values["phone"])
    keys.update(f"birthday {value}" for value in values["birthday"])
    keys.update(f"street {value}" for value in values["street"] if " " in value)
    firsts, lasts = _sounds(values["first_name"]), _sounds(values["last_name"])
    places = [f"in {place}" for place in (*values["postcode"][:2], *values["city"][:2])]
    years = [value[:4] for value in values["birthday"][:2]] + [f"day {value[4:]}" for value in values["birthday"][:2]]
    for name in (*firsts, *lasts):  # either may have been written in the other's place
        keys.update(f"{name} {where}" for where in (*places, *years))
    keys.update(" ".join(sorted((first, last))) for first in firsts for last in lasts)
    keys.update(f"{code} {birthday[:6]}" for code in values["postcode"][:2] for birthday in values["birthday"][:2])
    return sorted(keys)


def _says_the_name(mailbox: str, firsts: list[str], lasts: list[str]) -> bool:
    """Whether a mailbox is the person's name and nothing else: then it is no evidence beside the name."""
    names = {name.replace(" ", "") for name in (*firsts, *lasts)}
    parts = {"", *names, *(name[0] for name in names)}
    return any(one + other == mailbox for one in parts for other in parts)


def _sounds(names: list[str]) -> list[str]:
    return _distinct(sound(name.replace(" ", "")) for name in names[:2] if len(name) >= _NAME_LETTERS_MIN)


def _some(traits: Mapping[str, Sequence[str]], name: str) -> Sequence[str]:
    return traits.get(name, ())[: 2 * VALUES_MAX]


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))[:VALUES_MAX]


def _clean(text: str) -> str:
    """Text that UTF-8 and a column can hold."""
    return text if text.isascii() and "\0" not in text else text.encode("utf-8", "ignore").decode().replace("\0", "")
