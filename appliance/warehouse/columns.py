"""A column of values gets its type, and every value that cannot have it is set aside. Pure.

What each value alone comes to is the business of `types.py`; here stand short cuts for columns whose values are all of
one kind, which is nearly all columns. They give what value by value gives; a property test compares.
"""

from collections.abc import Sequence
from typing import NamedTuple, cast

from appliance.warehouse import types
from appliance.warehouse.dialect import EARLIEST, LATEST, Dialect, Type
from appliance.warehouse.types import EXACT_MAX, INT_MAX, INT_MIN, Discard, Value

Values = Sequence[Value | None]
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
    held: list[Value | None] = []
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
    if kinds == {str}:
        return _strings(values, has_nulls, wanted, dialect, instants)
    if kinds == {bool}:
        return Column("boolean", values) if wanted in (None, "boolean") else None
    if kinds <= {int, float} and wanted in (None, "int", "float"):
        return _numbers(values, kinds, wanted, dialect)
    return None


def _numbers(values: Values, kinds: set[type], wanted: Type | None, dialect: Dialect) -> Column | None:
    if kinds == {float}:
        return Column("float", values) if wanted != "int" else None
    present = cast(list[int | float], [value for value in values if value is not None])
    if kinds == {int} and wanted != "float":
        return Column("int", values) if min(present) >= INT_MIN and max(present) <= INT_MAX else None
    is_float = wanted == "float" or (wanted is None and type(present[0]) is float)
    # Floats of any size pass; that the integers among them are exact is plain only where all are small.
    if is_float and min(present) >= -EXACT_MAX and max(present) <= EXACT_MAX:
        return Column("float", _floats(values, dialect))
    return None


def _floats(values: Values, dialect: Dialect) -> Values:
    return values if dialect.is_decimal else [None if value is None else float(value) for value in values]


def _strings(
    values: Values, has_nulls: bool, wanted: Type | None, dialect: Dialect, instants: Instants
) -> Column | None:
    texts = cast(Sequence[str | None], values)
    if wanted == "datetime" or (wanted is None and next(filter(None, texts))[4:5] == "-"):
        moments: Values = [None if text is None else instants[text] for text in texts]
        are_all = moments.count(None) == texts.count(None) if has_nulls else all(moments)
        return Column("datetime", moments) if are_all and _in_range(moments, dialect) else None
    if wanted in (None, "string", "text"):
        if "-" not in "".join(filter(None, texts)) or not any(text[4:5] == "-" for text in filter(None, texts)):
            return Column(wanted or "string", values)
    return None


def _in_range(moments: Values, dialect: Dialect) -> bool:
    if dialect.earliest == EARLIEST and dialect.latest == LATEST:
        return True
    return all(moment is None or dialect.earliest <= str(moment) <= dialect.latest for moment in moments)
