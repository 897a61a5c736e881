"""Generated write keys: made once, rotated with a day of grace, never half written."""

import stat
from datetime import datetime
from pathlib import Path

import pytest

from appliance.core import logs, settings, write_keys
from appliance.core.errors import ConfigError

NOW_MS = 1_900_000_000_123


def test_a_rotation_keeps_the_old_key_for_a_day_and_the_configuration_follows(tmp_path: Path) -> None:
    first = write_keys.kept(tmp_path)
    assert first.previous == first.until == "" and write_keys.kept(tmp_path) == first
    second = write_keys.rotated(tmp_path, NOW_MS)
    assert second.previous == first.write_key != second.write_key
    assert 0 <= NOW_MS + write_keys.PREVIOUS_VALID_MS - second.until_ms < 1_000
    assert write_keys.kept(tmp_path) == second
    source = settings.default_config(tmp_path).sources["default"]
    assert source.write_key.reveal() == second.write_key
    assert source.previous_write_key is not None and source.previous_write_key.reveal() == first.write_key
    assert datetime.fromisoformat(source.previous_write_key_until).timestamp() * 1000 == second.until_ms
    third = write_keys.rotated(tmp_path, NOW_MS + 5_000)
    assert third.previous == second.write_key, "what held before ends"
    assert stat.S_IMODE((tmp_path / "keys.toml").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys.toml"]
    assert logs.masked(f"{first.write_key} {second.write_key} {third.write_key}") == "*** *** ***"


@pytest.mark.parametrize(
    "text",
    [
        "[sources.default]\nwrite_key = 5\n",
        '[sources.default]\nwrite_key = "a"\nprevious_write_key = "b"\n',
        '[sources.default]\nwrite_key = "a"\nprevious_write_key = "b"\nprevious_write_key_until = "soon"\n',
        '[sources.default]\nwrite_key = "a"\nprevious_write_key = 7\nprevious_write_key_until = "2030-01-01T00:00:00Z"\n',
        "sources = 3\n",
        "[",
    ],
)
def test_a_file_that_holds_no_keys_is_said_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.toml").write_text(text)
    for attempt in (lambda: write_keys.kept(tmp_path), lambda: write_keys.rotated(tmp_path, NOW_MS)):
        with pytest.raises(ConfigError, match="holds no key"):
            attempt()
    assert (tmp_path / "keys.toml").read_text() == text
