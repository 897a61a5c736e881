"""Reading ids: never raises whatever stands in an event, never the same id twice, always in order, stable, bounded."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core.config import ID_TYPES, IdentityConfig, IdTypeConfig
from appliance.core.event import Record
from appliance.identity import normalise
from appliance.identity.normalise import BYTES_MAX, LeftOut, normaliser
from appliance.identity.rules import IDS_MAX, SHOWN_CHARACTERS_MAX, Id, Rules
from tests.support.json_drawn import OBJECTS

KINDS = ("trim", "lower", "digits", "email", "phone")
CONFIGURED = IdentityConfig(
    phone_country="49",
    ids={
        "email": IdTypeConfig(paths=["properties.email"], blocked=["info@example.com"]),
        "card": IdTypeConfig(paths=["properties.card", "context.traits.card", "context"], normalise="digits", priority=5),
        "plate": IdTypeConfig(normalise="lower", priority=60),
        "phone": IdTypeConfig(enabled=False),
    },
)  # fmt: skip
BOTH = [Rules(IdentityConfig()), Rules(CONFIGURED)]

TEXT = st.text(max_size=20) | st.text(max_size=2).map(lambda text: text * 200)
LIKELY = st.sampled_from(
    ["", " ", "null", "0", "u1", "A1", "Zoe@Example.com", "zoe@example.com", "+44 (0)20 7946 0958", "030 123456", "1234 5678",
     "0a1b2c3d-0000-4000-8000-00000000000a", "ß", "İ", "Σ", "\u200b", "x" * 300, "я" * 200]
)  # fmt: skip
PHONISH = st.text(st.sampled_from("0123456789+-() .xX/\u0664\uff0b\u00a0"), max_size=24)
EMAILISH = st.text(st.sampled_from("aZßİΣ.@- <>\u0130\u200b"), max_size=24)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT | LIKELY
KEYS = st.sampled_from(
    ["traits", "context", "properties", "email", "phone", "device", "id", "externalId", "externalIds", "type", "value", "card",
     "previousId", "mergeProperties", "collection", "identifierType"]
)  # fmt: skip
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)
ENTRY = st.fixed_dictionaries(
    {"type": st.sampled_from([*ID_TYPES, "userId", "mobile", "liveramp", "plate", "a b", "x" * 65, 7]), "id": LIKELY | ANYTHING}
)  # fmt: skip
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "traits": st.fixed_dictionaries({}, optional={"email": LIKELY | ANYTHING, "phone": LIKELY | ANYTHING})
        | ANYTHING,
        "context": ANYTHING
        | st.fixed_dictionaries(
            {},
            optional={
                "traits": st.fixed_dictionaries({}, optional={"email": LIKELY, "card": LIKELY | ANYTHING}) | ANYTHING,
                "device": st.fixed_dictionaries({"id": LIKELY | ANYTHING}) | ANYTHING,
                "externalId": st.lists(ENTRY | ANYTHING, max_size=4) | ANYTHING,
            },
        ),
        "properties": st.fixed_dictionaries({}, optional={"email": LIKELY, "card": LIKELY}) | ANYTHING,
        "previousId": LIKELY | ANYTHING,
        "mergeProperties": st.lists(ENTRY | ANYTHING, max_size=4) | ANYTHING,
    },
)
TYPES = st.sampled_from(["track", "identify", "page", "screen", "group", "alias", "merge", "@identity", "", "other"])
RAWS = EVENTS.map(lambda event: json.dumps(event).encode()) | OBJECTS.map(str.encode) | st.binary(max_size=60)
RECORDS = st.builds(
    lambda raw, type, user_id, anonymous_id: Record(1, "web", 0, "", type, anonymous_id, user_id, "m", "", 0, raw),
    RAWS,
    TYPES,
    LIKELY | TEXT,
    LIKELY | TEXT,
)


def normal(kind: str, text: str, country: str = "") -> str | None:
    try:
        return normaliser(kind, country)(text)
    except LeftOut:
        return None


@pytest.mark.parametrize("kind", KINDS)
@given(text=LIKELY | TEXT | PHONISH | EMAILISH, country=st.sampled_from(["", "1", "7", "39", "44"]))
@example(text="\u0130@b.co", country="")
@example(text="+ 00 123 456 789", country="44")
@example(text="\ud83d", country="")
def test_normalisers_are_idempotent_and_raise_nothing_else(kind: str, text: str, country: str) -> None:
    once = normal(kind, text, country)
    if once is not None:
        assert normal(kind, once, country) == once
        assert normal(kind, once) == once, "and what is normal needs no country"


@given(record=RECORDS)
def test_reading_never_raises_and_what_it_gives_is_in_order_bounded_and_normal(record: Record) -> None:
    for rules in BOTH:
        sighting = rules.read(record)
        ids = sighting.ids
        assert len(set(ids)) == len(ids) <= IDS_MAX
        priorities = [rules.priority(id.type) for id in ids]
        assert priorities == sorted(priorities)
        assert sighting.explicit == (record.type in ("alias", "merge"))
        for type, value in ids:
            assert 0 < len(value.encode()) <= BYTES_MAX
            assert value.lower() not in normalise.NOBODY and value.strip(normalise.ZEROS)
            assert rules.type_named(type) == type
            assert rules.of(type).enabled and rules.of(type).value_of(value) == value
        for left, reason in sighting.left:
            assert reason and len(left.value) <= SHOWN_CHARACTERS_MAX
            left.value.encode()


@given(record=RECORDS)
def test_reading_says_the_same_every_time(record: Record) -> None:
    """In this process and, by the rules as the log keeps them, in the next."""
    for rules in BOTH:
        assert rules.read(record) == rules.read(record) == Rules.from_json(rules.json).read(record)


@given(event=EVENTS, user_id=LIKELY, anonymous_id=LIKELY)
def test_the_order_of_keys_and_other_keys_change_nothing(
    event: dict[str, Any], user_id: str, anonymous_id: str
) -> None:
    def read(written: Any) -> list[Id]:
        raw = json.dumps(written).encode()
        return BOTH[0].read(Record(1, "web", 0, "", "track", anonymous_id, user_id, "m", "", 0, raw)).ids

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {**{key: turned(value[key]) for key in reversed(value)}, "more": [{"email": "other@e.com"}]}
        return [turned(item) for item in value] if isinstance(value, list) else value

    assert read(turned(event)) == read(event)


NAMES = st.sampled_from([*ID_TYPES, "card", "plate", "crm"])
TABLES = st.builds(
    IdTypeConfig,
    enabled=st.booleans(),
    paths=st.lists(st.sampled_from(["properties.card", "context.traits.card", "context", "traits.email", "a.b.c"]), max_size=3),
    normalise=st.none() | st.sampled_from(KINDS),
    blocked=st.lists(LIKELY, max_size=3),
    most=st.none() | st.integers(0, 50),
    unique=st.none() | st.booleans(),
    priority=st.none() | st.integers(0, 100),
    window=st.none() | st.floats(0, 1e9),
)  # fmt: skip


@given(
    config=st.builds(
        IdentityConfig,
        phone_country=st.sampled_from(["", "44"]),
        ids=st.dictionaries(NAMES, TABLES, max_size=4),
        ids_max=st.integers(0, 1000),
    ),
    record=RECORDS,
)
def test_any_configuration_compiles_and_survives_its_json(config: IdentityConfig, record: Record) -> None:
    rules = Rules(config)
    again = Rules.from_json(rules.json)
    assert again.json == rules.json
    assert again.read(record) == rules.read(record)
    for type in (*ID_TYPES, "card", "liveramp"):
        assert (again.most(type), again.unique(type), again.priority(type), again.window_days(type)) == (
            rules.most(type),
            rules.unique(type),
            rules.priority(type),
            rules.window_days(type),
        )
