"""`sternpost replay`: deliver a range of past events to a destination again."""

import argparse

from appliance.cli.frame import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'times: RFC 3339 such as 2030-01-31T12:00:00Z, or how long ago such as "2h ago" or 2h; when the event was\n'
        "collected counts. Events are sent in order, beside live ones, marked as replayed, with the same messageId.\n"
        "The log keeps what `retention` says; `sternpost status` shows the replay's progress."
    )
    parser.add_argument("--destination", "-d", required=True, metavar="NAME", help="where to deliver")
    parser.add_argument("--from", dest="start", required=True, metavar="TIME", help="from this time on")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="up to this time (default: now)")
    parser.add_argument("--type", default="", help="only events of this type (track, identify, ...)")
    parser.add_argument("--event", default="", metavar="NAME", help="only track events of this name; * allowed")
    parser.add_argument("--user", default="", metavar="ID", help="only events with this userId or anonymousId")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text

    from_ms, to_ms = text.parse_moment(args.start), text.parse_moment(args.end)
    if from_ms >= to_ms:
        words = f"{text.moment(from_ms)} is not before {text.moment(to_ms)}"
        raise output.CommandError(f"a replay ends after it begins: {words}", "swap --from and --to", 2)
    criteria = {"type": args.type, "event": args.event, "user": args.user}
    body = {"destination": args.destination, "from_ms": from_ms, "to_ms": to_ms, **criteria}
    answer = client.find(args.data).post("/v1/replays", body)
    return client.printed(
        args,
        answer,
        lambda done: (
            f"replay {done['replay']} has started, through at most {text.count(done['events_max'], 'event')}; "
            "`sternpost status` shows how far it is"
        ),
    )
