"""People, their ids and merges as text for a terminal."""

from collections.abc import Sequence
from typing import Any

from appliance.cli import text
from appliance.cli.output import styled

IDS_SHOWN = 6
"""Ids of a group that a question names."""
Shown = dict[str, Any]


def id_text(one: Shown) -> str:
    """`email:ann@example.com`; the type alone where the value may not be seen."""
    return text.plain(f"{one['type']}:{one['value']}" if one["value"] else f"{one['type']}:(hidden)", 80)


def found(person: Shown) -> str:
    """Somebody who was looked for: ids, what waits behind what, newest events."""
    lines = [f"{styled('person', 'bold')} {text.plain(person['person'])}"]
    for kind, ids in person["ids"].items():
        lines.append(f"  {kind + ':':<14} {', '.join(map(text.plain, ids)) or '-'}")
    shown = sum(map(len, person["ids"].values()))
    if person.get("ids_total", 0) > shown:
        lines.append(
            f"  {text.count(person['ids_total'] - shown, 'more id')}: `sternpost people show {person['person']}`"
        )
    if parted := person.get("parted"):
        lines.append(_parted(parted))
    lines += [_queue(queue) for queue in person["queues"]]
    if person["events"]:
        lines.append(styled("  newest events", "bold"))
    for event in person["events"]:
        name = f"{event['type']} {event['event']}".strip()
        lines.append(
            f"  {text.moment(event['received_ms'])}  {text.plain(name, 60)}  {text.plain(event['message_id'])}"
        )
    return "\n".join(lines)


def _parted(parted: Shown) -> str:
    how = f"merge {parted['merge']} was undone" if parted["merge"] else "two of their ids were forbidden to be one's"
    by = f" by {text.plain(parted['by'])}" if parted["by"] else ""
    when = f" on {text.moment(parted['when_ms'])}" if parted["when_ms"] else ""
    return f"  parted from {text.plain(parted['person'])}{when}{by}: {how}"


def _queue(queue: Shown) -> str:
    where, events = f"  at {text.plain(queue['destination'])}:", text.count(queue["events"], "event")
    if queue["state"] == "clear":
        return f"{where} {styled('clear', 'green')}"
    if queue["state"] == "waiting":
        return f"{where} {styled('waiting', 'yellow')}, {events} on the way"
    head = queue["head"] or {}
    because = f": {text.plain(head['error'], 200)}" if head.get("error") else ""
    tries = f" after {text.count(head['attempts'], 'attempt')}" if head.get("attempts") else ""
    return f"{where} {styled('held', 'red')}, {events} behind one that failed{tries}{because}"


def whole(person: Shown) -> str:
    """All of somebody."""
    lines = [f"{styled('person', 'bold')} {text.plain(person['person'])}"]
    if person["was"]:
        lines.append(f"  was also {', '.join(map(text.plain, person['was']))}")
    width = max((len(id_text(one)) for one in person["members"]), default=0)
    lines.append(styled(f"  {text.count(len(person['members']), 'id')}", "bold"))
    for one in person["members"]:
        seen = f"{text.moment(one['first_seen_ms'])}, last on {one['last_seen']}, {text.count(one['edges'], 'link')}"
        shared = f", {styled('shared', 'yellow')} by {text.count(one['unique_ids'], 'person', 'people')}"
        lines.append(f"  {id_text(one):<{width}}  first seen {seen}{shared if one['shared'] else ''}")
    lines += _part("shared ids that were seen with them", [_device(one) for one in person["devices"]])
    lines += _part("merges", [_merge(one) for one in person["merges"]])
    more = person["left_out_total"] - len(person["left_out"])
    left = [_left_out(one) for one in person["left_out"]]
    lines += _part("left out", left + ([f"  and {more:,} older ones"] if more else []))
    lines += _part(
        "never one person", [f"  {id_text(one['a'])} and {id_text(one['b'])}" for one in person["forbidden"]]
    )
    return "\n".join(lines)


def _part(title: str, lines: list[str]) -> list[str]:
    return [styled(f"  {title}", "bold"), *lines] if lines else []


def _device(one: Shown) -> str:
    people = text.count(one["unique_ids"], "person", "people")
    return f"  {id_text(one)}, seen with {people}, last on {one['last_seen']}; by itself {text.plain(one['person'])}"


def _merge(one: Shown) -> str:
    ended = f"; {styled('ended', 'yellow')}: {one['ended']}" if one["ended"] else ""
    return (
        f"  {one['merge']}  {text.moment(one['when_ms'])}  {_by(one)}: {text.plain(one['loser'])} became "
        f"{text.plain(one['winner'])}; {_event(one)}{ended}"
    )


def _left_out(one: Shown) -> str:
    asked = ", asked for" if one["explicit"] else ""
    return (
        f"  {id_text(one['id'])} with {id_text(one['other'])} of {text.plain(one['other_person'])}: {one['reason']}; "
        f"{text.moment(one['received_ms'])}, {_event(one)}{asked}"
    )


def _event(one: Shown) -> str:
    if not one["message_id"]:
        return "the event is not kept any more"
    return f"event {text.plain(one['message_id'])} from {text.plain(one['source']) or 'an operator'}"


def _by(merge: Shown) -> str:
    return " = ".join(map(id_text, merge["ids"]))


def merge_table(merges: Sequence[Shown], *, ended: bool) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows.

    Args:
        ended: whether a column says why one does not hold any more.
    """
    rows = [
        (
            one["merge"],
            text.moment(one["when_ms"]),
            _by(one),
            text.plain(one["winner"]),
            text.plain(one["loser"]),
            text.plain(one["source"]) or ("an operator" if one["message_id"] else "-"),
            text.plain(one["message_id"], 60) or "-",
            *([one["ended"] or "holds"] if ended else []),
        )
        for one in merges
    ]
    return ("MERGE", "WHEN", "BY", "PERSON", "WAS ALSO", "SOURCE", "EVENT", *(["STATE"] if ended else [])), rows


def groups(people: Sequence[Shown]) -> str:
    """Who is parted from whom: `user_id:ann, email:ann@example.com | user_id:bob`."""
    return " | ".join(group(one["ids"]) for one in people)


def group(ids: Sequence[Shown]) -> str:
    """Somebody by the first of their ids."""
    more = f" and {len(ids) - IDS_SHOWN} more" if len(ids) > IDS_SHOWN else ""
    return ", ".join(map(id_text, ids[:IDS_SHOWN])) + more


def several(wanted: str, people: Sequence[Shown], action: str) -> tuple[str, str]:
    """What to say where one is meant and there are several: the candidates, and how to name one."""
    lines = [f"  {id_text(id)} of person {text.plain(one['person'])}" for one in people for id in one["matches"]]
    lines += [f"  person {text.plain(one['person'])}" for one in people if not one["matches"]]
    example = next((id_text(id) for one in people for id in one["matches"]), people[0]["person"])
    return f"{text.plain(wanted)} may be one of these:\n" + "\n".join(lines), f"name one: `people {action} {example}`"
