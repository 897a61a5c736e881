"""`sternpost replay`: deliver a range of past events to a destination again."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client

LOOK_S = 0.25


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'times: RFC 3339 such as 2030-01-31T12:00:00Z, or how long ago such as "2h ago" or 2h; when the event was\n'
        "collected counts. Events are sent in order, beside live ones, marked as replayed, with the same messageId.\n"
        "The log keeps what `retention` says; `sternpost status` shows the replay's progress.\n"
        "With --wait, Ctrl-C leaves, and the replay goes on."
    )
    parser.add_argument("--destination", "-d", required=True, metavar="NAME", help="where to deliver")
    parser.add_argument("--from", dest="start", required=True, metavar="TIME", help="from this time on")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="up to this time (default: now)")
    parser.add_argument("--type", default="", help="only events of this type (track, identify, ...)")
    parser.add_argument("--event", default="", metavar="NAME", help="only track events of this name; * allowed")
    parser.add_argument("--user", default="", metavar="ID", help="only events with this userId or anonymousId")
    parser.add_argument("--wait", action="store_true", help="stay until it has ended, and show how far it is")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text

    from_ms, to_ms = text.parse_moment(args.start), text.parse_moment(args.end)
    if from_ms >= to_ms:
        words = f"{text.moment(from_ms)} is not before {text.moment(to_ms)}"
        raise output.CommandError(f"a replay ends after it begins: {words}", "swap --from and --to", 2)
    criteria = {"type": args.type, "event": args.event, "user": args.user}
    body = {"destination": args.destination, "from_ms": from_ms, "to_ms": to_ms, **criteria}
    process = client.find(args.data)
    answer = process.post("/v1/replays", body)
    if args.wait:
        return _waited(process, args, answer)
    return client.printed(
        args,
        answer,
        lambda done: (
            f"replay {done['replay']} has started, through at most {text.count(done['events_max'], 'event')}; "
            "`sternpost status` shows how far it is"
        ),
    )


def _waited(process: "Client", args: argparse.Namespace, started: dict[str, Any]) -> int:
    """Look on until the replay has left the list of those under way."""
    from appliance.cli import client, progress, text

    name, total = started["replay"], started["events_max"]
    with progress.bar(f"replaying to {text.plain(args.destination)}", total, progress.wanted(args)) as show:
        while found := [one for one in process.get("/v1/replays")["replays"] if one["name"] == name]:
            show(total - found[0]["events_left"])
            time.sleep(LOOK_S)
    return client.printed(args, {**started, "ended": True}, lambda _: f"replay {name} has ended")
