"""Kill -9 while two warehouses are loaded, of the process and of PostgreSQL: every event is in both exactly once."""

import asyncio
import contextlib
import mmap
import os
import random
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from appliance.wal.offline import reading
from tests.crash.lives import SABOTAGE, killed_under_load
from tests.crash.sabotage import DIED, HALFWAY_S
from tests.crash.shoppers import Story, shoppers
from tests.crash.tables_judge import Events, Held, TableFaults, judge_tables
from tests.support.appliance import WRITE_KEY, Appliance
from tests.support.load import under_load
from tests.support.people_judge import all_records
from tests.support.postgres import ROLE, PostgresServer
from tests.support.waiting import until, until_enough

pytestmark = pytest.mark.crash
KILLS = min(50, int(os.environ.get("STERNPOST_KILLS", "4")))
"""No more than 50: each brings a table and columns of its own, and takes some seconds."""
LEFT = ["nothing", "blocks", "cursors"] if KILLS > 4 else ["blocks"]
"""Of a log that is set aside; all of them with more kills than the usual ones."""
TYPES = {
    "BIGINT": "int", "DOUBLE": "float", "VARCHAR": "string", "bigint": "int", "numeric": "float", "text": "string",
}  # fmt: skip


class Warehouses:
    """A DuckDB file and a database of a PostgreSQL server, both loaded by one process."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        folder.mkdir()
        self.path, self.server, self.database = folder / "shop.duckdb", server, server.database()

    def destinations(self, events_max: int = 60) -> dict[str, Any]:
        """Their tables of `sternpost.toml`. Loads follow each other, so that a kill hits one as a rule."""
        keys = {
            "start": "oldest",
            "retry": {"delay_min": "50ms", "delay_max": "200ms"},
            "load": {"every": "50ms", "events_max": events_max},
        }
        server = {
            "host": "127.0.0.1",
            "port": self.server.port,
            "user": ROLE,
            "password": f"file:{self.server.folder / 'password'}",
        }
        return {
            "duck": {"plugin": "duckdb", "path": str(self.path), **keys},
            "post": {"plugin": "postgres", "database": self.database, **server, **keys},
        }

    def held(self) -> dict[str, Held]:
        """What both hold; the process has ended, because it may have the file open."""
        with duckdb.connect(str(self.path), read_only=True, config={"threads": 1}) as connection:

            def in_file(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
                found = connection.execute(sql)
                return [column[0] for column in found.description], found.fetchall()

            in_duckdb = _held(in_file, "main")
        with self.server.connect(self.database, "keeper") as other:

            def in_server(sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
                found = other.execute(sql.encode())
                return [column.name for column in found.description or []], found.fetchall()

            return {"duck": in_duckdb, "post": _held(in_server, "rudder")}

    def loading(self, appliance: Appliance) -> set[str]:
        """Those that are being loaded at this moment, as the system sees it."""
        found = {"duck"} if appliance.alive and _has_open(appliance.pid, self.path) else set()
        return found | ({"post"} if self.server.works_for(ROLE) else set())


def _held(ask: Callable[[str], tuple[list[str], list[tuple[Any, ...]]]], schema: str) -> Held:
    sql = "SELECT table_name, column_name, data_type FROM information_schema.columns c JOIN information_schema.tables"
    sql += f" USING (table_schema, table_name) WHERE table_schema = '{schema}' AND table_type = 'BASE TABLE'"
    held = Held({}, {})
    for table, column, kind in ask(sql)[1]:
        held.types.setdefault(table, {})[column] = TYPES.get(kind, kind)
    for table in held.types:
        names, rows = ask(f'SELECT * FROM {schema}."{table}"')
        held.rows[table] = [dict(zip(names, row, strict=True)) for row in rows]
    return held


def _has_open(pid: int, path: Path) -> bool:
    with contextlib.suppress(FileNotFoundError):  # It ends at any moment.
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                if link.readlink() == path:
                    return True
    return False


@pytest.fixture
def warehouses(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Warehouses]:
    yield Warehouses(tmp_path / "warehouses", postgres_server)
    if not postgres_server.runs:
        postgres_server.start()


def load_and_kill(
    appliance: Appliance, warehouses: Warehouses, seed: int, kills: int, late_s: float = 0.03
) -> tuple[Story, Counter[str]]:
    """Shoppers during all kills; returns what they sent, with the process alive, and what each kill fell upon.

    Every life of the process ends in the middle of a load as a rule; PostgreSQL is killed in every other one, and is
    sometimes still down when the process dies.

    Args:
        late_s: no kill comes later after a load was seen.
    """
    story, draw, hits = Story(), random.Random(seed), Counter[str]()
    server = warehouses.server

    def begin(run: int, dies: bool) -> None:
        story.epoch += 1
        appliance.config["destinations"] = warehouses.destinations(60 if dies else 5_000)
        if not server.runs:
            server.start()
        if not dies:
            (appliance.folder / DIED).write_text("99")  # A sabotaged process leaves the last life alone.

    def hit(aim: str, what: str) -> None:
        """Wait until that warehouse is being loaded, and a moment more; note whether it still is."""
        until(
            lambda: aim in warehouses.loading(appliance) or not appliance.alive,
            f"{aim} is loaded",
            timeout_s=20.0,
            every_s=0.002,
        )
        time.sleep(draw.uniform(0.0, late_s))
        hits.update(f"{what} while {name} was loaded" for name in warehouses.loading(appliance) or ["neither"])

    def live() -> None:
        try:
            appliance.start()
        except AssertionError:
            if appliance.alive:
                raise
            return  # A sabotaged process has killed itself before it was healthy.
        time.sleep(draw.uniform(0.2, 0.8))
        story.epoch += appliance.starts % 3 == 0
        if appliance.starts % 2 == 0:
            hit("post", "server killed")
            server.kill()
            time.sleep(draw.uniform(0.0, 0.5))
            if draw.random() < 0.7:
                server.start()
                time.sleep(draw.uniform(0.0, 0.5))
        hit(draw.choice(["duck", "post"] if server.runs else ["duck"]), "process killed")

    clients = shoppers(appliance.url, WRITE_KEY, story, seed, pause_s=0.05)
    killed_under_load(appliance, clients, kills, begin, live)
    return story, hits


def drained(appliance: Appliance, timeout_s: float) -> None:
    """Wait until the warehouses have all that is in the log, and stop."""

    def stand() -> dict[str, Any]:
        found = appliance.admin("/v1/destinations")["destinations"]
        return {one["name"]: (one["state"], one["lag_events"], one["last_error"]) for one in found}

    until_enough(stand, lambda found: not any(lag for _, lag, _ in found.values()), "all is loaded", timeout_s)
    time.sleep(1.0)  # For who is who, which follows the events.
    assert appliance.json("dead", "list")["dead"] == []
    assert appliance.stop()[0] == 0


def log_of(appliance: Appliance) -> tuple[Counter[str], str]:
    """How often each messageId stands in the log of a process that has ended, and the log's id."""
    with reading(appliance.data / "wal") as log:
        return Counter(record.message_id for record in all_records(log) if record.source), log.figures()["log_id"]


