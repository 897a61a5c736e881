"""The jsonl plug-in on real files: whole lines, rotation, torn ends, a killed writer, a full disk, two writers."""

import contextlib
import io
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from appliance.core import logs
from appliance.core.errors import ConfigError
from appliance.deliver.plugins import load_plugin, shipped_folder
from appliance.sdk import Retry
from tests.support.appliance import ROOT
from tests.support.receiver import bound, event

JSONL = shipped_folder() / "jsonl.py"
MODULE: dict[str, Any] = load_plugin(JSONL).deliver.call.__globals__


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if ".jsonl" in path.name and not path.name.endswith(".torn"))


def lines(path: Path) -> list[bytes]:
    """Every line of a file, read as any tool would read it."""
    content = path.read_bytes()
    if path.suffix == ".zst":
        with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content), read_across_frames=True) as reader:
            content = reader.read()
    assert content == b"" or content.endswith(b"\n")
    return content.splitlines(keepends=False) if b"\r" not in content else content.split(b"\n")[:-1]


def numbers(folder: Path) -> list[int]:
    return [json.loads(line)["n"] for path in files(folder) for line in lines(path)]


def numbered(number: int, size: int = 0) -> Any:
    return event(number, json.dumps({"messageId": f"m-{number}", "n": number, "x": "y" * size}).encode())


async def append(folder: Path, *batches: list[Any], **options: Any) -> list[str]:
    async with bound(JSONL, {"folder": str(folder), **options}) as instance:
        return [(await instance.call(batch)).results[0].kind for batch in batches]


@pytest.mark.parametrize("zstd", [False, True])
async def test_events_are_appended_in_order_across_restarts(tmp_path: Path, zstd: bool) -> None:
    folder = tmp_path / "deep" / "out"
    for start in (0, 10, 20):
        batches = [[numbered(start + i * 2), numbered(start + i * 2 + 1)] for i in range(5)]
        assert await append(folder, *batches, zstd=zstd) == ["succeeded"] * 5
    assert numbers(folder) == list(range(30))
    (path,) = files(folder)
    assert path.name.startswith("events-") and path.name.endswith(".jsonl.zst" if zstd else ".jsonl")
    if zstd:
        listed = subprocess.run(["zstdcat", str(path)], capture_output=True) if _has("zstdcat") else None
        assert listed is None or listed.stdout.count(b"\n") == 30


def _has(command: str) -> bool:
    return any((Path(folder) / command).exists() for folder in os.get_exec_path())


async def test_one_line_per_event_bytes_unchanged(tmp_path: Path) -> None:
    raws = [
        b'{\n  "a" : 1.0,\r\n\t"b":"line\\nbreak \\u2028 \xe2\x80\xa8"}',
        b'{"big":%b}' % (b"9" * 5000),
        '{"ü":"☕ \\ud83d"}'.encode(),
        b"{}",
    ]
    await append(tmp_path, [event(number, raw) for number, raw in enumerate(raws, 1)])
    (path,) = files(tmp_path)
    content = path.read_bytes()
    assert content.count(b"\n") == len(raws) and b"\r" not in content
    assert content.split(b"\n")[0] == raws[0].replace(b"\n", b" ").replace(b"\r", b" ")
    assert content.split(b"\n")[1:4] == raws[1:]


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), st.sampled_from([None, 1, "\t"]))
def test_a_line_means_what_the_event_meant(value: dict[str, Any], indent: Any) -> None:
    raw = json.dumps(value, indent=indent, ensure_ascii=False).encode("utf-8", "surrogatepass").replace(b"\n", b"\r\n")
    line = MODULE["one_line"](raw)
    assert line.count(b"\n") == 1 and line.endswith(b"\n") and b"\r" not in line
    assert json.loads(line.decode("utf-8", "surrogatepass")) == value


