"""`sternpost tail`: events as they come in or go out."""

import argparse
import json
import sys
from typing import Any

from appliance.cli.frame import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'filters: source:web type:track event:"Order*" user:u1 id:MESSAGE_ID, words anywhere in the event;\n'
        "         with --delivered also dest:crm state:failed code:500. Write --filter=-type:page to leave some out.\n"
        "A tail that cannot keep up leaves events out and says how many; it never slows the appliance."
    )
    parser.add_argument("words", nargs="*", metavar="FILTER", help="show only events that match all of these")
    parser.add_argument("--filter", default="", metavar="FILTER", help="the same as one text")
    parser.add_argument("--delivered", action="store_true", help="show deliveries in place of collected events")
    parser.add_argument("--processed", action="store_true", help="show events as they leave the pipeline, and for whom")
    parser.add_argument("--payload", action="store_true", help="show the whole event too")
    parser.add_argument("--count", "-n", type=int, default=0, metavar="N", help="end after N events")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client
    from appliance.cli.words import filter_text

    process = client.find(args.data)
    point = "delivered" if args.delivered else "processed" if args.processed else "collected"
    query = filter_text(args.filter, args.words)
    payload = None if args.payload or args.json else "0"
    shown, name = 0, ""
    for line in process.stream("/v1/tail", point=point, query=query, payload=payload):
        if line.startswith(b": watching") and not args.json and sys.stderr.isatty():
            print(f"watching {point} events; Ctrl-C ends", file=sys.stderr)
        elif line.startswith(b"event: "):
            name = line[7:].decode()
        elif line.startswith(b"data: ") and name in ("missed", "sampled"):
            print(_left_out(name, json.loads(line[6:])), file=sys.stderr)
        elif line.startswith(b"data: "):
            print(line[6:].decode() if args.json else _line(json.loads(line[6:])), flush=True)
            shown += 1
            if shown == args.count:
                return 0
    print("the process has stopped", file=sys.stderr)
    return 4


def _left_out(name: str, data: dict[str, Any]) -> str:
    if name == "missed":
        return f"({data['events']:,} events were left out: this end reads too slowly)"
    return f"({data['events_left_out']:,} events were left out: one in {data['one_in']:,} is shown)"


def _line(event: dict[str, Any]) -> str:
    from appliance.cli import text
    from appliance.cli.output import styled

    person = event["user_id"] or event["anonymous_id"]
    what = f"{event['type']} {text.plain(event['event'], 60)}".rstrip()
    when = text.moment(event["received_ms"])
    words = f"{styled(when, 'dim')} {text.plain(event['source'])} {what} {text.plain(person, 60)}"
    if "state" not in event and "destination" in event:
        words += f" -> {', '.join(map(text.plain, event['destination'])) or styled('nowhere', 'dim')}"
    elif "destination" in event:
        colour = {"succeeded": "green", "failed": "yellow"}.get(event["state"], "red")
        because = f" {text.plain(event['reason'])}" if event["reason"] else ""
        words += f" -> {text.plain(event['destination'])} {styled(event['state'], colour)}{because}"
        words += f" (attempt {event['attempts']}, {event['took_ms']:.0f} ms)"
    words += f" {styled(text.plain(event['message_id'], 80), 'dim')}"
    if "payload" in event:
        words += f"\n{text.lines(json.dumps(event['payload'], indent=2, ensure_ascii=False))}"
        if event.get("sample"):
            words += f"\n{styled(text.lines(event['sample']), 'dim')}"
    return words
