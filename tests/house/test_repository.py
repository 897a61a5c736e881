"""The lock is complete and names no address; nothing names the machine it was written on."""

import json
import os
import re
import tomllib

from tests.house.files import ROOT, shown, tracked

LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")

# In pieces, so that this file does not hold what it forbids.
MACHINE = re.compile(r"(?<![\w.])/(?:" + "|".join(["ro" + "ot", "wo" + "rk", "ho" + "me/[a-z]+", "Us" + "ers"]) + r")/")
REGISTRIES = re.compile(
    "|".join(["pypi" + r"\.org", "pythonhosted" + r"\.org", "npmjs" + r"\.(?:org|com)", "yarnpkg" + r"\."])
)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_lock_names_no_address() -> None:
    assert "://" not in LOCK
    assert "--index-url" not in LOCK and "--find-links" not in LOCK


def test_every_locked_version_has_hashes() -> None:
    entries = re.split(r"(?<!\\)\n", LOCK.strip())
    assert len(entries) > 30
    for entry in entries:
        assert re.match(r"[A-Za-z0-9_.-]+==\S+", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_the_lock_holds_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = list(project["project"]["dependencies"]) + project["build-system"]["requires"]
    for group in [
        *project["dependency-groups"].values(),
        *project["project"].get("optional-dependencies", {}).values(),
    ]:
        wanted += [item for item in group if isinstance(item, str)]
    locked = {normal(name) for name in re.findall(r"^([A-Za-z0-9_.-]+)==", LOCK, re.MULTILINE)}
    names = {normal(re.split(r"[<>=!~\[; ]", requirement)[0]) for requirement in wanted}
    assert names - locked == set()
    assert "editables" in locked, "an editable install without build isolation needs it"


def test_npm_locks_name_no_address() -> None:
    for path in tracked():
        if path.name == "package-lock.json":
            packages = json.loads(path.read_text(encoding="utf-8"))["packages"]
            assert not [name for name, package in packages.items() if "://" in package.get("resolved", "")], shown(path)


def test_no_lock_with_addresses_is_tracked() -> None:
    assert not [shown(path) for path in tracked() if path.name in ("uv.lock", "pylock.toml", "yarn.lock")]


def test_nothing_names_this_machine_or_a_registry() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if match := MACHINE.search(line) or REGISTRIES.search(line):
                found.append(f"{shown(path)}:{number}: {match[0]}")
    assert found == []


def test_scripts_can_be_executed() -> None:
    for name in (".ci/run", "packaging/make-venv", "packaging/debian-packages"):
        assert os.access(ROOT / name, os.X_OK), name


def test_the_continuous_build_runs_the_tests() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n") and "set -euo pipefail" in text and "make test" in text
