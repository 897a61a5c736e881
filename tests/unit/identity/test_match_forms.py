"""Comparable forms: two spellings of one thing have one form, and nothing that says nothing has any."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.identity.matching import forms

TEXT = st.text(st.characters())


@pytest.mark.parametrize(
    ("given_text", "form"),
    [
        ("Zoë", "zoe"),
        ("O'Brien", "obrien"),
        ("Dr. Ann", "ann"),
        ("SMITH-JONES", "smith jones"),
        ("null", ""),
        (" N/A ", ""),
    ],
)
def test_names(given_text: str, form: str) -> None:
    assert forms.name_form(given_text) == form


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Ann Smith", ("ann", "smith")),
        ("Smith, Ann Mary", ("ann", "smith")),
        ("Ann Mary Smith", ("ann", "smith")),
        ("Mr. John van der Berg", ("john", "van der berg")),
        ("Madonna", ("madonna", "")),
        ("", ("", "")),
    ],
)
def test_full_names_are_split(name: str, parts: tuple[str, str]) -> None:
    assert forms.split_name(name) == parts


@pytest.mark.parametrize(
    ("email", "form", "mailbox"),
    [
        (" Ann.Smith+shop@Example.org ", "ann.smith@example.org", "annsmith"),
        ("ann.smith@googlemail.com", "annsmith@gmail.com", "annsmith"),
        ("info@example.org", "info@example.org", ""),
        ("ann@example.org", "ann@example.org", ""),
        ("no address", "", ""),
        ("a@b@c.example", "", ""),
        ("@example.org", "", ""),
    ],
)
def test_emails(email: str, form: str, mailbox: str) -> None:
    assert (forms.email_form(email), forms.mailbox_form(forms.email_form(email))) == (form, mailbox)


@pytest.mark.parametrize(
    ("phone", "form"),
    [
        ("+44 7700 900123", "700900123"),
        ("07700 900-123", "700900123"),
        ("0000000000", ""),
        ("12345", ""),
        ("call me", ""),
    ],
)
def test_phones(phone: str, form: str) -> None:
    assert forms.phone_form(phone) == form


@pytest.mark.parametrize(
    ("birthday", "form"),
    [
        ("1990-03-04", "19900304"),
        ("1990-03-04T00:00:00.000Z", "19900304"),
        ("19900304", "19900304"),
        ("1990/3/4", "19900304"),
        ("3/4/1990", "19900304"),
        ("4.3.1990", "19900304"),
        ("25/12/1990", "19901225"),
        ("19901349", "19901349"),
        ("tomorrow", ""),
        ("123456789012", ""),
    ],
)
def test_birthdays(birthday: str, form: str) -> None:
    assert forms.birthday_form(birthday) == form


def test_streets_are_cut_as_people_cut_them() -> None:
    assert forms.street_form("12 Beach Road") == forms.street_form("12, beach RD.")
    assert forms.street_form("Hauptstraße 3") == forms.street_form("Hauptstr. 3")


def test_a_mailbox_that_is_the_name_is_no_evidence_beside_the_name() -> None:
    row = forms.comparable("p", {"name": ["Ann Smith"], "email": ["ann.smith@example.org", "ann.smith82@example.org"]})
    assert row is not None and row.values["mailbox"] == ["annsmith82"]


def test_who_is_written_in_two_ways_shares_a_key() -> None:
    first = forms.comparable("a", {"first_name": ["Jon"], "last_name": ["Smith"], "postcode": ["CB7 4DL"]})
    second = forms.comparable("b", {"name": ["Smyth, John"], "postcode": ["cb74dl"]})
    assert first is not None and second is not None
    assert set(first.keys) & set(second.keys)


def test_nothing_to_compare_is_nobody() -> None:
    assert forms.comparable("p", {}) is None
    assert forms.comparable("p", {"first_name": ["null"], "email": ["none"], "plan": ["gold"]}) is None


def test_a_sign_that_is_taken_apart_into_capitals_or_many_letters_leaves_nothing_to_do() -> None:
    assert forms.text_form("\u2120") == "sm"
    for text in (*map(chr, range(0x20, 0x30000)), "\ufdfa" * forms.CHARACTERS_MAX):
        once = forms.text_form(text)
        assert forms.text_form(once) == once and len(once) <= forms.CHARACTERS_MAX, f"U+{ord(text[0]):X}"


@given(TEXT)
def test_forms_of_anything_are_short_clean_and_final(text: str) -> None:
    for form in (forms.text_form, forms.name_form, forms.street_form, forms.email_form):
        once = form(text)
        assert form(once) == once
        assert len(once.encode()) <= 40 * forms.CHARACTERS_MAX  # no lone surrogate, no growth without end
    for form in (forms.phone_form, forms.birthday_form):
        assert set(form(text)) <= set(string.digits) and len(form(text)) <= 9


@given(
    st.dictionaries(
        st.sampled_from(["name", "email", "phone", "birthday", "address", "city", "postcode"]), st.lists(TEXT)
    )
)
def test_any_traits_become_a_bounded_row(traits: dict[str, list[str]]) -> None:
    row = forms.comparable("p\ud800\0", traits)
    if row is not None:
        assert row.person == "p"
        assert set(row.values) == set(forms.COLUMNS)
        assert all(len(values) <= forms.VALUES_MAX for values in row.values.values())
        assert len(row.keys) <= 100
