"""Names of replays are given once, whatever ends, restarts or is lost in between."""

from pathlib import Path

import pytest

from appliance.deliver.replay_names import ReplayNames


def test_a_name_is_never_given_again(tmp_path: Path) -> None:
    names = ReplayNames(tmp_path / "replays.json")
    given = [names.take("crm", ()), names.take("crm", ("crm#1",)), names.take("ads", ("crm#2",)), names.take("crm", ())]
    assert given == ["crm#1", "crm#2", "ads#1", "crm#3"]
    assert ReplayNames(tmp_path / "replays.json").take("crm", ()) == "crm#4", "over a restart"


@pytest.mark.parametrize("content", [None, b"", b"no json", b'{"crm": "x"}'])
def test_a_lost_file_gives_no_name_that_is_under_way(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "replays.json"
    if content is not None:
        file.write_bytes(content)
    assert ReplayNames(file).take("crm", ("crm#7", "crm#2", "crm.b#9")) == "crm#8"


def test_a_name_that_cannot_be_kept_is_not_given(tmp_path: Path) -> None:
    names = ReplayNames(tmp_path / "gone" / "replays.json")
    for _ in range(2):
        with pytest.raises(OSError):
            names.take("crm", ())
    (tmp_path / "gone").mkdir()
    assert names.take("crm", ()) == "crm#1"
