"""Times from people, and hostile text shown harmless."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.cli import text
from appliance.cli.output import CommandError
from appliance.cli.words import filter_text
from appliance.control.query import parse

NOW_MS = 1_893_456_000_000  # 2030-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("given_text", "moment_ms"),
    [
        ("now", NOW_MS),
        ("2h", NOW_MS - 7_200_000),
        ("2h ago", NOW_MS - 7_200_000),
        (" 1h 30m ago ", NOW_MS - 5_400_000),
        ("500ms", NOW_MS - 500),
        ("3d", NOW_MS - 259_200_000),
        ("2030-01-01T00:00:00Z", NOW_MS),
        ("2030-01-01", NOW_MS),
        ("2030-01-01T01:00:00+01:00", NOW_MS),
        ("2030-01-01T00:00:00.250Z", NOW_MS + 250),
        ("2030-01-01 00:00:00", NOW_MS),
    ],
)
def test_a_time_is_read(given_text: str, moment_ms: int) -> None:
    assert text.parse_moment(given_text, NOW_MS) == moment_ms


@pytest.mark.parametrize("given_text", ["", "soon", "2", "2030-13-01", "yesterday", "-2h", "ago"])
def test_what_is_no_time_is_said(given_text: str) -> None:
    with pytest.raises(CommandError) as raised:
        text.parse_moment(given_text, NOW_MS)
    assert raised.value.code == 2 and "2h ago" in raised.value.next_step


def test_moments_and_times_are_inverse() -> None:
    assert text.parse_moment(text.moment(NOW_MS + 123), 0) == NOW_MS + 123
    assert text.moment(0) == "-"


@given(st.text(max_size=300))
def test_no_text_reaches_the_terminal_with_control_codes(given_text: str) -> None:
    shown = text.plain(given_text)
    assert len(shown) <= text.CHARACTERS_MAX
    for line in (shown, *text.lines(given_text).split("\n")):
        assert not [
            character for character in line if not (character.isprintable() or unicodedata.category(character) == "Zs")
        ]
        line.encode()


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2J\x1b[31mred",
        "\r\nforged line",
        "\u202eevil",
        "\u200bhidden",
        "\x07bell",
        "\x9b31m",
        "\ud83d",
        "\ue000",
        "a\x00b",
    ],
)
def test_hostile_names_render_inert(hostile: str) -> None:
    shown = text.plain(hostile)
    assert shown.isprintable() and "\\" in shown
    shown.encode()


@pytest.mark.parametrize(
    ("words", "matching"),
    [
        (["event:Order Completed"], "Order Completed"),
        (['event:"Order*"'], "Order Completed"),
        (["event:Order*"], "Order X"),
        (['event:say "hi"'.replace('"', "'")], "say 'hi'"),
    ],
)
def test_words_that_the_shell_unquoted_are_quoted_again(words: list[str], matching: str) -> None:
    class Named:
        def values(self, key: str) -> list[str]:
            return [matching] if key == "event" else []

        def age_ms(self) -> int:
            return 0

        def text(self) -> str:
            return matching

    assert parse(filter_text("", words)).matches(Named())


def test_a_whole_filter_in_one_word_stays_a_filter() -> None:
    assert filter_text("", ["dest:crm code:400"]) == "dest:crm code:400"
    assert filter_text("", ["event:Order Completed"]) == 'event:"Order Completed"'
    assert filter_text("", ["event:a: b"]) == 'event:"a: b"'


def test_words_and_text_are_one_filter() -> None:
    assert filter_text("dest:crm", ["code:400", "connection refused", "age:>1h 30m"]) == (
        'dest:crm code:400 "connection refused" age:">1h 30m"'
    )
    assert filter_text("  ", []) == ""


def test_nothing_is_cut_off_a_sample() -> None:
    assert text.lines('{"note": "a\x07b\u202ec", "last": 1}') == '{"note": "a\\x07b\\u202ec", "last": 1}'
