"""Which ids an event has: where they stand, what is left out and why, what alias, merge and group mean, limits."""

import json
import time
from typing import Any

import msgspec
import pytest

from appliance.core.config import Config, IdentityConfig, IdTypeConfig, SourceConfig, Teaching
from appliance.core.event import Record
from appliance.core.secret import Secret
from appliance.identity import normalise, rules
from appliance.identity.rules import IDS_MAX, LISTED_MAX, Id, Rules, Sighting

UUID_A, UUID_B = "0a1b2c3d-0000-4000-8000-00000000000a", "0a1b2c3d-0000-4000-8000-00000000000b"
CARD = IdentityConfig(
    phone_country="44",
    ids={
        "email": IdTypeConfig(blocked=["Info@Example.com"], paths=["properties.email"]),
        "phone": IdTypeConfig(blocked=["020 7946 0000"]),
        "card": IdTypeConfig(paths=["properties.card", "context.traits.loyaltyId"], normalise="digits", priority=15),
        "crm": IdTypeConfig(most=1, unique=True, window=90 * 86_400.0),
        "device_id": IdTypeConfig(enabled=False),
        "plate": IdTypeConfig(normalise="lower", blocked=["TEST"]),
    },
)


def record(raw: dict[str, Any] | bytes, type: str = "track", user_id: str = "", anonymous_id: str = "") -> Record:
    content = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    return Record(1, "web", 0, "", type, anonymous_id, user_id, "m", "", 0, content)


def read(event: dict[str, Any] | bytes, config: IdentityConfig = IdentityConfig(), **ids: str) -> Sighting:
    return Rules(config).read(record(event, **ids))


def pairs(sighting: Sighting) -> list[tuple[str, str]]:
    return [tuple(id) for id in sighting.ids]


PLACES: list[tuple[str, dict[str, Any], dict[str, str], list[tuple[str, str]]]] = [
    ("an anonymous visitor", {}, {"anonymous_id": "a1"}, [("anonymous_id", "a1")]),
    ("both ids", {}, {"anonymous_id": "a1", "user_id": "u1"}, [("user_id", "u1"), ("anonymous_id", "a1")]),
    ("traits", {"traits": {"email": "Z@e.com", "phone": "+44 20 7946 0958"}}, {"user_id": "u1"},
     [("user_id", "u1"), ("email", "z@e.com"), ("phone", "+442079460958")]),
    ("context.traits", {"context": {"traits": {"email": "Z@e.com", "phone": "+442079460958"}}}, {"user_id": "u1"},
     [("user_id", "u1"), ("email", "z@e.com"), ("phone", "+442079460958")]),
    ("both, the same", {"traits": {"email": "Z@e.com"}, "context": {"traits": {"email": "z@e.com "}}}, {"user_id": "u1"},
     [("user_id", "u1"), ("email", "z@e.com")]),
    ("both, another", {"context": {"traits": {"email": "b@e.com"}}, "traits": {"email": "a@e.com"}}, {},
     [("email", "a@e.com"), ("email", "b@e.com")]),
    ("a device", {"context": {"device": {"id": "D1", "model": "x"}}}, {"anonymous_id": "a1"},
     [("device_id", "D1"), ("anonymous_id", "a1")]),
    ("an external id", {"context": {"externalId": [{"id": "XY1", "type": "liveramp"}]}}, {"user_id": "u", "anonymous_id": "a"},
     [("user_id", "u"), ("liveramp", "XY1"), ("anonymous_id", "a")]),
    ("external ids as Segment has them",
     {"context": {"externalIds": [{"id": "+442079460958", "type": "phone", "collection": "users", "encoding": "none"}]}}, {},
     [("phone", "+442079460958")]),
    ("an external id alone", {"context": {"externalId": {"id": 7, "type": "crm"}}}, {}, [("crm", "7")]),
    ("our types by other names",
     {"context": {"externalId": [{"type": "userId", "id": 1}, {"type": "anonymousId", "id": 2}, {"type": "E-Mail", "id": "a@b.co"},
                                 {"type": "mobile", "id": "+442079460958"}, {"type": "deviceId", "id": 3}]}}, {},
     [("user_id", "1"), ("email", "a@b.co"), ("phone", "+442079460958"), ("device_id", "3"), ("anonymous_id", "2")]),
    ("numbers", {"context": {"device": {"id": 7.0}, "externalId": [{"type": "x", "id": 12345678901234567890}]}}, {},
     [("x", "12345678901234567890"), ("device_id", "7")]),
    ("absent ones", {"traits": {"email": None, "phone": ""}, "context": {"device": {"id": " "}, "externalId": None}}, {}, []),
    ("nothing where an object was expected", {"traits": None, "context": {"traits": None, "device": {"id": "D1"}}}, {},
     [("device_id", "D1")]),
    ("other things where objects were expected", {"traits": [1], "context": {"traits": "x", "device": {"id": "D1"}}}, {},
     [("device_id", "D1")]),
    ("a context that is none", {"traits": {"email": "a@b.co"}, "context": "x"}, {}, [("email", "a@b.co")]),
    ("properties are not read by themselves", {"properties": {"email": "friend@e.com", "phone": "+442079460958"}}, {}, []),
    ("nor keys deeper down", {"properties": {"context": {"device": {"id": "D1"}}, "traits": {"email": "a@b.co"}}}, {}, []),
]  # fmt: skip


