"""Names: every worked example of the contract, in every dialect, and what databases say of our lists."""

import duckdb
import pytest

from appliance.warehouse import names, reserved
from appliance.warehouse.dialect import BIGQUERY, DIALECTS, DUCKDB, POSTGRES, SNOWFLAKE, Dialect
from appliance.warehouse.flatten import Tree

LONG = "a" * 200
# key of a property -> its column (before a dialect's reserved words, length and case)
COLUMNS = {
    "productID": "product_id",
    "$revenue": "revenue",
    "2Fast": "_2fast",
    "HTTPServer": "http_server",
    "a--b": "a_b",
    "_lead": "_lead",
    "__lead": "__lead",
    "über straße": "ber_stra_e",
    "v2": "v2",
    "omega v2": "omega_v2",
    "9mega": "_9mega",
    "_9mega": "_9mega",
    "camelCase123Key": "camel_case123_key",
    "1CComega": "_1cc_omega",
    "path to $1,00,000": "path_to_1_00_000",
    "Mega+Omega": "mega_omega",
    "omega     ": "omega",
    "IPv4": "i_pv4",
    "item2Name": "item2_name",
    "ABC9d": "abc9_d",
    "x\0y": "x_y",
    "x\ud800y": "x_y",
    'a"; DROP TABLE users; --': "a_drop_table_users",
    "_": "_",
    "İstanbul": "stanbul",
    "ſelect": "elect",
    "１２": "unnamed_" + names.digest_of("１２")[:4].hex(),
    "": "unnamed_" + names.digest_of("")[:4].hex(),
    "购买": "unnamed_" + names.digest_of("购买")[:4].hex(),
}
EVENTS = {
    "Order Completed": "order_completed",
    "tracks": "_tracks",
    "Tracks": "_tracks",
    "users": "_users",
    "identifies": "_identifies",
    "accounts": "_accounts",
    "screens": "_screens",
    "aliases": "_aliases",
    "pages": "_pages",
    "_users": "_users",
    "rudder_discards": "_rudder_discards",
    "sternpost loads": "_sternpost_loads",
    "sternpostLoads": "_sternpost_loads",
    "id_map": "_id_map",
    "rudder_identity_mappings": "_rudder_identity_mappings",
    "select": "_select",
    "2Fast": "_2fast",
    "v2": "v2",
    "购买": "unnamed_" + names.digest_of("购买")[:4].hex(),
}

every_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS.keys())


def column(key: str, dialect: Dialect, prefix: str = "") -> str | None:
    return Tree(dialect, prefix, frozenset()).root[key]


@every_dialect
@pytest.mark.parametrize(("key", "expected"), COLUMNS.items())
def test_columns(key: str, expected: str, dialect: Dialect) -> None:
    assert column(key, dialect) == dialect.cased(expected)


@every_dialect
@pytest.mark.parametrize(("event", "expected"), EVENTS.items())
def test_tables_of_events(event: str, expected: str, dialect: Dialect) -> None:
    assert names.event_table(names.snake(event), dialect) == dialect.cased(expected)


@every_dialect
@pytest.mark.parametrize("word", ["select", "from", "order", "group", "union", "where"])
def test_reserved_words_get_an_underscore(word: str, dialect: Dialect) -> None:
    assert column(word, dialect) == dialect.cased(f"_{word}")
    assert column(word.upper(), dialect) == dialect.cased(f"_{word}")
    assert names.event_table(names.snake(word), dialect) == dialect.cased(f"_{word}")


@every_dialect
def test_long_names_are_cut(dialect: Dialect) -> None:
    assert column(LONG, dialect) == dialect.cased(LONG[: dialect.name_characters_max])
    assert names.event_table(names.snake(LONG), dialect) == dialect.cased(LONG[: dialect.name_characters_max])
    assert dialect.name_characters_max == (63 if dialect is POSTGRES else 127)


def test_words_that_only_some_reserve() -> None:
    assert column("user", POSTGRES) == "_user" and column("user", DUCKDB) == "user"
    assert column("groups", BIGQUERY) == "_groups" and column("groups", POSTGRES) == "groups"
    assert column("sample", SNOWFLAKE) == "_SAMPLE"


def test_columns_that_a_database_has_of_itself_are_not_taken() -> None:
    for name in ("ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"):
        assert column(name, POSTGRES) == f"_{name}"
    assert column("_table_suffix", BIGQUERY) == "__table_suffix"
    assert column("partition", BIGQUERY) == "__partition"
    assert column("_partitiontime", BIGQUERY) == "__partitiontime"


def test_the_table_of_groups_gives_way_on_bigquery_and_an_event_gives_way_to_it() -> None:
    assert names.standard_table("groups", BIGQUERY) == "_groups"
    assert names.event_table("groups", BIGQUERY) == "__groups"
    assert names.event_table("_groups", BIGQUERY) == "__groups"
    assert names.event_table("_groups", POSTGRES) == "_groups"


@pytest.mark.parametrize("prefix", ["", "context"])
def test_names_of_nested_keys_are_those_of_the_joined_path(prefix: str) -> None:
    keys = ["a", "B2c", "_d", "", "_", "__", "2x", "é", "fooBar"]
    for first in keys:
        for second in keys:
            for third in keys:
                root = Tree(DUCKDB, prefix, frozenset()).root
                found = root.grow(first).grow(second)[third]
                joined = "_".join([prefix, first, second, third] if prefix else [first, second, third])
                expected = names.named(names.leading(joined), names.words_of(joined))
                assert found == names.fitted(expected, DUCKDB) if expected else str(found).startswith("unnamed_")


def test_a_real_duckdb_refuses_no_name_that_we_leave_as_it_is() -> None:
    connection = duckdb.connect()
    words = [word for (word,) in connection.execute("SELECT DISTINCT keyword_name FROM duckdb_keywords()").fetchall()]
    assert len(words) > 400
    refused = set()
    for word in words:
        for statement in (f"CREATE OR REPLACE TABLE {word} (a INT)", f"CREATE OR REPLACE TABLE t ({word} INT)"):
            try:
                connection.execute(statement)
            except duckdb.Error:
                refused.add(word)
    assert len(refused) > 50 and refused <= reserved.DUCKDB


def test_lists_of_words_are_in_lower_case() -> None:
    for dialect in DIALECTS.values():
        assert len(dialect.reserved) > 50
        assert all(word == word.lower() and word.isascii() for word in dialect.reserved)
