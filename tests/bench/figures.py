"""What a bench says: one figure per line of the table, kept in `build/bench.json`.

The file is a JSON list of objects {"name", "value", "unit", "goal", "met"[, "note"]}. `goal` and `met` are null for a
figure that is only reported. A later bench adds to the same list; a figure of the same name is replaced.
"""

from pathlib import Path

import msgspec

FILE = Path("build/bench.json")


class Figure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One measured value; `note` says what bounds a missed one, or what the value was made of."""

    name: str
    value: float
    unit: str
    goal: str | None
    met: bool | None
    note: str = ""


def at_most(name: str, value: float, unit: str, limit: float, note: str = "") -> Figure:
    """A figure that is met while `value` is no higher than `limit`."""
    return Figure(name, round(value, 4), unit, f"<= {limit:,g}", value <= limit, note)


def at_least(name: str, value: float, unit: str, limit: float, note: str = "") -> Figure:
    """A figure that is met while `value` is no lower than `limit`."""
    return Figure(name, round(value, 4), unit, f">= {limit:,g}", value >= limit, note)


def reported(name: str, value: float, unit: str, note: str = "") -> Figure:
    """A figure without a goal."""
    return Figure(name, round(value, 4), unit, None, None, note)


def save(figures: list[Figure], path: Path = FILE) -> None:
    """Add the figures to the file, in place of those of the same name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = msgspec.json.decode(path.read_bytes(), type=list[Figure]) if path.exists() else []
    fresh = {figure.name for figure in figures}
    merged = [figure for figure in kept if figure.name not in fresh] + figures
    path.write_bytes(msgspec.json.format(msgspec.json.encode([_row(figure) for figure in merged]), indent=1) + b"\n")


def table(figures: list[Figure]) -> str:
    """The figures as text for people."""
    rows = [("figure", "value", "goal", "")]
    rows += [
        (
            f.name,
            f"{f.value:,.4g} {f.unit}".strip() if abs(f.value) < 1000 else f"{f.value:,.0f} {f.unit}".strip(),
            f.goal or "",
            {True: "met", False: "MISSED", None: ""}[f.met],
        )
        for f in figures
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    notes = [f"  {f.name}: {f.note}" for f in figures if f.note]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], *(["", "notes"] if notes else []), *notes])


def _row(figure: Figure) -> dict[str, object]:
    row = {"name": figure.name, "value": figure.value, "unit": figure.unit, "goal": figure.goal, "met": figure.met}
    return {**row, "note": figure.note} if figure.note else row
