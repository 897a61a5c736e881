"""What docs/warehouse.md says of names and types is what the code does."""

import re
from pathlib import Path

from appliance.warehouse import names
from appliance.warehouse.dialect import DIALECTS, DUCKDB

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "warehouse.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The cells of the table under a line of headings, row by row."""
    lines = PAGE.split(f"\n{heading}\n", 1)[1].split("\n\n", 1)[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_names() -> None:
    pairs = {}
    for sent, name in table("| sent | name |"):
        pairs |= dict(zip(re.findall("`(.+?)`", sent), re.findall("`(.+?)`", name), strict=True))
    assert len(pairs) > 8
    assert {sent: names.fitted(names.snake(sent), DUCKDB) for sent in pairs} == pairs


def test_types() -> None:
    heading = next(line for line in PAGE.splitlines() if line.startswith("| value | type | DuckDB"))
    dialects = [cell.strip().lower() for cell in heading.strip("|").split("|")[2:]]
    assert dialects == list(DIALECTS)
    found = {row[1]: row[2:] for row in table(heading)}
    order = ("int", "float", "boolean", "datetime", "string", "json")
    assert found == {kind: [dialect.types[kind] for dialect in DIALECTS.values()] for kind in order}
