"""The postgres plug-in on a schema of a real server, and what stands there as the naive model has it."""

import sys
from decimal import Decimal
from typing import Any

from psycopg import sql

from appliance.deliver.contract import load_plugin
from appliance.deliver.plugins import shipped_folder
from appliance.sdk import Load, Secret
from tests.support.postgres import ROLE, PostgresServer
from tests.support.warehouse_cases import T1, Row, load, table

PLUGIN = load_plugin(shipped_folder() / "postgres.py")
MODULE: Any = sys.modules[PLUGIN.deliver.call.__module__]
DECLARED = {
    "int": "bigint", "float": "numeric", "string": "text", "datetime": "timestamptz", "boolean": "boolean", "json": "jsonb",
}  # fmt: skip


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, object]]] = []

    def warning(self, event: str, **fields: object) -> None:
        self.events.append((event, fields))


class Lake:
    """The plug-in on a schema of a database, and what stands there as the model has it."""

    def __init__(self, server: PostgresServer, database: str, **options: Any) -> None:
        self.server, self.database, self.log = server, database, Told()
        keys = {"host": "127.0.0.1", "port": server.port, "user": ROLE, "password": Secret(server.password)}
        self.config = MODULE.Postgres(**{**keys, "database": database, "schema": "lake", **options})
        self.plugin = MODULE.Server(self.config, self.log)

    def load(self, load: Load) -> None:
        MODULE.load(load, self.plugin)

    def put(self, *rows: Row, name: str = "tracks", mode: str = "newest", last: int = 0, **types: str) -> None:
        self.load(load(table(name, mode, types, rows, declared=DECLARED), last=last))

    def rows(self, name: str) -> list[Row]:
        """A table's rows without nulls; times and JSON as text, numbers as floats where they are not whole."""
        columns = MODULE.inspect("lake", self.plugin).tables.get(name, {})
        shown = [
            sql.SQL("to_char({} AT TIME ZONE 'UTC', 'FMYYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')").format(
                sql.Identifier(column)
            )
            if kind == "datetime"
            else sql.Identifier(column)
            for column, kind in columns.items()
        ]
        query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(shown), sql.Identifier(self.config.schema, name))
        found = self.server.rows(self.database, query) if columns else []
        return [
            {
                column: _of(value, kind)
                for (column, kind), value in zip(columns.items(), row, strict=True)
                if value is not None
            }
            for row in found
        ]

    def says(self, statement: str) -> None:
        """Run a statement as superuser."""
        self.server.keeper(statement, self.database)


def _of(value: Any, kind: str) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if kind == "datetime":  # The year's leading zeros, which to_char leaves out.
        year, rest = value.split("-", 1)
        return f"{year:0>4}-{rest}"
    return value


def event(id: str = "a", **values: Any) -> Row:
    return {"id": id, "context_source_id": "s", "received_at": T1, **values}
