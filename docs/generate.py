"""Writes docs/configuration.md, commands.md, api.md and console.md from the code; `make docs` runs it.

A house test compares the files with what this would write, so they are never behind.
"""

import argparse
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from appliance.cli import frame  # noqa: E402  # the root comes first
from appliance.control import openapi  # noqa: E402
from appliance.core import config as declared  # noqa: E402
from appliance.core.config import Config  # noqa: E402
from appliance.core.secret import Secret  # noqa: E402
from appliance.deliver.plugin_docs import field_docs  # noqa: E402
from appliance.deliver.plugins import load_all, shipped_folder  # noqa: E402
from tui.keys import KEYS, markdown  # noqa: E402
from tui.keys import PAGES as PAGES_OF_CONSOLE  # noqa: E402

PAGES = ROOT / "docs"

CONFIGURATION_HEAD = """\
# Configuration

Made by `make docs` from `appliance/core/config.py` and the shipped plug-ins; edit those.

`sternpost run` reads `./sternpost.toml` where it exists, or the file named with `--config`. Without a file it starts on
loopback with one source `default` and one destination `files`, as it does for a file that names neither sources nor
destinations. `sternpost init` writes a commented file, and `sternpost check` prints every fault at once.

- Sizes are bytes: `1024`, `"512 KiB"`, `"4 GiB"` (KiB is 1024, KB is 1000).
- Durations are seconds: `30`, `"500ms"`, `"15m"`, `"24h"`, `"3d"`.
- Relative paths start from the file's folder.
- A secret is given as `"env:NAME"` or `"file:PATH"`. A literal is accepted for keys named `write_key` only, which
  browsers show anyway.
- SIGHUP re-loads sources, destinations, plug-ins and the rules of identity; the other tables take effect at the next
  start. A file with a fault is refused, and what was in force stays.
"""

COMMANDS_HEAD = """\
# Commands

Made by `make docs` from `appliance/cli/`; edit that.

`--config PATH` (default: `./sternpost.toml`, where it exists) and `--data PATH` (default: `./sternpost-data`) may stand
before the command or behind it. `NO_COLOR` switches colours off. Commands that act on a running process find it
through the data folder.

## Exit codes

"""


API_HEAD = """\
# The admin API

Made by `make docs` from `appliance/control/routes.py`; edit that. The running process serves the same as an OpenAPI 3.1
document at `/openapi.json`, without a token.

It listens on `[control] listen`, loopback by default. Every request but those marked sends
`Authorization: Bearer TOKEN`.

| token | role | payloads |
|---|---|---|
| in `DATA/admin.token` (mode 0600) | admin | yes |
| `[control.tokens.NAME]` | as configured; `viewer` by default | as configured; no by default |

A **viewer** looks. An **operator** also pauses, resumes, drains, requeues, replays, tests, and parts people. An
**admin** also deletes, forgets, re-loads, edits dead letters, and sees and rotates write keys. The right to see
**payloads** is apart from that: without it, `payload` and `original` are null, samples and refused bodies are empty, so
are the values of people's ids other than userId and anonymousId, nobody is found by these, a filter with a word that is
looked for in payloads is refused, and what is nothing but payloads answers 403.

- **Errors** are `{"error": {"code", "message", "next"}}`: one word for programs, what happened and what was kept, what
  to do about it.
- **Actions** take a header `Idempotency-Key`, 1 to 128 printable ASCII characters, new for each action. The same
  request with the same key and token again gets the first answer again, with `Idempotency-Replayed: true`, and nothing
  is done twice; a repeat while the first still runs waits for it. The same key with another request answers 409
  `key_reused`. The last 1,000 answers are kept for 24 h, in memory: after a restart, the expected count still guards.
- **What destroys or moves something** needs both that key and `expect`, the count that you were shown. Where it is
  another by now, nothing is done and the answer is 409 `changed` with the present count. What parts people needs the
  key and no count: `/v1/people/parting` says beforehand who would be parted from whom, and a merge has its own name.
- **The audit trail** (`DATA/audit.jsonl`, `/v1/audit`) gets a line for every action, and for every answer that shows
  payloads or a write key, before it leaves: which token, from where, what was asked for, how many; never the thing
  itself. The routes below name theirs. A list that is streamed has two lines, `begun` and how it ended. What consoles
  look at again and again is one line per reader, route and subject in ten minutes, and so are the further pages of a
  list; every look-up of a key and every export has its own. A trail that cannot be written keeps nobody from acting or
  looking: the process's log says so.
- Times ending in `_ms` are milliseconds since 1970, unless they are called an age.
- **`/v1/tail`** sends frames named after the point, and two others: `sampled` (`one_in`, `events_left_out`) where more
  came than can be shown, and `missed` (`events`) where the reader is too slow. A filter is asked after sampling.

"""


