"""Many events become the rows of each table as typed columns, ready to be staged. Pure.

The warehouse's type wins over the batch's, in the batch the first value's; a value that does not fit is null and a
row of `rudder_discards`. Of several rows with one id and source the newest stays, of `users` one row per user with the
newest value of each column, so that a merge meets every row once.

Source: contract/warehouse.md, Types, Columns, Loading.
"""

from collections.abc import Mapping
from decimal import Decimal
from itertools import repeat
from typing import Any

import msgspec

from appliance.core.event import Event
from appliance.warehouse.columns import Column, Instants, Misfit, Values, typed_column
from appliance.warehouse.dialect import Type
from appliance.warehouse.flatten import json_text
from appliance.warehouse.schema import DISCARDS, DISCARDS_COLUMNS, LOADED_AT, MERGE_RULES, Mapper
from appliance.warehouse.types import Discard, Value, instant, text_of

Schema = Mapping[str, Mapping[str, Type]]
"""Table -> column -> type, as the warehouse spells them."""

TABLE_FULL = Discard("the table has as many columns as the warehouse allows")


class Table(msgspec.Struct, frozen=True):
    """The rows of one table."""

    name: str
    columns: dict[str, Column]
    """All of one length."""
    added: dict[str, Type]
    """Those that the warehouse does not have yet; all of them where it has no such table."""
    is_new: bool
    key: tuple[str, ...]
    """Columns that tell rows apart: no two rows have the same values there. Empty: rows are only ever added."""

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.columns.values())).values)


_Row = dict[str, Value]
_Groups = dict[tuple[str, ...], list[tuple[Value, ...]]]
"""The rows of a table by which columns they have, in order of arrival: whole columns are gathered from them at once."""
_ORDER = ""
"""Stands in rows for when they arrived; no column is called so."""


