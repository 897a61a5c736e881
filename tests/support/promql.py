"""What a PromQL expression names: metrics with their label matchers, and the labels that its result has left."""

import re
from collections.abc import Mapping
from typing import NamedTuple

GIVEN = frozenset({"job", "instance"})
"""Labels that Prometheus adds to everything it scrapes."""
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf"})
_GROUPING = re.compile(r"\b(by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"(?<![\w$.])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(?!\s*\(|[\w:])")
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')

Exposed = Mapping[str, list[dict[str, str]]]
"""Metric -> the labels of each of its series."""


class Named(NamedTuple):
    """What one expression names."""

    selectors: list[tuple[str, list[tuple[str, str, str]]]]
    """Metric and its matchers: label, operator, value."""
    grouped: list[str]
    """Labels in `by`, `on` and so on."""


def named(expression: str) -> Named:
    """Read an expression; enough of the language for rules and panels of our own."""
    grouped = [label.strip() for _, labels in _GROUPING.findall(expression) for label in labels.split(",") if label]
    bare = re.sub(r"\b(?:sum|max|min|avg|count)\s*\(", "(", _GROUPING.sub(" ", expression))
    bare = re.sub(r"\[[^\]]*\]", "", bare)
    found = [(name, _MATCHER.findall(braces)) for name, braces in _SELECTOR.findall(bare) if name not in _WORDS]
    return Named(found, grouped)


def faults(expression: str, exposed: Exposed) -> list[str]:
    """What an expression names and nobody exposes."""
    selectors, grouped = named(expression)
    wrong = [] if selectors else [f"names no metric: {expression}"]
    known = set(GIVEN)
    for metric, matchers in selectors:
        series = [{}] if metric == "up" else exposed.get(metric, [])
        if not series:
            wrong.append(f"no such metric: {metric}")
            continue
        labels = set(GIVEN).union(*series)
        known |= labels
        for label, operator, value in matchers:
            if label not in labels:
                wrong.append(f"{metric} has no label {label}")
            elif label not in GIVEN and "$" not in value and operator in ("=", "=~"):
                values = {one[label] for one in series}
                wrong += [f"{metric}: {label} is never {part}" for part in value.split("|") if part not in values]
    return wrong + [f"no metric has the label {label}" for label in grouped if label not in known]


def labels_left(expression: str, exposed: Exposed) -> set[str]:
    """Labels that the result can have: those of the outermost `by`, or all of its metrics."""
    if outermost := re.match(r"\s*(?:sum|max|min|avg|count)\s*(?:by\s*\(([^)]*)\))?", expression):
        return {label.strip() for label in (outermost[1] or "").split(",")}
    return set(GIVEN).union(*(one for metric, _ in named(expression).selectors for one in exposed.get(metric, [])))
