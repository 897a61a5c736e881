"""`sternpost sources`: list, pause and resume sources, rotate their keys."""

import argparse
from typing import TYPE_CHECKING

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    add_json(commands.add_parser("list", help="list sources, their rates and what was refused"))
    for name, words in (
        ("pause", "answer 503 with Retry-After, so that clients keep their events"),
        ("resume", "take events again"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("name")
        add_json(command)
    rotate = commands.add_parser("rotate-key", help="make a new write key; the old one is accepted for 24 h more")
    rotate.epilog = (
        "Only a key that was generated is ours to rotate. One that stands in the configuration is changed there:\n"
        "previous_write_key lets clients change over."
    )
    rotate.add_argument("name")
    rotate.add_argument("--yes", action="store_true", help="do not ask")
    add_json(rotate)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client
    from appliance.cli.switching import switch

    if args.action in ("pause", "resume"):
        args.source = True
        return switch(args, args.action)
    process = client.find(args.data)
    return _list(process, args) if args.action == "list" else _rotate(process, args)


def _list(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import output, text

    sources = process.get("/v1/sources")["sources"]
    if args.json:
        output.print_json(sources)
    elif not sources:
        print("no source is configured: add [sources.NAME] with a write_key")
    else:
        rows = [
            (
                text.plain(one["name"]),
                one["state"],
                round(one["accepted_per_s"], 1),
                one["accepted_total"],
                one["duplicates_total"],
                one["refused_total"],
                text.moment(one["last_received_ms"]),
            )
            for one in sources
        ]
        output.print_table(("SOURCE", "STATE", "PER S", "ACCEPTED", "TWICE", "REFUSED", "LAST RECEIVED"), rows)
    return 0


def _rotate(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, text
    from appliance.cli.output import CommandError

    found = process.get("/v1/config")
    key = next((one for one in found["settings"] if one["key"] == f"sources.{args.name}.write_key"), None)
    if key is not None and key["origin"] == "file":
        raise CommandError(
            f"the write key of {text.plain(args.name)} stands in {key['file']}:{key['line']}; nothing has changed",
            "put the new key there, the old one into previous_write_key, and `sternpost reload`",
        )
    question = f"Make a new write key for {text.plain(args.name)}, and refuse the present one from 24 h on?"
    if not client.confirmed(args, question):
        return 1
    answer = process.post(f"/v1/sources/{client.segment(args.name)}/rotate-key")
    return client.printed(
        args,
        answer,
        lambda done: (
            f"source {text.plain(done['name'])}: the new write key is {done['write_key']}\n"
            f"the old one is accepted until {text.moment(done['old_valid_until_ms'])}"
        ),
    )
