"""What was paused stays paused over a restart, and a file that cannot be read is said."""

from pathlib import Path

import pytest

from appliance.core.pauses import Pauses


def test_a_pause_outlives_its_process(tmp_path: Path) -> None:
    file = tmp_path / "paused.json"
    pauses = Pauses(file)
    pauses.set("crm", True)
    pauses.set("ads", True)
    pauses.set("ads", False)
    assert "crm" in Pauses(file) and "ads" not in Pauses(file)
    assert [path.name for path in tmp_path.iterdir()] == ["paused.json"]


def test_what_cannot_be_kept_has_not_happened(tmp_path: Path) -> None:
    (tmp_path / "paused.json").mkdir()
    pauses = Pauses(tmp_path / "paused.json")
    with pytest.raises(OSError, match=r"paused\.json"):
        pauses.set("crm", True)
    assert "crm" not in pauses


@pytest.mark.parametrize("content", [b"", b"{", b'{"crm": true}', b"[1]"])
def test_a_file_that_says_nothing_is_no_silence(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "paused.json"
    file.write_bytes(content)
    assert "crm" not in Pauses(file)
    assert [record.getMessage() for record in caplog.records] == ["pauses_dropped"]
