"""Numbers of people and what they are called."""

import uuid

import pytest

from appliance.identity.person import (
    LOGS_MAX,
    ORDINALS_MAX,
    SEQUENCES_MAX,
    Names,
    merge_number,
    merge_text,
    minted_at,
    number_of,
    place_of,
    sequence_of,
)


def test_places_of_a_later_log_follow_those_of_the_one_before() -> None:
    places = [place_of(0, 1), place_of(0, SEQUENCES_MAX - 1), place_of(1, 0), place_of(1, 7), place_of(LOGS_MAX - 1, 7)]
    assert places == sorted(set(places))
    assert [sequence_of(place) for place in places] == [1, SEQUENCES_MAX - 1, 0, 7, 7]


def test_numbers_are_in_the_order_of_places_and_fit_a_signed_integer_of_sqlite() -> None:
    last = number_of(place_of(LOGS_MAX - 1, SEQUENCES_MAX - 1), ORDINALS_MAX - 1)
    numbers = [number_of(place_of(0, 7), 0), number_of(place_of(0, 7), 1), number_of(place_of(0, 8), 0), last]
    assert numbers == sorted(set(numbers))
    assert last < 1 << 62
    assert [minted_at(number) for number in numbers[:3]] == [7, 7, 8]


MERGES = {
    number_of(place_of(0, 17), 0): "17",
    number_of(place_of(0, 17), 3): "17.3",
    number_of(place_of(2, 17), 0): "2:17",
    number_of(place_of(2, 17), 65_535): "2:17.65535",
}


@pytest.mark.parametrize(("number", "text"), MERGES.items())
def test_a_merge_has_a_name_and_the_name_tells_the_merge(number: int, text: str) -> None:
    assert merge_text(number) == text
    assert merge_number(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        ":",
        "a",
        "1.a",
        "-1",
        "+1",
        "1.2.3",
        "1:2:3",
        "1:",
        ".1",
        "\u0661",
        "17.65536",
        "32:1",
        str(SEQUENCES_MAX),
        "1 ",
    ],
)
def test_what_names_no_merge_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="is no merge"):
        merge_number(text)


def test_a_zero_may_be_left_out_or_written() -> None:
    assert merge_number("0:17.0") == merge_number("17") == merge_number(":17.")


NAMES = Names(["log-a", "log-a until 50 (0)", "log-b"])
NUMBERS = [
    number_of(place_of(log, sequence), ordinal) for log in range(3) for sequence in (1, 9_999_999) for ordinal in (0, 2)
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_name_is_a_uuid_of_version_8_and_tells_the_number(number: int) -> None:
    text = NAMES.text(number)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 8
    assert parsed.variant == uuid.RFC_4122
    assert NAMES.number(text) == NAMES.number(text.upper()) == number


def test_names_are_the_same_in_every_process_and_differ_between_logs() -> None:
    number = number_of(place_of(0, 1), 0)
    assert Names(["6f1f7c0e"]).text(number) == "21b29522-7199-8426-8000-000000010000"
    assert Names(["6f1f7c0f"]).text(number) != Names(["6f1f7c0e"]).text(number)
    assert Names(["6f1f7c0e until 7 (0)"]).text(number) == Names(["6f1f7c0e"]).text(number)
    assert len({NAMES.text(number) for number in NUMBERS}) == len(NUMBERS)


@pytest.mark.parametrize(
    "text",
    ["", "ann", "00000000-0000-0000-0000-000000000000", str(uuid.UUID(int=(1 << 128) - 1)), "\u0661" * 32],
)
def test_what_no_person_is_called_has_no_number(text: str) -> None:
    assert NAMES.number(text) is None


def test_a_name_of_a_log_that_was_never_read_has_no_number() -> None:
    assert Names(["log-a"]).number(NAMES.text(NUMBERS[-1])) is None
    assert Names(["other"]).number(NAMES.text(NUMBERS[0])) is None
