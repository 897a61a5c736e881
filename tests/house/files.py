"""The files that the rules of the house are about: those in the repository."""

import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("appliance", "plugins", "tui")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file of the repository that is there, new ones included, ignored ones not."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    paths = [ROOT / name.decode() for name in sorted(set(listed.split(b"\0"))) if name]
    return tuple(path for path in paths if path.is_file())


def python_files(*folders: str) -> list[Path]:
    """Python files below these folders, or all."""
    return [path for path in tracked() if path.suffix == ".py" and (not folders or top(path) in folders)]


def top(path: Path) -> str:
    """The first folder on the way to a file."""
    return path.relative_to(ROOT).parts[0]


def shown(path: Path) -> str:
    """A file as a fault names it."""
    return str(path.relative_to(ROOT))
