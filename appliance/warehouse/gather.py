"""Rows become columns, without a look at each value: rows of one shape are kept together and turned at once. Pure.

The shape of a row is its columns, in their order. Events of one kind have a handful of shapes.
"""

from itertools import repeat
from typing import NamedTuple

from appliance.warehouse.columns import Values
from appliance.warehouse.types import Value

ORDER = ""
"""The last column of every row: when it came. No column of an event is called so."""


class Row(NamedTuple):
    """One row: its table and its values by column, both as the warehouse spells them."""

    table: str
    values: dict[str, Value]
    common: dict[str, Value] = {}
    """More columns of this row; no column stands in both."""
    common_table: str = ""
    """A table that has `common` as a row of its own; "": none."""


class _Group(NamedTuple):
    """Rows of one shape."""

    shape: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    tail: int
    """How many of the columns, the last, are `common`, and `ORDER`."""
    common_table: str


_Turned = tuple[tuple[str, ...], list[tuple[Value, ...]]]
"""Columns, and the values of each."""


class Gatherer:
    """Collects rows of many tables."""

    def __init__(self) -> None:
        self._tables: dict[str, dict[tuple[str, ...], _Group]] = {}
        self._row_count = 0

    def put(self, row: Row) -> None:
        """Take a row in."""
        table, values, common, common_table = row
        self._row_count += 1
        shape = (*values, ORDER, *common, ORDER)
        groups = self._tables.get(table)
        if groups is None:
            groups = self._tables[table] = {}
        group = groups.get(shape)
        if group is None:
            group = groups[shape] = _Group((*values, *common, ORDER), [], len(common) + 1, common_table)
        group.rows.append((*values.values(), *common.values(), self._row_count))

    def tables(self) -> dict[str, dict[str, Values]]:
        """Table -> column -> its values, None where a row has none.

        In every column the first value that is not None is the one that came first.
        """
        turned: dict[str, list[_Turned]] = {}
        for table, groups in self._tables.items():
            for shape, rows, tail, common_table in groups.values():
                columns = list(zip(*rows, strict=True))
                turned.setdefault(table, []).append((shape, columns))
                if common_table:
                    turned.setdefault(common_table, []).append((shape[-tail:], columns[-tail:]))
        return {table: _joined(parts) for table, parts in turned.items()}


def _joined(parts: list[_Turned]) -> dict[str, Values]:
    """The groups of one table below each other, in the order of their first rows, so that first values stay first."""
    if len(parts) == 1:
        return dict(zip(*parts[0], strict=True))
    joined: dict[str, list[Value | None]] = {}
    count = 0
    for shape, columns in sorted(parts, key=lambda part: part[1][-1][0]):
        for column, values in zip(shape, columns, strict=True):
            target = joined.setdefault(column, [])
            if len(target) < count:
                target.extend(repeat(None, count - len(target)))
            target.extend(values)
        count += len(columns[-1])
    for target in joined.values():
        target.extend(repeat(None, count - len(target)))
    return dict(joined)
