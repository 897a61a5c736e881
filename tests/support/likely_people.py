"""Made-up people for matching: households, frequent and rare names, and known duplicates with the mistakes people make."""

import itertools
import random
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

from appliance.identity.matching.suggest import Candidate

_SYLLABLES = [a + b + c for a in "bcdfghjklmnprstvw" for b in "aeiou" for c in ("", "l", "n", "r", "s", "th")]
_STREETS = ["High", "Station", "Church", "Mill", "Park", "Queen", "King", "Victoria", "Green", "Manor", "New", "Albert"]
_KINDS = ["Street", "Road", "Avenue", "Lane", "Close", "Drive"]
_PROVIDERS = ["gmail.com", "outlook.com", "yahoo.com", "example.org", "example.net", "icloud.com"]

Traits = dict[str, list[str]]


class People(NamedTuple):
    """Candidates in the order of their ids, and which pairs of them are one person (ids in order)."""

    candidates: list[Candidate]
    same: set[tuple[str, ...]]


def people(count: int, *, duplicates: int, seed: int = 1) -> People:
    """`count` people in households of one to five, and `duplicates` more records of some of them."""
    chance = random.Random(seed)
    originals = [traits for household in _households(chance, count) for traits in household][:count]
    records = [(number, traits) for number, traits in enumerate(originals)]
    for number in chance.choices(range(count), k=duplicates):
        records.append((number, _again(chance, originals[number])))
    chance.shuffle(records)
    return pairs_within([(f"p{place:07}", str(number), traits) for place, (number, traits) in enumerate(records)])


def pairs_within(records: list[tuple[str, str, Traits]]) -> People:
    """Candidates of (id, whose record it is, traits), and every pair of records that is of one person."""
    by_person = defaultdict[str, list[str]](list)
    for identity, person, _ in records:
        by_person[person].append(identity)
    same = {tuple(sorted(pair)) for ids in by_person.values() for pair in itertools.combinations(ids, 2)}
    return People([Candidate(identity, traits) for identity, _, traits in records], same)


def _households(chance: random.Random, count: int) -> Iterator[list[Traits]]:
    """Everyone of a household has its last name, its address and, half of the time, its telephone."""
    firsts = [_word(chance, 2) for _ in range(400)]
    lasts = [_word(chance, 3) for _ in range(4000)]
    places = [(_word(chance, 3), f"{number:05}") for number in chance.sample(range(1000, 99999), 300)]
    made = 0
    while made < count:
        last = lasts[int(50 * (81 ** chance.random() - 1))]  # a few are frequent, most are rare
        city, postcode = chance.choice(places)
        street = f"{chance.randrange(1, 200)} {chance.choice(_STREETS)} {chance.choice(_KINDS)}"
        shared = f"+44 7{chance.randrange(10**8, 10**9)}"
        household = []
        for first in chance.sample(firsts, chance.choice((1, 1, 2, 2, 3, 4, 5))):
            phone = shared if chance.random() < 0.5 else f"+44 7{chance.randrange(10**8, 10**9)}"
            birthday = f"{chance.randrange(1940, 2005)}-{chance.randrange(1, 13):02}-{chance.randrange(1, 29):02}"
            mailbox = f"{first}.{last}{chance.randrange(100)}"
            email = f"{mailbox}@{chance.choice(_PROVIDERS)}"
            values = {
                "first_name": first, "last_name": last, "email": email, "phone": phone, "birthday": birthday,
                "street": street, "city": city, "postcode": postcode, "country": "GB",
            }  # fmt: skip
            household.append({name: [value.title() if "name" in name else value] for name, value in values.items()})
        made += len(household)
        yield household


def _again(chance: random.Random, traits: Traits) -> Traits:
    """The same person, written down once more: another e-mail, a slip here and there, some things not said."""
    again = {name: list(values) for name, values in traits.items()}
    mailbox = again["email"][0].partition("@")[0]
    again["email"] = [f"{mailbox if chance.random() < 0.4 else _word(chance, 4)}@{chance.choice(_PROVIDERS)}"]
    for name, share in (
        ("first_name", 0.12),
        ("last_name", 0.12),
        ("street", 0.12),
        ("birthday", 0.05),
        ("phone", 0.05),
    ):
        if chance.random() < share:
            again[name] = [_slip(chance, again[name][0])]
    if chance.random() < 0.05:
        again["first_name"], again["last_name"] = again["last_name"], again["first_name"]
    if chance.random() < 0.1:
        again["first_name"] = [again["first_name"][0][0]]
    if chance.random() < 0.15:
        again["phone"] = [f"07{chance.randrange(10**8, 10**9)}"]
    for name, share in (("birthday", 0.3), ("phone", 0.3), ("street", 0.2), ("email", 0.2)):
        if chance.random() < share:
            del again[name]
    return again


def _slip(chance: random.Random, text: str) -> str:
    """One character lost, doubled, swapped with its neighbour or replaced by one of its kind."""
    at = chance.randrange(len(text) - 1)
    sign = text[at]
    other = chance.choice("0123456789") if sign.isdigit() else chance.choice("aeinorst")
    return chance.choice(
        (text[:at] + text[at + 1 :], text[:at] + sign + text[at:], text[:at] + text[at + 1] + sign + text[at + 2 :],
         text[:at] + other + text[at + 1 :])
    )  # fmt: skip


def _word(chance: random.Random, syllables: int) -> str:
    return "".join(chance.choices(_SYLLABLES, k=syllables))