@pytest.mark.parametrize(("event", "ids", "expected"), [case[1:] for case in PLACES], ids=[case[0] for case in PLACES])
@pytest.mark.parametrize("type", ["track", "identify", "page", "screen"])
def test_where_ids_stand(
    type: str, event: dict[str, Any], ids: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    sighting = read(event, type=type, **ids)
    assert pairs(sighting) == expected
    assert sighting.explicit is False and sighting.left == []


def test_keys_and_values_written_with_escapes_are_the_same() -> None:
    escaped = rb'{"tra\u0069ts":{"em\u0061il":"Z\u0040e.com"},"context":{"dev\u0069ce":{"\u0069d":"D1"}}}'
    assert pairs(read(escaped)) == [("email", "z@e.com"), ("device_id", "D1")]


def test_of_a_key_that_stands_twice_the_last_counts() -> None:
    twice = b'{"traits":{"email":"a@b.co","email":"c@d.co"},"traits":{"phone":"+442079460958"},"context":null}'
    assert pairs(read(twice)) == [("phone", "+442079460958")]
    assert pairs(read(b'{"traits":{"email":"a@b.co","email":"c@d.co"}}')) == [("email", "c@d.co")]


LEFT: list[tuple[str, dict[str, Any], dict[str, str], Id, str]] = [
    ("a blocked userId", {}, {"user_id": "Undefined"}, Id("user_id", "Undefined"), normalise.IS_BLOCKED),
    ("zeros", {}, {"anonymous_id": "00000000-0000-0000-0000-000000000000"},
     Id("anonymous_id", "00000000-0000-0000-0000-000000000000"), normalise.IS_BLOCKED),
    ("no address", {"traits": {"email": "zoe"}}, {}, Id("email", "zoe"), normalise.IS_NO_EMAIL),
    ("blocked comes before unreadable", {"traits": {"email": " NULL "}}, {}, Id("email", " NULL "), normalise.IS_BLOCKED),
    ("no country", {"traits": {"phone": "020 7946 0958"}}, {}, Id("phone", "020 7946 0958"), normalise.IS_NATIONAL),
    ("an object", {"traits": {"email": {"a": 1}}}, {}, Id("email", '{"a": 1}'), rules.IS_NO_SCALAR),
    ("a list", {"traits": {"email": ["a@b.co"]}}, {}, Id("email", '["a@b.co"]'), rules.IS_NO_SCALAR),
    ("true", {"context": {"device": {"id": True}}}, {}, Id("device_id", "true"), rules.IS_NO_SCALAR),
    ("a long value", {"context": {"device": {"id": "x" * 256}}}, {}, Id("device_id", "x" * 97 + "..."), normalise.IS_LONG),
    ("a huge value", {"context": {"device": {"id": "x" * 500_000}}}, {}, Id("device_id", '"' + "x" * 96 + "..."), normalise.IS_LONG),
    ("many bytes", {}, {"user_id": "я" * 128}, Id("user_id", "я" * 97 + "..."), normalise.IS_LONG),
    ("half a character", {}, {"user_id": "a\ud83d"}, Id("user_id", "a?"), normalise.IS_NO_TEXT),
    ("an Android that has no id", {"context": {"device": {"id": "9774D56D682E549C"}}}, {},
     Id("device_id", "9774D56D682E549C"), normalise.IS_BLOCKED),
    ("an entry without a type", {"context": {"externalId": [{"id": "1"}]}}, {}, Id("external_id", '{"id": "1"}'), rules.IS_NO_TYPE),
    ("a type that is no name", {"context": {"externalId": [{"id": "1", "type": "a b"}]}}, {},
     Id("external_id", '{"id": "1", "type": "a b"}'), rules.IS_NO_TYPE),
    ("an entry that is none", {"context": {"externalId": ["x"]}}, {}, Id("external_id", '"x"'), rules.IS_NO_TYPE),
    ("an id of a company", {"context": {"externalIds": [{"id": "1", "type": "crm", "collection": "accounts"}]}}, {},
     Id("crm", '"1"'), rules.IS_NO_PERSON),
    ("a record of a destination", {"context": {"externalId": [{"id": "1", "type": "HS-deals", "identifierType": "key"}]}}, {},
     Id("HS-deals", '"1"'), rules.IS_NO_PERSON),
]  # fmt: skip


@pytest.mark.parametrize(("event", "ids", "id", "reason"), [case[1:] for case in LEFT], ids=[case[0] for case in LEFT])
def test_what_is_left_out(event: dict[str, Any], ids: dict[str, str], id: Id, reason: str) -> None:
    sighting = read(event, **ids)
    assert sighting.ids == []
    assert sighting.left == [(id, reason)]


def test_a_value_that_is_no_utf_8_costs_only_its_own_id() -> None:
    sighting = read(b'{"traits":{"email":"\xff","phone":"+442079460958"}}', user_id="u1")
    assert pairs(sighting) == [("user_id", "u1"), ("phone", "+442079460958")]
    assert sighting.left == [(Id("email", '"\ufffd"'), normalise.IS_NO_TEXT)]


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b"{", b"null", b'{"traits":{"email":"\\ud83d"}}', b'{"a":' * 100_000, b"\xff", b'{"traits":'],
    ids=lambda raw: repr(raw[:20]),
)  # fmt: skip
def test_of_what_no_decoder_reads_the_two_plain_ids_are_left(raw: bytes) -> None:
    for type in ("track", "group"):
        assert pairs(read(raw, type=type, user_id="u", anonymous_id="a")) == [("user_id", "u"), ("anonymous_id", "a")]
    for type in ("alias", "merge"):
        assert pairs(read(raw, type=type, user_id="u", anonymous_id="a")) == [("user_id", "u")]