def last_sequence(appliance: Appliance) -> int:
    """The last sequence of the log of a process that has ended."""
    with reading(appliance.data / "wal") as log:
        return all_records(log)[-1].sequence


def judged(
    appliance: Appliance, warehouses: Warehouses, story: Story, earlier: Counter[str] | None = None, after: int = 0
) -> dict[str, TableFaults]:
    """What is wrong in each of the two; the process has ended.

    Args:
        earlier: what stood in a log that was set aside.
        after: the last sequence of it.
    """
    logged, log_id = log_of(appliance)
    events = Events(story.sent, story.acknowledged, logged + (earlier or Counter()), log_id, after)
    return {name: judge_tables(held, events) for name, held in warehouses.held().items()}


@pytest.mark.timeout(180 + 12 * KILLS)
def test_kill_9_during_loads_brings_every_event_once(
    make_appliance: Callable[..., Appliance], warehouses: Warehouses, seed: int, figure: Callable[[str], None]
) -> None:
    appliance = make_appliance()
    story, hits = load_and_kill(appliance, warehouses, seed, KILLS)
    drained(appliance, 60.0 + 2 * KILLS)
    faults = judged(appliance, warehouses, story)
    held = warehouses.held()
    counts = {
        name: {table: len(one.rows[table]) for table in ("tracks", "users", "rudder_discards")}
        for name, one in held.items()
    }
    behind = appliance.log().count("load_found")
    figure(
        f"seed {seed}, {KILLS} kills, {len(story.acknowledged)} acknowledged of {len(story.sent)}, {dict(hits)}, "
        f"{behind} times a commit that the log had not noted, rows {counts}, tables {len(held['duck'].rows)}; "
        + "; ".join(f"{name}: {each}" for name, each in faults.items())
    )
    assert len(story.acknowledged) > 50 * KILLS, "hardly any load: the test would prove nothing"
    inside = sum(count for what, count in hits.items() if not what.endswith("neither was loaded"))
    assert inside >= KILLS // 2, f"hardly any kill fell upon a load: {hits}"
    assert all(one.rows["rudder_discards"] for one in held.values()), "no value was discarded: nothing would tell"
    for name, each in faults.items():
        assert each.clean, f"{name}: {each}"


