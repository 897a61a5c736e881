"""Answers as tables for terminals: aligned, numbers to the right, no wider than the terminal."""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size

from appliance.cli import text
from appliance.cli.output import styled

CELL_CHARACTERS_MAX = 1_000
NARROW = 8
"""A column is cut down to so much where the terminal is too small, and left out only then."""
_NUMBERS = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DOUBLE|FLOAT|REAL|DECIMAL.*|NUMERIC.*|U?Int\d+|Float\d+)", re.IGNORECASE
)


def terminal_width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere, and is not cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def is_number(type_name: str, values: Sequence[Any]) -> bool:
    """Whether a column holds numbers: by its type, else by what is in it."""
    if type_name:
        return _NUMBERS.fullmatch(type_name) is not None
    given = [value for value in values if value is not None]
    return bool(given) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)


def numeric(types: Sequence[str], rows: Sequence[Sequence[Any]], count: int) -> list[bool]:
    """For each of `count` columns whether it holds numbers."""
    names = types if len(types) == count else [""] * count
    return [is_number(names[place], [row[place] for row in rows]) for place in range(count)]


def cell(value: Any) -> str:
    """A value on one harmless line."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
    return text.plain(shown, CELL_CHARACTERS_MAX)


def drawn(columns: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    """The table, a line per row under the names.

    Args:
        types: of the columns as the warehouse calls them; empty where they are not known.
        width: most columns of a terminal; None: as many as it takes.
    """
    right = numeric(types, rows, len(columns))
    cells = [[cell(value) for value in row] for row in rows]
    names = [text.plain(name) for name in columns]
    natural = [
        max([cell_len(names[place]), *(cell_len(line[place]) for line in cells)]) for place in range(len(columns))
    ]
    widths = fitted(natural, width)
    shown = [place for place, size in enumerate(widths) if size]
    rule = "─┼─".join("─" * widths[place] for place in shown)
    lines = [
        " │ ".join(styled(_padded(names[place], widths[place], right[place]), "bold") for place in shown),
        rule,
    ]
    for line, row in zip(cells, rows, strict=True):
        padded = [_padded(line[place], widths[place], right[place]) for place in shown]
        lines.append(
            " │ ".join(
                styled(part, "dim") if row[place] is None else part for part, place in zip(padded, shown, strict=True)
            ).rstrip()
        )
    if len(shown) < len(columns):
        hidden = ", ".join(names[place] for place, size in enumerate(widths) if not size)
        lines.append(text.plain(f"not shown for want of room: {hidden}; --json and --csv give all", width or 80))
    return "\n".join(lines)


def fitted(natural: Sequence[int], width: int | None) -> list[int]:
    """Widths of columns that fit with the lines between them: the widest give way first; 0: left out, from the end."""
    widths = list(natural)
    if width is None or not widths:
        return widths

    for count in range(len(widths), 0, -1):
        room = width - 3 * (count - 1)
        if sum(min(size, NARROW) for size in widths[:count]) > room:
            continue
        most = max(NARROW, *widths[:count])
        while sum(min(size, most) for size in widths[:count]) > room:
            most -= 1
        return [min(size, most) if place < count else 0 for place, size in enumerate(widths)]
    return [min(widths[0], width), *[0] * (len(widths) - 1)]


def footer(answer: dict[str, Any]) -> str:
    """How many rows, and whether there are more."""
    count = len(answer["rows"])
    if answer["more"]:
        return (
            f"the first {text.count(count, 'row')}, in {answer['took_ms']:,} ms; there are more: --limit, or --csv FILE"
        )
    return f"{text.count(count, 'row')} in {answer['took_ms']:,} ms, from {text.plain(answer['destination'])}"


def _padded(shown: str, width: int, to_the_right: bool) -> str:
    size = cell_len(shown)
    if size > width:
        return set_cell_size(shown, width - 1) + "…"
    return " " * (width - size) + shown if to_the_right else shown + " " * (width - size)
