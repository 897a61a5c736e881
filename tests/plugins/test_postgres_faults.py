"""The postgres plug-in while its server fails: killed, read-only, full, locked, without rights; nothing is lost."""

import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from appliance.sdk import Load, Retry, Secret
from tests.support.lake import DECLARED, MODULE, Lake, event
from tests.support.ports import free_port
from tests.support.postgres import ROLE, PostgresServer
from tests.support.warehouse_cases import T1, T2, T3, Model, comparable, load, table

KILLS = 20


@pytest.fixture
def lake(postgres_server: PostgresServer) -> Lake:
    made = Lake(postgres_server, postgres_server.database())
    made.put(event())
    return made


def works_again(lake: Lake) -> None:
    lake.put(event("b"))
    assert [row["id"] for row in lake.rows("tracks")] == ["a", "b"]


# Killed -----------------------------------------------------------------------------------------------------------


def history(draw: random.Random) -> list[Load]:
    """Loads that make tables and columns, meet older rows, fill and append."""
    loads = []
    for n in range(1, 121):
        ids = draw.sample(range(400), 60)
        moment = draw.choice([T1, T2, T3])
        rows = [event(f"e{id}", received_at=moment, **{f"c{n // 4}": n, "v": "x" * 300}) for id in ids]
        users = [{"id": f"u{id}", "received_at": moment, f"w{n % 5}": n} for id in draw.sample(range(20), 9)]
        loads.append(
            load(
                table(f"t{n % 3}", "newest", {f"c{n // 4}": "int", "v": "string"}, rows, declared=DECLARED),
                table("users", "fill", {f"w{n % 5}": "int"}, users, declared=DECLARED),
                table("rudder_discards", "append", {"n": "int"}, [{"n": n}], declared=DECLARED),
                last=n,
            )
        )
    return loads


@pytest.mark.timeout(600)
def test_a_server_that_is_killed_again_and_again_has_loaded_everything_once(
    postgres_server: PostgresServer, seed: int, figure: Callable[[str], None]
) -> None:
    draw = random.Random(seed)
    lake, model = Lake(postgres_server, postgres_server.database()), Model()
    loads, failed, kills, given = history(draw), 0, 0, 0
    for each in loads:
        model.load(each)
    done = threading.Event()
    reasons: set[str] = set()

    def work() -> None:
        nonlocal failed, given
        while given < len(loads):
            try:
                lake.load(loads[given])
                given += 1
            except Retry as retry:
                failed += 1
                reasons.add(retry.reason)
                time.sleep(0.05)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(KILLS):
        time.sleep(draw.random() * 0.15)
        kills += given < len(loads)
        postgres_server.kill()
        postgres_server.start()
    worker.join(timeout=120)
    assert done.is_set()
    figure(f"of {KILLS} kills {kills} while loads went on; {failed} loads failed and came again")
    assert kills >= KILLS // 2
    for name in ("t0", "t1", "t2", "users", "rudder_discards"):
        assert comparable(lake.rows(name)) == comparable(model.tables[name]), name
    assert MODULE.inspect("lake", lake.plugin).cursors == {"log": len(loads)}
    assert failed >= KILLS // 2
    assert all(reason.startswith(("PostgreSQL: ", "cannot connect to PostgreSQL: ")) for reason in reasons)


def test_a_client_that_falls_silent_holds_nobody_up_for_long(lake: Lake) -> None:
    """As one does that is stopped in the middle of a load: its transaction ends, and so does its lock."""
    silent = Lake(lake.server, lake.database, statement_timeout=1.0)
    begun = time.monotonic()
    with pytest.raises(Retry), silent.plugin.transaction(writes=True) as connection:
        lake.put(event("c"))
        connection.execute(b"SELECT 1")  # It wakes up, and its connection is gone.
    assert time.monotonic() - begun < 20
    lake.says("DELETE FROM lake.tracks WHERE id = 'c'")
    works_again(lake)


# What may pass ----------------------------------------------------------------------------------------------------


@contextmanager
def read_only(lake: Lake) -> Iterator[None]:
    lake.says(f"ALTER DATABASE {lake.database} SET default_transaction_read_only = on")
    yield
    with lake.server.connect(lake.database, "keeper") as connection:
        connection.execute(b"SET default_transaction_read_only = off")
        connection.execute(f"ALTER DATABASE {lake.database} RESET default_transaction_read_only".encode())