class Batch:
    """Collects events of one destination; `tables` gives them as columns.

    Args:
        mapper: of the destination.
        known: the tables that the warehouse has.
    """

    def __init__(self, mapper: Mapper, known: Schema) -> None:
        self._mapper, self._known, self._dialect = mapper, known, mapper.dialect
        self._tables: dict[str, _Groups] = {}
        self._discarded: list[_Row] = []
        self._row_count = 0
        cased = self._dialect.cased
        self._id, self._source, self._received = cased("id"), cased("context_source_id"), cased("received_at")
        self._loaded_at = cased(LOADED_AT)
        self._discards = [cased(name) for name in DISCARDS_COLUMNS if name != LOADED_AT]
        self._users, self._rules = mapper.table("users"), mapper.table(MERGE_RULES)

    def add(self, event: Event) -> None:
        """Take an event in.

        Raises:
            Unmappable: it has no rows; nothing of it was taken in.
        """
        rows, lacks = self._mapper.map(event)
        for table, row in rows:
            self._put(table, row)
        for lack in lacks:
            row = rows[0].values if rows else {self._id: event.message_id}
            self._discard(lack.table, row, lack.column, lack.value, lack.reason)

    def tables(self, loaded_at: str) -> list[Table]:
        """All that was taken in; `rudder_discards` comes last, where there is anything to discard. To be called once.

        Args:
            loaded_at: becomes `uuid_ts`, as UTC ISO 8601 with milliseconds.
        """
        instants = Instants()
        tables = [self._table(name, groups, loaded_at, instants) for name, groups in self._tables.items()]
        if self._discarded:
            name, self._tables = self._mapper.table(DISCARDS), {}
            for row in self._discarded:
                self._put(name, row)
            tables.append(self._table(name, self._tables[name], loaded_at, instants))
        return tables

    def _put(self, table: str, row: _Row) -> None:
        self._row_count += 1
        groups = self._tables.get(table)
        if groups is None:
            groups = self._tables[table] = {}
        shape = tuple(row)
        kept = groups.get(shape)
        if kept is None:
            groups[shape] = [(self._row_count, *row.values())]
        else:
            kept.append((self._row_count, *row.values()))

    def _table(self, name: str, groups: _Groups, loaded_at: str, instants: Instants) -> Table:
        gathered = _gathered(groups)
        key: tuple[str, ...] = ()
        if name == self._rules:
            key = tuple(column for column in gathered if column != _ORDER)
        elif name == self._users:
            key = (self._id,)
        elif self._source in gathered:
            key = (self._id, self._source)
        if key and name != self._users:
            gathered = self._newest(gathered, key)
        known, own = self._known.get(name, {}), self._mapper.own(name)
        order = gathered.pop(_ORDER)
        columns = {self._loaded_at: Column("datetime", [loaded_at] * len(order))}
        added: dict[str, Type] = {} if self._loaded_at in known else {self._loaded_at: "datetime"}
        room = self._dialect.table_columns_max - len(known)
        for column in sorted(gathered, key=lambda column: column not in own):  # so that a full table lacks none of ours
            values, kind = gathered[column], known.get(column)
            if kind is None and len(added) >= room:
                misfits = [(index, TABLE_FULL) for index, value in enumerate(values) if value is not None]
            else:
                columns[column], misfits = self._column(values, kind, own.get(column), instants)
                if kind is None:
                    added[column] = columns[column].type
            for index, misfit in misfits:
                row = {each: gathered[each][index] or "" for each in (self._id, self._received) if each in gathered}
                self._discard(name, row, column, values[index], misfit.reason)
        if name == self._users:
            columns = self._one_per_user(columns, order)
        return Table(name, columns, added, name not in self._known, key)

    def _column(
        self, values: Values, known: Type | None, own: Type | None, instants: Instants
    ) -> tuple[Column, list[Misfit]]:
        if own == "string" and known in (None, "string", "text"):
            return Column(known or "string", values), []  # texts already, and none is to be read as a datetime
        return typed_column(values, known or own, self._dialect, instants)

    def _newest(self, gathered: dict[str, Values], key: tuple[str, ...]) -> dict[str, Values]:
        """One row per key: the newest by `received_at`, of equals the one that came last."""
        keys = list(zip(*(gathered[column] for column in key), strict=True))
        if len(set(keys)) == len(keys):
            return gathered
        newest: dict[tuple[Value | None, ...], int] = {}
        for index in self._by_age(gathered.get(self._received), gathered[_ORDER]):
            newest[keys[index]] = index
        kept = sorted(newest.values())
        return {column: [values[index] for index in kept] for column, values in gathered.items()}

    def _one_per_user(self, columns: dict[str, Column], order: Values) -> dict[str, Column]:
        """One row per user: of each column the newest value that is not null, of equals the one that came last."""
        ids = columns[self._id].values
        if len(set(ids)) == len(ids):
            return columns
        received = columns.get(self._received)
        by_age = self._by_age(received and received.values, order)
        place = {user: at for at, user in enumerate(dict.fromkeys(ids))}
        merged = {}
        for name, column in columns.items():
            values: Values = [None] * len(place)
            for index in by_age:
                if column.values[index] is not None:
                    values[place[ids[index]]] = column.values[index]
            merged[name] = Column(column.type, values)
        return merged

    def _by_age(self, received: Values | None, order: Values) -> list[int]:
        """The rows from the oldest to the newest."""

        def age(index: int) -> tuple[str, Any]:
            text = received[index] if received else None
            return (instant(text) or "" if isinstance(text, str) else ""), order[index]

        return sorted(range(len(order)), key=age)

    def _discard(self, table: str, row: Mapping[str, Value], column: str, value: Any, reason: str) -> None:
        text = text_of(value) if isinstance(value, str | int | float | Decimal) else json_text(value)
        values = (table, row.get(self._id, ""), column, text, reason, row.get(self._received, ""))
        self._discarded.append(dict(zip(self._discards, values, strict=True)))


def _gathered(groups: _Groups) -> dict[str, Values]:
    """The rows as columns; of each column the first value that is not None is the one that came first.

    That holds since groups stand in the order of their first rows.
    """
    if len(groups) == 1:
        ((shape, rows),) = groups.items()
        return dict(zip((_ORDER, *shape), map(list, zip(*rows, strict=True)), strict=True))
    gathered: dict[str, Values] = {}
    count = 0
    for shape, rows in groups.items():
        for column, values in zip((_ORDER, *shape), zip(*rows, strict=True), strict=True):
            target = gathered.setdefault(column, [])
            if len(target) < count:
                target.extend(repeat(None, count - len(target)))
            target.extend(values)
        count += len(rows)
    for target in gathered.values():
        target.extend(repeat(None, count - len(target)))
    return gathered
