"""Damaged stores: found before they harm, set aside, and what can be read of them goes on."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.core.clock import SystemClock
from appliance.core.errors import FolderLocked, SternpostError
from appliance.wal import block, carve, seen, verify
from appliance.wal.log import DamagedBlock, Log, Progress
from tests.unit.wal.tools import (
    HandClock,
    as_after_reboot,
    config,
    copy_of,
    ids,
    job,
    letter,
    opened,
    record,
    root_page,
    sequences,
    spoil,
    write,
)

PAGE = 4096


async def _sample(folder: Path, count: int = 40) -> None:
    """A log with events, a cursor, held jobs, a dead letter; stopped as by a kill into `folder`."""
    source = folder.with_name(folder.name + "-source")
    async with opened(source, config(retention=3_600.0)) as log:
        for number in range(count):
            await log.append(
                [record(f"{number}-{each}", raw=b'"%s"' % os.urandom(700).hex().encode()) for each in range(3)]
            )
        await write(
            log,
            lambda transaction: (
                transaction.save_progress("crm", Progress(5)),
                transaction.hold([job(6), job(7)]),
                transaction.bury([letter(4)]),
            ),
        )
        copy_of(source, folder)


async def test_a_block_that_rots_while_we_run_is_named_with_its_range(tmp_path: Path):
    folder = tmp_path / "wal"
    await _sample(folder)
    spoil(folder / "data.mdb", b"SPB1", 7)
    async with opened(folder, config(retention=3_600.0)) as log:
        good, bad, after = [], [], 0
        while after < log.last_sequence:
            try:
                for block in log.read(after, 1):
                    good += [each.sequence for each in block.records]
                    after = block.last_sequence
            except DamagedBlock as error:
                bad += range(error.first_sequence, error.last_sequence + 1)
                after = error.last_sequence
        assert len(bad) == 3 and sorted(good + bad) == list(range(1, 121))
        assert log.read(after) == []


async def test_a_damaged_last_block_ends_at_the_last_sequence(tmp_path: Path):
    folder = tmp_path / "wal"
    async with opened(folder) as log:
        await log.append([record("a")])
        await log.append([record("b", raw=b'"%s"' % os.urandom(3_000).hex().encode())])
        data = folder / "data.mdb"
        content = data.read_bytes()
        at = next(match.start() for match in re.finditer(b"SPB1", content) if content[match.start() + 24] == 2)
        with data.open("r+b") as file:  # the running process maps the file: this is what a dying disk does to it
            os.pwrite(file.fileno(), b"\xff" * 8, at + 100)
        with pytest.raises(DamagedBlock) as found:
            log.read(1)
        assert (found.value.first_sequence, found.value.last_sequence) == (2, 2)


@pytest.mark.parametrize("stopped", ["killed, same boot", "rebooted"])
async def test_a_sound_store_is_opened_as_it_is(tmp_path: Path, stopped: str):
    folder = tmp_path / "wal"
    await _sample(folder)
    if stopped == "rebooted":
        as_after_reboot(folder)
    async with opened(folder) as log:
        assert log.salvaged == "" and log.stats().quarantined == "" and len(sequences(log)) == 120


async def test_a_file_cut_short_is_found_before_it_is_mapped(tmp_path: Path):
    folder = tmp_path / "wal"
    await _sample(folder)
    data = folder / "data.mdb"
    assert verify.length_fault(data) == ""
    os.truncate(data, 20 * PAGE)
    assert "should have" in verify.length_fault(data)
    async with opened(folder) as log:
        assert "should have" in log.salvaged
        found = ids(log)
        assert found and set(found) < {f"{number}-{each}" for number in range(40) for each in range(3)}
        assert (Path(log.stats().quarantined) / "data.mdb").stat().st_size == 20 * PAGE, "never deleted"


@pytest.mark.parametrize("wound", ["branch", "meta", "everything but blocks"])
async def test_a_broken_tree_is_set_aside_and_every_block_is_taken_over(tmp_path: Path, wound: str):
    folder = tmp_path / "wal"
    await _sample(folder)
    as_after_reboot(folder)
    data = folder / "data.mdb"
    damaged = bytearray(data.read_bytes())
    if wound == "branch":
        damaged[root_page(data) * PAGE : (root_page(data) + 1) * PAGE] = os.urandom(PAGE)
    elif wound == "meta":
        damaged[: 2 * PAGE] = bytes(2 * PAGE)
    else:
        for at in range(0, len(damaged), PAGE):
            if b"SPB1" not in damaged[at : at + PAGE]:
                damaged[at : at + PAGE] = os.urandom(PAGE)
    data.write_bytes(damaged)
    async with opened(folder) as log:
        assert log.salvaged and Path(log.stats().quarantined).name == "quarantine-1"
        assert (Path(log.stats().quarantined) / "data.mdb").read_bytes() == bytes(damaged), "set aside unchanged"
        found = ids(log)
        lost = 120 - len(found)
        assert lost == 0 if wound != "everything but blocks" else lost < 120
        last = log.last_sequence
        await log.append([record("after")])
        assert log.last_sequence > last and ids(log)[-1] == "after"
        assert sequences(log) == sorted(set(sequences(log)))


async def test_a_salvaged_log_is_a_new_log_that_goes_on_behind_the_old_one(tmp_path: Path):
    folder = tmp_path / "wal"
    await _sample(folder)
    async with opened(copy_of(folder, tmp_path / "before")) as log:
        before, last = log.log_id, log.last_sequence
    spoil(folder / "data.mdb", b"SPB1", 3)
    os.truncate(folder / "data.mdb", (folder / "data.mdb").stat().st_size // PAGE * PAGE - 10 * PAGE)
    async with opened(folder) as log:
        if log.salvaged:  # the last pages may have been room ahead
            assert log.log_id != before
        await log.append([record("after")])
        assert log.last_sequence > last


async def test_cursors_held_jobs_and_dead_letters_are_salvaged_too(tmp_path: Path):
    folder = tmp_path / "wal"
    await _sample(folder)
    (folder / "data.mdb").open("r+b").truncate((folder / "data.mdb").stat().st_size)
    content = bytearray((folder / "data.mdb").read_bytes())
    last_page = content.rindex(b"SPB1") // PAGE
    content[16 + 24 + 96 : 16 + 24 + 104] = (1 << 20).to_bytes(
        8, "little"
    )  # meta pages that promise more pages than there are
    content[PAGE + 16 + 24 + 96 : PAGE + 16 + 24 + 104] = (1 << 20).to_bytes(8, "little")
    (folder / "data.mdb").write_bytes(content)
    async with opened(folder) as log:
        assert "should have" in log.salvaged and last_page
        assert len(ids(log)) == 120
        assert log.progress("crm") == Progress(5)
        assert [each.sequence for each in log.held_jobs("crm", "anna")] == [6, 7]
        assert log.held_heads("crm")[0].count == 2 and log.held_size("crm")[0] == 2
        assert [each.sequence for each in log.dead_letters()] == [4]
        assert (await log.append([record("3-1")])).duplicates == 1, "ids are known as well"


async def test_the_walk_survives_a_page_that_kills_its_reader(tmp_path: Path):
    folder = tmp_path / "wal"
    await _sample(folder, 200)
    as_after_reboot(folder)
    data = folder / "data.mdb"
    content = bytearray(data.read_bytes())
    page = root_page(data)
    for at in range(page * PAGE + 16, (page + 1) * PAGE, 2):  # pointers into nowhere
        content[at : at + 2] = b"\xf0\xff"
    data.write_bytes(content)
    assert verify.walk_in_child(folder) != ""
    async with opened(folder) as log:
        assert len(ids(log)) == 600


def test_something_else_in_the_place_of_the_store_is_set_aside(tmp_path: Path):
    folder = tmp_path / "wal"
    folder.mkdir()
    (folder / "data.mdb").write_bytes(b"#!/bin/sh\n" * 5_000)
    log = Log.open(folder, config(), HandClock())
    assert "not LMDB's" in log.salvaged and (folder / "quarantine-1" / "data.mdb").exists()
    log._state.close(clean=True)


async def test_a_newer_format_is_left_alone(tmp_path: Path):
    folder = tmp_path / "wal"
    async with opened(folder) as log:
        await log.append([record("a")])
        await write(log, lambda transaction: transaction._desk.store.set_meta(transaction._txn, "format", 2))
    with pytest.raises(SternpostError, match="format 2"):
        Log.open(folder, config(), HandClock())
    assert not list(folder.glob("quarantine-*"))


async def test_the_thorough_walk_names_what_is_wrong(tmp_path: Path):
    folder = tmp_path / "wal"
    await _sample(folder)
    async with opened(folder):
        pass
    assert list(verify.thorough(folder)) == []
    sound = (folder / "data.mdb").read_bytes()
    spoil(folder / "data.mdb", b"SPB1", 5)
    assert [line for line in verify.thorough(folder) if "checksum" in line]
    (folder / "data.mdb").write_bytes(sound[: 8 * PAGE])
    assert "should have" in next(iter(verify.thorough(folder)))
    content = bytearray(sound)
    content[root_page(folder / "data.mdb") * PAGE + 10] ^= 0xFF
    (folder / "data.mdb").write_bytes(content)
    assert list(verify.thorough(folder))


def test_the_folder_names_its_holder(tmp_path: Path):
    held = Log.open(tmp_path / "wal", config(), HandClock())
    with pytest.raises(FolderLocked, match=f"process {os.getpid()}"):
        Log.open(tmp_path / "wal", config(), HandClock())
    script = "import sys; from pathlib import Path; from appliance.core.clock import SystemClock; from appliance.core.config import WalConfig; from appliance.wal.log import Log; Log.open(Path(sys.argv[1]), WalConfig(), SystemClock())"
    other = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "wal")], capture_output=True, text=True, timeout=60
    )
    assert other.returncode != 0 and f"process {os.getpid()}" in other.stderr
    held._state.close(clean=True)
    Log.open(tmp_path / "wal", config(), SystemClock())._state.close(clean=True)


async def test_blocks_whose_ranges_overlap_are_all_kept_and_none_hides_another(tmp_path: Path):
    """Pages of a commit that never came to be still lie in the file; its sequences were given again after a restart."""
    folder = tmp_path / "wal"
    await _sample(folder)
    ghost = [record(f"ghost-{number}") for number in range(7)]
    for number, each in enumerate(ghost, 31):
        each.sequence = number
    value, _ = block.encode(ghost, seen.digests(ghost), 1, 0, 0)
    with (folder / "data.mdb").open("ab") as file:
        file.write(bytes(100) + value + bytes(100) + value)
        file.truncate(file.tell() + PAGE - file.tell() % PAGE)
    found = carve.carve(folder / "data.mdb")
    assert len(found.kept) == 40 and len(found.surplus) == 1
    content = bytearray((folder / "data.mdb").read_bytes())
    content[: 2 * PAGE] = bytes(2 * PAGE)
    (folder / "data.mdb").write_bytes(content)
    async with opened(folder) as log:
        places, names = sequences(log), ids(log)
        assert places == sorted(set(places)) and len(set(names)) == len(names) == 127
        assert names[-7:] == [f"ghost-{number}" for number in range(7)], "behind the end"
        assert (await log.append([record("ghost-3"), record("39-2")])).duplicates == 2