@contextmanager
def no_log_in(lake: Lake) -> Iterator[None]:
    lake.says(f"ALTER ROLE {ROLE} NOLOGIN")
    yield
    lake.says(f"ALTER ROLE {ROLE} LOGIN")


@contextmanager
def revoked_table(lake: Lake) -> Iterator[None]:
    lake.says(f"REVOKE ALL ON lake.tracks FROM {ROLE}")
    yield
    lake.says(f"GRANT ALL ON lake.tracks TO {ROLE}")


@contextmanager
def revoked_schema(lake: Lake) -> Iterator[None]:
    lake.says(f"REVOKE ALL ON SCHEMA lake FROM {ROLE}")
    yield
    lake.says(f"GRANT ALL ON SCHEMA lake TO {ROLE}")


@contextmanager
def somebody_elses_table(lake: Lake) -> Iterator[None]:
    """Then no column can be added."""
    lake.says(f"ALTER TABLE lake.tracks OWNER TO keeper; GRANT ALL ON lake.tracks TO {ROLE}")
    yield
    lake.says(f"ALTER TABLE lake.tracks OWNER TO {ROLE}")


@contextmanager
def locked_table(lake: Lake) -> Iterator[None]:
    with lake.server.connect(lake.database) as connection, connection.transaction():
        connection.execute(b"LOCK TABLE lake.tracks IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def another_load(lake: Lake) -> Iterator[None]:
    with Lake(lake.server, lake.database).plugin.transaction(writes=True):
        yield


@contextmanager
def no_database(lake: Lake) -> Iterator[None]:
    lake.says("SELECT 1")
    lake.server.keeper(f"ALTER DATABASE {lake.database} RENAME TO elsewhere")
    yield
    lake.server.keeper(f"ALTER DATABASE elsewhere RENAME TO {lake.database}")


@contextmanager
def too_many_connections(lake: Lake) -> Iterator[None]:
    lake.says(f"ALTER DATABASE {lake.database} CONNECTION LIMIT 0")
    yield
    lake.says(f"ALTER DATABASE {lake.database} CONNECTION LIMIT -1")


@contextmanager
def slow_trigger(lake: Lake) -> Iterator[None]:
    lake.says(
        "CREATE FUNCTION lake.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(9); RETURN NEW; END';"
        " CREATE TRIGGER slow BEFORE INSERT ON lake.tracks FOR EACH ROW EXECUTE FUNCTION lake.slow()"
    )
    yield
    lake.says("DROP TRIGGER slow ON lake.tracks")


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (read_only, "PostgreSQL: it is read-only (25006 read only sql transaction)"),
        (no_log_in, 'cannot connect to PostgreSQL: role "loader" is not permitted to log in'),
        (revoked_table, "PostgreSQL: the role lacks a right (42501 insufficient privilege)"),
        (revoked_schema, "PostgreSQL: the role lacks a right (42501 insufficient privilege)"),
        (somebody_elses_table, "PostgreSQL: the role lacks a right (42501 insufficient privilege)"),
        (locked_table, "PostgreSQL: others lock a table (55P03 lock not available)"),
        (another_load, "PostgreSQL: others lock a table (55P03 lock not available)"),
        (no_database, 'cannot connect to PostgreSQL: database "NAME" does not exist'),
        (too_many_connections, 'cannot connect to PostgreSQL: too many connections for database "NAME"'),
        (slow_trigger, "PostgreSQL: the server ended the call (57014 query canceled)"),
    ],
)
def test_trouble_that_may_pass_loses_nothing(trouble: Callable[[Lake], Any], words: str, lake: Lake) -> None:
    hasty = Lake(lake.server, lake.database, lock_timeout=1.0, statement_timeout=2.0)
    with trouble(lake):
        for _ in range(2):  # the same words for the same cause
            with pytest.raises(Retry) as retry:
                hasty.put(event("b", more=1), more="int")
            assert retry.value.reason == words.replace("NAME", lake.database)
            assert lake.server.password not in retry.value.reason + retry.value.sample
    works_again(lake)


