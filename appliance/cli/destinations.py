"""`sternpost destinations`: list, add, test, pause, resume or forget destinations."""

import argparse
from typing import TYPE_CHECKING, Any

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    listing = commands.add_parser("list", help="list destinations and their states")
    add_json(listing)
    show = commands.add_parser("show", help="one destination: figures, breaker, errors by kind, who waits")
    show.add_argument("name")
    add_json(show)
    add = commands.add_parser("add", help="append one to the configuration and re-load")
    add.epilog = (
        "KEY=VALUE are the keys of the destination's table, the plug-in's own and ours, such as\n"
        "  sternpost destinations add crm --plugin webhook url=http://127.0.0.1:9000/events in_flight_max=4 \\\n"
        "      token=env:CRM_TOKEN retry.age_max=1d 'sources=[\"web\"]'\n"
        "A value that reads as TOML (a number, true, a list) is one, anything else is text. A faulty table is refused\n"
        "and the file stays as it was. Without --config: the file of the process that runs on the data folder."
    )
    add.add_argument("name")
    add.add_argument("--plugin", required=True, metavar="PLUGIN", help="such as webhook, jsonl, relay")
    add.add_argument("settings", nargs="*", metavar="KEY=VALUE")
    add_json(add)
    for name, words in (
        ("test", "send one test event and show the whole reply"),
        ("pause", "stop delivering; the position is kept"),
        ("resume", "go on delivering"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("name")
        add_json(command)
    drain = commands.add_parser("drain", help="try everybody now who waits for a next try; an open breaker probes")
    drain.add_argument("name")
    drain.add_argument("--yes", action="store_true", help="do not ask")
    add_json(drain)
    forget = commands.add_parser("forget", help="drop position and held events of one not configured any more")
    forget.add_argument("name")
    forget.add_argument("--yes", action="store_true", help="do not ask")
    add_json(forget)


def run(args: argparse.Namespace) -> int:
    if args.action == "add":
        return _add(args)
    from appliance.cli import client

    process = client.find(args.data)
    from appliance.cli.destination_text import list_all, show

    actions = {"list": list_all, "show": show, "test": _test, "pause": _switch, "resume": _switch}
    actions |= {"drain": _drain, "forget": _forget}
    return actions[args.action](process, args)


def _add(args: argparse.Namespace) -> int:
    from appliance.cli import client, editing, output, text
    from appliance.cli.locate import NoProcess

    try:
        process: Client | None = client.find(args.data)
    except NoProcess:
        process = None
    args.config = client.config_in_use(args)
    if args.config is None:
        if process is not None:
            raise output.CommandError(
                f"the process on {args.data} runs without a configuration file, so nothing can be added to it",
                "`sternpost init` writes sternpost.toml; then restart it with `sternpost run --config sternpost.toml`",
                2,
            )
        raise output.CommandError(
            "there is no configuration file to add to",
            "`sternpost init` writes sternpost.toml; then start with it, or name yours with --config",
            2,
        )
    if process is not None:
        _check_same_file(process, args)
    table = editing.table_text(args.name, args.plugin, args.settings)
    with editing.appended(args.config, args.data, args.name, table):
        changes = _taken_over(process, args) if process else []

    def words(done: dict[str, Any]) -> str:
        what = f"destination {args.name} added to {args.config}"
        if process is None:
            return f"{what}; it takes effect with the next `sternpost run`"
        return "\n".join([what, *(f"  {text.plain(change, 500)}" for change in done["changes"])])

    answer = {"name": args.name, "file": str(args.config), "running": process is not None, "changes": changes}
    return client.printed(args, answer, words)


def _taken_over(process: "Client", args: argparse.Namespace) -> list[str]:
    """Re-load, and make sure that the destination came with it; what changed, in words."""
    from appliance.cli.output import CommandError

    changes: list[str] = process.post("/v1/reload")["changes"]
    known = {one["name"] for one in process.get("/v1/destinations")["destinations"] if one["state"] != "parked"}
    if args.name not in known and not any(args.name in change for change in changes):
        theirs = process.get("/v1/overview")["config_file"]
        raise CommandError(f"the process on {args.data} reads {theirs}, not {args.config}", f"use --config {theirs}", 2)
    return changes


def _check_same_file(process: "Client", args: argparse.Namespace) -> None:
    """The running process must read the very file we change; only then a re-load tells whether it is sound."""
    from pathlib import Path

    from appliance.cli.output import CommandError

    theirs = process.get("/v1/overview")["config_file"]
    if not theirs:
        raise CommandError(
            f"the process on {args.data} runs without a configuration file", "start it with `--config` to use yours", 2
        )
    if Path(theirs).is_absolute() and Path(theirs).resolve() != args.config.resolve():
        raise CommandError(f"the process on {args.data} reads {theirs}, not {args.config}", f"use --config {theirs}", 2)


def _test(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text
    from appliance.cli.output import styled

    result = process.post(f"/v1/destinations/{client.segment(args.name)}/test")["result"]
    worked = result["kind"] == "succeeded"
    if args.json:
        output.print_json(result)
        return 0 if worked else 1
    words = {"succeeded": "delivered", "retry": "failed, would be tried again", "abort": "refused for good"}
    because = f": {text.plain(result['reason'], 1000)}" if result["reason"] else ""
    print(styled(f"{words[result['kind']]}{because}", "green" if worked else "red"))
    if result["sample"]:
        print(f"\n{text.lines(result['sample'])}")
    elif worked:
        print("the plug-in gave no reply to show")
    return 0 if worked else 1


def _switch(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client

    answer = process.post(f"/v1/destinations/{client.segment(args.name)}/{args.action}")
    return client.printed(args, answer, lambda _: f"destination {args.name}: {args.action}d")


def _drain(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, text

    held = client.destination(process, args.name)["held_events"]
    if not client.confirmed(args, f"Try {text.count(held, 'held event')} of {text.plain(args.name)} again now?"):
        return 1
    answer = process.post(f"/v1/destinations/{client.segment(args.name)}/drain", {"expect": held})
    return client.printed(
        args, answer, lambda done: f"{text.count(done['hastened'], 'person', 'people')} tried now, each in order"
    )


def _forget(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, text

    held = client.destination(process, args.name)["held_events"]
    lost = text.count(held, "held event")
    if not client.confirmed(args, f"Forget {args.name}, dropping its position and {lost}?"):
        return 1
    answer = process.post(f"/v1/destinations/{client.segment(args.name)}/forget", {"expect": held})
    return client.printed(args, answer, lambda _: f"destination {args.name} forgotten; its dead letters are kept")
