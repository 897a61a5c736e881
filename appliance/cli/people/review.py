"""`sternpost people suggestions, accept, reject`: list who may be one; say who becomes one, ask, act."""

import argparse
import sys
from typing import Any

from appliance.cli import client, output, text
from appliance.cli.client import Client
from appliance.cli.output import CommandError
from appliance.cli.people import acts, wording
from appliance.cli.people.wording import Shown

PAGE = 1_000


def suggestions(process: Client, args: argparse.Namespace) -> int:
    page = process.get("/v1/people/suggestions", state=args.state, limit=min(args.limit, PAGE), after=args.after or "")
    if args.json:
        output.print_json(page)
    elif page["suggestions"]:
        print_suggestions(page["suggestions"])
    else:
        print("nobody to decide about; `sternpost people suggest` looks for more" if args.state == "open" else "none")
    if page["after"] and not args.json:
        print(f"\nthere are more: --after {page['after']}", file=sys.stderr)
    return 0


def accept(process: Client, args: argparse.Namespace) -> int:
    one = _one(process, args.number)
    if one["state"] in ("open", "rejected"):  # of others the process says why not
        question = f"Make one person of {_who(process, one['a'])} and {_who(process, one['b'])}?"
        why = f" {one['probability']:.1%} likely: {'; '.join(text.plain(words) for words in one['why'])}."
        holds = " It holds from the next event on; `people undo` takes it back."
        if not client.confirmed(args, f"{question}{why if one['why'] else ''}{holds}"):
            return 1
    return client.printed(args, process.post("/v1/people/accept", {"number": args.number}), acts.done)


def reject(process: Client, args: argparse.Namespace) -> int:
    return client.printed(args, process.post("/v1/people/reject", {"number": args.number}), acts.done)


def listed(process: Client, state: str, limit: int) -> list[Shown]:
    """All in a state, at most so many."""
    found: list[Shown] = []
    after = 0
    while len(found) < limit:
        page = process.get(
            "/v1/people/suggestions", state=state, limit=min(PAGE, limit - len(found)), after=after or ""
        )
        found += page["suggestions"]
        if not (after := page["after"]):
            break
    return found


def print_suggestions(found: list[Shown]) -> None:
    """A line each: number, probability, who, who, why."""
    rows = [
        (
            one["number"],
            f"{one['probability']:.2%}",
            wording.id_text(one["a"]["id"]),
            wording.id_text(one["b"]["id"]),
            "; ".join(text.plain(words, 120) for words in one["why"]) or "(hidden)",
        )
        for one in found
    ]
    output.print_table(("NUMBER", "LIKELY", "WHO", "WHO", "WHY"), rows)


def _one(process: Client, number: int) -> Shown:
    found: list[Any] = process.get("/v1/people/suggestions", number=number)["suggestions"]
    if not found:
        raise CommandError(f"there is no suggestion {number}", "`sternpost people suggestions` lists them")
    one: Shown = found[0]
    return one


def _who(process: Client, one: Shown) -> str:
    """Somebody by their ids."""
    members = process.get(f"/v1/people/{client.segment(one['person'])}")["members"]
    others = [each for each in members if (each["type"], each["value"]) != (one["id"]["type"], one["id"]["value"])]
    return wording.group([one["id"], *others])
