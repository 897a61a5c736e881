"""Arguments of the commands about people who may be one: `sternpost people suggest, suggestions, accept, reject`."""

import argparse
from typing import TYPE_CHECKING

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

THRESHOLD = 0.9
LIMIT, LIMIT_MAX = 1_000, 10_000
STATES = ("open", "accepted", "rejected")


def add_review(commands: "Commands") -> None:
    """Add them below `people`."""
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
