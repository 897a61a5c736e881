"""Cutting JSON text: against the standard library, on any text."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import json_text
from tests.support.json_drawn import OBJECTS, VALUES, decoded, depth


@given(OBJECTS)
def test_members_are_those_of_the_decoder(text: str) -> None:
    cut = [(json.loads(key), decoded(value)) for key, value in json_text.members(text.encode())]
    assert cut == decoded(text)


@given(st.lists(VALUES, max_size=6), st.sampled_from(["", " ", "\n\t"]))
def test_elements_are_those_of_the_decoder(values: list[str], space: str) -> None:
    text = space + "[" + space + f"{space},{space}".join(values) + space + "]" + space
    assert [element.decode() for element in json_text.elements(text.encode())] == values


@given(VALUES, st.integers(0, 8))
def test_depth_is_that_of_the_decoded_value(text: str, levels: int) -> None:
    assert json_text.nested_deeper(text.encode(), levels) == (depth(decoded(text)) > levels)


@given(OBJECTS, st.data())
def test_broken_text_ends_in_a_value_error_or_in_parts(text: str, data: st.DataObject) -> None:
    raw = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        raw.insert(data.draw(st.integers(0, len(raw))), data.draw(st.sampled_from(b'{}[]",:\\ 1')))
    for cut in (json_text.members, json_text.elements):
        try:
            list(cut(bytes(raw)))
        except ValueError:
            continue


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "{]", '{"a":1]', '{"a":1,}', '{"a" 1}', '{"a":1}x', '{"a":1}{', '{"a":{}', "{1:2}", '{"a":}'],
)
def test_what_is_no_object(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(json_text.members(text.encode()))


@pytest.mark.parametrize("text", ["", "{}", "[", "[}", "[1,]", "[1 2]", "[1]]", "[,1]", '["a]', "[[1]"])
def test_what_is_no_array(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(json_text.elements(text.encode()))


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 2_000_000,
        b'"' * 2_000_001,
        b'\\"' * 1_000_000,
        b'["' + b'\\"' * 1_000_000,
        b'{"a":' * 400_000,
        b'[["a' * 500_000,
    ],
    ids=["opens", "quotes", "escaped quotes", "an unclosed string", "objects", "unclosed strings"],
)
def test_hostile_text_costs_linear_time(text: bytes) -> None:
    began = time.process_time()
    json_text.nested_deeper(text, len(text))
    for cut in (json_text.members, json_text.elements):
        try:
            list(cut(text))
        except ValueError:
            continue
    assert time.process_time() - began < 5.0
