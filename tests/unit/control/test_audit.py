"""The audit trail: one line per action, bounded, readable after damage."""

import json
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from appliance.control import audit
from appliance.control.audit import AuditTrail, Entry, Gathered


def entry(number: int) -> Entry:
    return Entry(when="2030-01-31T12:00:00.000Z", who="admin", what="dead.purge", count=number, address="127.0.0.1")


def test_entries_are_lines_of_json_newest_last_in_the_file(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path)
    for number in range(5):
        trail.append(entry(number))
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert [json.loads(line)["count"] for line in lines if "count" in json.loads(line)] == [1, 2, 3, 4]
    assert json.loads(lines[1]) == {
        "when": "2030-01-31T12:00:00.000Z",
        "who": "admin",
        "what": "dead.purge",
        "count": 1,
        "from": "127.0.0.1",
    }
    assert [found.count for found in trail.newest(3)[0]] == [4, 3, 2]
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600


def test_a_damaged_line_is_passed_over_and_no_file_is_no_error(tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path)
    assert trail.newest(10) == ([], "")
    trail.append(entry(1))
    with (tmp_path / "audit.jsonl").open("ab") as opened:
        opened.write(b'{"when": "torn\n\xff\xfe\n')
    trail.append(entry(2))
    assert [found.count for found in trail.newest(10)[0]] == [2, 1]


def test_a_full_file_is_set_aside_and_the_oldest_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "FILE_BYTES_MAX", 300)
    monkeypatch.setattr(audit, "FILES_MAX", 3)
    trail = AuditTrail(tmp_path)
    for number in range(1, 41):
        trail.append(entry(number))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names in (["audit.1.jsonl", "audit.2.jsonl"], ["audit.1.jsonl", "audit.2.jsonl", "audit.jsonl"])
    kept = [json.loads(line)["count"] for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert max(kept) == 40 and sorted(kept) == list(range(min(kept), 41)) and min(kept) > 20


def test_a_line_is_on_disk_when_it_counts_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was whole in the file when it was synced, and the folder where the file is new."""
    synced: list[tuple[int, int]] = []
    real = os.fsync

    def watched(handle: int) -> None:
        status = os.fstat(handle)
        synced.append((status.st_ino, 0 if stat.S_ISDIR(status.st_mode) else status.st_size))
        real(handle)

    monkeypatch.setattr(os, "fsync", watched)
    trail, path = AuditTrail(tmp_path), tmp_path / "audit.jsonl"
    for number in range(3):
        synced.clear()
        trail.append(entry(number))
        folder = [(tmp_path.stat().st_ino, 0)] if number == 0 else []
        assert synced == [(path.stat().st_ino, path.stat().st_size), *folder]


@pytest.mark.parametrize("read_bytes", [7, 100, 1 << 16])
def test_pages_go_back_through_all_files_though_new_lines_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read_bytes: int
) -> None:
    monkeypatch.setattr(audit, "FILE_BYTES_MAX", 700)
    monkeypatch.setattr(audit, "READ_BYTES", read_bytes)
    trail = AuditTrail(tmp_path)
    for number in range(1, 31):
        trail.append(entry(number))
    seen, before, latest = [], "", 30
    while True:
        page, before = trail.newest(4, before)
        seen += [found.count for found in page]
        if not before:
            break
        latest += 1
        trail.append(entry(latest))  # may set the file aside in between
    assert seen == list(range(30, 0, -1))


@pytest.mark.parametrize("before", ["x", "-", "1-", "1-2-3", "9" * 30, "-5", "1-\u0665", "99999999-3"])
def test_a_place_that_is_none_is_said(tmp_path: Path, before: str) -> None:
    trail = AuditTrail(tmp_path)
    trail.append(entry(1))
    with pytest.raises(ValueError, match="audit trail"):
        trail.newest(4, before)


def test_what_the_log_drops_under_a_flood_is_summed_up_and_none_is_lost() -> None:
    written: list[Entry] = []
    gathered = Gathered(written.append, wait_s=0.2)
    threads = [
        threading.Thread(target=lambda: [gathered.add("dead_evicted", 1, 10, "budget") for _ in range(500)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gathered.add("events_dropped", 7, 70, "full")
    assert not written
    deadline = time.monotonic() + 10
    while len(written) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert {(one.what, one.who, one.count, one.detail["bytes"]) for one in written} == {
        ("log.dead_evicted", "log", 2000, 20_000),
        ("log.events_dropped", "log", 7, 70),
    }
    gathered.add("events_dropped", 1, 1, "full")
    gathered.flush()
    assert written[-1].count == 1
    gathered.flush()
    assert len(written) == 3
