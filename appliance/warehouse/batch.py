"""Many events become the rows of each table as typed columns, ready to be staged. Pure.

The warehouse's type wins over the batch's, in the batch the first value's; a value that does not fit is null and a
row of `rudder_discards`. Of several rows with one id and source the newest stays, of `users` one row per user with the
newest value of each column, so that a merge meets every row once.

Source: contract/warehouse.md, Types, Columns, Loading.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from appliance.core.event import Event
from appliance.warehouse.columns import Column, Instants, Misfit, Values, typed_column
from appliance.warehouse.dialect import Type
from appliance.warehouse.flatten import json_text
from appliance.warehouse.gather import ORDER, Gatherer, Row
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


class Batch:
    """Collects events of one destination; `tables` gives them as columns.

    Args:
        mapper: of the destination.
        known: the tables that the warehouse has.
    """

    def __init__(self, mapper: Mapper, known: Schema) -> None:
        self._mapper, self._known, self._dialect = mapper, known, mapper.dialect
        self._rows, self._discarded = Gatherer(), Gatherer()
        cased = self._dialect.cased
        self._id, self._source, self._received = cased("id"), cased("context_source_id"), cased("received_at")
        self._loaded_at = cased(LOADED_AT)
        self._discards = [cased(name) for name in DISCARDS_COLUMNS if name != LOADED_AT]
        self._users, self._rules, self._discards_table = map(mapper.table, ("users", MERGE_RULES, DISCARDS))

    def add(self, event: Event) -> None:
        """Take an event in.

        Raises:
            Unmappable: it has no rows; nothing of it was taken in.
        """
        rows, lacks = self._mapper.map(event)
        for row in rows:
            self._rows.put(row)
        for lack in lacks:
            values = rows[0].values | rows[0].common if rows else {self._id: event.message_id}
            self._discard(lack.table, values, lack.column, lack.value, lack.reason)

    def tables(self, loaded_at: str) -> list[Table]:
        """All that was taken in; `rudder_discards` comes last, where there is anything to discard. To be called once.

        Args:
            loaded_at: becomes `uuid_ts`, as UTC ISO 8601 with milliseconds.
        """
        instants = Instants()
        tables = [self._table(name, columns, loaded_at, instants) for name, columns in self._rows.tables().items()]
        discarded = self._discarded.tables()
        return [*tables, *(self._table(name, columns, loaded_at, instants) for name, columns in discarded.items())]

    def _table(self, name: str, gathered: dict[str, Values], loaded_at: str, instants: Instants) -> Table:
        key: tuple[str, ...] = ()
        if name == self._rules:
            key = tuple(column for column in gathered if column != ORDER)
        elif name == self._users:
            key = (self._id,)
        elif self._source in gathered:
            key = (self._id, self._source)
        if key and name != self._users:
            gathered = self._newest(gathered, key)
        known, own = self._known.get(name, {}), self._mapper.own(name)
        order = gathered.pop(ORDER)
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
                row = {each: gathered[each][index] for each in (self._id, self._received) if each in gathered}
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
        if self._id in key and len(set(gathered[self._id])) == len(gathered[ORDER]):
            return gathered
        keys = list(zip(*(gathered[column] for column in key), strict=True))
        if len(set(keys)) == len(keys):
            return gathered
        newest: dict[tuple[Value | None, ...], int] = {}
        for index in self._by_age(gathered.get(self._received), gathered[ORDER]):
            newest[keys[index]] = index
        kept = sorted(newest.values())
        left = {column: [values[index] for index in kept] for column, values in gathered.items()}
        return {column: values for column, values in left.items() if any(value is not None for value in values)}

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
            values: list[Value | None] = [None] * len(place)
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

    def _discard(self, table: str, row: Mapping[str, Value | None], column: str, value: Any, reason: str) -> None:
        text = text_of(value) if isinstance(value, str | int | float | Decimal) else json_text(value)
        values = (table, row.get(self._id), column, text, reason, row.get(self._received))
        told = {name: value for name, value in zip(self._discards, values, strict=True) if value is not None}
        self._discarded.put(Row(self._discards_table, told))