@pytest.mark.parametrize("zstd", [False, True])
async def test_rotation_by_size(tmp_path: Path, zstd: bool) -> None:
    batches = [[numbered(number, 500)] for number in range(20)]
    assert await append(tmp_path, *batches, rotate_bytes=1000 if not zstd else 1, zstd=zstd) == ["succeeded"] * 20
    assert len(files(tmp_path)) == (20 if zstd else 10)
    assert numbers(tmp_path) == list(range(20)), "names sort in the order of writing"


async def test_rotation_by_age_running_and_after_a_restart(tmp_path: Path) -> None:
    async with bound(JSONL, {"folder": str(tmp_path), "rotate_age": 1}) as instance:
        await instance.call([numbered(0)])
        await instance.call([numbered(1)])
        assert len(files(tmp_path)) == 1
        time.sleep(1.05)
        await instance.call([numbered(2)])
        assert len(files(tmp_path)) == 2
    time.sleep(1.05)
    await append(tmp_path, [numbered(3)], rotate_age=1)
    assert len(files(tmp_path)) == 3
    assert numbers(tmp_path) == [0, 1, 2, 3]


async def test_a_file_from_the_future_is_neither_passed_over_nor_rotated_at_every_batch(tmp_path: Path) -> None:
    """What a clock that was a year ahead leaves behind."""
    (tmp_path / "events-29990101T000000.000Z.jsonl").write_bytes(b'{"n":0}\n')
    await append(tmp_path, [numbered(1)], [numbered(2)], rotate_age=5)
    assert numbers(tmp_path) == [0, 1, 2]
    assert len(files(tmp_path)) == 1
    await append(tmp_path, [numbered(3)], [numbered(4)], rotate_bytes=1)
    assert numbers(tmp_path) == [0, 1, 2, 3, 4]


async def test_only_the_oldest_files_are_deleted_and_only_if_wanted(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "other-20200101T000000.000Z.jsonl").write_text('{"n":-1}\n')
    await append(tmp_path, *[[numbered(number)] for number in range(6)], rotate_bytes=1, files_max=2)
    kept = [path.name for path in sorted(tmp_path.iterdir())]
    assert "notes.txt" in kept and "other-20200101T000000.000Z.jsonl" in kept and len(kept) == 4
    assert numbers(tmp_path)[:2] == [4, 5]


