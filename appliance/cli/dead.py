"""`sternpost dead`: list, show, requeue, edit, purge or export dead letters."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client

PAGE = 100
MANY = 1000
"""From here on a bar shows how far it is."""
ACT_TIMEOUT_S = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "filters (all must match):\n"
        '  dest:crm code:400 type:track user:u1 event:"Order*" source:web stage:deliver id:MESSAGE_ID age:>1h\n'
        "  a word without a key is looked for in reason, sample and payload; everything: age:>0s\n\n"
        "requeue and purge say how many letters they are about and ask; --yes skips the question. If the number has\n"
        "changed in between, nothing is done. A script gives the number that it was shown as --expect N, with --yes:\n"
        "where another number matches by then, nothing is done and the exit code is 1."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    listing = commands.add_parser("list", help="list dead letters, oldest first")
    _add_filter(listing)
    listing.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (default: 50)")
    listing.add_argument("--after", type=int, default=0, metavar="ID", help="only those above this id")
    add_json(listing)
    show = commands.add_parser("show", help="show one: reason, what was sent, what came back, the event")
    show.add_argument("id", type=int)
    add_json(show)
    for name, words in (("requeue", "deliver them again, in order"), ("purge", "delete them for good")):
        command = commands.add_parser(name, help=words)
        _add_filter(command)
        command.add_argument("--id", type=int, action="append", default=[], metavar="ID", help="this one; repeatable")
        command.add_argument("--yes", action="store_true", help="do not ask")
        command.add_argument(
            "--expect",
            type=int,
            metavar="N",
            help="do it only if exactly N match, the number that you were shown; asks nevertheless, but for --yes",
        )
        add_json(command)
    from appliance.cli.dead_edit import add_edit_arguments

    add_edit_arguments(commands.add_parser("edit", help="deliver one again with another event in its place"))
    export = commands.add_parser("export", help="write them as JSON lines, payloads included")
    _add_filter(export)
    export.add_argument("--output", "-o", type=Path, metavar="FILE", help="write to FILE (default: standard output)")
    add_json(export)  # it prints nothing else; scripts pass it everywhere


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client
    from appliance.cli.dead_edit import edit

    process = client.find(args.data)
    actions = {"list": _list, "show": _show, "requeue": _act, "purge": _act, "edit": edit, "export": _export}
    return actions[args.action](process, args)


def _add_filter(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="FILTER", help="only letters that match all of these")
    parser.add_argument("--filter", default="", metavar="FILTER", help="the same as one text")


def _query(args: argparse.Namespace) -> str:
    from appliance.cli.words import filter_text

    return filter_text(args.filter, args.words)


def _list(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import output, text

    query = _query(args)
    page = process.get("/v1/dead", query=query, after=args.after, limit=max(1, args.limit))
    if args.json:
        output.print_json(page)
        return 0
    letters = page["dead"]
    if not letters:
        print("no dead letters" + (" match" if query else ""))
        return 0
    rows = [
        (
            letter["id"],
            text.moment(letter["buried_ms"]),
            text.plain(letter["destination"]),
            f"{letter['type']} {text.plain(letter['event'], 40)}".rstrip(),
            text.plain(letter["user_id"] or letter["anonymous_id"], 40),
            letter["attempts"],
            text.plain(letter["reason"], 80),
        )
        for letter in letters
    ]
    output.print_table(("ID", "SINCE", "DESTINATION", "EVENT", "PERSON", "ATTEMPTS", "REASON"), rows)
    if page["after"]:
        print(f"\nthere are more: --after {page['after']}", file=sys.stderr)
    return 0


def _show(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import output, text
    from appliance.cli.output import styled

    letter = process.get(f"/v1/dead/{args.id}")
    if args.json:
        output.print_json(letter)
        return 0
    print(styled(f"dead letter {letter['id']}", "bold"))
    facts = {
        "destination": letter["destination"],
        "reason": letter["reason"],
        "stage": letter["stage"],
        "attempts": letter["attempts"],
        "first failed": text.moment(letter["first_failed_ms"]),
        "given up": text.moment(letter["buried_ms"]),
        "message id": letter["message_id"],
        "source": letter["source"],
        "collected": text.moment(letter["received_ms"]),
        "person": letter["person"],
        "sequence": letter["sequence"],
    }
    for name, value in facts.items():
        print(f"  {name + ':':<14} {text.plain(value, 500)}")
    if letter["sample"]:
        print(f"\n{styled('sent and received', 'bold')}\n{text.lines(letter['sample'])}")
    print(f"\n{styled('event', 'bold')}\n{text.lines(json.dumps(letter['payload'], indent=2, ensure_ascii=False))}")
    return 0


def _act(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text

    query = _query(args)
    if not query and not args.id:
        raise output.CommandError("say which dead letters", 'by --id, or by a filter; all of them are "age:>0s"', 2)
    if numbers := [word for word in args.words if word.isdigit()]:
        ids = " ".join(f"--id {number}" for number in numbers)
        said = f"{numbers[0]} alone is looked for in payloads; nothing was done"
        raise output.CommandError(said, f"did you mean {ids}?", 2)
    if query and args.id:
        raise output.CommandError("give ids or a filter, not both", "", 2)
    expected, about = _expected(process, query, args)
    if expected == 0:
        return client.printed(args, {"done": args.action, "count": 0}, lambda _: "no dead letters match")
    letters = text.count(expected, "dead letter")
    question = {
        "requeue": f"Deliver {letters} again{about}?",
        "purge": f"Delete {letters} for good{about}?",
    }[args.action]
    if not client.confirmed(args, question):
        return 1
    answer = _done(process, query, args, expected)
    one = answer["count"] == 1
    past = {"requeue": f"{'is on its' if one else 'are on their'} way again", "purge": "deleted"}[args.action]
    if answer["count"] < expected:
        left = text.count(expected - answer["count"], "dead letter")
        print(f"{left} left where they were: their destination does not run", file=sys.stderr)
    return client.printed(args, answer, lambda done: f"{text.count(done['count'], 'dead letter')} {past}")


def _done(process: "Client", query: str, args: argparse.Namespace, expected: int) -> dict[str, int]:
    """Act, and show how far it is where there are many; they leave the list as they are done."""
    from appliance.cli import progress

    body = {"query": query, "ids": args.id, "expect": expected}
    many = not args.id and expected >= MANY and progress.wanted(args)
    words = {"requeue": "requeueing", "purge": "deleting"}[args.action]
    with progress.bar(words, expected, many) as show:

        def look() -> None:
            if many:
                show(expected - process.get("/v1/dead/count", query=query)["count"])

        act = partial(process.post, f"/v1/dead/{args.action}", body, timeout_s=ACT_TIMEOUT_S)
        done: dict[str, int] = progress.watched(act, look)
        return done


def _expected(process: "Client", query: str, args: argparse.Namespace) -> tuple[int, str]:
    """How many letters there are, and words about them.

    Raises:
        CommandError: there are not as many as --expect says; nothing was done.
    """
    from appliance.cli import text
    from appliance.cli.output import CommandError

    if args.id:
        return (len(set(args.id)) if args.expect is None else args.expect), ""
    found = process.get("/v1/dead/count", query=query)
    if args.expect is not None and found["count"] != args.expect:
        match = "matches" if found["count"] == 1 else "match"
        words = f"{text.count(found['count'], 'dead letter')} {match} now, not {args.expect} as --expect says"
        raise CommandError(f"{words}; nothing was done", f"look at them, then repeat with --expect {found['count']}")
    oldest = f"; the oldest was given up {text.ago(found['oldest_ms'], time.time_ns() // 1_000_000)}"
    about = (
        f", of {text.count(found['people'], 'person', 'people')} at {text.count(found['destinations'], 'destination')}"
    )
    return found["count"], about + (oldest if found["oldest_ms"] else "")


def _export(process: "Client", args: argparse.Namespace) -> int:
    lines = _exported(process, _query(args))
    if args.output is None:
        for line in lines:
            print(line)
        return 0
    count = 0
    with args.output.open("w", encoding="utf-8") as opened:
        for line in lines:
            opened.write(line + "\n")
            count += 1
    print(f"{count} dead letters written to {args.output}", file=sys.stderr)
    return 0


def _exported(process: "Client", query: str) -> Iterator[str]:
    after = 0
    while True:
        page = process.get("/v1/dead", query=query, after=after, limit=PAGE, full="1")
        for letter in page["dead"]:
            yield json.dumps(letter, ensure_ascii=False)
        after = page["after"]
        if not after:
            return
