"""`sternpost people find, show, merges`: who has an id, all of a person, who was found to be one."""

import argparse
import sys
from typing import Any

from appliance.cli import client, output, text
from appliance.cli.client import Client
from appliance.cli.output import CommandError
from appliance.cli.people import wording


def find(process: Client, args: argparse.Namespace) -> int:
    _check(args.id)
    found = process.get("/v1/people", id=args.id, type=args.type)
    if args.json:
        output.print_json(found)
    elif found["people"]:
        print("\n\n".join(wording.found(person) for person in found["people"]))
    else:
        print(f"nobody with the id {text.plain(args.id)}")
    if not found["complete"] and not args.json:
        looked = f"looked through the newest {found['scanned_events']:,} events only"
        unread = "the person graph has yet to read the newest events: look again in a moment"
        print(looked if found["scanned_events"] else unread, file=sys.stderr)
    return 0 if found["people"] else 1


def show(process: Client, args: argparse.Namespace) -> int:
    name = person_of(process, args.person)
    return client.printed(args, process.get(f"/v1/people/{client.segment(name)}"), wording.whole)


def merges(process: Client, args: argparse.Namespace) -> int:
    query = {"limit": max(1, args.limit), "after": args.after, "all": "1" if args.all else ""}
    page = process.get("/v1/people/merges", **query)
    if args.json:
        output.print_json(page)
        return 0
    if not page["merges"]:
        print("no merges" if args.all else "no merges that hold; --all lists those too that were undone")
        return 0
    header, rows = wording.merge_table(page["merges"], ended=args.all)
    output.print_table(header, rows)
    if page["after"]:
        print(f"\nthere are more: --after {page['after']}", file=sys.stderr)
    return 0


def _check(wanted: str) -> None:
    if not wanted:
        raise CommandError("an id has at least one character", "name one, such as email:ann@example.com", 2)


def person_of(process: Client, wanted: str) -> str:
    """The one person who is meant.

    Raises:
        CommandError: nobody is, or several are.
    """
    found = people_with(process, wanted)
    if len(found) > 1:
        raise CommandError(*wording.several(wanted, found, "show"), 2)
    name: str = found[0]["person"]
    return name


def people_with(process: Client, wanted: str) -> list[dict[str, Any]]:
    """All who have an id, at least one.

    Raises:
        CommandError: there is nobody.
    """
    _check(wanted)
    found: list[dict[str, Any]] = process.get("/v1/people", id=wanted, events="0")["people"]
    if not found:
        next_step = "ids are TYPE:VALUE or a bare value; an event that has just come in may not be read yet"
        raise CommandError(f"nobody with the id {text.plain(wanted)}", next_step)
    return found
