"""Columns as CSV, and values of a database's client as JSON has them."""

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.loads import csv_of, plain


@given(rows=st.lists(st.tuples(st.text(), st.text()), max_size=5))
def test_a_reader_of_csv_gets_what_was_written(rows: list[tuple[str, str]]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    assert [tuple(row) for row in csv.reader(io.StringIO(csv_of(columns), newline=""))] == rows


@pytest.mark.parametrize("text", ["a\rb", "a\nb", "a\r\nb", "\r", "\n"])
def test_what_ends_a_line_elsewhere_stands_in_quotes(text: str) -> None:
    assert csv_of([[text], ["x"]]) == f'"{text}",x\r\n'


def test_null_and_an_empty_text_are_nothing() -> None:
    assert csv_of([[None, "", 1], [True, 1.5, "x"]]) == ",True\r\n,1.5\r\n1,x\r\n"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None), (True, True), (7, 7), (2.5, 2.5), ("x", "x"), (float("nan"), "nan"), (float("-inf"), "-inf"),
        (Decimal("3.00"), 3), (Decimal("2.5"), 2.5), (Decimal("NaN"), "NaN"), (Decimal(10**17 + 1), 10**17 + 1),
        (Decimal(10**30), 1e30), ([Decimal(1), None], [1, None]), ({"a": (Decimal("0.5"),)}, {"a": [0.5]}),
        (datetime(2026, 11, 25, tzinfo=UTC), "2026-11-25 00:00:00+00:00"),
    ],
)  # fmt: skip
def test_a_value_as_json_has_it(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert type(plain(value)) is type(expected)
