"""`sternpost console`: print a link that opens the console in a browser."""

import argparse

from appliance.cli.frame import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "The link works once, for ten minutes, in one browser. From another machine, forward the port first:\n"
        "  ssh -L 8081:127.0.0.1:8081 HOST"
    )
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client

    answer = client.find(args.data).post("/console/link")
    return client.printed(args, answer, lambda made: str(made["url"]))