CONVICTED_OF: dict[str, Callable[[TableFaults], int]] = {
    "cursor_first": lambda faults: len(faults.missing),
    "rows_first": lambda faults: len(faults.twice),
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", CONVICTED_OF)
def test_the_same_harness_convicts_a_load_in_two_transactions(
    make_appliance: Callable[..., Appliance],
    warehouses: Warehouses,
    seed: int,
    figure: Callable[[str], None],
    mode: str,
) -> None:
    appliance = make_appliance(command=[*SABOTAGE, mode])
    story, hits = load_and_kill(appliance, warehouses, seed, 4, late_s=2 * HALFWAY_S)
    drained(appliance, 60.0)
    faults = judged(appliance, warehouses, story)
    figure(f"seed {seed}, {dict(hits)}; " + "; ".join(f"{name}: {each}" for name, each in faults.items()))
    assert any(CONVICTED_OF[mode](each) for each in faults.values()), str(faults)


def spoiled(folder: Path, left: str) -> None:
    """Damage a log so that it must be set aside: of what is left of it, blocks can be read, or its cursors too."""
    data = folder / "data.mdb"
    content = bytearray(data.read_bytes())
    ends = {"nothing": len(content), "blocks": 2 * mmap.PAGESIZE, "cursors": 0}
    content[: ends[left]] = bytes(ends[left])
    data.write_bytes(content if left != "cursors" else content[: last_page(data) * mmap.PAGESIZE])


def last_page(data: Path) -> int:
    """Number of the last page in use. Source: LMDB 0.9, struct MDB_meta."""
    content = data.read_bytes()[: 2 * mmap.PAGESIZE]
    metas = [struct.unpack_from("=QQ", content, page + 16 + 24 + 96) for page in (0, mmap.PAGESIZE)]
    last, _ = max(metas, key=lambda meta: meta[1])
    return int(last)


def shopped(appliance: Appliance, story: Story, part: str, seed: int, during: Callable[[], None]) -> None:
    """Let shoppers send while something happens, and bring home what they sent."""
    clients = shoppers(appliance.url, WRITE_KEY, story, seed, pause_s=0.05, name=part)
    asyncio.run(under_load(list(clients), during))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("left", LEFT)
def test_a_log_that_was_set_aside_leaves_nothing_out_and_brings_nothing_twice(
    make_appliance: Callable[..., Appliance],
    warehouses: Warehouses,
    seed: int,
    figure: Callable[[str], None],
    left: str,
) -> None:
    """Sequences begin again where nothing of it could be read, or stay where its blocks could; its id is another.

    What stands in both logs is mapped again and meets its own row. Only `rudder_discards`, whose rows have no key, has
    a note for each time.
    """
    appliance, story = make_appliance({"destinations": warehouses.destinations()}), Story()
    appliance.start()
    shopped(appliance, story, "first", seed, lambda: time.sleep(1.5))
    drained(appliance, 30.0)
    earlier, earlier_id = log_of(appliance)
    after = last_sequence(appliance)
    spoiled(appliance.data / "wal", left)
    appliance.start()
    assert "store_quarantined" in appliance.log()
    story.epoch += 1
    shopped(appliance, story, "second", seed, lambda: time.sleep(1.5))
    drained(appliance, 30.0)
    faults = judged(appliance, warehouses, story, earlier, after)
    later, later_id = log_of(appliance)
    figure(
        f"seed {seed}, {earlier.total()} events, then {later.total()}; "
        + "; ".join(f"{name}: {each}" for name, each in faults.items())
    )
    assert later_id != earlier_id
    for name, each in faults.items():
        assert each.clean, f"{name}: {each}"