def api() -> str:
    """The text of docs/api.md."""
    document = msgspec.json.decode(openapi.document("any"))
    parts = [API_HEAD, "## Routes\n"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            parts += _operation(f"{method.upper()} {path}", operation)
    parts.append("## Bodies\n")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts += [f"### {name}\n", f"{_plain(schema.get('description', ''))}\n".lstrip("\n")]
        parts.append(_field_table(schema))
    return "\n".join(part for part in parts if part).rstrip() + "\n"


def _operation(title: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### `{title}`\n"
    yield f"{operation['summary']} {operation['description']}\n"
    lines = []
    for one in operation["parameters"]:
        if one["in"] != "path":
            kind = "header" if one["in"] == "header" else "query"
            choices = ", ".join(f"`{choice}`" for choice in one["schema"].get("enum", ()))
            required = ", required" if one["required"] else ""
            words = one["description"] + (f": {choices}" if choices else "")
            lines.append(f"- {kind} `{one['name']}`{required}: {words}")
    if body := operation.get("requestBody"):
        lines.append(f"- body: {_content(body)}")
    reply = operation["responses"]["200"]
    others = ", ".join(status for status in operation["responses"] if status != "200")
    lines.append(f"- answers {_content(reply)}; or {others}")
    yield "\n".join(lines) + "\n"


def _content(body: dict[str, Any]) -> str:
    kinds = body["content"]
    return " or ".join(
        _type(content["schema"]) if "$ref" in content["schema"] else f"`{kind}`" for kind, content in kinds.items()
    )


def _field_table(schema: dict[str, Any]) -> str:
    lines = ["| field | type | |", "|---|---|---|"]
    for name, field in schema.get("properties", {}).items():
        lines.append(f"| `{name}` | {_type(field)} | {field.get('description', '')} |")
    return "\n".join(lines) + "\n"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f'`"{choice}"`' for choice in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}" if schema.get("items") else "list"
    return str(schema.get("type", "any JSON"))


def _plain(words: str) -> str:
    return " ".join(words.split())


CONSOLE_HEAD = """\
# The console

Made by `make docs` from `tui/keys.py`; edit that.

`sternpost tui` looks at the appliance on this machine, `sternpost tui http://host:8081` at another. The token comes
from `STERNPOST_TOKEN`, from `--token-file`, from the data folder of an appliance on this machine, or from a prompt;
never from an argument. `--read-only` offers nothing that changes anything. It asks once a second, and nothing while its
window has no focus. When nobody answers it says how old the figures are, dims them, and comes back by itself.

Every action sends the count that was shown and a key of its own, so that a changed count is asked about again and a
lost answer does nothing twice.

## Keys

Lower case is reversible. UPPER CASE is irreversible and always asks first, with how many events and people and the
oldest; a purge asks for the name as well. Who may what depends on the token's role.

"""

CONSOLE_TAIL = """
Other keys stand in `$XDG_CONFIG_HOME/sternpost/keys.toml` (default `~/.config/sternpost/keys.toml`), by the names of
actions:

    pause = "space"
    next_page = "n,ctrl+f"

Names: {names}.
"""


def configuration() -> str:
    """The text of docs/configuration.md."""
    docs = _docs_of(declared)
    parts = [CONFIGURATION_HEAD]
    for header, kind, words in _tables(Config, "", docs):
        parts.append(f"## `{header}`\n\n{words}\n\n{_key_table(kind, docs[kind.__name__])}")
    parts.append("# Keys of the shipped plug-ins\n\nThey stand in `[destinations.NAME]`, beside the keys above.\n")
    plugins, faults = load_all([shipped_folder()])
    assert not faults, faults
    for name, plugin in sorted(plugins.items()):
        source = plugin.path.read_text(encoding="utf-8")
        table = _key_table(plugin.config_type, field_docs(source, plugin.config_type.__name__))
        parts.append(f'## `plugin = "{name}"`\n\n{plugin.summary}\n\n{table}')
    return "\n".join(parts)


def commands() -> str:
    """The text of docs/commands.md."""
    parser = frame.build_parser()
    frame.complete_all(parser)
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in frame.EXIT_CODES.items())
    parts = [f"{COMMANDS_HEAD}| code | meaning |\n|---|---|\n{codes}\n"]
    for name in frame.COMMANDS:
        parts += _command(f"sternpost {name}", _children(parser)[name])
    return "\n".join(parts)


def _docs_of(module: Any) -> dict[str, dict[str, str]]:
    source = inspect.getsource(module)
    return {name: field_docs(source, name) for name, value in vars(module).items() if isinstance(value, type)}


def _tables(kind: type[msgspec.Struct], header: str, docs: dict[str, dict[str, str]]) -> Iterator[tuple[str, Any, str]]:
    """Every table of the file: its header as written, its struct, what it is."""
    for field in msgspec.structs.fields(kind):
        inner = [part for part in (field.type, *get_args(field.type)) if _is_struct(part)]
        for part in inner:
            name = f"{header}{field.name}" + (".NAME" if get_origin(field.type) is dict else "")
            yield f"[{name}]", part, docs[kind.__name__][field.name]
            yield from _tables(part, f"{name}.", docs)


def _is_struct(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, msgspec.Struct)


