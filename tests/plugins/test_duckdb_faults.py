"""The DuckDB plug-in where something is in the way: another program, kill -9, a full disk, a folder without rights."""

import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from appliance.sdk import Retry
from tests.support.appliance import ROOT
from tests.support.ducks import config, held, inspect, load, query, row, rows_of, table
from tests.support.waiting import until

MIB = 1 << 20
HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reads")
print("open", flush=True)
sys.stdin.readline()
"""
LOADER = """
import sys
from pathlib import Path
from tests.support.ducks import config, load, row, table
path, last = Path(sys.argv[1]), int(sys.argv[2])
while True:
    rows = [row(f"{last}-{n}", last % 60, n=n) for n in range(300)]
    again = row("again", last % 60, n=last)
    load(config(path), table([*rows, again], n="int"), table([{**again, "id": "u"}], "users", "fill", n="int"),
         table(rows, "discards", "append", n="int"), last=last + 1)
    last += 1
    print(last, flush=True)
"""


@pytest.mark.parametrize("how", ["reads", "writes"])
def test_a_file_that_another_program_has_open_is_tried_again(tmp_path: Path, how: str) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1)]))
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        began_s = time.monotonic()
        with pytest.raises(Retry, match="another program has .* open; close it there") as refused:
            load(config(path), table([row(2)]))
        assert time.monotonic() - began_s >= 1.5, "it may be closed in a moment"
        assert str(holder.pid) in refused.value.sample and str(holder.pid) not in refused.value.reason
        if how == "reads":
            assert query(config(path), "SELECT count(*) FROM tracks").rows == [[1]]
        holder.stdin.write("\n")
        holder.stdin.flush()
        load(config(path), table([row(2)]))
    assert len(rows_of(path, "tracks")) == 2


def test_others_can_read_between_loads(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    for number in range(3):
        load(config(path), table([row(number)]), last=number + 1)
        assert held(path, "SELECT count(*) FROM tracks") == [(number + 1,)]
        assert not path.with_name("w.duckdb.wal").exists()


def test_killed_at_any_moment_a_load_is_there_or_not(tmp_path: Path) -> None:
    """kill -9, 20 times at seeded moments: every table and the cursor agree, and nothing is left beside the file."""
    path, draw, last = tmp_path / "w.duckdb", random.Random(7), 0
    for _ in range(20):
        loader = subprocess.Popen(
            [sys.executable, "-c", LOADER, str(path), str(last)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert loader.stdout is not None
        loader.stdout.readline()
        time.sleep(draw.random() * 0.4)
        loader.kill()
        loader.wait()
        told = [int(line) for line in loader.stdout.read().split()]
        cursor = inspect(config(path)).cursors["log"]
        assert cursor > last and cursor >= max(told, default=0), "what was told is there"
        last = cursor
        load(config(path), last=0)
        assert held(path, "SELECT count(*), count(DISTINCT id) FROM tracks") == [(300 * last + 1,) * 2]
        assert held(path, "SELECT count(*), max(n) FROM discards") == [(300 * last, 299)]
        assert held(path, "SELECT n FROM users") == held(path, "SELECT n FROM tracks WHERE id = 'magain'")
        assert sorted(each.name for each in tmp_path.iterdir()) == ["w.duckdb"]


def test_what_a_killed_call_spilled_is_removed_at_the_next_load(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load(config(path), table([row(1)]))
    spilled = tmp_path / "w.duckdb.spill"
    spilled.mkdir()
    (spilled / "duckdb_temp_storage-0.tmp").write_bytes(b"x" * 1000)
    load(config(path), table([row(2)]))
    assert not spilled.exists() and len(rows_of(path, "tracks")) == 2


def test_a_folder_that_is_a_file_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Retry, match="cannot be"):
        load(config(tmp_path / "file" / "w.duckdb"), table([row(1)]))


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    path.write_bytes(b"nothing of the kind" * 1000)
    for call in (lambda: load(config(path), table([row(1)])), lambda: inspect(config(path))):
        with pytest.raises(Retry, match="DuckDB cannot use"):
            call()
    assert path.read_bytes().startswith(b"nothing of the kind")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted file system of 16 MiB in memory."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], check=True)
    yield folder
    until(lambda: subprocess.run(["umount", str(folder)], check=False, capture_output=True).returncode == 0)


@pytest.mark.root
def test_a_full_disk_is_tried_again_and_loads_once_there_is_room(small_disk: Path) -> None:
    path, draw = small_disk / "w.duckdb", random.Random(1)
    load(config(path), table([row(0)]), last=1)
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (shutil.disk_usage(small_disk).free - MIB))
    rows = [row(n, 1, text=draw.randbytes(500).hex()) for n in range(4_000)]
    with pytest.raises(Retry, match="full"):
        load(config(path), table(rows), last=2)
    assert inspect(config(path)).cursors == {"log": 1} and rows_of(path, "tracks") == [row(0)]
    filler.unlink()
    load(config(path), table(rows), last=2)
    assert inspect(config(path)).cursors == {"log": 2}
    assert held(path, "SELECT count(*) FROM tracks") == [(4_000,)]


@pytest.mark.root
def test_a_read_only_file_system_is_tried_again(small_disk: Path) -> None:
    path = small_disk / "w.duckdb"
    load(config(path), table([row(0)]), last=1)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(Retry, match="cannot be written"):
        load(config(path), table([row(1)]), last=2)
    assert query(config(path), "SELECT count(*) FROM tracks").rows == [[1]]
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    load(config(path), table([row(1)]), last=2)
    assert len(rows_of(path, "tracks")) == 2


def test_a_wide_table_takes_its_memory_beside_what_is_set(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    many = {f"c{n}": str(n) for n in range(1_000)}
    for number in range(2):
        load(config(path, memory="64 MiB"), table([row(number, **many)]))
    assert held(path, "SELECT count(*), min(c999) FROM tracks") == [(2, "999")]


def test_a_view_in_the_place_of_a_table_is_no_reason_to_lose_it(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with duckdb.connect(str(path)) as theirs:
        theirs.execute("CREATE VIEW orders AS SELECT 1 AS id")
    with pytest.raises(Exception, match="DuckDB refused the rows"):
        load(config(path), table([row(1)], "orders"))
    assert held(path, "SELECT * FROM orders") == [(1,)]
