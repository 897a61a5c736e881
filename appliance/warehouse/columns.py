"""A column of values gets its type, and every value that cannot have it is set aside. Pure.

What each value alone comes to is the business of `types.py`; here stand short cuts for columns whose values are all of
one kind, which is nearly all columns. They give what value by value gives; a property test compares.
"""

from typing import NamedTuple, cast

from appliance.warehouse import types
from appliance.warehouse.dialect import EARLIEST, LATEST, Dialect, Type
from appliance.warehouse.types import EXACT_MAX, INT_MAX, INT_MIN, Discard, Value

Values = list[Value | None]
_NOTHING = type(None)


class Column(NamedTuple):
    """One column of a table, ready to be staged: value per row, None for null."""

    type: Type
    values: Values


class Instants(dict[str, str | None]):
    """Remembers which texts are datetimes: the same ones stand in several columns and tables."""

    def __missing__(self, text: str) -> str | None:
        self[text] = found = types.instant(text)
        return found


Misfit = tuple[int, Discard]
"""The row, and why its value is not in the column."""


def typed_column(
    values: Values, wanted: Type | None, dialect: Dialect, instants: Instants
) -> tuple[Column, list[Misfit]]:
    """The column of these values.

    Args:
        values: as `schema.Row` holds them; at least one is not None.
        wanted: the type of the column in the warehouse, or as it must be; None: that of the first value.
    """
    column = _at_a_glance(values, wanted, dialect, instants)
    return (column, []) if column is not None else one_by_one(values, wanted, dialect)


def one_by_one(values: Values, wanted: Type | None, dialect: Dialect) -> tuple[Column, list[Misfit]]:
    """As `typed_column`, without short cuts."""
    held: Values = []
    misfits: list[Misfit] = []
    for index, value in enumerate(values):
        if value is None:
            held.append(None)
            continue
        given, value = types.typed(value, dialect)
        wanted = wanted or given
        fitted = types.converted(value, given, wanted, dialect)
        if isinstance(fitted, Discard):
            misfits.append((index, fitted))
            held.append(None)
        else:
            held.append(fitted)
    assert wanted is not None
    return Column(wanted, held), misfits


def _at_a_glance(values: Values, wanted: Type | None, dialect: Dialect, instants: Instants) -> Column | None:
    kinds = set(map(type, values))
    has_nulls = _NOTHING in kinds
    kinds.discard(_NOTHING)
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is str:
        return _strings(values, wanted, dialect, instants)
    if kind is bool and wanted in (None, "boolean"):
        return Column("boolean", values)
    if kind is float and wanted in (None, "float"):
        return Column("float", values)
    if kind is int and wanted in (None, "int", "float"):
        present = [value for value in values if value is not None] if has_nulls else values
        low, high = min(present), max(present)  # type: ignore[type-var]
        if wanted == "float":
            if low >= -EXACT_MAX and high <= EXACT_MAX:  # type: ignore[operator]
                return Column("float", _floats(values, dialect))
        elif low >= INT_MIN and high <= INT_MAX:  # type: ignore[operator]
            return Column("int", values)
    return None


def _floats(values: Values, dialect: Dialect) -> Values:
    return values if dialect.is_decimal else [None if value is None else float(value) for value in values]


def _strings(values: Values, wanted: Type | None, dialect: Dialect, instants: Instants) -> Column | None:
    texts = cast(list[str | None], values)
    if wanted == "datetime" or (wanted is None and (next(filter(None, texts)))[4:5] == "-"):
        moments: Values = [None if text is None else instants[text] for text in texts]
        if moments.count(None) == values.count(None) and _in_range(moments, dialect):
            return Column("datetime", moments)
        return None
    if wanted in (None, "string", "text") and not [1 for text in texts if text is not None and text[4:5] == "-"]:
        return Column(wanted or "string", values)
    return None


def _in_range(moments: Values, dialect: Dialect) -> bool:
    if dialect.earliest == EARLIEST and dialect.latest == LATEST:
        return True
    return all(moment is None or dialect.earliest <= str(moment) <= dialect.latest for moment in moments)
