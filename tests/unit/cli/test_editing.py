"""A table added to the configuration file: sound or not at all."""

import tomllib
from pathlib import Path

import pytest

from appliance.cli.editing import appended, table_text
from appliance.cli.output import CommandError
from appliance.core.errors import ConfigError

BEFORE = '# mine\n[sources.web]\nwrite_key = "wk_x"\n'


def test_values_are_toml_where_they_read_as_toml_and_text_otherwise() -> None:
    table = table_text(
        "c r.m",
        "webhook",
        [
            "url=http://h/e?a=b",
            "in_flight_max=4",
            "enabled=false",
            'sources=["web"]',
            "retry.age_max=1d",
            "note=",
            "quoted='x'",
            'odd=a"b\\c\x7f',
            "inject=1\n[sources.evil]",
        ],
    )
    assert tomllib.loads(table) == {
        "destinations": {
            "c r.m": {
                "plugin": "webhook",
                "url": "http://h/e?a=b",
                "in_flight_max": 4,
                "enabled": False,
                "sources": ["web"],
                "retry": {"age_max": "1d"},
                "note": "",
                "quoted": "x",
                "odd": 'a"b\\c\x7f',
                "inject": "1\n[sources.evil]",
            }
        }
    }


@pytest.mark.parametrize("setting", ["url", "=x", "a b=1", "a.=1", "[x]=1", '"a"=1'])
def test_what_is_no_setting_is_said(setting: str) -> None:
    with pytest.raises(CommandError, match="KEY=VALUE") as raised:
        table_text("crm", "webhook", [setting])
    assert raised.value.code == 2


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "# no line end"])
def test_the_rest_of_the_file_stays_byte_for_byte(tmp_path: Path, end: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(BEFORE + end)
    path.chmod(0o640)
    with appended(path, tmp_path / "data", "crm", table_text("crm", "webhook", ["url=http://127.0.0.1:9/"])):
        assert path.read_text().startswith(BEFORE + end)
        assert tomllib.loads(path.read_text())["destinations"]["crm"]["plugin"] == "webhook"
    assert path.stat().st_mode & 0o777 == 0o640 and list(tmp_path.iterdir()) == [path]


def test_a_faulty_table_never_reaches_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(BEFORE)
    table = table_text("crm", "webhook", ["url=http://h/", "sources=['nobody']"])
    with pytest.raises(ConfigError) as raised, appended(path, tmp_path / "data", "crm", table):
        raise AssertionError("must not be reached")
    assert [(fault.file, fault.line) for fault in raised.value.faults] == [(str(path), 8)]
    assert path.read_text() == BEFORE and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", ['[destinations.crm]\nplugin = "jsonl"\n', "destinations.crm.plugin = 'jsonl'\n"])
def test_a_second_table_of_the_name_is_refused_in_words(tmp_path: Path, there: str) -> None:
    path = tmp_path / "s.toml"
    path.write_text(f"{there}{BEFORE}")
    before, table = path.read_text(), table_text("crm", "webhook", [])
    said = pytest.raises(CommandError, match="destination crm stands in .*s.toml already; nothing was changed")
    with said as raised, appended(path, tmp_path / "data", "crm", table):
        raise AssertionError("must not be reached")
    assert raised.value.code == 2 and "[destinations.crm]" in raised.value.next_step
    assert path.read_text() == before


def test_what_the_process_refuses_is_taken_back(tmp_path: Path) -> None:
    path = tmp_path / "real.toml"
    path.write_text(BEFORE)
    link = tmp_path / "link.toml"
    link.symlink_to(path)
    table = table_text("crm", "webhook", ["url=http://h/"])
    with pytest.raises(CommandError, match="refused"), appended(link, tmp_path / "data", "crm", table):
        assert "crm" in path.read_text()
        raise CommandError("refused")
    assert path.read_text() == BEFORE and link.is_symlink()
    assert sorted(found.name for found in tmp_path.iterdir()) == ["link.toml", "real.toml"]
