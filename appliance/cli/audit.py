"""`sternpost audit`: who did what, when and to how many."""

import argparse

from appliance.cli.frame import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "The newest first. The trail itself is audit.jsonl in the data folder, one JSON object a line."
    parser.add_argument("--limit", type=int, default=50, metavar="N", help="the newest N (default: 50)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text

    entries = client.find(args.data).get("/v1/audit", limit=max(1, args.limit))["audit"]
    if args.json:
        output.print_json(entries)
    elif not entries:
        print("nothing was done yet")
    else:
        rows = [
            (
                text.plain(one["when"]),
                text.plain(f"{one['who']} {one.get('user', '')}".strip(), 40),
                text.plain(one["what"]),
                text.plain(one.get("target", ""), 60),
                one.get("count", 0),
                text.plain(one.get("outcome", "done"), 80),
            )
            for one in entries
        ]
        output.print_table(("WHEN", "WHO", "WHAT", "TARGET", "COUNT", "OUTCOME"), rows)
        print(f"{text.count(len(rows), 'entry', 'entries')}, the newest first")
    return 0
