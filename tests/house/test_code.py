"""Sizes, first lines, imports of plug-ins and the console, nothing left half done."""

import ast
import re
from pathlib import Path

from tests.house.files import PRODUCT, ROOT, python_files, shown, top, tracked

MODULE_LINES_MAX = 400
PLUGIN_LINES_MAX = 550
"""A plug-in is one file by contract and imports the sdk alone, so it cannot be cut in two."""
FUNCTION_LINES_MAX = 60

# Put together here, so that this file does not hold the words that it forbids.
UNFINISHED = re.compile(r"\b(?:" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK"]) + r")\b")


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def test_modules_have_one_job() -> None:
    lines = {path: path.read_text(encoding="utf-8").count("\n") for path in python_files(*PRODUCT)}
    most = {path: PLUGIN_LINES_MAX if top(path) == "plugins" else MODULE_LINES_MAX for path in lines}
    assert {shown(path): count for path, count in lines.items() if count > most[path]} == {}


def test_functions_have_one_job() -> None:
    long = {}
    for path in python_files(*PRODUCT):
        for node in functions(path):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                long[f"{shown(path)}: {node.name}"] = length
    assert long == {}


def test_the_first_line_says_what_a_module_is_for() -> None:
    wanting = []
    for path in python_files():
        words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        first = words.splitlines()[0] if words else ""
        if len(first) < 20:
            wanting.append(shown(path))
    assert wanting == []


def test_nothing_is_left_half_done() -> None:
    found = []
    for path in tracked():
        if path.suffix not in (".py", ".md", ".toml", ".sh", ".service", "") or path.name == "LICENSE":
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if UNFINISHED.search(line):
                found.append(f"{shown(path)}:{number}: {line.strip()}")
    assert found == []


def test_no_function_is_a_stub() -> None:
    """No NotImplementedError, and no body of `...` or `pass` but in a Protocol or below @overload, where it is the form."""
    stubs = []
    for path in python_files(*PRODUCT):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        formal = {
            id(function)
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(base) for base in node.bases)
            for function in node.body
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and node.id == "NotImplementedError":
                stubs.append(f"{shown(path)}:{node.lineno}: {node.id}")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and id(node) not in formal and _empty(node):
                stubs.append(f"{shown(path)}:{node.lineno}: {node.name}")
    assert stubs == []


def _empty(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    if any("overload" in ast.unparse(decorator) for decorator in function.decorator_list):
        return False
    body = [node for node in function.body if not _is_constant(node, str)]
    return all(isinstance(node, ast.Pass) or _is_constant(node, type(...)) for node in body) and bool(body)


def _is_constant(node: ast.stmt, kind: type) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, kind)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def test_plugins_import_the_sdk_alone() -> None:
    files = python_files("plugins")
    assert files, "the shipped plug-ins are gone"
    for path in files:
        ours = {name for name in imports(path) if name.split(".")[0] in ("appliance", "tui", "plugins", "")}
        assert ours <= {"appliance.sdk"}, shown(path)
    assert not (ROOT / "plugins" / "__init__.py").exists(), "plug-ins are files that one drops in, not a package"


def test_the_console_imports_nothing_of_the_appliance() -> None:
    for path in python_files("tui"):
        assert not {name for name in imports(path) if name.split(".")[0] == "appliance"}, shown(path)


def test_only_commands_print() -> None:
    """Everything else logs, so that nothing escapes masking and levels."""
    loud = []
    for path in python_files("appliance", "plugins"):
        if shown(path).startswith("appliance/cli/") or path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_print = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            if is_print and not any(keyword.arg == "file" for keyword in node.keywords):  # to stderr: a child process
                loud.append(f"{shown(path)}:{node.lineno}")
    assert loud == []


def test_log_events_are_named_in_the_past_tense() -> None:
    """`batch_refused`, never a sentence; what belongs to it goes into fields."""
    past = re.compile(r"(?:^|_)(?:[a-z]+ed|cut|sent|met|lost|found|left|broke|kept|written|begun)(?:_|$)")
    wrong = []
    for path in python_files("appliance", "plugins"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
                continue
            is_log = node.func.attr in ("debug", "info", "warning", "error", "exception")
            if is_log and isinstance(node.args[0], ast.Constant) and isinstance(name := node.args[0].value, str):
                if not re.fullmatch(r"[a-z]+(?:_[a-z]+)*", name) or not past.search(name):
                    wrong.append(f"{shown(path)}:{node.lineno}: {name}")
    assert wrong == []
