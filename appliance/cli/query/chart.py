"""Answers as charts for terminals: bars of block characters, lines of braille dots. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size

from appliance.cli.output import CommandError
from appliance.cli.query.table import cell, numeric

LINE_ROWS = 14
BARS_MAX = 200
_EIGHTHS = " ▏▎▍▌▋▊▉"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character by column and row of its dots. Source: The Unicode Standard, Braille Patterns."""

Rows = Sequence[Sequence[Any]]


def bars(columns: Sequence[str], types: Sequence[str], rows: Rows, width: int) -> str:
    """A bar per row: the first column that holds no numbers names it, the first that does is its length.

    Raises:
        CommandError: no column holds numbers.
    """
    at = _first_number(columns, types, rows)
    is_number = numeric(types, rows, len(columns))
    names = [place for place in range(len(columns)) if not is_number[place]]
    labels = [cell(row[names[0]]) if names else str(number) for number, row in enumerate(rows[:BARS_MAX], 1)]
    numbers = [_number(row[at]) for row in rows[:BARS_MAX]]
    values = [cell(row[at]) for row in rows[:BARS_MAX]]
    label_width = min(max(map(cell_len, labels), default=0), max(width // 3, 4))
    value_width = max(map(len, values), default=0)
    least = min([0.0, *(each for each in numbers if each is not None)])
    room = max(width - label_width - value_width - (3 if least < 0 else 2), 4)
    most = max([0.0, *(each for each in numbers if each is not None)])
    span = most / 2 - least / 2 or 0.5
    left = round(room * (-least / 2 / span))
    lines = []
    for label, value, number in zip(labels, values, numbers, strict=True):
        bar = _bar(number or 0.0, span, room, left)
        lines.append(f"{_fitted(label, label_width)} {value.rjust(value_width)} {bar}".rstrip())
    if len(rows) > BARS_MAX:
        lines.append(f"the first {BARS_MAX} rows of {len(rows):,}")
    return "\n".join(lines)


def line(columns: Sequence[str], types: Sequence[str], rows: Rows, width: int) -> str:
    """The first column of numbers (but for a leading one, where another follows) over the first column.

    Numbers and times as the first column are to scale; anything else, one step per row. NULL breaks the line.

    Raises:
        CommandError: no column holds numbers.
    """
    at = _first_number(columns, types, rows)
    others = [place for place in range(1, len(columns)) if numeric(types, rows, len(columns))[place]]
    if at == 0 and others:
        at = others[0]
    ys = [_number(row[at]) for row in rows]
    known = [y for y in ys if y is not None]
    if not known:
        return "nothing to draw: every value is NULL"
    xs = _places(rows) if at != 0 else [float(place) for place in range(len(rows))]
    low, high = min(known), max(known)
    marks = [f"{low:,.6g}", f"{high:,.6g}"]
    margin = max(map(len, marks))
    canvas = _Canvas(max(width - margin - 2, 4), LINE_ROWS)
    before: tuple[int, int] | None = None
    for x, y in zip(xs, ys, strict=True):
        point = None if y is None else (_scaled(x, xs[0], xs[-1], canvas.width), _scaled(y, low, high, canvas.height))
        if point is not None:
            canvas.join(before or point, point)
        before = point
    lines = [f"{_mark(row, marks).rjust(margin)} ┤{text}" for row, text in enumerate(canvas.lines())]
    first, last = (cell(rows[place][0]) if at != 0 else str(place % len(rows) + 1) for place in (0, -1))
    room = canvas.width // 2
    ends = first + last.rjust(max(room - cell_len(first), cell_len(last) + 1)) if len(rows) > 1 else first
    return "\n".join(
        [*(each.rstrip() for each in lines), f"{' ' * margin} └{'─' * room}", f"{' ' * (margin + 2)}{ends}"]
    )


class _Canvas:
    """Braille characters, two dots wide and four high; (0, 0) is at the bottom left."""

    def __init__(self, columns: int, rows: int) -> None:
        self.width, self.height = columns * 2, rows * 4
        self._cells = [[0] * columns for _ in range(rows)]

    def join(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        """Draw a straight line."""
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for step in range(steps + 1):
            x = round(start[0] + (end[0] - start[0]) * step / steps)
            y = self.height - 1 - round(start[1] + (end[1] - start[1]) * step / steps)
            self._cells[y // 4][x // 2] |= _DOTS[x % 2][y % 4]

    def lines(self) -> list[str]:
        """From top to bottom."""
        return ["".join(chr(0x2800 + bits) if bits else " " for bits in row) for row in self._cells]


def _first_number(columns: Sequence[str], types: Sequence[str], rows: Rows) -> int:
    is_number = numeric(types, rows, len(columns))
    if True not in is_number:
        raise CommandError(
            "a chart needs a column of numbers", "add one to the query, such as count(*), or leave --chart out", 2
        )
    return is_number.index(True)


def _number(value: Any) -> float | None:
    """Decimals and integers beyond 64 bits come as text."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _places(rows: Rows) -> list[float]:
    """Where each row stands along the bottom."""
    found = [_moment(row[0]) for row in rows]
    known = [each for each in found if each is not None]
    if len(known) < len(found) or known != sorted(known) or known[0] == known[-1]:
        return [float(place) for place in range(len(rows))]
    return known


def _moment(value: Any) -> float | None:
    if isinstance(value, str):
        try:
            return datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            return None
    return None if isinstance(value, bool) else _number(value)


def _scaled(value: float, low: float, high: float, size: int) -> int:
    """A place among `size` dots; in halves, as the difference of the largest floats is beyond them."""
    span = high / 2 - low / 2
    return round((value / 2 - low / 2) / span * (size - 1)) if span else (size - 1) // 2


def _bar(number: float, span: float, room: int, left: int) -> str:
    eighths = min(round(abs(number) / 2 / span * room * 8), 8 * (room - left if number > 0 else room))
    if number < 0:
        blocks = min(max(round(eighths / 8), 1), left)
        return " " * (left - blocks) + "█" * blocks + "│"
    full, rest = divmod(max(eighths, 1) if number > 0 and room > left else 0, 8)
    bar = "█" * full + (_EIGHTHS[rest] if rest else "")
    return (" " * left + "│" if left else "") + bar


def _mark(row: int, marks: Sequence[str]) -> str:
    return marks[1] if row == 0 else marks[0] if row == LINE_ROWS - 1 else ""


def _fitted(label: str, width: int) -> str:
    return set_cell_size(label, width - 1) + "…" if cell_len(label) > width else set_cell_size(label, width)
