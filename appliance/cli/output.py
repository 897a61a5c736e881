"""What commands print: plain lines, aligned tables, JSON, colours where the terminal wants them, errors on stderr."""

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, TextIO

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


class CommandError(Exception):
    """A command cannot go on: what happened, what to do next, and the exit code (see `frame.EXIT_CODES`)."""

    def __init__(self, message: str, next_step: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.message, self.next_step, self.code = message, next_step, code


def colours(stream: TextIO = sys.stdout) -> bool:
    """Whether `stream` is a terminal that wants colours (NO_COLOR is honoured, see no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """`text` in bold, dim, red, green, yellow or cyan, or unchanged where colours are not wanted."""
    if not colours(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def error(message: str, next_step: str = "") -> None:
    """Print one failure on stderr, with what to do about it."""
    print(f"{styled('error:', 'red', sys.stderr)} {message}", file=sys.stderr)
    if next_step:
        print(f"{styled('next:', 'bold', sys.stderr)}  {next_step}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print one JSON document, indented, UTF-8; values JSON does not know are printed as text."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a header, columns aligned, numbers to the right; the last column is not padded."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(header), *texts]) for column in range(len(header))]
    right = [bool(rows) and all(isinstance(row[column], int | float) for row in rows) for column in range(len(header))]
    print(styled(_aligned(list(header), widths, right), "bold"))
    for line in texts:
        print(_aligned(line, widths, right))


def _aligned(cells: list[str], widths: list[int], right: list[bool]) -> str:
    padded = [
        cell.rjust(width) if to_the_right else cell.ljust(width)
        for cell, width, to_the_right in zip(cells, widths, right, strict=True)
    ]
    return "  ".join(padded).rstrip()
