"""`sternpost replay`: deliver a range of past events to a destination again; list and cancel what is under way."""

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
        "The log keeps what `retention` says, and longer what a replay under way has still to read. One that is\n"
        "cancelled stops where it is: what it delivered stays delivered, what waits in it is dropped, its dead\n"
        "letters stay. A replay whose destination is taken out of the configuration ends so too.\n"
        "With --wait, Ctrl-C leaves, and the replay goes on."
    )
    parser.add_argument("--destination", "-d", default="", metavar="NAME", help="where to deliver; required to start")
    parser.add_argument("--from", dest="start", default="", metavar="TIME", help="from this time on; required to start")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="up to this time (default: now)")
    parser.add_argument("--type", default="", help="only events of this type (track, identify, ...)")
    parser.add_argument("--event", default="", metavar="NAME", help="only track events of this name; * allowed")
    parser.add_argument("--user", default="", metavar="ID", help="only events with this userId or anonymousId")
    parser.add_argument("--wait", action="store_true", help="stay until it has ended, and show how far it is")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_json(parser)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action")
    add_json(commands.add_parser("list", help="list replays under way and how far they are"))
    cancel = commands.add_parser("cancel", help="end one where it stands")
    cancel.add_argument("name", help="as `sternpost replay list` shows it, such as crm#1")
    cancel.add_argument("--yes", action="store_true", default=argparse.SUPPRESS, help="do not ask")
    add_json(cancel)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output

    if not args.action and not (args.destination and args.start):
        raise output.CommandError("a replay needs --destination and --from", "`sternpost replay --help`", 2)
    actions = {None: _start, "list": _list, "cancel": _cancel}
    return actions[args.action](client.find(args.data), args)


def _start(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text

    from_ms, to_ms = text.parse_moment(args.start), text.parse_moment(args.end)
    if from_ms >= to_ms:
        words = f"{text.moment(from_ms)} is not before {text.moment(to_ms)}"
        raise output.CommandError(f"a replay ends after it begins: {words}", "swap --from and --to", 2)
    size = process.get("/v1/replays/count", from_ms=from_ms, to_ms=to_ms)["events_max"]
    if not client.confirmed(args, _question(args, from_ms, to_ms, size)):
        return 1
    criteria = {"type": args.type, "event": args.event, "user": args.user}
    body = {"destination": args.destination, "from_ms": from_ms, "to_ms": to_ms, **criteria}
    answer = process.post("/v1/replays", body)
    if args.wait:
        return _waited(process, args, answer)
    return client.printed(
        args,
        answer,
        lambda done: (
            f"replay {done['replay']} has started, through at most {text.count(done['events_max'], 'event')}; "
            "`sternpost replay list` shows how far it is"
        ),
    )


def _question(args: argparse.Namespace, from_ms: int, to_ms: int, size: int) -> str:
    from appliance.cli import text

    picked = (("--type", args.type), ("--event", args.event), ("--user", args.user))
    chosen = ", ".join(f"{option} {text.plain(value, 80)}" for option, value in picked if value)
    only = f" Of them only those that match {chosen} are sent." if chosen else ""
    return (
        f"Deliver at most {text.count(size, 'event')}, received from {text.moment(from_ms)} to {text.moment(to_ms)}, "
        f"to {text.plain(args.destination)} again?{only} What is sent cannot be called back."
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


def _list(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import output, text

    replays = process.get("/v1/replays")["replays"]
    if args.json:
        output.print_json(replays)
    elif not replays:
        print("no replay is under way")
    else:
        rows = [
            (
                text.plain(one["name"]),
                text.moment(int(one["criteria"]["from_ms"])),
                text.moment(int(one["criteria"]["to_ms"])),
                f"{one['delivered']:,}",
                f"{one['events_left']:,}",
            )
            for one in replays
        ]
        output.print_table(("REPLAY", "FROM", "TO", "DELIVERED", "LEFT AT MOST"), rows)
    return 0


def _cancel(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, text

    if not client.confirmed(args, f"Cancel replay {text.plain(args.name)}, dropping what still waits in it?"):
        return 1
    answer = process.post(f"/v1/replays/{client.segment(args.name)}/cancel", {})
    return client.printed(
        args, answer, lambda _: f"replay {text.plain(args.name)} cancelled; its dead letters are kept"
    )
