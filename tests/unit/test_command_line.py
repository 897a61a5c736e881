"""The command line's frame, as a person meets it: real processes, their output and exit codes."""

import json
import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from appliance.cli import frame
from appliance.core.settings import load

ROOT = Path(__file__).resolve().parents[2]
HELP_S = 0.2


def sternpost(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "appliance", *arguments], cwd=folder, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip


@pytest.mark.alone
def test_help_is_instant(tmp_path: Path) -> None:
    took_s = []
    for _ in range(7):
        began = time.perf_counter()
        done = sternpost(tmp_path, "--help")
        took_s.append(time.perf_counter() - began)
        assert done.returncode == 0
    print(f"help: median {statistics.median(took_s) * 1000:.0f} ms")
    assert min(took_s) < HELP_S, took_s


@pytest.mark.parametrize("command", frame.COMMANDS)
def test_help_of_a_command_imports_nothing_heavy(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "appliance", command, "--help"], cwd=tmp_path, timeout=60,
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(f"usage: sternpost {command}")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"aiohttp", "rich", "lmdb", "msgspec", "prometheus_client", "asyncio", "uvloop", "zstandard", "shtab"}
    assert not imported & heavy


def test_help_names_every_command_and_exit_code(tmp_path: Path) -> None:
    text = sternpost(tmp_path, "--help").stdout
    for name, summary in frame.COMMANDS.items():
        assert re.search(rf"^    {name}\s+{re.escape(summary)}$", text, re.MULTILINE), name
    for code, meaning in frame.EXIT_CODES.items():
        assert f"  {code}  {meaning}" in text


def test_every_command_has_its_module() -> None:
    cli = ROOT / "appliance" / "cli"
    modules = {path.stem for path in cli.glob("*.py")} | {path.parent.name for path in cli.glob("*/__init__.py")}
    assert set(frame.COMMANDS) <= modules


def test_version(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "--version")
    assert done.returncode == 0
    assert re.match(r"sternpost (\d+\.\d+|\(not)", done.stdout)


def test_bad_usage_says_what_to_do(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "stauts")
    assert done.returncode == 2 and done.stdout == ""
    assert "there is no command 'stauts'" in done.stderr and "did you mean `sternpost status`?" in done.stderr
    done = sternpost(tmp_path, "run", "--qiet")
    assert done.returncode == 2 and "--help" in done.stderr
    done = sternpost(tmp_path)
    assert done.returncode == 2 and "usage: sternpost" in done.stdout


def test_init_check_keys(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "init")
    assert done.returncode == 0, done.stderr
    config = load(tmp_path / "sternpost.toml", tmp_path / "data").config
    key = config.sources["web"].write_key.reveal()
    assert re.fullmatch(r"wk_[0-9a-f]{32}", key)

    before = (tmp_path / "sternpost.toml").read_bytes()
    again = sternpost(tmp_path, "init")
    assert again.returncode == 2 and "exists and was left as it is" in again.stderr
    assert (tmp_path / "sternpost.toml").read_bytes() == before

    done = sternpost(tmp_path, "check")
    assert (done.returncode, done.stdout) == (0, "sternpost.toml is sound\n"), done.stderr

    done = sternpost(tmp_path, "keys", "--json")
    assert json.loads(done.stdout) == [
        {"source": "web", "write_key": key, "url": "http://127.0.0.1:8080", "enabled": True}
    ]
    assert key in sternpost(tmp_path, "keys", "web").stdout
    done = sternpost(tmp_path, "keys", "webb")
    assert done.returncode == 2 and 'did you mean "web"?' in done.stderr


def test_every_line_of_the_template_may_be_uncommented(tmp_path: Path) -> None:
    sternpost(tmp_path, "init")
    text = (tmp_path / "sternpost.toml").read_text()
    text = re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE).replace("/etc/sternpost/", f"{tmp_path}/")
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    (tmp_path / "sternpost.toml").write_text(text)
    config = load(tmp_path / "sternpost.toml", tmp_path / "data").config
    assert {"crm", "files", "warehouse"} == set(config.destinations)
    assert "url" in tomllib.loads(text)["destinations"]["crm"]


