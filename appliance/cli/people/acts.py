"""`sternpost people undo, forbid, allow`: say who is parted from whom, ask, act, say what came of it."""

import argparse
from typing import Any

from appliance.cli import client, text
from appliance.cli.client import Client
from appliance.cli.output import CommandError
from appliance.cli.people import wording
from appliance.cli.people.looking import people_with

_STAYS = "It holds from the next event on; what was delivered stays delivered."


def undo(process: Client, args: argparse.Namespace) -> int:
    if not args.merge:
        raise CommandError("a merge has a name", "`sternpost people merges` lists those that hold, such as 17", 2)
    people = process.get("/v1/people/parting", merge=args.merge)["people"]
    parted = f"{text.count(len(people), 'person', 'people')}: {wording.groups(people)}"
    if not client.confirmed(args, f"Undo merge {text.plain(args.merge)}? One person becomes {parted}. {_STAYS}"):
        return 1
    return client.printed(args, process.post("/v1/people/undo", {"merge": args.merge}), done)


def forbid(process: Client, args: argparse.Namespace) -> int:
    (one, person), (two, other) = _id(process, args, args.a), _id(process, args, args.b)
    query = {"a_type": one["type"], "a": one["value"], "b_type": two["type"], "b": two["value"]}
    people = process.get("/v1/people/parting", **query)["people"]
    never = f"Never let {wording.id_text(one)} and {wording.id_text(two)} be one person's?"
    if person == other:
        parted = f"{text.count(len(people), 'person', 'people')}: {wording.groups(people)}"
        question = f"{never} They are now. One person becomes {parted}. {_STAYS}"
    else:
        question = f"{never} They are two people, and nobody is parted: {wording.groups(people)}."
    if not client.confirmed(args, question):
        return 1
    return client.printed(args, process.post("/v1/people/forbid", {"a": one, "b": two}), done)


def allow(process: Client, args: argparse.Namespace) -> int:
    (one, _), (two, _) = _id(process, args, args.a), _id(process, args, args.b)
    return client.printed(args, process.post("/v1/people/allow", {"a": one, "b": two}), done)


def _id(process: Client, args: argparse.Namespace, wanted: str) -> tuple[dict[str, str], str]:
    """The one id that is meant, and its person.

    Raises:
        CommandError: there is none, or there are several.
    """
    people = people_with(process, wanted)
    found: list[tuple[dict[str, str], str]] = [(id, one["person"]) for one in people for id in one["matches"]]
    if not found:
        process.get("/v1/people/merges", limit=1)  # without a graph this says so
        next_step = f"name an id: `people show {text.plain(wanted)}` lists theirs"
        raise CommandError(f"{text.plain(wanted)} is a person, not an id of one", next_step, 2)
    if len(found) > 1:
        raise CommandError(*wording.several(wanted, people, args.action), 2)
    return found[0]


def done(answer: Any) -> str:
    """What came of an act, and whose the ids are now."""
    people = "".join(f"\n  person {text.plain(one)}" for one in answer["people"])
    return f"{text.plain(answer['done'], 500)}{people}"
