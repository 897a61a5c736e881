"""Where a key stands in a TOML text, for every form that TOML has."""

import tomllib
from typing import Any

import pytest

from appliance.core.toml_lines import key_lines

CASES: list[tuple[str, str, dict[tuple[str | int, ...], int]]] = [
    ("plain keys and tables", 'a = 1\n\n[b]\nc = "x" # [d]\n', {("a",): 1, ("b",): 3, ("b", "c"): 4}),
    ("comments and blank lines first", "# [x]\n\n# a = 1\na = 1\n", {("a",): 4}),
    ("dotted keys", "a.b.c = 1\na.b.d = 2\n", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1, ("a", "b", "d"): 2}),
    ("spaces around dots", "a . b = 1\n[ c . d ]\ne=2\n", {("a", "b"): 1, ("c", "d"): 2, ("c", "d", "e"): 3}),
    ("nested header", "[a.b.c]\nd = 1\n[a]\ne = 2\n", {("a", "b", "c"): 1, ("a", "b", "c", "d"): 2, ("a", "e"): 4}),
    ("quoted keys", '"a.b" = 1\n\'c d\' = 2\n["x]y"."é"]\nz = 3\n', {("a.b",): 1, ("c d",): 2, ("x]y", "é", "z"): 4}),
    ("escaped quotes in a key", '"a\\"b = 1" = 2\n"\\u00e9" = 3\n', {('a"b = 1',): 1, ("é",): 2}),
    (
        "arrays of tables",
        "[[s]]\na = 1\n[[s]]\na = 2\n[s.t]\nb = 3\n[[s.u]]\nc = 4\n[[s.u]]\nc = 5\n",
        {
            ("s",): 1,
            ("s", 0): 1,
            ("s", 0, "a"): 2,
            ("s", 1): 3,
            ("s", 1, "a"): 4,
            ("s", 1, "t", "b"): 6,
            ("s", 1, "u", 0, "c"): 8,
            ("s", 1, "u", 1): 9,
            ("s", 1, "u", 1, "c"): 10,
        },
    ),
    (
        "arrays of tables under a table",
        "[sources.web]\nk = 1\n[[sources.web.route]]\nm = 1\n[[sources.web.route]]\nm = 2\n",
        {("sources", "web", "route", 0, "m"): 4, ("sources", "web", "route", 1, "m"): 6},
    ),
    (
        "multi-line basic string",
        'a = """\n[x]\nb = 1\n\\""" still\n"""\nc = 2\n',
        {("a",): 1, ("c",): 6},
    ),
    ("multi-line literal string", "a = '''\nb = 1\n\\'''\nc = 2\n", {("a",): 1, ("c",): 4}),
    ("quotes before the closing three", "a = \"\"\"x\"\"\"\"\"\nb = 1\nc = '''y'''''\nd = 2\n", {("b",): 2, ("d",): 4}),
    ("empty strings", "a = ''\nb = \"\"\nc = ''''''\nd = \"\"\"\"\"\"\ne = 1\n", {("e",): 5}),
    ("backslash at the end of a string", "a = \"x\\\\\"\nb = 'x\\'\nc = 1\n", {("b",): 2, ("c",): 3}),
    (
        "arrays over lines",
        'a = [\n  "x", # ]\n  "y]",\n\n  [1,\n   2],\n]\nb = 1\n',
        {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 2): 5, ("a", 2, 1): 6, ("b",): 8},
    ),
    (
        "inline tables",
        'a = { b = 1, c.d = "}", e = { f = [ { g = 1 } ] } }\nh = {}\ni = 1\n',
        {("a", "b"): 1, ("a", "c", "d"): 1, ("a", "e", "f", 0, "g"): 1, ("h",): 2, ("i",): 3},
    ),
    (
        "inline tables in an array over lines",
        "a = [\n { b = 1 },\n { b = 2 },\n]\n",
        {("a", 0, "b"): 2, ("a", 1, "b"): 3},
    ),
    (
        "dates, times and numbers",
        "a = 1979-05-27 07:32:00\nb = 07:32:00\nc = 1e9\nd = 0xFF\ne = -inf\nf = 1_000.5#x\ng = true\n",
        {("a",): 1, ("b",): 2, ("f",): 6, ("g",): 7},
    ),
    (
        "Windows line ends",
        "a = 1\r\n[b]\r\nc = [\r\n1,\r\n2]\r\nd = 2\r\n",
        {("b",): 2, ("b", "c", 1): 5, ("b", "d"): 6},
    ),
    ("no line end at the end", "[a]\nb = 1", {("a", "b"): 2}),
    ("numbers and dashes as keys", "1.2 = 3\n-a_b = 4\n", {("1", "2"): 1, ("-a_b",): 2}),
    ("nothing", "", {}),
]


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_lines(text: str, expected: dict[tuple[str | int, ...], int]) -> None:
    lines = key_lines(text)
    assert {path: lines.get(path) for path in expected} == expected
    assert every_path(tomllib.loads(text)) == set(lines)


def every_path(value: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """All paths of a document as tomllib reads it: the scanner must know exactly these."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    for key, item in items:
        found |= every_path(item, (*path, key))
    return found