# Torn ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zstd", [False, True])
async def test_a_torn_end_is_cut_at_every_possible_place(tmp_path: Path, zstd: bool) -> None:
    await append(tmp_path, [numbered(0), numbered(1)], [numbered(2)], zstd=zstd)
    (path,) = files(tmp_path)
    sound = path.read_bytes()
    await append(tmp_path, [numbered(3)], zstd=zstd)
    whole = path.read_bytes()
    for size in range(len(sound), len(whole)):
        path.write_bytes(whole[:size])
        await append(tmp_path, [numbered(4)], zstd=zstd)
        assert numbers(tmp_path) == [0, 1, 2, 4], size
    assert [path.name for path in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("zstd", [False, True])
@pytest.mark.parametrize("garbage", [b"\0" * 5000, b"\0" * 100 + b"\n" + b'{"n":9}\n', b"\xff\n", b"\n"])
async def test_what_a_power_cut_leaves_is_cut_too(tmp_path: Path, zstd: bool, garbage: bytes) -> None:
    await append(tmp_path, [numbered(0)], [numbered(1)], zstd=zstd)
    (path,) = files(tmp_path)
    with path.open("ab") as opened:
        opened.write(garbage)
    await append(tmp_path, [numbered(2)], zstd=zstd)
    assert numbers(tmp_path) == [0, 1, 2]


async def test_a_frame_of_the_right_length_with_wrong_bytes_is_cut(tmp_path: Path) -> None:
    await append(tmp_path, [numbered(0)], [numbered(1, 3000)], zstd=True)
    (path,) = files(tmp_path)
    content = bytearray(path.read_bytes())
    content[-20:-4] = bytes(16)
    path.write_bytes(content)
    await append(tmp_path, [numbered(2)], zstd=True)
    assert numbers(tmp_path) == [0, 2]


async def test_what_is_cut_beyond_one_batch_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "events-20300101T000000.000Z.jsonl"
    path.write_bytes(b'{"n":0}\n\0\0\0\n{"n":1}\n{"n":2}\n')
    await append(tmp_path, [numbered(3)], rotate_age="1000w")
    assert numbers(tmp_path) == [0, 3]
    assert (tmp_path / (path.name + ".torn")).read_bytes() == b'\0\0\0\n{"n":1}\n{"n":2}\n'


@given(st.lists(st.binary(max_size=3000), max_size=6), st.data())
def test_frame_ends_are_found_as_the_library_sees_them(contents: list[bytes], data: st.DataObject) -> None:
    """Against a model: the frames that were written, at any length of the file."""
    levels = st.sampled_from([1, 3, 19])
    frames = [
        zstandard.ZstdCompressor(
            level=data.draw(levels), write_checksum=True, write_content_size=data.draw(st.booleans())
        ).compress(content)
        for content in contents
    ]
    whole = b"".join(frames)
    size = data.draw(st.integers(0, len(whole)))
    expected = 0
    for frame in frames:
        if expected + len(frame) <= size:
            expected += len(frame)
        else:
            break
    assert MODULE["whole_frames_end"](io.BytesIO(whole[:size]), size) == expected


@given(st.lists(st.sampled_from([b"{}", b'{"a":1}', b'{"b":"{}"}']), max_size=8), st.binary(max_size=10))
def test_line_ends_are_found(whole: list[bytes], torn: bytes) -> None:
    content = b"".join(line + b"\n" for line in whole)
    end = MODULE["whole_lines_end"](io.BytesIO(content + torn), len(content) + len(torn))
    assert end >= len(content)
    assert end == len(content) or torn[: end - len(content)].endswith(b"}\n")


WRITER = """
import asyncio, sys
from pathlib import Path
from tests.support.receiver import bound, event
async def main(folder, zstd, start):
    async with bound(Path(sys.argv[4]), {"folder": folder, "zstd": zstd, "rotate_bytes": 200000}) as instance:
        number = start
        while True:
            batch = [event(n, b'{"n":%d,"x":"%b"}' % (n, b"y" * (n * 37 % 3000))) for n in range(number, number + 20)]
            assert (await instance.call(batch)).results[0].kind == "succeeded"
            number += 20
            print(number, flush=True)
asyncio.run(main(sys.argv[1], sys.argv[2] == "zstd", int(sys.argv[3])))
"""


@pytest.mark.parametrize("kind", ["plain", "zstd"])
def test_a_killed_writer_loses_nothing_that_it_had_settled(tmp_path: Path, kind: str, seed: int) -> None:
    """kill -9 in mid-append, again and again; the next writer begins with what was not settled."""
    chance, settled = random.Random(seed), 0
    for _ in range(8):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), kind, str(settled), str(JSONL)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        try:
            settled = int(child.stdout.readline())
            time.sleep(chance.random() * 0.25)
        finally:
            child.kill()
            settled = max(
                [settled, *(int(line) for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
            )
            child.wait()
            child.stdout.close()
    import asyncio

    asyncio.run(append(tmp_path, [numbered(10**9)], zstd=kind == "zstd"))
    seen = numbers(tmp_path)
    assert seen.pop() == 10**9
    first_arrivals = list(dict.fromkeys(seen))
    assert first_arrivals[:settled] == list(range(settled)), "every settled event, in order"
    assert len(seen) - len(first_arrivals) <= 8 * 20, "sent again: at most one batch per kill"


# Trouble --------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """No file may grow beyond 2,000 bytes: a write beyond it fails halfway, like on a full disk.

    Not a fixture: the test runner writes its own output, perhaps to a file, before fixtures end.
    """
    import signal

    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_a_batch_that_does_not_fit_leaves_nothing_of_itself(tmp_path: Path) -> None:
    async with bound(JSONL, {"folder": str(tmp_path)}) as instance:
        with small_files():
            assert (await instance.call([numbered(0)])).results[0].kind == "succeeded"
            (result, _) = (await instance.call([numbered(1, 1500), numbered(2, 1500)])).results
            assert (result.kind, result.fault) == ("retry", False)
            assert result.reason.startswith("cannot write to") and "File too large" in result.reason
            assert (await instance.call([numbered(3)])).results[0].kind == "succeeded"
    assert numbers(tmp_path) == [0, 3]


async def test_tries_on_a_full_disk_leave_no_files_and_push_none_out(tmp_path: Path) -> None:
    options = {"folder": str(tmp_path), "rotate_bytes": 1000, "files_max": 3}
    async with bound(JSONL, options) as instance:
        with small_files():
            for number in range(3):
                await instance.call([numbered(number, 1000)])
            for _ in range(10):
                assert (await instance.call([numbered(3, 3000)])).results[0].kind == "retry"
                assert numbers(tmp_path)[-2:] == [1, 2] and len(files(tmp_path)) <= 3
        assert (await instance.call([numbered(3, 3000)])).results[0].kind == "succeeded"
    assert numbers(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("how", ["delete", "move", "folder"])
async def test_a_file_that_is_taken_away_is_followed_by_another(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "out"
    async with bound(JSONL, {"folder": str(folder)}) as instance:
        await instance.call([numbered(0)])
        (path,) = files(folder)
        if how == "folder":
            folder.rename(tmp_path / "taken")
        elif how == "move":
            path.rename(tmp_path / path.name)
        else:
            path.unlink()
        assert (await instance.call([numbered(1)])).results[0].kind == "succeeded"
    assert numbers(folder) == [1]


async def test_two_writers_of_one_folder_write_to_different_files(tmp_path: Path) -> None:
    """A replay runs beside live delivery."""
    async with bound(JSONL, {"folder": str(tmp_path)}) as live, bound(JSONL, {"folder": str(tmp_path)}) as replay:
        for number in range(10):
            await live.call([numbered(number)])
            await replay.call([numbered(100 + number)])
    assert len(files(tmp_path)) == 2
    assert sorted(numbers(tmp_path)) == [*range(10), *range(100, 110)]


async def test_a_folder_that_cannot_be_made_is_retried_until_it_can(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    async with bound(JSONL, {"folder": str(tmp_path / "file" / "out")}) as instance:
        opened = await instance.open()
        assert opened.kind == "retry" and "cannot be used" in opened.reason and not opened.fault
        (tmp_path / "file").unlink()
        assert (await instance.call([numbered(0)])).results[0].kind == "succeeded"


async def test_calls_in_parallel_are_written_one_after_the_other(tmp_path: Path) -> None:
    import asyncio

    async with bound(JSONL, {"folder": str(tmp_path)}, host={"in_flight_max": 8}) as instance:
        await asyncio.gather(*[instance.call([numbered(number, 2000)]) for number in range(100)])
    assert sorted(numbers(tmp_path)) == list(range(100))


@pytest.mark.parametrize(
    "options", [{"prefix": "../x"}, {"prefix": ""}, {"rotate_age": 0}, {"rotate_bytes": 0}, {"files_max": 0}]
)
async def test_options_that_make_no_sense_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        await append(tmp_path, **options)


async def test_closing_waits_for_the_batch_that_is_being_written(tmp_path: Path) -> None:
    """A file closed under a writing thread would leave its number to whatever is opened next."""
    import threading

    files_class, config_class = MODULE["Files"], MODULE["Jsonl"]
    files_ = files_class(config_class(folder=tmp_path), logs.logger("test"))
    files_.resume()
    files_.append([b'{"n":0}'])
    with files_._lock:
        closing = threading.Thread(target=files_.close)
        closing.start()
        closing.join(0.1)
        assert closing.is_alive()
    closing.join(5)
    with pytest.raises(Retry, match="closing"):
        files_.append([b'{"n":1}'])
    assert numbers(tmp_path) == [0]
