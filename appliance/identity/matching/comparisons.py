"""What is compared of two people, and how alike it can be: levels with words, SQL, and what is expected of them.

A level's `match` and `chance` are what one expects before looking at the data: how often two records of one person
stand at it, and how often two strangers do. What the data says outweighs them (see `model`).
"""

from collections.abc import Mapping
from typing import NamedTuple


class Level(NamedTuple):
    """One degree of likeness; a pair stands at the first level of its trait whose condition holds."""

    words: str
    """As a reviewer reads it; `same` and `alike` say of what in front of it."""
    condition: str
    match: float
    chance: float
    frequency: str = ""
    """Column by whose value this level is weighed: a rare name that agrees says more than a frequent one."""


class Trait(NamedTuple):
    """One comparison: independent of the others, so far as people are."""

    name: str
    shown: tuple[str, ...]
    """Columns whose values a reviewer sees; by the first of them one learns of the other traits."""
    missing: str
    """Condition under which the pair says nothing."""
    levels: tuple[Level, ...]
    personal: tuple[str, ...] = ()
    """Words of the levels that speak for one person, where others would fit a household."""
    household: tuple[str, ...] = ()
    """Words of the levels at which everyone of a household stands."""


def compared(filled: Mapping[str, int], several: Mapping[str, int]) -> list[Trait]:
    """The traits to compare, where at least two people have them.

    Args:
        filled: people with a value, by column.
        several: people with more than one value, by column.
    """
    here = {column for column, people in filled.items() if people >= 2}
    many = {column for column in here if several.get(column)}
    makers = {
        "first_name": _first_name, "last_name": _last_name, "email": _email, "phone": _phone, "birthday": _birthday,
    }  # fmt: skip
    traits = [make(many, here) for column, make in makers.items() if column in here]
    return traits + ([_address(many, here)] if here & {"street", "postcode", "city"} else [])


def _first_name(many: set[str], here: set[str]) -> Trait:
    swapped = (
        Level("swapped with the last name", "first_name_l = last_name_r AND last_name_l = first_name_r", 0.02, 1e-6),
        Level("swapped with the last name, and alike", _SWAPPED, 0.01, 1e-6),
    )
    alike = [
        Level("alike", "jaro_winkler_similarity(first_name_l, first_name_r) >= 0.88", 0.11, 0.005),
        Level("abbreviated", _INITIAL, 0.03, 0.005),
        Level("a little alike", "jaro_winkler_similarity(first_name_l, first_name_r) >= 0.75", 0.03, 0.03),
    ]
    return Trait(
        "first name",
        ("first_name",),
        _missing("first_name"),
        (
            _same("first_name", 0.72),
            *(swapped if "last_name" in here else ()),
            *_another("first_name", many),
            *alike,
            _else(0.05),
        ),
        ("same", *(level.words for level in swapped), "one of several the same", "alike", "abbreviated"),
    )


def _last_name(many: set[str], here: set[str]) -> Trait:
    # Swapped names are weighed once, with the first name.
    missing = f"{_missing('last_name')} OR ({_SWAPPED})" if "first_name" in here else _missing("last_name")
    alike = [
        Level("alike", "jaro_winkler_similarity(last_name_l, last_name_r) >= 0.88", 0.12, 0.003),
        Level("a little alike", "jaro_winkler_similarity(last_name_l, last_name_r) >= 0.75", 0.03, 0.02),
    ]
    levels = (_same("last_name", 0.75), *_another("last_name", many), *alike, _else(0.08))
    return Trait("last name", ("last_name",), missing, levels)


def _email(many: set[str], here: set[str]) -> Trait:
    mailbox = [Level("another provider, the same name", "mailbox_l = mailbox_r", 0.2, 1e-5, "mailbox")]
    # A slip, but none in a number: ann.smith2 and ann.smith3 are two people. What is more alike is so for its names.
    digits = "regexp_replace(email_{}, '[^0-9]', '', 'g')"
    slip = (
        "left(email_l, 3) = left(email_r, 3) AND damerau_levenshtein(email_l, email_r) <= 1 "
        f"AND {digits.format('l')} = {digits.format('r')}"
    )
    alike = Level("alike", slip, 0.1, 1e-5)
    levels = (
        _same("email", 0.3),
        *_another("email", many),
        *(mailbox if "mailbox" in here else []),
        alike,
        _else(0.4),
    )
    personal = ("same", "one of several the same", "another provider, the same name")
    return Trait("e-mail", ("email",), _missing("email"), levels, personal)


