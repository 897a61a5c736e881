"""Answers of warehouses as tables, charts and files: what a terminal shows, to the character."""

import csv
import io
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from appliance.cli.output import CommandError
from appliance.cli.query import chart, export, table

EVENTS = [["order_completed", 12, 2.5], ["page", 3, None]]


def answer(columns: list[str], types: list[str], rows: list[list[Any]], more: bool = False) -> dict[str, Any]:
    return {"columns": columns, "types": types, "rows": rows, "more": more, "took_ms": 3, "destination": "duck"}


def test_a_table_is_aligned_with_numbers_to_the_right() -> None:
    shown = table.drawn(["event", "n", "mean"], ["VARCHAR", "BIGINT", "DOUBLE"], EVENTS, None)
    assert shown.split("\n") == [
        "event           │  n │ mean",
        "────────────────┼────┼─────",
        "order_completed │ 12 │  2.5",
        "page            │  3 │ NULL",
    ]


def test_without_types_what_is_in_a_column_tells() -> None:
    assert table.numeric([], [["a", 1, None, True], ["b", 2.5, None, False]], 4) == [False, True, False, False]


def test_an_answer_without_rows_has_its_names() -> None:
    assert table.drawn(["a", "bc"], ["VARCHAR", "BIGINT"], [], 80) == "a │ bc\n──┼───"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "NULL"), ("NULL", "NULL"), (True, "true"), ("a\nb\x1b[31m", "a\\nb\\x1b[31m"), ({"a": [1]}, '{"a": [1]}'),
        (1.0, "1.0"), ("\u202eabc", "\\u202eabc"), ("x" * 2_000, "x" * 999 + "…"),
    ],
)  # fmt: skip
def test_a_cell_is_one_harmless_line(value: Any, shown: str) -> None:
    assert table.cell(value) == shown


def test_wide_characters_are_counted_as_wide() -> None:
    lines = table.drawn(["名", "n"], ["VARCHAR", "BIGINT"], [["日本語", 1], ["a", 22]], None).split("\n")
    assert {cell_len(line) for line in lines} == {11}


@pytest.mark.parametrize(
    ("natural", "width", "expected"),
    [
        ([5, 5], None, [5, 5]),
        ([5, 5], 13, [5, 5]),
        ([20, 5], 20, [12, 5]),
        ([30, 30], 43, [20, 20]),
        ([30, 10, 10], 36, [10, 10, 10]),
        ([30, 3], 10, [10, 0]),
        ([9, 9, 9], 19, [8, 8, 0]),
        ([50], 20, [20]),
        ([50], 5, [5]),
    ],
)
def test_the_widest_columns_give_way_first(natural: list[int], width: int | None, expected: list[int]) -> None:
    assert table.fitted(natural, width) == expected


rows_drawn = st.integers(1, 6).flatmap(
    lambda count: st.lists(
        st.lists(st.one_of(st.none(), st.integers(), st.booleans(), st.text(max_size=40)), min_size=count, max_size=count),
        max_size=5,
    ).map(lambda rows: (count, rows))
)  # fmt: skip


@given(drawn=rows_drawn, width=st.integers(12, 120))
def test_no_line_is_wider_than_the_terminal(drawn: tuple[int, list[list[Any]]], width: int) -> None:
    count, rows = drawn
    lines = table.drawn([f"column_{n}" for n in range(count)], [], rows, width).split("\n")
    assert max(map(cell_len, lines)) <= width
    assert len(lines) >= len(rows) + 2


def test_columns_that_find_no_room_are_named() -> None:
    shown = table.drawn(["one", "two", "three"], [], [["x" * 30] * 3], 24).split("\n")
    assert len(shown[0].split("│")) == 2
    assert shown[-1] == "not shown for want of r…"
    many = table.drawn([f"c{n}" for n in range(9)], [], [["x" * 30] * 9], 80).split("\n")
    assert many[-1] == "not shown for want of room: c7, c8; --json and --csv give all"


def test_the_footer_says_how_many_and_whether_there_are_more() -> None:
    assert table.footer(answer(["a"], [], [[1]])) == "1 row in 3 ms, from duck"
    assert table.footer(answer(["a"], [], [[1], [2]], more=True)) == (
        "the first 2 rows, in 3 ms; there are more: --limit, or --csv FILE"
    )


# Charts ---------------------------------------------------------------------------------------------------------


def test_bars_are_to_scale_and_end_in_eighths() -> None:
    rows = [["a", 8], ["bb", 4], ["c", 0], ["d", None], ["e", 0.01]]
    assert chart.bars(["name", "n"], ["VARCHAR", "DOUBLE"], rows, 18).split("\n") == [
        "a     8 ██████████",
        "bb    4 █████",
        "c     0",
        "d  NULL",
        "e  0.01 ▏",
    ]


def test_bars_below_zero_go_the_other_way() -> None:
    rows = [["up", 4], ["down", -4]]
    assert chart.bars(["name", "n"], ["VARCHAR", "BIGINT"], rows, 18).split("\n") == [
        "up    4     │████▌",
        "down -4 ████│",
    ]


def test_bars_take_decimals_that_come_as_text_and_number_rows_without_names() -> None:
    shown = chart.bars(["n"], ["DECIMAL(10,2)"], [["1.50"], ["3.00"]], 20).split("\n")
    assert [line.count("█") for line in shown] == [6, 13] and shown[0].startswith("1 1.50 ")