BLOCKED = [
    "null", "NULL", " null ", "undefined", "None", "nil", "NaN", "unknown", "Anonymous", "guest", "-1", "true", "False",
    "N/A", "(null)", "<null>", "not set", "(not set)", "[object Object]", "{}", "[]", "0", "000", "-", "---", "0-0",
    "00000000-0000-0000-0000-000000000000", "00:00:00:00:00:00", "0.0.0.0", "__", "nu\u200bll",
]  # fmt: skip
NOT_BLOCKED = ["test", "null1", "10", "100", "nobody", "00a", "guest-99", "-2", "a"]


@pytest.mark.parametrize("type", ["user_id", "anonymous_id"])
def test_the_block_list(type: str) -> None:
    for value in BLOCKED:
        assert read({}, **{type: value}) == Sighting([], False, [(Id(type, value), normalise.IS_BLOCKED)]), value
    for value in NOT_BLOCKED:
        assert pairs(read({}, **{type: value})) == [(type, value)], value


@pytest.mark.parametrize(
    ("event", "blocked"),
    [
        ({"traits": {"email": "INFO@example.com"}}, True),
        ({"traits": {"email": "info@example.org"}}, False),
        ({"traits": {"phone": "+44 (0)20 7946 0000"}}, True),
        ({"traits": {"phone": "(020) 7946-0000"}}, True),
        ({"traits": {"phone": "(020) 7946-0001"}}, False),
        ({"context": {"externalId": [{"type": "plate", "id": "Test"}]}}, True),
    ],
)
def test_additions_to_the_block_list_hold_for_every_spelling(event: dict[str, Any], blocked: bool) -> None:
    sighting = read(event, CARD)
    assert [reason for _, reason in sighting.left] == [normalise.IS_BLOCKED] * blocked
    assert len(sighting.ids) == (not blocked)


