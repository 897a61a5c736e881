"""`sternpost people`: find a person by any id: identifiers, what waits behind what, newest events."""

import argparse
import sys
from typing import Any

from appliance.cli.frame import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    find = commands.add_parser("find", help="who has this userId or anonymousId, and what waits for them")
    find.add_argument("id", metavar="ID", help="a userId or an anonymousId, as it was sent")
    add_json(find)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text

    if not args.id:
        raise output.CommandError("an id has at least one character", "", 2)
    found = client.find(args.data).get("/v1/people", id=args.id)
    if args.json:
        output.print_json(found)
    elif found["people"]:
        print("\n\n".join(_person(person) for person in found["people"]))
    else:
        print(f"nobody with the id {text.plain(args.id)}")
    if not found["complete"] and not args.json:
        print(f"looked through the newest {found['scanned_events']:,} events only", file=sys.stderr)
    return 0 if found["people"] else 1


def _person(person: dict[str, Any]) -> str:
    from appliance.cli import text
    from appliance.cli.output import styled

    lines = [f"{styled('person', 'bold')} {text.plain(person['person'])}"]
    for kind, ids in person["ids"].items():
        lines.append(f"  {kind + ':':<14} {', '.join(map(text.plain, ids)) or '-'}")
    lines += [_queue(queue) for queue in person["queues"]]
    if person["events"]:
        lines.append(styled("  newest events", "bold"))
    for event in person["events"]:
        name = f"{event['type']} {event['event']}".strip()
        lines.append(
            f"  {text.moment(event['received_ms'])}  {text.plain(name, 60)}  {text.plain(event['message_id'])}"
        )
    return "\n".join(lines)


def _queue(queue: dict[str, Any]) -> str:
    from appliance.cli import text
    from appliance.cli.output import styled

    where, events = f"  at {text.plain(queue['destination'])}:", text.count(queue["events"], "event")
    if queue["state"] == "clear":
        return f"{where} {styled('clear', 'green')}"
    if queue["state"] == "waiting":
        return f"{where} {styled('waiting', 'yellow')}, {events} on the way"
    head = queue["head"] or {}
    because = f": {text.plain(head['error'], 200)}" if head.get("error") else ""
    tries = f" after {text.count(head['attempts'], 'attempt')}" if head.get("attempts") else ""
    return f"{where} {styled('held', 'red')}, {events} behind one that failed{tries}{because}"
