"""Events become the tables of one load: the mapping, in the form in which plug-ins are given it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

from appliance.core.config import DestinationConfig, SourceConfig
from appliance.core.event import Event
from appliance.core.loads import Column, Staged, Table
from appliance.warehouse.batch import Batch
from appliance.warehouse.batch import Table as Rows
from appliance.warehouse.dialect import DIALECTS, Type
from appliance.warehouse.errors import Unmappable
from appliance.warehouse.people import people_table
from appliance.warehouse.schema import Mapper, Place

Sources = Callable[[], Mapping[str, SourceConfig]]


class Staging:
    """Makes tables for one warehouse; one call at a time, on any thread.

    Args:
        destination: its name.
        dialect: of its plug-in.
        sources: as they are configured at present.
    """

    def __init__(self, destination: str, dialect: str, config: DestinationConfig, sources: Sources) -> None:
        types = {name: source.type for name, source in sources().items()}
        place = Place(destination, config.plugin)
        self._mapper = Mapper(DIALECTS[dialect], place, types, config.load.json_paths)

    def __call__(self, events: Sequence[Event], known: Mapping[str, Mapping[str, str]], loaded_at: str) -> Staged:
        """See `deliver.ports.Stage`."""
        batch, unmappable = Batch(self._mapper, _schema(known)), list[tuple[int, str]]()
        for index, event in enumerate(events):
            try:
                batch.add(event)
            except Unmappable as reason:
                unmappable.append((index, str(reason)))
        return Staged([self._finished(rows) for rows in batch.tables(loaded_at)], unmappable)

    def people(self, ids: Sequence[tuple[str, str, str]], loaded_at: str) -> Table:
        """See `deliver.ports.Stage`."""
        return people_table(ids, loaded_at, self._mapper.dialect)

    def _finished(self, rows: Rows) -> Table:
        columns = [
            Column(name, column.type, self._mapper.dialect.types[column.type]) for name, column in rows.columns.items()
        ]
        by = self._mapper.dialect.cased("received_at")
        return Table(
            rows.name,
            columns,
            [column.values for column in rows.columns.values()],
            mode=self._mode(rows),
            key=rows.key,
            by=by if by in rows.columns else "",
        )

    def _mode(self, rows: Rows) -> Literal["newest", "fill", "append"]:
        if not rows.key:
            return "append"
        return "fill" if rows.name == self._mapper.table("users") else "newest"


def _schema(known: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, Type]]:
    """A column of a type that we do not know takes texts, or nothing: then the warehouse says so."""
    kinds: tuple[Type, ...] = get_args(Type)
    by_name: dict[str, Type] = {kind: kind for kind in kinds}
    return {
        table: {column: by_name.get(kind, "string") for column, kind in columns.items()}
        for table, columns in known.items()
    }
