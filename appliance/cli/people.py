"""`sternpost people`: who has an id, all of a person, merges and how to undo them, exports of the person graph."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client

_AN_ID = "`email:ann@example.com`, or the bare value where one type alone has it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "ids: TYPE:VALUE such as user_id:ann, anonymous_id:a-1, email:ann@example.com, or a bare value, which is\n"
        "looked for under every type; in any spelling that the rules of [identity] make the same.\n"
        "A person is called by the id that destinations see as rudderId; ids of people who were found to be one lead\n"
        "to the one that stayed."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    find = commands.add_parser("find", help="who has this id, what waits for them, their newest events")
    find.add_argument("id", metavar="ID", help="an id, or a person")
    find.add_argument("--type", default="", metavar="TYPE", help="only ids of this type")
    show = commands.add_parser("show", help="all of a person: ids, shared devices, merges, what was left out and why")
    show.add_argument("person", metavar="PERSON", help="a person, or any id of theirs")
    merges = commands.add_parser("merges", help="list merges that hold, the newest first")
    merges.add_argument("--all", action="store_true", help="those too that do not hold any more, with the reason")
    merges.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (default: 50)")
    merges.add_argument("--after", default="", metavar="MERGE", help="only those older than this one")
    undo = commands.add_parser("undo", help="undo a merge: part those whom it joined")
    undo.add_argument("merge", metavar="MERGE", help="as `sternpost people merges` names it, such as 17")
    undo.epilog = "The event that joined them does not join them again; `people allow` takes that back."
    forbid = commands.add_parser("forbid", help="never let two ids be one person's; where they are, part them")
    allow = commands.add_parser("allow", help="take an undo or a forbid of two ids back")
    allow.epilog = "Nobody is joined by that: the next event with both ids decides anew."
    for command in (forbid, allow):
        command.add_argument("a", metavar="A", help=f"an id: {_AN_ID}")
        command.add_argument("b", metavar="B", help="another id")
    for command in (undo, forbid):
        command.add_argument("--yes", action="store_true", help="do not ask")
    export = commands.add_parser("export", help="write all ids with their people, a row each")
    export.epilog = (
        "Columns: id_type, id_value, person_id, first_seen, last_seen, edges; as of one moment. Values come from\n"
        "clients: a spreadsheet may take one that begins with = for a formula."
    )
    export.add_argument("file", type=Path, nargs="?", metavar="FILE", help="write to FILE (default: standard output)")
    export.add_argument("--format", choices=("csv", "parquet"), help="default: by the file's name, else csv")
    graphml = commands.add_parser("graphml", help="write one person as GraphML, for Gephi and the like")
    graphml.add_argument("person", metavar="PERSON", help="a person, or any id of theirs")
    graphml.add_argument("file", type=Path, nargs="?", metavar="FILE", help="write to FILE (default: standard output)")
    for command in (export, graphml):
        command.add_argument("--force", action="store_true", help="replace FILE where there is one")
    for command in (find, show, merges, undo, forbid, allow, export, graphml):
        add_json(command)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, people_acts, people_export

    actions = {
        "find": _find, "show": _show, "merges": _merges,
        "undo": people_acts.undo, "forbid": people_acts.forbid, "allow": people_acts.allow,
        "export": people_export.export, "graphml": people_export.graphml,
    }  # fmt: skip
    return actions[args.action](client.find(args.data), args)


def _find(process: "Client", args: argparse.Namespace) -> int:
    import sys

    from appliance.cli import output, people_text, text

    if not args.id:
        raise output.CommandError("an id has at least one character", "", 2)
    found = process.get("/v1/people", id=args.id, type=args.type)
    if args.json:
        output.print_json(found)
    elif found["people"]:
        print("\n\n".join(people_text.found(person) for person in found["people"]))
    else:
        print(f"nobody with the id {text.plain(args.id)}")
    if not found["complete"] and not args.json:
        looked = f"looked through the newest {found['scanned_events']:,} events only"
        unread = "the person graph has yet to read the newest events: look again in a moment"
        print(looked if found["scanned_events"] else unread, file=sys.stderr)
    return 0 if found["people"] else 1


def _show(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, people_text

    name = person_of(process, args.person)
    return client.printed(args, process.get(f"/v1/people/{client.segment(name)}"), people_text.whole)


def _merges(process: "Client", args: argparse.Namespace) -> int:
    import sys

    from appliance.cli import output, people_text

    query = {"limit": max(1, args.limit), "after": args.after, "all": "1" if args.all else ""}
    page = process.get("/v1/people/merges", **query)
    if args.json:
        output.print_json(page)
        return 0
    if not page["merges"]:
        print("no merges" if args.all else "no merges that hold; --all lists those too that were undone")
        return 0
    header, rows = people_text.merge_table(page["merges"], ended=args.all)
    output.print_table(header, rows)
    if page["after"]:
        print(f"\nthere are more: --after {page['after']}", file=sys.stderr)
    return 0


def person_of(process: "Client", wanted: str) -> str:
    """The one person who is meant.

    Raises:
        CommandError: nobody is, or several are.
    """
    from appliance.cli import output, people_text

    found = people_with(process, wanted)
    if len(found) > 1:
        raise output.CommandError(*people_text.several(wanted, found, "show"), 2)
    name: str = found[0]["person"]
    return name


def people_with(process: "Client", wanted: str) -> list[dict[str, Any]]:
    """All who have an id, at least one.

    Raises:
        CommandError: there is nobody.
    """
    from appliance.cli import output, text

    if not wanted:
        raise output.CommandError("an id has at least one character", "", 2)
    found: list[dict[str, Any]] = process.get("/v1/people", id=wanted, events="0")["people"]
    if not found:
        next_step = "ids are TYPE:VALUE or a bare value; an event that has just come in may not be read yet"
        raise output.CommandError(f"nobody with the id {text.plain(wanted)}", next_step)
    return found
