"""Whatever an event holds, what is shown of it is inert; ages, sizes and rates read well."""

import io
import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.tui.fake_api import HOSTILE, SAMPLE
from tui import text


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("Order Completed", "Order Completed"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066x\u2069", "\\u2066x\\u2069"),
        ("\u200bzero width", "\\u200bzero width"),
        ("\ufeffmark", "\\ufeffmark"),
        ("\u2028line", "\\u2028line"),
        ("\ud800lone", "\\ud800lone"),
        ("\ue000private", "\\ue000private"),
        ("\x00\x07\x7f", "\\x00\\x07\\x7f"),
        ("[red]x[/red] [@click=app.quit]y[/]", "[red]x[/red] [@click=app.quit]y[/]"),
        ("日本語 🎉 é", "日本語 🎉 é"),
        ("\U000e0001tag", "\\U000e0001tag"),
    ],
)
def test_a_line_is_inert(given_text: str, shown: str) -> None:
    assert text.inert(given_text) == shown


@given(st.text(alphabet=st.characters(), max_size=80))
def test_no_character_that_acts_is_left(given_text: str) -> None:
    for shown in (text.inert(given_text), text.line(given_text).plain):
        assert not any(unicodedata.category(one)[0] == "C" or one in "\u2028\u2029" for one in shown)
    for line in text.block(given_text).plain.split("\n"):
        assert not any(unicodedata.category(one)[0] == "C" or one in "\u2028\u2029" for one in line)


@given(st.text(max_size=60))
def test_markup_stays_text(given_text: str) -> None:
    """What a terminal is sent for it holds no style: no escape but none at all."""
    paper = Console(force_terminal=True, color_system="truecolor", width=2_000, file=io.StringIO())
    with paper.capture() as captured:
        paper.print(text.line(f"[bold red]{given_text}[/]"), end="")
    assert "\x1b" not in captured.get()


def test_long_text_is_cut_and_says_so() -> None:
    assert text.inert("x" * 500, 10) == "xxxxxxxxx…"
    assert text.block("x" * 20, most=5).plain == "xxxxx\n… 15 characters more"


@pytest.mark.parametrize("raw", [b'{"a": 1.0, "b": 12345678901234567890123, "c": "\\u202e"}', b"[]", b'"x"'])
def test_json_is_laid_out_as_it_came(raw: bytes) -> None:
    shown = text.pretty(raw)
    assert json.loads(shown) == json.loads(raw)
    assert b"12345678901234567890123" not in raw or "12345678901234567890123" in shown
    assert text.pretty(b"null") == ""


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=4))
def test_json_for_editing_is_the_same_json_and_inert(value: dict[str, str]) -> None:
    try:
        raw = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return  # A lone surrogate does not come over the wire as it is.
    shown = text.json_escaped(text.pretty(raw))
    assert json.loads(shown) == value
    assert not any(unicodedata.category(one)[0] == "C" for one in shown if one != "\n")


def test_a_sample_falls_into_request_and_answer() -> None:
    request, answer = text.request_and_answer(SAMPLE)
    assert request.startswith("POST /hook") and request.endswith('{"type":"track"}')
    assert answer.startswith("HTTP/1.1 503") and answer.endswith('{"error":"overloaded"}')
    assert text.request_and_answer("POST / HTTP/1.1\n\n{}\n\n(no reply)") == ("POST / HTTP/1.1\n\n{}", "(no reply)")
    assert text.request_and_answer(HOSTILE) == ("", HOSTILE)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (text.age(400), "0.4 s"), (text.age(12_000), "12 s"), (text.age(840_000), "14 min"),
        (text.age(50 * 3_600_000), "2.1 d"), (text.age(-5), "0.0 s"),
        (text.ahead(0, 5), "-"), (text.ahead(5, 10), "now"), (text.ahead(12_000, 0), "in 12 s"),
        (text.size(512), "512 B"), (text.size(1536), "1.5 KiB"), (text.size(3 << 40), "3.0 TiB"),
        (text.number(999_999), "999,999"), (text.number(1_230_000), "1.23 M"), (text.number(4.56e9), "4.56 G"),
        (text.rate(0), "0"), (text.rate(0.42), "0.4"), (text.rate(20_300), "20,300"),
        (text.took(0), "-"), (text.took(8.21), "8.2 ms"), (text.took(1_400), "1.4 s"),
        (text.counted(1, "event"), "1 event"), (text.counted(2, "person", "people"), "2 people"),
        (text.gauge(0.5, 4), "██  "), (text.gauge(7.0, 2), "██"), (text.gauge(-1, 2), "  "),
        (text.spark([0, 1, 2, 4], 6), "  ▁▂▄█"), (text.spark([], 3), "   "), (text.spark([0, 0], 2), "▁▁"),
    ],
)  # fmt: skip
def test_figures_in_words(shown: str, expected: str) -> None:
    assert shown == expected


@given(st.lists(st.floats(0, 1e9), max_size=30), st.integers(1, 20))
def test_a_sparkline_is_as_wide_as_told(values: list[float], width: int) -> None:
    assert len(text.spark(values, width)) == width