def _key_table(kind: type[msgspec.Struct], docs: dict[str, str]) -> str:
    lines = ["| key | value | default | |", "|---|---|---|---|"]
    for field in msgspec.structs.fields(kind):
        if any(_is_struct(part) for part in (field.type, *get_args(field.type))) or field.name == "options":
            continue  # a table of its own; plug-in keys
        default = "required" if field.required else _written(field.default, field.default_factory, _unit(field.type))
        lines.append(f"| `{field.encode_name}` | {_words(field.type)} | {default} | {docs[field.name]} |")
    return "\n".join(lines) + "\n"


def _unit(annotation: Any) -> str:
    parts = [annotation, *get_args(annotation)]
    found = [part.extra["unit"] for part in parts if isinstance(part, msgspec.Meta) and part.extra]
    deeper = [_unit(part) for part in get_args(annotation) if not isinstance(part, msgspec.Meta)]
    return next((unit for unit in [*found, *deeper] if unit), "")


def _words(annotation: Any) -> str:
    """What may stand there, in the words of the file."""
    if get_origin(annotation) is Annotated:
        inner, *_ = get_args(annotation)
        named = {"bytes": "size", "seconds": "duration", "address": "host:port", "network": "network (CIDR)",
                 "origin": "origin", "url": "URL", "endpoint": "URL", "start": "start", "moment": "time"}  # fmt: skip
        return named.get(_unit(annotation)) or _words(inner)
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_words(part) for part in get_args(annotation) if part is not NoneType)
    if get_origin(annotation) is Literal:
        return ", ".join(f'`"{choice}"`' for choice in get_args(annotation))
    if get_origin(annotation) in (list, dict):
        return f"{'list' if get_origin(annotation) is list else 'table'} of {_words(get_args(annotation)[-1])}"
    return {str: "text", int: "whole number", float: "number", bool: "`true`, `false`", Path: "path", Secret: "secret"}[
        annotation
    ]


def _written(default: Any, factory: Any, unit: str) -> str:
    """A default as one would write it in the file."""
    value = factory() if default is msgspec.NODEFAULT else default
    if value is None or value == "" or value == {}:
        return ""
    if unit == "bytes" and value:
        scaled = _scaled(value, [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")], " ")
        return f'`"{scaled}"`' if scaled else f"`{value}`"
    if unit == "seconds" and value:
        return f'`"{_scaled(value, [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s"), (0.001, "ms")], "")}"`'
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{msgspec.json.encode(value).decode()}`"


def _scaled(value: float, steps: list[tuple[float, str]], between: str) -> str:
    for size, name in steps:
        if value >= size and abs(value / size - round(value / size)) < 1e-9:
            return f"{round(value / size)}{between}{name}"
    return ""


def _children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(found[0].choices) if found else {}


def _command(title: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    """A command's section, then those of its sub-commands."""
    lines = [f"## `{title}`\n", f"{_sentence((parser.description or '').strip())}\n"]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction) or action.dest in ("config", "data"):
            continue
        if action.help is argparse.SUPPRESS:
            continue
        lines.append(f"- `{_argument(action)}`: {_help(action)}".removesuffix(": "))
    if parser.epilog:
        lines.append(f"{'' if lines[-1].endswith(chr(10)) else chr(10)}```\n{parser.epilog}\n```")
    yield "\n".join(lines).rstrip() + "\n"
    helps = {choice.dest: choice.help for action in parser._actions if isinstance(action, argparse._SubParsersAction)
             for choice in action._choices_actions}  # fmt: skip
    for name, child in _children(parser).items():
        child.description = child.description or helps.get(name) or ""
        yield from _command(f"{title} {name}", child)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."


def _argument(action: argparse.Action) -> str:
    name = ", ".join(action.option_strings)
    if action.nargs == 0:
        return name
    choices = "{" + ",".join(map(str, action.choices or ())) + "}"
    value = action.metavar or (choices if action.choices else action.dest.upper())
    return f"{name} {value}".strip() if name else str(action.metavar or action.dest)


def _help(action: argparse.Action) -> str:
    words = action.help or ""
    choices = f"{', '.join(map(str, action.choices))}" if action.choices and not action.option_strings else ""
    return words % {"default": action.default, "prog": "sternpost", "metavar": action.metavar} if words else choices


def console() -> str:
    """The text of docs/console.md."""
    pictures = "\n\n".join(f"![{title}](console/{page}.svg)" for page, title in PAGES_OF_CONSOLE.items())
    names = ", ".join(f"`{name}`" for name in KEYS)
    return f"{CONSOLE_HEAD}{markdown()}\n{CONSOLE_TAIL.format(names=names)}\n## Screens\n\n{pictures}\n"


def main() -> None:
    """Write all pages."""
    (PAGES / "console.md").write_text(console(), encoding="utf-8")
    (PAGES / "configuration.md").write_text(configuration(), encoding="utf-8")
    (PAGES / "commands.md").write_text(commands(), encoding="utf-8")
    (PAGES / "api.md").write_text(api(), encoding="utf-8")


if __name__ == "__main__":
    main()