@pytest.mark.parametrize("password", [None, Secret("wrong")])
def test_a_wrong_password_is_tried_again(password: Secret | None, lake: Lake) -> None:
    wrong = Lake(lake.server, lake.database, password=password)
    with pytest.raises(Retry, match=r"^cannot connect to PostgreSQL: .*password") as retry:
        wrong.put(event("b"))
    assert retry.value.connection
    works_again(lake)


def test_a_server_that_is_not_there_is_tried_again(lake: Lake) -> None:
    nowhere = Lake(lake.server, lake.database, port=free_port())
    with pytest.raises(Retry, match="^cannot connect to PostgreSQL: Connection refused$") as retry:
        nowhere.put(event("b"))
    assert retry.value.connection


@pytest.fixture
def full_disk(postgres_server: PostgresServer) -> Iterator[Path]:
    """A tablespace of few MiB."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("mounting needs root; in CI this would fail")
    folder = postgres_server.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], check=True)
    shutil.chown(folder, "nobody", "nogroup")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def test_a_full_disk_is_waited_for(full_disk: Path, lake: Lake) -> None:
    lake.server.keeper(f"CREATE TABLESPACE small LOCATION '{full_disk}'")
    lake.says("ALTER TABLE lake.tracks SET TABLESPACE small")
    draw = random.Random(1)
    rows = [event(f"f{n}", v=draw.randbytes(800).hex()) for n in range(4000)]
    with pytest.raises(Retry, match=r"^PostgreSQL: the server lacks disk, memory or connections \(53100 disk full\)$"):
        lake.put(*rows, v="string", last=9)
    assert lake.rows("tracks") == [event()]
    assert MODULE.inspect("lake", lake.plugin).cursors == {}
    subprocess.run(["mount", "-o", "remount,size=64m", str(full_disk)], check=True)
    lake.put(*rows, v="string", last=9)
    assert len(lake.rows("tracks")) == 4001
    lake.says("DROP TABLE lake.tracks")
    lake.server.keeper("DROP TABLESPACE small")


def test_a_standby_or_a_missing_right_is_named_by_check(lake: Lake) -> None:
    MODULE.check(lake.plugin)
    lake.says(f"REVOKE ALL ON SCHEMA lake FROM {ROLE}")
    with pytest.raises(Retry, match="GRANT USAGE, CREATE ON SCHEMA"):
        MODULE.check(lake.plugin)
    lake.says(f"ALTER DATABASE {lake.database} OWNER TO keeper; REVOKE ALL ON DATABASE {lake.database} FROM PUBLIC;"
              f" GRANT CONNECT ON DATABASE {lake.database} TO {ROLE}; GRANT ALL ON SCHEMA lake TO {ROLE}")  # fmt: skip
    with pytest.raises(Retry, match="GRANT TEMPORARY ON DATABASE"):
        MODULE.check(lake.plugin)
    with pytest.raises(Retry, match="GRANT CREATE ON DATABASE"):
        MODULE.check(Lake(lake.server, lake.database, schema="another").plugin)


def test_a_database_that_cannot_hold_every_character_is_named_by_check(lake: Lake) -> None:
    lake.server.keeper(
        f"CREATE DATABASE latin OWNER {ROLE} ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    )
    with pytest.raises(MODULE.Abort, match="LATIN1"):
        MODULE.check(Lake(lake.server, "latin").plugin)
    lake.server.keeper("DROP DATABASE latin")


def test_a_commit_whose_answer_is_lost_is_not_done_twice(lake: Lake) -> None:
    """The server has committed, the client hears nothing of it, and loads the same range again."""
    each = load(table("rudder_discards", "append", {"v": "string"}, [{"v": "x"}], declared=DECLARED), last=3)
    with pytest.raises(Retry, match="^PostgreSQL: "), lake.plugin.transaction(writes=True) as connection:
        MODULE._Loading(connection, lake.plugin, each).run()
        connection.execute(b"COMMIT")
        lake.says(f"SELECT pg_terminate_backend({connection.info.backend_pid})")
        with pytest.raises(psycopg.OperationalError) as lost:
            connection.execute(b"SELECT 1")
        raise lost.value
    lake.load(each)
    assert lake.rows("rudder_discards") == [{"v": "x"}]
