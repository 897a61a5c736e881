"""`sternpost plugins`: the real command, as people and machines use it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.appliance import ROOT


def sternpost(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "appliance", "plugins", *arguments, "--data", str(folder / "data")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
        text=True,
        capture_output=True,
        timeout=60,
    )


def test_list_shows_what_there_is_and_what_is_broken(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "list", "-v")
    assert done.returncode == 0, done.stderr
    for words in ("jsonl", "relay", "webhook", "WHAT IT DOES", "url (required)", "Where to send events."):
        assert words in done.stdout
    (tmp_path / "data" / "plugins").mkdir(parents=True)
    (tmp_path / "data" / "plugins" / "webhook.py").write_text("(((")
    done = sternpost(tmp_path, "list")
    assert done.returncode == 1
    assert "relay" in done.stdout and "webhook.py: line 1" in done.stderr
    rows = {row["name"]: row for row in json.loads(sternpost(tmp_path, "list", "--json").stdout)}
    assert "fault" in rows["webhook"] and rows["jsonl"]["batch"] == "atomic"
    assert rows["relay"]["options"][1] == {
        "key": "write_key",
        "required": True,
        "doc": "Write key of the source there: a literal, `env:NAME` or `file:PATH`.",
    }


def test_folders_of_the_configuration_are_searched(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.py").write_text(
        '"""Own."""\nfrom appliance.sdk import Event\ndef deliver(e: Event) -> None: ...\n'
    )
    (tmp_path / "sternpost.toml").write_text('[plugins]\nfolders = ["mine"]\n')
    assert "own" in sternpost(tmp_path, "list").stdout


def test_a_new_plugin_works_at_once_and_is_never_overwritten(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "new", "my_crm")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "data" / "plugins" / "my_crm.py"
    assert str(path) in done.stdout and 'plugin = "my_crm"' in done.stdout
    compiled = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert compiled.returncode == 0, compiled.stdout
    tested = sternpost(tmp_path, "test", str(path))
    assert tested.returncode == 0, tested.stdout
    assert "keeps the contract" in tested.stdout and "failed" not in tested.stdout
    assert sternpost(tmp_path, "test", "my_crm", "--json").returncode == 0
    path.write_text(path.read_text() + "# mine\n")
    again = sternpost(tmp_path, "new", "my_crm")
    assert again.returncode == 1 and "is there already" in again.stderr
    assert path.read_text().endswith("# mine\n")


@pytest.mark.parametrize("name", ["a-b", "1a", "../x", "", "ü"])
def test_names_that_are_none(tmp_path: Path, name: str) -> None:
    done = sternpost(tmp_path, "new", name)
    assert done.returncode == 2 and "next:" in done.stderr
    assert not (tmp_path / "data").exists()


def test_testing_a_wrong_plugin_says_what_to_change(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text(
        '"""Wrong."""\nfrom appliance.sdk import Config, Event, Http, Url\n\n\nclass C(Config):\n    url: Url\n    """Where."""\n\n\n'
        "async def deliver(event: Event, config: C, http: Http) -> None:\n    await http.post(config.url, body=event.json)\n"
    )
    done = sternpost(tmp_path, "test", str(path))
    assert done.returncode == 1
    assert "failed   500" in done.stdout and "raise Retry" in done.stdout
    assert "3 of 12 checks failed" in done.stderr
    report = json.loads(sternpost(tmp_path, "test", str(path), "--json").stdout)
    assert report["failed"] == 3
    assert [row["name"] for row in report["checks"] if row["verdict"] == "failed"] == ["429, Retry-After", "500", "400"]


def test_options_for_the_test(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "test", "webhook", "--option", "body=array", "--option", "gzip=true")
    assert done.returncode == 0, done.stdout
    assert "up to 3 events" in done.stdout
    bad = sternpost(tmp_path, "test", "webhook", "--option", "body=neither")
    assert bad.returncode == 1 and "body" in bad.stdout


@pytest.mark.parametrize(
    "arguments", [("test", "no_such_plugin"), ("test", "missing.py"), ("test", "webhook", "--option", "x"), ()]
)
def test_bad_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = sternpost(tmp_path, *arguments)
    assert done.returncode == 2 and "error:" in done.stderr and "Traceback" not in done.stderr
