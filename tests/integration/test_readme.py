"""The README does what it says: every block of it is run, and the printed curl as well."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
STERNPOST = [str(Path(sys.executable).with_name("sternpost"))]


def block(language: str) -> str:
    found = [text for name, text in BLOCKS if name == language]
    assert len(found) == 1, f"the README has {len(found)} {language} blocks; this test runs one of each"
    return found[0]


def test_every_block_is_of_a_kind_that_is_run_here() -> None:
    assert {name for name, _ in BLOCKS} == {"sh", "toml", "python", "sql"}


def test_the_configuration_is_valid(tmp_path: Path) -> None:
    (tmp_path / "sternpost.toml").write_text(block("toml"))
    checked = subprocess.run([*STERNPOST, "check"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_plugin_passes_the_conformance_kit(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(block("python"))
    command = [*STERNPOST, "plugins", "test", "mine.py"]
    tested = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert len(block("python").strip().splitlines()) <= 16


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """`sternpost run` as a newcomer starts it, on free ports; yields its folder and what it printed."""
    collect, control = free_port(), free_port()
    (tmp_path / "sternpost.toml").write_text(
        f'[collect]\nlisten = "127.0.0.1:{collect}"\n[control]\nlisten = "127.0.0.1:{control}"\n'
    )
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "sternpost").symlink_to(STERNPOST[0])
    printed = tmp_path / "printed.txt"
    with printed.open("w") as out:
        environment = {**os.environ, "NO_COLOR": "1"}
        process = subprocess.Popen([*STERNPOST, "run"], cwd=tmp_path, stdout=out, stderr=out, env=environment)
    try:
        until = time.monotonic() + 30
        while "curl" not in printed.read_text():
            assert process.poll() is None and time.monotonic() < until, printed.read_text()
            time.sleep(0.05)
        yield tmp_path, printed.read_text()
    finally:
        process.terminate()
        assert process.wait(15) == 0


def lines(folder: Path, count: int) -> list[dict[str, Any]]:
    """The first `count` events in the output files."""
    until = time.monotonic() + 20
    while True:
        text = "".join(file.read_text() for file in sorted((folder / "sternpost-data" / "out").glob("*.jsonl")))
        if text.count("\n") >= count:
            return [msgspec.json.decode(line) for line in text.splitlines()]
        assert time.monotonic() < until, f"{text.count(chr(10))} of {count} events arrived"
        time.sleep(0.05)


def test_the_first_event_in_a_minute(running: tuple[Path, str]) -> None:
    folder, _ = running
    first, second, third, fourth = block("sh").strip().splitlines()
    for command in (first, second):
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    events = lines(folder, 100)
    shown = subprocess.run(third, shell=True, cwd=folder, capture_output=True, text=True, timeout=10)
    assert shown.returncode == 0 and shown.stdout.count("\n") == 3
    added = {"messageId", "receivedAt", "request_ip", "rudderId", "timestamp"}
    for line in shown.stdout.splitlines():
        event = msgspec.json.decode(line)
        assert added <= set(event) and event["context"]["ip"]
    named = Counter(event["event"] for event in events if event["type"] == "track")
    rows = asked(
        folder, fourth.replace("--chart bar", "--json"), lambda rows: sum(row[1] for row in rows) >= named.total()
    )
    assert dict(rows) == named
    drawn = subprocess.run(fourth, shell=True, cwd=folder, capture_output=True, text=True, timeout=30)
    assert drawn.returncode == 0 and all(str(name) in drawn.stdout for name in named), drawn.stdout + drawn.stderr


def asked(folder: Path, command: str, is_whole: Callable[[list[list[Any]]], bool]) -> list[list[Any]]:
    """The rows that a query gives once everything is loaded; until then a table may be missing."""
    until = time.monotonic() + 30
    while True:
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=30)
        rows = msgspec.json.decode(done.stdout)["rows"] if done.returncode == 0 else []
        if is_whole(rows):
            return list(rows)
        assert time.monotonic() < until, done.stdout + done.stderr
        time.sleep(0.2)


def test_the_query_of_the_warehouse_gives_what_was_sent(running: tuple[Path, str]) -> None:
    """Revenue per person: every order counts once, under whoever it is."""
    folder, _ = running
    command = re.search(r"`(sternpost send --kind shop [^`]*)`", README)
    assert command
    sent = subprocess.run(f".venv/bin/{command[1]} --seed 7", shell=True, cwd=folder, capture_output=True, timeout=60)
    assert sent.returncode == 0, sent.stderr
    spent: Counter[str] = Counter()
    for event in lines(folder, 500):
        if event.get("event") == "Order Completed":
            spent[event["context"]["sternpost"]["personId"]] += round(event["properties"]["total"] * 100)
    (folder / "revenue.sql").write_text(block("sql"))
    best = [cents for _, cents in spent.most_common(5)]
    rows = asked(
        folder,
        ".venv/bin/sternpost query --json - < revenue.sql",
        lambda rows: [round(row[2] * 100) for row in rows] == best,
    )
    assert all(spent[person] == round(revenue * 100) for person, _, revenue in rows)


@pytest.mark.skipif(not shutil.which("curl") and not os.environ.get("CI"), reason="curl is not here")
def test_the_printed_curl_works_as_it_stands(running: tuple[Path, str]) -> None:
    folder, printed = running
    command = re.search(r"^\s*(curl .*?)$", printed, re.MULTILINE)
    assert command, printed
    sent = subprocess.run(command[1], shell=True, capture_output=True, text=True, timeout=20)
    assert (sent.returncode, sent.stdout.strip().lower()) == (0, "ok"), sent.stdout + sent.stderr
    (event,) = lines(folder, 1)
    assert event["event"] == "Order Completed"
