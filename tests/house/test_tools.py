"""What other tools know better: layers, types, style."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.files import ROOT

BIN = Path(sys.executable).parent


def run(*command: str) -> None:
    done = subprocess.run([str(BIN / command[0]), *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout[-6000:]}{done.stderr[-2000:]}", pytrace=False)


def test_layers() -> None:
    run("lint-imports", "--no-cache")


def test_types() -> None:
    run("mypy")


def test_ruff_rules() -> None:
    run("ruff", "check", "--no-cache", ".")


def test_ruff_format() -> None:
    command = [str(BIN / "ruff"), "format", "--no-cache", "--diff", "--quiet", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    files = re.findall(r"^\+\+\+ (\S+)", done.stdout, re.MULTILINE)
    if done.returncode:
        pytest.fail(f"run `make format`; it would change {files}{done.stderr}", pytrace=False)
