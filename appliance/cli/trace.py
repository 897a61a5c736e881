"""`sternpost trace`: where one event is: collected when; at each destination delivered, waiting, or dead why."""

import argparse
import json
from typing import Any

from appliance.cli.frame import add_json

_STYLES = {
    "succeeded": "green",
    "waiting": "yellow",
    "failed": "yellow",
    "executing": "yellow",
    "aborted": "red",
    "skipped": "red",
    "filtered": "dim",
    "parked": "dim",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit code 1 when nothing is known of the message id."
    parser.add_argument("message_id", metavar="MESSAGE_ID", help="messageId of the event, as the client sent it")
    parser.add_argument("--source", metavar="NAME", help="only from this source")
    parser.add_argument("--all", action="store_true", help="look through the whole log for further events of this id")
    parser.add_argument("--payload", action="store_true", help="show the event itself too")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output

    process = client.find(args.data)
    path = f"/v1/events/{client.segment(args.message_id)}"
    found = process.get(path, source=args.source, all="1" if args.all else None)
    known = found["events"] or found["refused"]
    if args.json:
        output.print_json(found)
        return 0 if known else 1
    if not known:
        lost = "; ".join(
            f"{one['first']} to {one['last']}, which {one['destination']} skipped ({one['reason']})"
            for one in found["unreadable"]
        )
        raise output.CommandError(
            f"nothing is known of {args.message_id!r}",
            "it was never acknowledged, or the log does not keep it any more (retention); check source and id"
            + (f". Or it is one of these sequences: {lost}" if lost else ""),
        )
    for event in found["events"]:
        _show(event, payload=args.payload)
    _show_refused(found["refused"])
    return 0


def _show(traced: dict[str, Any], *, payload: bool) -> None:
    from appliance.cli import text
    from appliance.cli.output import styled

    event = traced["event"]
    what = f"{event.get('type', '')} {text.plain(event.get('event', ''), 80)}".strip()
    print(f"{styled(what or 'event', 'bold')}  {text.plain(event['message_id'], 200)}")
    print(
        f"  collected {text.moment(event.get('received_ms', 0))} from {text.plain(event.get('client') or 'unknown')} "
        f"by source {text.plain(event.get('source', ''))}, sequence {event['sequence']}; {traced['collected']}"
    )
    width = max((len(one["destination"]) for one in traced["destinations"]), default=0)
    for one in traced["destinations"]:
        state = styled(f"{one['state']:<9}", _STYLES.get(one["state"], "dim"))
        again = f"; next try {text.moment(one['next_try_ms'])}" if one["next_try_ms"] else ""
        print(f"  {text.plain(one['destination']):<{width}}  {state}  {text.plain(one['words'], 1000)}{again}")
        if one["dead_id"]:
            print(f"  {'':<{width}}             `sternpost dead show {one['dead_id']}` tells all")
    if payload and "payload" in event:
        print(text.lines(json.dumps(event["payload"], indent=2, ensure_ascii=False)))


def _show_refused(refused: list[dict[str, Any]]) -> None:
    from appliance.cli import text
    from appliance.cli.output import styled

    for one in refused:
        source = text.plain(one["source"] or "an unknown source")
        when, why = text.moment(one["received_ms"]), text.plain(one["reason"])
        print(f"{styled('refused', 'red')}  {when} from {source}: {why}")