def test_check_prints_every_fault(tmp_path: Path) -> None:
    (tmp_path / "sternpost.toml").write_text(
        '[wal]\nretenton = 1\n[sources.web]\nwrite_key = "a"\n'
        '[destinations.crm]\nplugin = "webhook"\nurl = "ftp://x"\nretri = 1\n'
        '[destinations.erp]\nplugin = "webhok"\n'
    )
    done = sternpost(tmp_path, "check")
    assert done.returncode == 2
    assert 'sternpost.toml:2: wal.retenton: unknown key (did you mean "retention"?)' in done.stdout
    assert "sternpost.toml:7: destinations.crm.url: " in done.stdout
    assert re.search(r'sternpost\.toml:8: destinations\.crm\.retri: .*did you mean "retry"', done.stdout)
    assert re.search(r'sternpost\.toml:10: destinations\.erp\.plugin: .*did you mean "webhook"', done.stdout)
    assert "4 faults in sternpost.toml" in done.stderr
    listed = json.loads(sternpost(tmp_path, "check", "--json").stdout)
    assert [fault["line"] for fault in listed] == [2, 7, 8, 10]


def test_check_names_a_broken_plugin_beside_other_faults(tmp_path: Path) -> None:
    (tmp_path / "data" / "plugins").mkdir(parents=True)
    (tmp_path / "data" / "plugins" / "mine.py").write_text('"""Mine."""\nimport nothing_of_this_name\n')
    (tmp_path / "sternpost.toml").write_text(
        '[destinations.a]\nplugin = "mine"\n[destinations.b]\nplugin = "webhook"\nurl = 3\n'
    )
    done = sternpost(tmp_path, "check", "--data", "data")
    assert done.returncode == 2
    first, second = done.stdout.splitlines()
    assert first.startswith("sternpost.toml:2: destinations.a.plugin: ") and "nothing_of_this_name" in first
    assert second.startswith("sternpost.toml:5: destinations.b.url: ")


def test_check_without_a_file(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "check")
    assert done.returncode == 2 and "`sternpost init` writes one" in done.stderr
    done = sternpost(tmp_path, "check", "--config", "other.toml")
    assert done.returncode == 2 and "other.toml: file: cannot be read" in done.stdout


def test_config_and_data_stand_anywhere(tmp_path: Path) -> None:
    parser = frame.build_parser()
    for arguments in (["--data", "d", "--config", "c", "keys"], ["keys", "--config", "c", "--data", "d"]):
        args = parser.parse_args(arguments)
        assert (args.data, args.config) == (Path("d"), Path("c"))
    args = parser.parse_args(["keys"])
    assert (args.data, args.config, args.json) == (Path("sternpost-data"), None, False)


def test_no_color_is_honoured(tmp_path: Path) -> None:
    script = f"{sys.executable} -m appliance nothing"
    for env, coloured in ({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False):
        done = subprocess.run(
            ["script", "-qec", script, "/dev/null"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", "PYTHONPATH": str(ROOT), **env},
        )  # fmt: skip
        assert "there is no command" in done.stdout
        assert ("\x1b[31m" in done.stdout) is coloured
    assert "\x1b[" not in sternpost(tmp_path, "nothing").stderr


def test_a_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m appliance completion bash | head -c 1", shell=True, cwd=tmp_path, capture_output=True,
        text=True, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stderr == "" and len(done.stdout) == 1


def test_completion_knows_every_command(tmp_path: Path) -> None:
    done = sternpost(tmp_path, "completion", "bash")
    assert done.returncode == 0, done.stderr
    (tmp_path / "completion").write_text(done.stdout)
    complete = (
        'source ./completion; COMP_WORDS=(sternpost "$1"); COMP_CWORD=1; '
        "$(complete -p sternpost | sed -E 's/.*-F ([^ ]+).*/\\1/') sternpost \"$1\" sternpost; printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    got = subprocess.run(["bash", "-c", complete, "bash", ""], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert set(frame.COMMANDS) <= set(got.stdout.split()), got.stderr
