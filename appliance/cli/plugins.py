"""`sternpost plugins`: list plug-ins, write a new one, test any file against a real local server."""

import argparse
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli import output
from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.deliver.plugins import Plugin

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_STYLES = {"passed": "green", "failed": "red", "skipped": "dim"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="show the plug-ins that can be named in a destination")
    listed.add_argument("-v", "--verbose", action="store_true", help="show every plug-in's own keys too")
    add_json(listed)
    new = actions.add_parser("new", help="write a commented, working example")
    new.add_argument("name", help="letters, digits and _, a letter first")
    new.add_argument("--folder", type=Path, help="where to write it (default: `plugins` in the data folder)")
    add_json(new)
    test = actions.add_parser("test", help="try a plug-in file against a real local server")
    test.add_argument("file", help="a .py file, or the name of a plug-in")
    test.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option that the test cannot guess; a TOML value or plain text; may be repeated",
    )
    add_json(test)


def run(args: argparse.Namespace) -> int:
    actions = {"list": _list, "new": _new, "test": _test}
    return actions[args.action](args)


# list -----------------------------------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    from appliance.deliver.plugins import load_all

    plugins, faults = load_all(_folders(args))
    if args.json:
        broken = [{"name": name, "fault": str(fault)} for name, fault in faults.items()]
        output.print_json([_as_json(plugin) for plugin in plugins.values()] + broken)
        return 1 if faults else 0
    rows = [
        (name, plugin.batch, "loop" if plugin.is_async else "threads", str(plugin.path.parent), plugin.summary)
        for name, plugin in sorted(plugins.items())
    ]
    output.print_table(("NAME", "BATCH", "RUNS ON", "FOLDER", "WHAT IT DOES"), rows)
    if args.verbose:
        for _, plugin in sorted(plugins.items()):
            print(f"\n{output.styled(plugin.name, 'bold')}\n{_keys_text(plugin)}")
    for fault in faults.values():
        output.error(str(fault), "mend the file; the other plug-ins are not affected")
    return 1 if faults else 0


def _as_json(plugin: "Plugin") -> dict[str, Any]:
    limits = plugin.limits
    return {
        "name": plugin.name, "kind": plugin.kind, "path": str(plugin.path), "summary": plugin.summary,
        "doc": plugin.doc, "batch": plugin.batch, "async": plugin.is_async,
        "limits": {
            "batch_events_max": limits.batch_events_max, "in_flight_max": limits.in_flight_max,
            "timeout_s": limits.timeout_s, "rate_per_s": limits.rate_per_s,
        },
        "options": [
            {"key": key, "required": required, "doc": doc} for key, required, doc in _keys(plugin)
        ],
    }  # fmt: skip


def _keys(plugin: "Plugin") -> list[tuple[str, bool, str]]:
    import msgspec

    fields = msgspec.structs.fields(plugin.config_type)
    return [(field.encode_name, field.required, plugin.config_docs.get(field.name, "")) for field in fields]


def _keys_text(plugin: "Plugin") -> str:
    keys = [(f"{key} (required)" if required else key, doc) for key, required, doc in _keys(plugin)]
    width = max((len(key) for key, _ in keys), default=0)
    return "\n".join(f"  {key.ljust(width)}  {doc}" for key, doc in keys) or "  no keys of its own"


def _folders(args: argparse.Namespace) -> list[Path]:
    """DATA/plugins, those of the configuration, the shipped ones."""
    from appliance.core.settings import load
    from appliance.deliver.plugins import plugin_folders

    configured = load(args.config, args.data).config.plugins.folders if args.config else []
    return plugin_folders(args.data, configured)


# new ------------------------------------------------------------------------------------------------------------


def _new(args: argparse.Namespace) -> int:
    from appliance.cli.plugin_template import plugin_text

    if not _NAME.fullmatch(args.name):
        hint = "use letters, digits and _, a letter first, such as my_crm"
        raise output.CommandError(f"{args.name!r} cannot be the name of a plug-in", hint, code=2)
    folder: Path = args.folder or args.data / "plugins"
    path = folder / f"{args.name}.py"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as opened:
            opened.write(plugin_text(args.name))
    except FileExistsError:
        raise output.CommandError(f"{path} is there already", "choose another name; nothing was written") from None
    except OSError as error:
        raise output.CommandError(f"{path} cannot be written: {error.strerror}", "name a --folder") from None
    if args.json:
        output.print_json({"name": args.name, "path": str(path)})
        return 0
    print(f"wrote {path}\n")
    print(f"Try it:   sternpost plugins test {path}")
    print(
        f'Use it:   [destinations.NAME]\n          plugin = "{args.name}"\n          url = "http://127.0.0.1:9000/events"'
    )
    if args.folder:
        print(f'          and [plugins]\n          folders = ["{folder}"]')
    return 0


# test -----------------------------------------------------------------------------------------------------------


def _test(args: argparse.Namespace) -> int:
    import logging

    from appliance.deliver.conformance import run_conformance

    path = _file(args)
    logging.disable(logging.CRITICAL)  # what goes wrong here is meant to, and stands in the table
    checks = run_conformance(path, _options(args.option))
    failed = sum(check.verdict == "failed" for check in checks)
    if args.json:
        rows = [{"name": check.name, "verdict": check.verdict, "words": check.words} for check in checks]
        output.print_json({"path": str(path), "failed": failed, "checks": rows})
        return 1 if failed else 0
    for check in checks:
        print(f"{output.styled(check.verdict.ljust(8), _STYLES[check.verdict])} {check.name.ljust(20)} {check.words}")
    if failed:
        output.error(f"{failed} of {len(checks)} checks failed", "mend the first one first; others may follow from it")
    else:
        skipped = sum(check.verdict == "skipped" for check in checks)
        left = f"; {skipped} check{' does' if skipped == 1 else 's do'} not apply to it" if skipped else ""
        print(f"\n{path} keeps the contract{left}")
    return 1 if failed else 0


def _file(args: argparse.Namespace) -> Path:
    """The file given, or the plug-in of that name."""
    from appliance.deliver.plugins import find_plugin

    path = Path(args.file)
    if path.suffix == ".py" or path.exists():
        if not path.is_file():
            raise output.CommandError(f"there is no file {path}", "see `sternpost plugins list`", code=2)
        return path
    return find_plugin(args.file, _folders(args))


def _options(texts: list[str]) -> dict[str, Any]:
    """`KEY=VALUE` pairs; a value that is no TOML is plain text."""
    options: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise output.CommandError(f"{text!r} is no option", "write --option KEY=VALUE", code=2)
        try:
            options[key] = tomllib.loads(f"value = {value}")["value"]
        except ValueError:
            options[key] = value
    return options
