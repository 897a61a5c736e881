"""What `sternpost destinations list` and `show` print."""

import argparse
from typing import TYPE_CHECKING, Any

from appliance.cli import client, output, text
from appliance.cli.output import styled

if TYPE_CHECKING:
    from appliance.cli.client import Client

HELD_SHOWN_MAX = 20
KINDS_SHOWN_MAX = 10


def list_all(process: "Client", args: argparse.Namespace) -> int:
    """Every destination, those that do not run included, and what to do about them."""
    destinations = process.get("/v1/destinations")["destinations"]
    if args.json:
        output.print_json(destinations)
        return 0
    if not destinations:
        print("no destination is configured; `sternpost destinations add --help` shows how")
        return 0
    rows = [
        (
            text.plain(one["name"]),
            one["plugin"] or "-",
            one["state"],
            f"{one['lag_events'] + one['held_events']:,}",
            f"{one['held_people']:,}",
            f"{one['delivered_total']:,}",
            f"{one['aborted_total']:,}",
            text.plain(one["last_error"], 80) or "-",
        )
        for one in destinations
    ]
    output.print_table(
        ("DESTINATION", "PLUGIN", "STATE", "WAITING", "PEOPLE HELD", "DELIVERED", "DEAD", "LAST ERROR"), rows
    )
    for one in destinations:
        if one["next_step"]:
            print(f"next, {text.plain(one['name'])}: {text.plain(one['next_step'], 500)}")
    return 0


def show(process: "Client", args: argparse.Namespace) -> int:
    """One destination: figures, breaker, what was skipped, errors by kind with a sample, who waits."""
    found = client.destination(process, args.name)
    held = process.get(f"/v1/destinations/{client.segment(args.name)}/held", limit=HELD_SHOWN_MAX)
    if args.json:
        output.print_json({**found, "held": held["held"]})
        return 0
    for name, value in facts(found):
        print(f"{name + ':':<14} {value}")
    for skip in found["skips"]:
        print(
            f"{styled('skipped', 'red')} {skip['first_sequence']:,} to {skip['last_sequence']:,} at "
            f"{text.moment(skip['skipped_ms'])}: {text.plain(skip['reason'], 500)}"
        )
    for error in found["errors"][:KINDS_SHOWN_MAX]:
        print(
            f"\n{styled(text.plain(error['reason'], 500), 'red')}  {text.count(error['count'], 'time')}, "
            f"last {text.moment(error['last_ms'])}\n{text.lines(error['sample'])}"
        )
    if held["held"]:
        print()
        _show_held(held)
    return 0


def facts(one: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of a destination, name and words each; parts that say nothing are left out. Pure."""
    waiting = one["lag_events"] + one["held_events"]
    held = f"{text.count(one['held_events'], 'event')} of {text.count(one['held_people'], 'person', 'people')}"
    oldest = f", the oldest {text.age(one['oldest_undelivered_age_ms'])}" if one["oldest_undelivered_age_ms"] else ""
    error = text.plain(one["last_error"], 500)
    error_at = f" (at {text.moment(one['last_error_ms'])})" if one["last_error_ms"] else ""
    measured = one["latency_p95_ms"] > 0
    hung = one["hung"] and f"{text.count(one['hung'], 'call')} of the plug-in that cannot be stopped"
    rows = [
        ("destination", text.plain(one["name"])),
        ("state", text.plain(one["state"])),
        ("next", text.plain(one["next_step"], 500)),
        ("plug-in", text.plain(one["plugin"])),
        ("sources", ", ".join(map(text.plain, one["sources"]))),
        ("breaker", _breaker_words(one["breaker"])),
        ("waiting", f"{text.count(waiting, 'event')}{oldest}"),
        ("held", held if one["held_people"] else ""),
        ("on their way", text.count(one["in_flight"], "event") if one["in_flight"] else ""),
        ("hung", hung or ""),
        ("settled up to", f"sequence {one['sequence_low']:,}"),
        ("delivered", f"{one['delivered_total']:,} since the start, {one['delivered_per_s']:.1f} per second now"),
        ("filtered", f"{one['filtered_total']:,} since the start"),
        ("failed", f"{one['failed_total']:,} since the start, {one['failed_5m']:,} in the last 5 min, each attempt"),
        ("dead letters", f"{one['aborted_total']:,} since the start"),
        ("latency", f"p50 {one['latency_p50_ms']:.1f} ms, p95 {one['latency_p95_ms']:.1f} ms" if measured else ""),
        ("loaded", _load_words(one["load"]) if one["load"] else ""),
        ("last error", error and error + error_at),
    ]
    return [(name, words) for name, words in rows if words]


def _load_words(load: dict[str, Any]) -> str:
    if not load["loads_total"]:
        return "nothing yet since the start"
    columns = f", {text.count(load['last_columns'], 'new column')}" if load["last_columns"] else ""
    since = f"{text.count(load['rows_total'], 'row')} in {text.count(load['loads_total'], 'load')} since the start"
    return (
        f"{since}; the last at {text.moment(load['last_ms'])}: {text.count(load['last_rows'], 'row')} into "
        f"{text.count(load['last_tables'], 'table')}{columns}, {load['last_duration_ms']:,.0f} ms"
    )


def _breaker_words(breaker: dict[str, Any]) -> str:
    if not breaker:
        return ""
    if breaker["state"] == "closed":
        return "closed: everybody is tried"
    cause = f": {text.plain(breaker['cause'], 300)}" if breaker["cause"] else ""
    since, probe = text.moment(breaker["opened_ms"]), text.moment(breaker["next_probe_ms"])
    return f"{text.plain(breaker['state'])} since {since}{cause}; the next probe at {probe}"


def _show_held(held: dict[str, Any]) -> None:
    output.print_table(
        ("PERSON HELD", "EVENTS", "ATTEMPTS", "NEXT TRY", "ERROR"),
        [
            (
                text.plain(one["person"], 60),
                one["events"],
                one["attempts"],
                text.moment(one["next_try_ms"]),
                text.plain(one["error"], 80),
            )
            for one in held["held"]
        ],
    )
    if (more := held["people"] - len(held["held"])) > 0:
        print(f"and {text.count(more, 'person', 'people')} more; the console shows them all")