def _phone(many: set[str], here: set[str]) -> Trait:
    alike = Level("alike", "damerau_levenshtein(phone_l, phone_r) <= 1", 0.08, 1e-5)
    levels = (_same("phone", 0.6), *_another("phone", many), alike, _else(0.32))
    return Trait("phone", ("phone",), _missing("phone"), levels, household=("same", "one of several the same"))


def _birthday(many: set[str], here: set[str]) -> Trait:
    # One key mistyped, two keys swapped, or day and month the other way round.
    mistyped = (
        "damerau_levenshtein(birthday_l, birthday_r) <= 1 OR birthday_l = "
        "left(birthday_r, 4) || substr(birthday_r, 7, 2) || substr(birthday_r, 5, 2)"
    )
    alike = [
        Level("alike", mistyped, 0.12, 1e-3),
        Level("a little alike", "damerau_levenshtein(birthday_l, birthday_r) <= 2", 0.03, 0.01),
    ]
    levels = (_same("birthday", 0.8), *_another("birthday", many), *alike, _else(0.05))
    return Trait("birthday", ("birthday",), _missing("birthday"), levels, ("same", "one of several the same", "alike"))


def _address(many: set[str], here: set[str]) -> Trait:
    """Street, postcode and city are one trait: who shares the street shares the rest, which says nothing more."""
    columns = tuple(column for column in ("street", "postcode", "city") if column in here)
    country = "coalesce(country_l = country_r, true)" if "country" in here else "true"
    agrees = {column: _agrees(column, many) for column in columns}
    near = "jaro_winkler_similarity(street_l, street_r) >= 0.9"
    place = " OR ".join(agrees[column] for column in columns if column != "street")
    levels = []
    if "street" in here and place:
        levels.append(Level("same", f"{agrees['street']} AND ({place})", 0.55, 1e-6, "street"))
    if "street" in here:
        levels.append(Level("the same street", agrees["street"], 0.1, 1e-5, "street"))
    if "street" in here and place:
        levels.append(Level("alike", f"({place}) AND {near}", 0.1, 1e-5))
    if "street" in here:
        levels.append(Level("a little alike", near, 0.05, 1e-3))
    if "postcode" in here:
        levels.append(Level("the same postcode", f"{agrees['postcode']} AND {country}", 0.05, 1e-3, "postcode"))
    if "city" in here:
        levels.append(Level("the same city", f"{agrees['city']} AND {country}", 0.05, 1e-2, "city"))
    missing = " AND ".join(f"({_missing(column)})" for column in columns)
    return Trait("address", columns, missing, (*levels, _else(0.1)), household=("same", "the same street", "alike"))


_SWAPPED = (
    "left(first_name_l, 1) = left(last_name_r, 1) AND left(last_name_l, 1) = left(first_name_r, 1) "
    "AND jaro_winkler_similarity(first_name_l, last_name_r) >= 0.88 "
    "AND jaro_winkler_similarity(last_name_l, first_name_r) >= 0.88"
)
_INITIAL = "least(length(first_name_l), length(first_name_r)) = 1 AND left(first_name_l, 1) = left(first_name_r, 1)"


def _same(column: str, match: float) -> Level:
    return Level("same", f"{column}_l = {column}_r", match, 1e-3, column)


def _another(column: str, many: set[str]) -> list[Level]:
    """A level for people with several values; nothing where nobody has."""
    return [Level("one of several the same", _agrees(column, many), 0.05, 1e-4)] if column in many else []


def _agrees(column: str, many: set[str]) -> str:
    return f"list_has_any({column}_all_l, {column}_all_r)" if column in many else f"{column}_l = {column}_r"


def _missing(column: str) -> str:
    return f"{column}_l IS NULL OR {column}_r IS NULL"


def _else(match: float) -> Level:
    return Level("unlike", "ELSE", match, 0.95)
