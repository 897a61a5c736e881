"""Names and texts as they stand in SQL: one function per kind of database, for names that may be hostile. Pure.

A name or text that no database can hold (U+0000 in it, lone surrogates, an empty name) is a `ValueError`: it must not
reach SQL, and nothing is replaced here behind anybody's back. Values belong into parameters; `literal` is for the few
places where a database takes none.

Source: PostgreSQL 17, section 4.1; DuckDB, keywords and identifiers; ClickHouse, syntax; BigQuery, lexical structure;
Snowflake, identifier requirements, string constants; Amazon Redshift, names and identifiers; Databricks, identifiers.
"""

import re
from collections.abc import Callable

_BACKSLASHED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}


def identifier(dialect: str, name: str) -> str:
    """A name of a table or a column, quoted.

    Args:
        dialect: "duckdb", "postgres", "clickhouse", "bigquery", "snowflake", "redshift" or "databricks".

    Raises:
        ValueError: no name can be written so.
    """
    if not name:
        raise ValueError("a name must not be empty")
    return _IDENTIFIERS[dialect](_sound(name))


def literal(dialect: str, text: str) -> str:
    """A text, quoted; arguments and errors as for `identifier`, but it may be empty."""
    return _LITERALS[dialect](_sound(text))


def _sound(text: str) -> str:
    if "\0" in text:
        raise ValueError("U+0000 cannot stand in SQL")
    text.encode()  # A lone surrogate raises UnicodeEncodeError, which is a ValueError.
    return text


def _doubled(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _doubled_backticks(text: str) -> str:
    return "`" + text.replace("`", "``") + "`"


def _backslashed_backticks(text: str) -> str:
    return "`" + _escaped(text, "`") + "`"


def _doubled_apostrophes(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _postgres_literal(text: str) -> str:
    """With a backslash the form that does not hang on `standard_conforming_strings`."""
    if "\\" in text:
        return " E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return _doubled_apostrophes(text)


def _doubled_backslashes(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _backslashed(text: str) -> str:
    return "'" + _escaped(text, "'") + "'"


def _escaped(text: str, quote: str) -> str:
    return re.sub(r"[\\\n\r\t\b\f" + quote + "]", lambda found: _BACKSLASHED.get(found[0], "\\" + found[0]), text)


_IDENTIFIERS: dict[str, Callable[[str], str]] = {
    "duckdb": _doubled,
    "postgres": _doubled,
    "clickhouse": _backslashed_backticks,
    "bigquery": _backslashed_backticks,
    "snowflake": _doubled,
    "redshift": _doubled,
    "databricks": _doubled_backticks,
}
_LITERALS: dict[str, Callable[[str], str]] = {
    "duckdb": _doubled_apostrophes,
    "postgres": _postgres_literal,
    "clickhouse": _backslashed,
    "bigquery": _backslashed,
    "snowflake": _doubled_backslashes,
    "redshift": _doubled_backslashes,
    "databricks": _backslashed,
}
