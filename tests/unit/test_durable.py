"""Small files: whole, on disk before anybody is told so, and nothing left behind by a failure."""

import os
from pathlib import Path

import pytest

from appliance.core import durable
from tests.house.files import python_files, shown


def test_the_content_and_then_the_folder_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    sync, move = os.fsync, os.replace

    def noted_sync(handle: int) -> None:
        steps.append(Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        sync(handle)

    def noted_move(old: Path, new: Path) -> None:
        steps.append(f"{Path(old).name} -> {Path(new).name}")
        move(old, new)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(os, "replace", noted_move)
    (tmp_path / "kept.json").write_bytes(b"old")
    durable.replace(tmp_path / "kept.json", b"new")
    assert (tmp_path / "kept.json").read_bytes() == b"new"
    assert (tmp_path / "kept.json").stat().st_mode & 0o777 == 0o600
    temporary = steps[0]
    assert steps == [temporary, f"{temporary} -> kept.json", tmp_path.name]
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "by").touch()
    with pytest.raises(OSError):
        durable.replace(tmp_path / "taken", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    with pytest.raises(FileNotFoundError):
        durable.replace(tmp_path / "nowhere" / "file", b"new")


def test_nobody_replaces_small_files_by_hand() -> None:
    by_hand = [
        shown(path)
        for path in python_files("appliance")
        if path.name != "durable.py"
        and any(word in path.read_text(encoding="utf-8") for word in ("mkstemp", "os.replace", "NamedTemporary"))
    ]
    assert by_hand == []
