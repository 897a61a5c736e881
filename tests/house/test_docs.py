"""The documentation is complete and current."""

import ast
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from appliance.cli import frame
from appliance.core import config
from appliance.core.settings import examine
from appliance.deliver.plugin_docs import field_docs
from tests.house.files import ROOT, python_files, shown, tracked


def test_every_configuration_key_is_documented_where_it_is_declared() -> None:
    source = inspect.getsource(config)
    structs = [kind for kind in vars(config).values() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)]
    assert len(structs) > 10
    undocumented = [
        f"{kind.__name__}.{field}"
        for kind in structs
        for field in kind.__struct_fields__
        if not field_docs(source, kind.__name__).get(field)
    ]
    assert undocumented == []


def test_every_plugin_is_documented() -> None:
    for path in python_files("plugins"):
        source = path.read_text(encoding="utf-8")
        tree = ast.parse(source)
        assert ast.get_docstring(tree), shown(path)
        configs = [
            node for node in tree.body if isinstance(node, ast.ClassDef) and "Config" in map(ast.unparse, node.bases)
        ]
        assert configs, f"{shown(path)} has no Config"
        for node in configs:
            keys = [field.target.id for field in node.body
                    if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)]  # fmt: skip
            assert set(keys) == set(field_docs(source, node.name)), f"{shown(path)}: a key has no words under it"


def test_generated_pages_are_current() -> None:
    """`make docs` writes them."""
    script = (
        "import runpy, sys; pages = runpy.run_path('docs/generate.py'); "
        "sys.exit(pages['configuration']() != open('docs/configuration.md').read() "
        "or 2 * (pages['commands']() != open('docs/commands.md').read()) "
        "or 3 * (pages['api']() != open('docs/api.md').read()) "
        "or 4 * (pages['console']() != open('docs/console.md').read()))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr or "run `make docs`"


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    for name in frame.COMMANDS:
        assert f"## `sternpost {name}`" in text
    for code in frame.EXIT_CODES:
        assert f"| {code} |" in text


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for path in tracked():
        if path.suffix == ".md":
            for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
                if not (path.parent / target).exists():
                    broken.append(f"{shown(path)}: {target}")
    assert broken == []


def test_docs_cite_no_line_numbers() -> None:
    """They are wrong after the next commit."""
    found = [
        f"{shown(path)}: {match}"
        for path in tracked()
        if path.suffix == ".md"
        for match in re.findall(r"\b[\w/]+\.py:\d+", path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_public_names_of_the_sdk_have_docstrings() -> None:
    from appliance import sdk

    for name in sdk.__all__:
        value = getattr(sdk, name)
        if isinstance(value, type) and value.__module__.startswith("appliance"):
            assert value.__doc__ and len(value.__doc__) > 20, name


def test_configurations_shown_in_pages_are_sound(tmp_path: Path) -> None:
    """Every TOML block that is a configuration; environment variables that it names are set."""
    shown_configurations = 0
    for path in tracked():
        if path.suffix != ".md":
            continue
        for block in re.findall(r"```toml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            for name in re.findall(r"env:([A-Z_]+)\"", block):
                os.environ.setdefault(name, "anything")
            (tmp_path / "sternpost.toml").write_text(block)
            _, faults = examine(tmp_path / "sternpost.toml")
            assert faults == [], f"{shown(path)}: {[str(fault) for fault in faults]}"
            shown_configurations += 1
    assert shown_configurations > 0