def test_configured_places_types_and_priorities() -> None:
    event = {
        "properties": {"card": "6310 1500", "email": "z@e.com"},
        "context": {"traits": {"loyaltyId": 42, "email": "y@e.com"}, "device": {"id": "D1"}},
    }
    assert pairs(read(event, CARD, user_id="u", anonymous_id="a")) == [
        ("user_id", "u"),
        ("card", "63101500"),
        ("card", "42"),
        ("email", "y@e.com"),
        ("email", "z@e.com"),
        ("anonymous_id", "a"),
    ]


def test_equal_priorities_stand_in_the_order_of_types_and_paths_whatever_the_event_looks_like() -> None:
    """Also in an event that has to be walked place by place, and in every process."""
    config = IdentityConfig(
        ids={"b": IdTypeConfig(paths=["properties.b"]), "a": IdTypeConfig(paths=["context.x", "properties.y", "context.z"])}
    )  # fmt: skip
    event: dict[str, Any] = {"properties": {"y": "2", "b": "4"}, "context": {"z": "3", "x": "1"}}
    expected = [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4")]
    assert pairs(read(event, config)) == pairs(read({**event, "traits": None}, config)) == expected


def test_a_configured_type_goes_before_another_name_of_ours() -> None:
    config = IdentityConfig(ids={"mobile": IdTypeConfig()})
    assert pairs(read({"context": {"externalId": [{"type": "mobile", "id": "m1"}]}}, config)) == [("mobile", "m1")]


def test_a_user_id_can_be_an_address_as_well() -> None:
    config = IdentityConfig(ids={"email": IdTypeConfig(paths=["userId"])})
    sighting = read({"userId": "Zoe@e.com"}, config, user_id="Zoe@e.com")
    assert pairs(sighting) == [("user_id", "Zoe@e.com"), ("email", "zoe@e.com")]


def test_one_place_may_lie_within_another() -> None:
    config = IdentityConfig(
        ids={"device_id": IdTypeConfig(paths=["context.device"]), "top": IdTypeConfig(paths=["context"])}
    )
    assert pairs(read({"context": {"device": "D1"}}, config)) == [("device_id", "D1")]
    assert pairs(read({"context": {"device": {"id": "D2"}}}, config)) == [("device_id", "D2")]
    assert pairs(read({"context": "c"}, config)) == [("top", "c")]


@pytest.mark.parametrize("key", ["ключ", "a/b", "$dollar key", "id", "ö"])
def test_any_key_can_be_a_place(key: str) -> None:
    config = IdentityConfig(ids={"own": IdTypeConfig(paths=[f"properties.{key}", key])})
    for ensure_ascii in (True, False):
        raw = json.dumps({"properties": {key: "1"}, key: "2"}, ensure_ascii=ensure_ascii).encode()
        assert pairs(read(raw, config)) == [("own", "1"), ("own", "2")]


def test_a_type_that_is_switched_off_leaves_its_reason_and_nothing_else() -> None:
    event = {"context": {"device": {"id": "D1"}, "externalId": [{"type": "device_id", "id": 2}]}}
    assert read(event, CARD) == Sighting([], False, [(Id("device_id", one), rules.IS_OFF) for one in ("D1", "2")])
    config = IdentityConfig(ids={"anonymous_id": IdTypeConfig(enabled=False)})
    assert read({}, config, anonymous_id="a1") == Sighting([], False, [(Id("anonymous_id", "a1"), rules.IS_OFF)])
    assert read({}, config, anonymous_id="null").left == [(Id("anonymous_id", "null"), normalise.IS_BLOCKED)]
    assert read({"context": {"device": {"id": " "}}}, CARD).left == []


def test_a_group_is_no_person() -> None:
    event = {"groupId": "g", "traits": {"email": "office@e.com"}, "context": {"device": {"id": "D1"}}}
    sighting = read(event, type="group", user_id="u1", anonymous_id="a1")
    assert sighting == Sighting([Id("user_id", "u1"), Id("anonymous_id", "a1")], False, [])


ALIASES = [
    # previousId, userId, anonymousId, ids
    ("old", "new", "", [("user_id", "new"), ("user_id", "old")]),
    (" 42 ", "new", "", [("user_id", "new"), ("user_id", "42")]),
    (42, "new", "", [("user_id", "new"), ("user_id", "42")]),
    ("old@e.com", "new", "browser", [("user_id", "new"), ("user_id", "old@e.com")]),
    ("browser", "new", "browser", [("user_id", "new"), ("anonymous_id", "browser")]),
    (" browser ", "new", "browser", [("user_id", "new"), ("anonymous_id", "browser")]),
    (UUID_A, "new", "", [("user_id", "new"), ("anonymous_id", UUID_A)]),
    (UUID_A, "new", UUID_A, [("user_id", "new"), ("anonymous_id", UUID_A)]),
    (UUID_A, UUID_B, "", [("user_id", UUID_B), ("user_id", UUID_A), ("anonymous_id", UUID_A)]),
    (UUID_A, UUID_B, UUID_A, [("user_id", UUID_B), ("anonymous_id", UUID_A)]),
    (UUID_A, "", UUID_B, [("anonymous_id", UUID_B), ("anonymous_id", UUID_A)]),
    ("old", "", UUID_B, [("user_id", "old"), ("anonymous_id", UUID_B)]),
    ("new", "new", "", [("user_id", "new")]),
    (None, "new", "browser", [("user_id", "new")]),
    ("", "new", "browser", [("user_id", "new")]),
]


@pytest.mark.parametrize(("previous", "user", "anonymous", "expected"), ALIASES)
def test_an_alias_joins_what_it_names(
    previous: Any, user: str, anonymous: str, expected: list[tuple[str, str]]
) -> None:
    """And no more: the browser's own id and traits may be somebody else's by now."""
    event = {"previousId": previous, "traits": {"email": "a@b.co"}, "context": {"device": {"id": "D1"}}}
    sighting = read(event, type="alias", user_id=user, anonymous_id=anonymous)
    assert (pairs(sighting), sighting.explicit, sighting.left) == (expected, True, [])


def test_a_bad_previous_id_is_left_out_of_an_alias() -> None:
    for previous, reason in (("null", normalise.IS_BLOCKED), ({}, rules.IS_NO_SCALAR)):
        sighting = read({"previousId": previous}, type="alias", user_id="new", anonymous_id="a")
        assert pairs(sighting) == [("user_id", "new")]
        assert [why for _, why in sighting.left] == [reason]


def test_a_blocked_user_id_of_an_alias_is_not_replaced_by_the_browsers() -> None:
    assert pairs(read({"previousId": "old"}, type="alias", user_id="null", anonymous_id="a")) == [("user_id", "old")]


def test_a_merge_joins_what_it_names() -> None:
    event = {
        "mergeProperties": [{"type": "email", "value": "Alex@example.com"}, {"type": "mobile", "value": "+1-202-555-0146"}],
        "context": {"device": {"id": "D1"}},
    }  # fmt: skip
    email, phone = ("email", "alex@example.com"), ("phone", "+12025550146")
    sighting = read(event, type="merge", user_id="u1", anonymous_id="a1")
    assert (pairs(sighting), sighting.explicit, sighting.left) == ([("user_id", "u1"), email, phone], True, [])
    assert pairs(read(event, type="merge", anonymous_id="a1")) == [email, phone, ("anonymous_id", "a1")]


@pytest.mark.parametrize("properties", [None, [], {}, "x", [1, None, {}], [{"type": "email"}]])
def test_a_merge_that_names_nothing(properties: Any) -> None:
    assert pairs(read({"mergeProperties": properties}, type="merge", user_id="u1")) == [("user_id", "u1")]


def test_so_many_ids_count_and_those_of_the_highest_priority() -> None:
    many = IdentityConfig(ids={f"t{number:02}": IdTypeConfig(paths=[f"t.{number}"]) for number in range(IDS_MAX)})
    sighting = read({"t": {str(number): number + 1 for number in range(IDS_MAX)}}, many, user_id="u", anonymous_id="a")
    assert pairs(sighting) == [("user_id", "u"), *((f"t{number:02}", str(number + 1)) for number in range(IDS_MAX - 1))]
    assert {reason for _, reason in sighting.left} == {rules.IS_TOO_MANY}
    assert [id for id, _ in sighting.left] == [Id(f"t{IDS_MAX - 1}", str(IDS_MAX)), Id("anonymous_id", "a")]


def listed(*types: str) -> list[dict[str, str]]:
    """A list of ids, the value of each its place in it."""
    return [{"type": type, "id": str(place)} for place, type in enumerate(types, 1)]


def test_so_many_ids_of_lists_count_and_the_ids_of_other_places_beside_them() -> None:
    body = {"traits": {"email": "z@e.com"}, "context": {"externalId": listed(*(f"t{n}" for n in range(10_000)))}}
    sighting = read(body, user_id="u1", anonymous_id="a1")
    externals = [(f"t{number}", str(number + 1)) for number in range(LISTED_MAX)]
    assert pairs(sighting) == [("user_id", "u1"), ("email", "z@e.com"), *externals, ("anonymous_id", "a1")]
    assert sighting.left[0] == (
        Id("external_id", f'{{"type": "t{IDS_MAX}", "id": "{IDS_MAX + 1}"}}'),
        rules.IS_TOO_MANY,
    )
    over = [(Id(f"t{n}", str(n + 1)), rules.IS_TOO_MANY_LISTED) for n in range(LISTED_MAX, IDS_MAX)]
    assert sighting.left[1:] == over


def test_of_the_ids_of_lists_those_of_the_highest_priority_count_whatever_their_type() -> None:
    both = {"externalId": listed(*["crm"] * LISTED_MAX), "externalIds": listed("anonymous_id", "card", "user_id")}
    sighting = read({"context": both}, CARD)
    crm = [("crm", str(place)) for place in range(1, LISTED_MAX + 1)]
    assert pairs(sighting) == [("user_id", "3"), ("card", "2"), *crm[:-2]]
    left = [Id(*one) for one in (*crm[-2:], ("anonymous_id", "1"))]
    assert sighting.left == [(id, rules.IS_TOO_MANY_LISTED) for id in left]


def test_an_id_that_stands_elsewhere_as_well_is_not_one_of_a_list() -> None:
    names = [*(f"t{n}" for n in range(LISTED_MAX)), "card", "anonymous_id"]
    body = {"properties": {"card": len(names) - 1}, "context": {"externalId": listed(*names)}}
    early = IdentityConfig(ids={"card": IdTypeConfig(paths=["properties.card"], priority=99)})
    sighting = read(body, early, anonymous_id=str(len(names)))
    assert len(sighting.ids) == LISTED_MAX + 2
    assert sighting.left == []


def test_a_merge_names_no_more_than_that_either() -> None:
    named = [{"type": f"t{number}", "value": str(number + 1)} for number in range(IDS_MAX)]
    sighting = read({"mergeProperties": named}, type="merge", user_id="u1")
    assert len(sighting.ids) == 1 + LISTED_MAX
    assert sighting.explicit


ALIAS, MERGE = {"previousId": "old"}, {"mergeProperties": [{"type": "email", "value": "z@e.com"}]}
TEACHING: list[tuple[str, str, dict[str, Any], list[tuple[str, str]], bool]] = [
    ("full", "alias", ALIAS, [("user_id", "u"), ("user_id", "old")], True),
    ("sightings", "alias", ALIAS, [("user_id", "u"), ("user_id", "old")], False),
    ("sightings", "merge", MERGE, [("user_id", "u"), ("email", "z@e.com")], False),
    ("sightings", "track", {"traits": {"email": "z@e.com"}},
     [("user_id", "u"), ("email", "z@e.com"), ("anonymous_id", "a")], False),
    ("none", "alias", ALIAS, [("user_id", "u")], False),
    ("none", "merge", MERGE, [("user_id", "u")], False),
    ("none", "track", {"traits": {"email": "z@e.com"}}, [("user_id", "u")], False),
]  # fmt: skip


@pytest.mark.parametrize(("teaching", "type", "body", "ids", "explicit"), TEACHING)
def test_what_a_source_may_teach(
    teaching: Teaching, type: str, body: dict[str, Any], ids: list[tuple[str, str]], explicit: bool
) -> None:
    compiled, event = Rules(IdentityConfig(), {"web": teaching}), record(body, type, "u", "a")
    sighting = compiled.read(event)
    assert (pairs(sighting), sighting.explicit) == (ids, explicit)
    assert compiled.teaches("web") == (teaching != "none")
    others = Rules(IdentityConfig(), {"other": teaching})
    everything = Rules(IdentityConfig()).read(event)
    assert others.read(event) == everything
    assert others.teaches("web")
    assert sighting.left == [(id, rules.IS_NOT_FIRST) for id in everything.ids[len(ids) :]]


def test_what_sources_may_teach_stands_in_the_json_only_where_it_is_not_all() -> None:
    plain = Rules(IdentityConfig())
    assert Rules(IdentityConfig(), {"web": "full"}).json == plain.json
    assert b"sources" not in plain.json, "graphs of before know no such key"
    one = Rules(IdentityConfig(), {"b": "none", "web": "full", "a": "sightings"})
    assert one.json == Rules(IdentityConfig(), {"a": "sightings", "b": "none"}).json
    assert json.loads(one.json) == {**json.loads(plain.json), "sources": {"a": "sightings", "b": "none"}}
    again = Rules.from_json(one.json)
    assert again.json == one.json
    assert [again.teaches(name) for name in ("a", "b", "web")] == [True, False, True]
    with pytest.raises(msgspec.DecodeError):
        Rules.from_json(b'{"sources": {"a": "half"}}')


def test_the_whole_configuration_says_what_each_source_may_teach() -> None:
    key = Secret("k" * 20)
    config = Config(
        identity=CARD, sources={"web": SourceConfig(write_key=key, identity="none"), "app": SourceConfig(write_key=key)}
    )
    assert Rules.configured(config).json == Rules(CARD, {"web": "none"}).json


def test_an_operators_act_has_no_ids() -> None:
    act = Record(1, "", 0, "", "@identity", "", "", "m", "", 0, b'{"link":[["email","a@b.co"],["user_id","u"]]}')
    assert Rules(IdentityConfig()).read(act) == Sighting([], False, [])


def test_limits_by_default() -> None:
    compiled = Rules(IdentityConfig())
    types = ["user_id", "email", "phone", "liveramp", "device_id", "anonymous_id"]
    assert [compiled.most(type) for type in types] == [10, 5, 5, 5, 20, 100]
    assert [compiled.unique(type) for type in types] == [True, False, False, False, False, False]
    assert sorted(types, key=compiled.priority) == types
    assert len({compiled.priority(type) for type in types}) == len(types)
    assert {compiled.window_days(type) for type in types} == {None}
    assert (compiled.shared_after, compiled.ids_max) == (3, 500)


def test_a_table_overrides_key_by_key() -> None:
    compiled = Rules(CARD)
    assert (compiled.most("crm"), compiled.unique("crm"), compiled.window_days("crm")) == (1, True, 90)
    assert compiled.priority("crm") == compiled.priority("liveramp")
    assert (compiled.most("email"), compiled.priority("email")) == (5, 20)
    assert compiled.priority("card") == 15


@pytest.mark.parametrize(
    ("seconds", "days"), [(0.0, None), (1.0, 1), (86_400.0, 1), (86_401.0, 2), (30 * 86_400.0, 30)]
)
def test_windows_are_whole_days(seconds: float, days: int | None) -> None:
    assert Rules(IdentityConfig(ids={"email": IdTypeConfig(window=seconds)})).window_days("email") == days


def test_nought_is_no_limit() -> None:
    compiled = Rules(IdentityConfig(ids_max=0, ids={"email": IdTypeConfig(most=0)}))
    assert (compiled.ids_max, compiled.most("email")) == (None, None)


def test_the_order_of_the_two_plain_ids_follows_the_configuration() -> None:
    config = IdentityConfig(ids={"anonymous_id": IdTypeConfig(priority=1)})
    assert pairs(read({}, config, user_id="u", anonymous_id="a")) == [("anonymous_id", "a"), ("user_id", "u")]


def test_rules_as_json() -> None:
    """Written out, canonical, and read back to the same rules."""
    for config in (IdentityConfig(), CARD):
        compiled = Rules(config)
        again = Rules.from_json(compiled.json)
        assert again.json == compiled.json
        event = record({"properties": {"card": "6 3", "email": "i@e.com"}, "traits": {"phone": "020 7946 0958"}})
        assert again.read(event) == compiled.read(event)
    assert json.loads(Rules(IdentityConfig()).json)["ids"]["anonymous_id"]["most"] == 100


def test_equal_rules_are_equal_json() -> None:
    spelled = IdentityConfig(
        ids={
            "zeta": IdTypeConfig(blocked=["b", "a", "a"]),
            "email": IdTypeConfig(most=5, unique=False, normalise="email", priority=20, window=0.0),
            "alpha": IdTypeConfig(),
        }
    )
    other = IdentityConfig(ids={"alpha": IdTypeConfig(most=5), "zeta": IdTypeConfig(blocked=["a", "b"])})
    assert Rules(spelled).json == Rules(other).json
    assert Rules(spelled).json != Rules(IdentityConfig()).json


def test_rules_of_another_version_are_read() -> None:
    table = json.loads(Rules(CARD).json)
    table["later"], table["ids"]["email"]["later"] = 1, 1
    assert Rules.from_json(json.dumps(table).encode()).json == Rules(CARD).json
    for bad in (b"", b"[]", b'{"ids":3}', b'{"ids":{"email":{"most":"x"}}}'):
        with pytest.raises(msgspec.DecodeError):
            Rules.from_json(bad)


@pytest.mark.parametrize(
    ("name", "type"),
    [("userId", "user_id"), ("EMAIL", "email"), ("e-mail", "email"), ("mobile", "phone"), ("deviceId", "device_id"),
     ("liveramp", "liveramp"), ("LiveRamp", "LiveRamp"), ("card", "card"), ("a b", ""), ("", ""), ("x" * 65, ""), ("ö", "")],
)  # fmt: skip
def test_types_by_the_names_that_people_use(name: str, type: str) -> None:
    assert Rules(CARD).type_named(name) == type


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        ("email", " Zoe@Example.com", Id("email", "zoe@example.com")),
        ("mobile", "020 7946 0958", Id("phone", "+442079460958")),
        ("liveramp", "XY1", Id("liveramp", "XY1")),
        ("device_id", "D1", Id("device_id", "D1")),
        ("email", "zoe", normalise.IS_NO_EMAIL),
        ("user_id", "null", normalise.IS_BLOCKED),
        ("user_id", " ", rules.IS_EMPTY),
        ("a b", "1", rules.IS_NO_TYPE),
    ],
)
def test_an_id_as_a_person_writes_it(type: str, value: str, expected: Id | str) -> None:
    """A type that is no longer read can still be asked for: its ids may be in the graph."""
    if isinstance(expected, Id):
        assert Rules(CARD).id_named(type, value) == expected
    else:
        with pytest.raises(normalise.LeftOut) as caught:
            Rules(CARD).id_named(type, value)
        assert str(caught.value) == expected


