"""`sternpost warehouse`: what is done to a warehouse beyond loading it."""

import argparse
from typing import TYPE_CHECKING

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    reload = commands.add_parser("reload", help="load again what a restored warehouse lacks, as far as the log reaches")
    reload.add_argument("name")
    reload.add_argument("--yes", action="store_true", help="do not ask")
    add_json(reload)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client

    return _reload(client.find(args.data), args)


def _reload(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, text

    found = client.destination(process, args.name)
    question = (
        f"{text.plain(args.name)} was loaded up to sequence {found['sequence_low']:,}. Load it again from where its "
        "own cursor stands?"
    )
    if not client.confirmed(args, question):
        return 1
    answer = process.post(f"/v1/destinations/{client.segment(args.name)}/reload")
    return client.printed(args, answer, _words)


def _words(done: dict[str, object]) -> str:
    lost = int(str(done["lost"]))
    words = f"sequences {done['first_sequence']} to {done['last_sequence']} are loaded again"
    return f"{words}; {lost:,} before them are lost: the log does not hold them any more" if lost else words
