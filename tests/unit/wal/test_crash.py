"""A real process, killed or failing in the middle of it: nothing acknowledged is lost, nothing half is kept."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.wal.log import Appended
from tests.unit.wal.tools import MIB, config, ids, opened, record, sequences

KILLS = 12
SETTINGS = config(disk_bytes_max=1024 * MIB, retention=86_400.0)
HERE = Path(__file__).parent
ROOT = HERE.parents[2]


class Appender:
    """The process of `appender.py` and what it said."""

    def __init__(
        self, folder: Path, seed: int, environment: dict[str, str] | None = None, said: Path | None = None
    ) -> None:
        self.said = (said or folder.parent) / f"said-{seed}.txt"
        with self.said.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, str(HERE / "appender.py"), str(folder), str(seed)],
                stdin=subprocess.PIPE,
                stdout=out,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            )
        self.until(lambda: "ready\n" in self.said.read_text())

    def until(self, there: Callable[[], Any], timeout_s: float = 60.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not there():
            assert time.monotonic() < deadline, self.said.read_text()[-2_000:]
            time.sleep(0.01)

    def words(self, verb: str) -> list[str]:
        """What was said with this word; a last line that was cut off does not count."""
        lines = self.said.read_text().splitlines(keepends=True)
        return [line.split()[1] for line in lines if line.startswith(f"{verb} ") and line.endswith("\n")]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)

    def end(self) -> int:
        if self.process.stdin:
            self.process.stdin.close()
        return self.process.wait(timeout=60)


async def test_kills_at_random_instants_lose_nothing_and_double_nothing(
    tmp_path: Path, seed: int, figure: Callable[[str], None]
):
    folder, choose = tmp_path / "wal", random.Random(seed)
    acknowledged: set[str] = set()
    tried: set[str] = set()
    starts: list[float] = []
    for round_ in range(KILLS):
        began_s = time.monotonic()
        appender = Appender(folder, choose.randrange(1 << 30))
        starts.append(time.monotonic() - began_s)
        time.sleep(choose.uniform(0.02, 0.4))
        appender.kill()
        acknowledged.update(appender.words("ack"))
        tried.update(appender.words("try"))
        async with opened(folder, SETTINGS) as log:
            found, places = ids(log), sequences(log)
            assert places == sorted(set(places)) and len(set(found)) == len(found)
            assert acknowledged <= set(found), f"round {round_}: lost {acknowledged - set(found)}"
            assert set(found) <= tried
            again = log.append([record(each) for each in acknowledged])
            assert await again == Appended(0, len(acknowledged)), "an acknowledged id is not known any more"
    assert len(acknowledged) > 100
    figure(f"{KILLS} kills, {len(acknowledged)} acknowledged, 0 lost; slowest start {max(starts):.2f} s")


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes writes and syncs fail."""
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "faults.c"), "-ldl"], check=True)
    return library


async def test_a_failed_fsync_is_the_end_and_nothing_more_is_acknowledged(tmp_path: Path, seed: int, faults: Path):
    folder, switch = tmp_path / "wal", tmp_path / "switch"
    appender = Appender(folder, seed, {"LD_PRELOAD": str(faults), "FAULTS": str(switch)})
    appender.until(lambda: len(appender.words("ack")) > 300)
    switch.write_text("sync")
    assert appender.process.wait(timeout=30) == 5
    said = appender.said.read_text()
    assert "failed the log in" in said and "Input/output error" in said
    assert "\nack " not in said[said.index("failed the log in") :]
    async with opened(folder, SETTINGS) as log:
        assert set(appender.words("ack")) <= set(ids(log)) <= set(appender.words("try"))


@pytest.mark.parametrize("fault", ["full", "cut"])
async def test_writes_that_find_no_room(tmp_path: Path, seed: int, faults: Path, fault: str):
    """ENOSPC is weathered. A write cut short while the disk has room is no full disk: LMDB says EIO, and that is the end."""
    folder, switch = tmp_path / "wal", tmp_path / "switch"
    appender = Appender(folder, seed, {"LD_PRELOAD": str(faults), "FAULTS": str(switch)})
    appender.until(lambda: len(appender.words("ack")) > 300)
    switch.write_text(fault)
    if fault == "cut":
        assert appender.process.wait(timeout=30) == 5
    else:
        appender.until(lambda: len(appender.words("refused")) > 20)
        before = len(appender.words("ack"))
        switch.unlink()
        appender.until(lambda: len(appender.words("ack")) > before + 300)
        assert appender.end() == 0
    async with opened(folder, SETTINGS) as log:
        gone = set(appender.words("ack")) - set(ids(log))
        assert len(gone) < log.stats().first_sequence, "only what a cursor has passed may go, to make room"
        assert set(ids(log)) <= set(appender.words("try"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 file system of 24 MiB."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("mounting needs root; in CI this would fail")
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(24 * MIB)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.root
async def test_a_disk_that_is_full_and_has_room_again(small_disk: Path, seed: int, tmp_path: Path):
    folder, hog = small_disk / "wal", small_disk / "hog"
    appender = Appender(folder, seed, said=tmp_path)
    appender.until(lambda: len(appender.words("ack")) > 300)
    with hog.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(64 << 10))
        except OSError:
            pass
    appender.until(lambda: len(appender.words("refused")) > 20)
    assert not (folder / "ballast").exists()
    hog.unlink()
    before = len(appender.words("ack"))
    appender.until(lambda: (folder / "ballast").exists() and len(appender.words("ack")) > before + 300)
    appender.kill()
    async with opened(folder, SETTINGS) as log:
        gone = set(appender.words("ack")) - set(ids(log))
        assert len(gone) < log.stats().first_sequence, "only what a cursor has passed may go, to make room"