HALF_MEGABYTE = 500_000
HUGE = {
    "empty entries": b'{"context":{"externalId":[' + b",".join([b"{}"] * (HALF_MEGABYTE // 3)) + b"]}}",
    "large entries": b'{"context":{"externalId":[' + b",".join([b'{"x":"' + b"x" * 10_000 + b'"}'] * 50) + b"]}}",
    "a large type": b'{"context":{"externalId":[{"id":"1","type":"' + b"x" * HALF_MEGABYTE + b'"}]}}',
    "a large text": b'{"traits":{"email":"' + b"a" * HALF_MEGABYTE + b'"}}',
    "a large number": b'{"traits":{"phone":' + b"1" * HALF_MEGABYTE + b"}}",
    "escapes": b'{"traits":{"email":"' + b"\\u0041" * (HALF_MEGABYTE // 6) + b'"}}',
    "one key again and again": b"{" + b",".join([b'"traits":{"email":"a@b.co"}'] * (HALF_MEGABYTE // 27)) + b"}",
    "many keys beside a null": b'{"traits":null,"context":{' + b",".join(b'"k%d":1' % n for n in range(50_000)) + b"}}",
}


@pytest.mark.alone
@pytest.mark.parametrize("raw", HUGE.values(), ids=HUGE)
def test_the_largest_event_takes_no_time_to_speak_of(raw: bytes) -> None:
    """Milliseconds; the bound is a hundred times that, as only what is worse than linear would reach it."""
    began_s = time.thread_time()
    for compiled in (Rules(IdentityConfig()), Rules(CARD)):
        compiled.read(record(raw, user_id="\u200b" * HALF_MEGABYTE, anonymous_id="a" * HALF_MEGABYTE))
    assert time.thread_time() - began_s < 2.0
