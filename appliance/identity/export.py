r"""The whole graph as rows of id_type, id_value, person_id, first_seen, last_seen, edges: CSV, and Parquet made of it.

    CSV:      RFC 4180 but for line ends, which are \n; UTF-8, a header; first_seen RFC 3339 in UTC, last_seen a day
    Parquet:  three texts, TIMESTAMP WITH TIME ZONE, DATE, INTEGER; compressed by zstd

Both show one moment. A person's rows stand together, people in the order in which they came about.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import msgspec

from appliance.identity.lookup import one_moment, roots
from appliance.identity.store import Store

COLUMNS = ("id_type", "id_value", "person_id", "first_seen", "last_seen", "edges")
PEOPLE_AT_ONCE = 500
"""So many people are in memory at a time, with their links."""
_DUCKDB_MEMORY = "256MB"
_PEOPLE = """SELECT * FROM (SELECT DISTINCT origin FROM ids WHERE origin > ?1 ORDER BY origin LIMIT ?2)
    UNION SELECT * FROM (
        SELECT DISTINCT winner FROM merges WHERE until IS NULL AND winner > ?1 ORDER BY winner LIMIT ?2
    ) ORDER BY 1 LIMIT ?2"""
"""Who is somebody: by an id of their own, or because others became them. They may have no id that began with them: a
split can have taken it away."""
_PAIRS = msgspec.json.Decoder(list[tuple[int, int]])
_LINKED = """SELECT json_group_array(json_array(a, b)) FROM edges
    WHERE state = 0 AND a IN (SELECT value FROM json_each(?1))"""


class Row(NamedTuple):
    """One id."""

    id_type: str
    id_value: str
    person_id: str
    first_seen: str
    last_seen: str
    edges: int
    """Links to other ids of the person that hold."""


class Stopped(Exception):
    """Nobody waits for the export any more."""


def rows(store: Store) -> Iterator[list[Row]]:
    """All ids, some people at a time. In a transaction they show one moment; else each batch shows its own."""
    after = -1
    while True:
        origins = [row[0] for row in store.rows(_PEOPLE, after, PEOPLE_AT_ONCE)]
        if not origins:
            return
        after = origins[-1]
        losers = {loser for loser, _ in store.winners(origins)}
        if batch := _batch(store, [origin for origin in origins if origin not in losers]):
            yield batch


def _batch(store: Store, people: list[int]) -> list[Row]:
    members = store.members(people)
    at = roots(store, {row.origin for row in members})
    pairs = _PAIRS.decode(store.json(_LINKED, [row.id for row in members]))
    edges = Counter(number for pair in pairs for number in pair)
    members.sort(key=lambda row: (at[row.origin], row.first_ms, row.id))
    return [
        Row(*store.id_of(row), store.names.text(at[row.origin]), moment(row.first_ms), day(row.last_day), edges[row.id])
        for row in members
    ]


def moment(milliseconds: int) -> str:
    """RFC 3339, UTC."""
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@lru_cache(maxsize=4096)
def day(number: int) -> str:
    """A day by its number since 1970, as `2030-01-31`."""
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()


def write_csv(graph: Path, target: Path, goes_on: Callable[[], bool] = lambda: True) -> int:
    """Write all ids as CSV, as they are at one moment; returns how many.

    The graph goes on meanwhile, though what it commits is checkpointed only afterwards: so this waits for nobody.

    Args:
        graph: the graph's file.
        goes_on: asked between batches.

    Raises:
        Stopped: `goes_on` said no.
        OSError: the file cannot be written.
    """
    store, count = Store(graph, read_only=True), 0
    try:
        with target.open("w", encoding="utf-8", newline="") as opened, one_moment(store):
            writer = csv.writer(opened, lineterminator="\n")
            writer.writerow(COLUMNS)
            for batch in rows(store):
                if not goes_on():
                    raise Stopped
                writer.writerows(batch)
                count += len(batch)
    finally:
        store.close()
    return count


def write_parquet(source: Path, target: Path) -> None:
    """Make Parquet of the CSV that `write_csv` wrote, within a bound of memory.

    Raises:
        OSError: the file cannot be written.
    """
    import duckdb  # 60 MB of code that only those who ask for Parquet need

    columns = "{'id_type': 'VARCHAR', 'id_value': 'VARCHAR', 'person_id': 'VARCHAR', "
    columns += "'first_seen': 'TIMESTAMPTZ', 'last_seen': 'DATE', 'edges': 'INTEGER'}"
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _DUCKDB_MEMORY,
        "threads": 1,
        "temp_directory": str(target.parent),
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    try:
        with duckdb.connect(config=config) as connection:
            read = f"read_csv({_quoted(source)}, header=true, auto_detect=false, delim=',', quote='\"', escape='\"', "
            read += f"columns={columns})"
            connection.execute(f"COPY (SELECT * FROM {read}) TO {_quoted(target)} (FORMAT parquet, COMPRESSION zstd)")
    except duckdb.IOException as error:
        raise OSError(str(error)) from None


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"
