"""Traits by our names: what SDKs send, and whatever else may stand in an event."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.identity.traits import VALUE_CHARACTERS_MAX, traits_of

OURS = {
    "first_name", "last_name", "name", "email", "phone", "birthday",
    "street", "city", "postcode", "state", "country", "address",
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["address", "firstName", "city"]), inner)
    ),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ({"firstName": "Ann", "lastName": "Smith"}, {"first_name": "Ann", "last_name": "Smith"}),
        ({"first_name": "Ann", "LastName": " Smith\n"}, {"first_name": "Ann", "last_name": "Smith"}),
        ({"name": "Ann Smith", "email": "a@b.example"}, {"name": "Ann Smith", "email": "a@b.example"}),
        ({"phone": 447700900123, "birthday": "1990-03-04"}, {"phone": "447700900123", "birthday": "1990-03-04"}),
        (
            {"address": {"street": "1 High St", "city": "Ely", "postalCode": "CB7 4DL", "state": "", "country": "GB"}},
            {"street": "1 High St", "city": "Ely", "postcode": "CB7 4DL", "country": "GB"},
        ),
        ({"address": "1 High St, Ely"}, {"address": "1 High St, Ely"}),
        ({"city": "York", "address": {"city": "Ely"}}, {"city": "Ely"}),
        ({"city": "York", "address": {"city": ["Ely"]}}, {"city": "York"}),
        ({"firstName": "Ann", "first_name": "Bob"}, {"first_name": "Ann"}),
        ({"firstName": None, "first_name": "Bob"}, {"first_name": "Bob"}),
        ({"plan": "gold", "logins": 3}, {}),
    ],
)
def test_what_clients_send(sent: dict[str, Any], expected: dict[str, str]) -> None:
    assert traits_of(sent) == expected


@pytest.mark.parametrize(
    "value",
    [
        None, True, 1.5, float("nan"), 10**18, 10**5000, [], ["Ann"], {"first": "Ann"}, "", "  ", "\0", "\ud800",
        "A" * (VALUE_CHARACTERS_MAX + 1), "A" * 10_000_000,
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_names_nobody_is_left_out(value: object) -> None:
    assert traits_of({"firstName": value, "lastName": "Smith"}) == {"last_name": "Smith"}


def test_lone_surrogates_and_zero_bytes_are_taken_out() -> None:
    assert traits_of({"firstName": "An\ud800n\0"}) == {"first_name": "Ann"}


@given(JSON)
def test_whatever_stands_there_is_read(value: Any) -> None:
    for traits in (value, {"address": value, "firstName": value}):
        found = traits_of(traits)
        assert set(found) <= OURS
        for text in found.values():
            assert text == text.strip() and len(text.encode()) > 0 and len(text) <= VALUE_CHARACTERS_MAX


def test_a_crowd_of_keys_is_not_read_to_its_end() -> None:
    crowd: dict[str, object] = {f"key{number}": "x" for number in range(100_000)}
    assert traits_of({**crowd, "firstName": "Ann"}) == {}
