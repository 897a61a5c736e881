"""What `sternpost people` takes: its commands and their arguments."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

THRESHOLD = 0.9
LIMIT, LIMIT_MAX = 1_000, 10_000
STATES = ("open", "accepted", "rejected")
_AN_ID = "`email:ann@example.com`, or the bare value where one type alone has it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add them to the command's parser."""
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
    _add_review(commands)


def _add_review(commands: "Commands") -> None:
    suggest = commands.add_parser("suggest", help="look for people who may be one, by names, addresses and the like")
    least = f"only pairs that are one with this probability or more (default: {THRESHOLD})"
    suggest.add_argument("--threshold", type=_probability, default=THRESHOLD, metavar="P", help=least)
    most = f"at most N, the likeliest (default: {LIMIT:,})"
    suggest.add_argument("--limit", type=_count, default=LIMIT, metavar="N", help=most)
    suggest.epilog = (
        "Compares what `identify` events said of people, in this command's own process, and puts pairs on a list;\n"
        "nobody is joined before `people accept`. What is open from an earlier search and is not found again goes;\n"
        "what was rejected or parted does not come back. It needs the extra `match`:\n"
        "pip install 'sternpost[match]'. Temporary files go where TMPDIR says, and are removed."
    )
    suggestions = commands.add_parser("suggestions", help="list pairs of people who may be one, the likeliest first")
    suggestions.add_argument("--state", choices=STATES, default="open", help="default: open")
    suggestions.add_argument("--limit", type=_count, default=50, metavar="N", help="at most N (default: 50)")
    suggestions.add_argument("--after", type=_count, default=0, metavar="NUMBER", help="only those behind this one")
    accept = commands.add_parser("accept", help="make one person of two who were suggested")
    accept.epilog = "It holds from the next event on; `people undo` takes it back."
    accept.add_argument("--yes", action="store_true", help="do not ask")
    reject = commands.add_parser("reject", help="leave two people two, and do not suggest them again")
    for command in (accept, reject):
        command.add_argument("number", type=_count, metavar="NUMBER", help="as `sternpost people suggestions` lists it")
    for command in (suggest, suggestions, accept, reject):
        add_json(command)


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"a probability is over 0 and below 1, not {text!r}")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 1 << 63:
        raise argparse.ArgumentTypeError(f"a whole number of 1 or more, not {text!r}")
    return int(text)