@given(
    numbers=st.lists(st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=20),
    width=st.integers(40, 100),
)
def test_charts_fit_whatever_the_numbers(numbers: list[float | None], width: int) -> None:
    rows = [[f"n{place}", number] for place, number in enumerate(numbers)]
    for draw in (chart.bars, chart.line):
        shown = draw(["name", "n"], ["VARCHAR", "DOUBLE"], rows, width)
        assert max(map(cell_len, shown.split("\n"))) <= width


def test_a_line_rises_from_bottom_left_to_top_right() -> None:
    rows = [[n, n * n] for n in range(10)]
    lines = chart.line(["n", "square"], ["BIGINT", "BIGINT"], rows, 40).split("\n")
    drawn = [line.split("┤", 1)[1] for line in lines if "┤" in line]
    assert len(drawn) == chart.LINE_ROWS
    assert drawn[0].rstrip()[-1] != " " and len(drawn[0].rstrip()) == len(max(drawn, key=len).rstrip())
    assert drawn[-1][0] != " " and not drawn[0][:10].strip()
    assert lines[0].startswith("81 ┤") and lines[-3].startswith(" 0 ┤") and lines[-1].split() == ["0", "9"]


def test_a_line_over_time_is_to_scale_and_null_breaks_it() -> None:
    hours = ["2026-11-25T00:00:00Z", "2026-11-25T01:00:00Z", "2026-11-25T10:00:00Z"]
    to_scale = chart.line(["at", "n"], ["TIMESTAMPTZ", "BIGINT"], [[hours[0], 0], [hours[1], 9], [hours[2], 0]], 60)
    top = to_scale.split("\n")[0].split("┤", 1)[1]
    assert len(top.rstrip()) < 12, "the peak stands at a tenth of the way"
    broken = chart.line(["at", "n"], ["TIMESTAMPTZ", "BIGINT"], [[hours[0], 5], [hours[1], None], [hours[2], 5]], 60)
    assert sum(1 for character in broken if 0x2800 < ord(character) < 0x2900) == 2


def test_a_chart_needs_numbers() -> None:
    for draw in (chart.bars, chart.line):
        with pytest.raises(CommandError, match="needs a column of numbers"):
            draw(["a"], ["VARCHAR"], [["x"]], 80)
    assert "every value is NULL" in chart.line(["a", "n"], ["VARCHAR", "BIGINT"], [["x", None]], 80)
    assert chart.bars(["a", "n"], ["VARCHAR", "BIGINT"], [], 80) == ""
    assert "nothing to draw" in chart.line(["a", "n"], ["VARCHAR", "BIGINT"], [], 80)


# Files ----------------------------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2)))
def test_csv_comes_back_as_it_was(rows: list[list[str]]) -> None:
    written = b"".join(export.csv_parts(answer(["a", "b"], [], [list(row) for row in rows]))).decode()
    assert list(csv.reader(io.StringIO(written, newline="")))[1:] == rows


def test_csv_tells_null_from_text_that_is_empty() -> None:
    parts = export.csv_parts(answer(["a", "b,c"], [], [[None, ""], [True, [1, "x"]], [1.5, " y"]]))
    assert b"".join(parts).decode() == 'a,"b,c"\n,""\ntrue,"[1, ""x""]"\n1.5," y"\n'


def test_parquet_has_the_warehouse_types(tmp_path: Path) -> None:
    folder = tmp_path / "odd [name] *"
    folder.mkdir()
    columns = ["n", "n", "sum", "price", "at", "ok", "list", 'say "x"']
    types = [
        "BIGINT",
        "INTEGER",
        "HUGEINT",
        "DECIMAL(10,2)",
        "TIMESTAMP WITH TIME ZONE",
        "BOOLEAN",
        "INTEGER[]",
        "VARCHAR",
    ]
    rows = [[1, 2, str(2**70), "1.50", "2026-11-25T08:00:00.123Z", True, [1, 2], "x\n"], [None] * 8]
    file = folder / "answer.parquet"
    file.write_bytes(b"".join(export.parquet_parts(answer(columns, types, rows), folder)))
    found = duckdb.read_parquet(str(file).replace("[", "[[]").replace(" *", " [*]"))
    assert list(zip(found.columns, map(str, found.types), strict=True)) == [
        ("n", "BIGINT"), ("n_2", "INTEGER"), ("sum", "DECIMAL(38,0)"), ("price", "DECIMAL(10,2)"),
        ("at", "TIMESTAMP WITH TIME ZONE"), ("ok", "BOOLEAN"), ("list", "VARCHAR"), ('say "x"', "VARCHAR"),
    ]  # fmt: skip
    sql = 'SELECT n, n_2, "sum"::VARCHAR, price::VARCHAR, epoch_ms("at"), ok, list, "say ""x""" FROM found'
    first, second = duckdb.sql(sql).fetchall()
    assert first == (1, 2, str(2**70), "1.50", 1795593600123, True, "[1, 2]", "x\n") and set(second) == {None}
    assert [each.name for each in folder.iterdir()] == ["answer.parquet"]


@given(st.lists(st.sampled_from(["a", "A", "b", "a_2"]), max_size=6))
def test_names_of_columns_are_told_apart(columns: list[str]) -> None:
    names = export.distinct(columns)
    assert len({name.lower() for name in names}) == len(columns)
    assert all(name.startswith(column) for name, column in zip(names, columns, strict=True))
