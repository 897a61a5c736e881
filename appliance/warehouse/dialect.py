"""What sets one kind of warehouse apart for the mapping: its words, lengths, case, types, and what it cannot hold."""

from typing import Literal

import msgspec

from appliance.warehouse import reserved

Type = Literal["int", "float", "string", "text", "datetime", "boolean", "json"]
"""RudderStack's names of types. No value is a `text` of itself; a column of an older warehouse may be."""

EARLIEST, LATEST = "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z"
_UNLIMITED = 1_000_000


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of warehouse. Compared and hashed by what it holds, so two of one name are one."""

    name: str
    types: dict[Type, str]
    """What the database calls each type."""
    reserved: frozenset[str]
    reserved_prefixes: tuple[str, ...] = ()
    name_characters_max: int = 127
    upper_case: bool = False
    """Tables and columns are in upper case."""
    has_json: bool = True
    """False: what was declared to be JSON is a string."""
    holds_nul: bool = True
    """False: U+0000 becomes U+FFFD in every value."""
    is_decimal: bool = False
    """Its float keeps all digits of any number."""
    earliest: str = EARLIEST
    latest: str = LATEST
    """First and last instant that a column holds."""
    table_columns_max: int = _UNLIMITED
    """Most columns of one table."""

    def __hash__(self) -> int:
        return hash(self.name)

    def cased(self, name: str) -> str:
        """One of our own names as this warehouse spells it."""
        return name.upper() if self.upper_case else name


def _types(int: str, float: str, string: str, datetime: str, boolean: str, json: str) -> dict[Type, str]:
    return {
        "int": int,
        "float": float,
        "string": string,
        "text": string,
        "datetime": datetime,
        "boolean": boolean,
        "json": json,
    }


DUCKDB = Dialect(
    name="duckdb",
    types=_types("BIGINT", "DOUBLE", "VARCHAR", "TIMESTAMPTZ", "BOOLEAN", "JSON"),
    reserved=reserved.DUCKDB,
)
POSTGRES = Dialect(
    name="postgres",
    types=_types("bigint", "numeric", "text", "timestamptz", "boolean", "jsonb"),
    reserved=reserved.POSTGRES,
    name_characters_max=63,
    holds_nul=False,
    is_decimal=True,
    table_columns_max=1600,
)
CLICKHOUSE = Dialect(
    name="clickhouse",
    types=_types("Int64", "Float64", "String", "DateTime", "UInt8", "String"),
    reserved=reserved.CLICKHOUSE,
    has_json=False,
    earliest="1970-01-01T00:00:00.000Z",
    latest="2106-02-07T06:28:15.999Z",
)
BIGQUERY = Dialect(
    name="bigquery",
    types=_types("INTEGER", "FLOAT", "STRING", "TIMESTAMP", "BOOLEAN", "STRING"),
    reserved=reserved.BIGQUERY,
    reserved_prefixes=reserved.BIGQUERY_PREFIXES,
    has_json=False,
    table_columns_max=10_000,
)
SNOWFLAKE = Dialect(
    name="snowflake",
    types=_types("NUMBER", "DOUBLE PRECISION", "VARCHAR", "TIMESTAMP_TZ", "BOOLEAN", "VARIANT"),
    reserved=reserved.SNOWFLAKE,
    upper_case=True,
)
REDSHIFT = Dialect(
    name="redshift",
    types=_types("bigint", "double precision", "varchar(65535)", "timestamp", "boolean", "super"),
    reserved=reserved.REDSHIFT,
    holds_nul=False,
    table_columns_max=1600,
)
DATABRICKS = Dialect(
    name="databricks",
    types=_types("BIGINT", "DOUBLE", "STRING", "TIMESTAMP", "BOOLEAN", "STRING"),
    reserved=reserved.DATABRICKS,
    has_json=False,
)
DIALECTS = {
    dialect.name: dialect for dialect in (DUCKDB, POSTGRES, CLICKHOUSE, BIGQUERY, SNOWFLAKE, REDSHIFT, DATABRICKS)
}
