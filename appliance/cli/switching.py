"""Pausing and resuming by name: what `sternpost pause` and `sternpost resume` share."""

import argparse

from appliance.cli.frame import add_json


def add_switch_arguments(parser: argparse.ArgumentParser) -> None:
    """NAME, and whether it is a source."""
    parser.add_argument("name", metavar="NAME", help="a destination, or with --source a source")
    parser.add_argument("--source", action="store_true", help="NAME is a source")
    add_json(parser)


def switch(args: argparse.Namespace, action: str) -> int:
    """Do it; `action` is pause or resume."""
    from appliance.cli import client, text
    from appliance.cli.output import CommandError

    process = client.find(args.data)
    kind = "source" if args.source else "destination"
    known = {one["name"] for one in process.get(f"/v1/{kind}s")[f"{kind}s"]}
    if args.name not in known:
        other = "destination" if args.source else "source"
        others = {one["name"] for one in process.get(f"/v1/{other}s")[f"{other}s"]}
        next_step = f"`sternpost status` shows every {kind}"
        if args.name in others:
            flag = "" if args.source else " --source"
            next_step = f"a {other} has this name: sternpost {action} {args.name}{flag}"
        raise CommandError(f"there is no {kind} {args.name!r}; nothing was done", next_step, 1)
    answer = process.post(f"/v1/{kind}s/{client.segment(args.name)}/{action}")
    return client.printed(args, answer, lambda _: f"{kind} {text.plain(args.name)}: {_CONSEQUENCES[kind, action]}")


_CONSEQUENCES = {
    ("destination", "pause"): "paused; its events are kept, in order, until it is resumed",
    ("destination", "resume"): "resumed; it goes on where it stopped",
    ("source", "pause"): "paused; its clients are answered 503 with Retry-After and keep their events",
    ("source", "resume"): "resumed; it takes events again",
}
