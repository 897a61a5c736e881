"""`sternpost status`: is data coming in, is it safe, is it leaving, what is ill."""

import argparse
import sys
import time
from typing import Any

from appliance.cli.frame import add_json

_STYLE_OF_STATE = {
    "running": "green",
    "degraded": "yellow",
    "open": "red",
    "misconfigured": "red",
    "paused": "cyan",
    "stopped": "red",
    "parked": "dim",
}
_STYLE_OF_HEALTH = {"well": "green", "degraded": "yellow", "failed": "red"}
REFRESH_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Columns of destinations: waiting events, held ones included, and the age of the oldest; people held back by\n"
        "a failed event; events delivered and dead-lettered since the start; 95th percentile of the plug-in's calls.\n"
        "What to do about a destination that does not deliver stands below, after its name.\n"
        "Exit code 4 when no process runs."
    )
    parser.add_argument("--watch", "-w", action="store_true", help="refresh every second until Ctrl-C")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output

    process = client.find(args.data)
    while True:
        overview = process.get("/v1/overview")
        if args.json:
            output.print_json(overview)
        else:
            if args.watch and sys.stdout.isatty():
                print("\x1b[H\x1b[2J", end="")
            _show(overview)
        if not args.watch:
            return 0
        sys.stdout.flush()
        time.sleep(REFRESH_S)


def _show(overview: dict[str, Any]) -> None:
    from appliance.cli import text
    from appliance.cli.output import styled

    health = styled(overview["health"], _STYLE_OF_HEALTH[overview["health"]])
    up = text.age(overview["now_ms"] - overview["started_ms"])
    where = overview["config_file"] or "no configuration file"
    print(f"{styled('sternpost', 'bold')} {overview['version']}, {health}, up {up}, pid {overview['pid']}, {where}")
    print()
    _show_sources(overview)
    print()
    _show_log(overview["log"])
    print()
    _show_destinations(overview)
    for replay in overview["replays"]:
        left = text.count(replay["events_left"], "event")
        print(f"\nreplay {replay['name']} to {text.plain(replay['destination'])}: at most {left} left")
    if overview["sick"]:
        print(f"\n{styled('what is ill', 'bold')}")
        for words in overview["sick"]:
            print(f"  {styled('!', 'yellow')} {text.plain(words, 2000)}")


def _show_sources(overview: dict[str, Any]) -> None:
    from appliance.cli import output, text

    if not overview["sources"]:
        print("No source is configured: add [sources.NAME] with a write_key.")
        return
    rows = [
        (
            text.plain(source["name"]),
            "enabled" if source["enabled"] else "disabled",
            source["accepted_total"],
            source["duplicates_total"],
            source["refused_total"],
            text.ago(source["last_received_ms"], overview["now_ms"]),
        )
        for source in overview["sources"]
    ]
    output.print_table(("SOURCE", "STATE", "EVENTS", "DUPLICATES", "REFUSED", "LAST"), rows)


def _show_log(log: dict[str, Any]) -> None:
    from appliance.cli import text
    from appliance.cli.output import styled

    state = styled(log["state"], "green" if log["state"] == "running" else "red")
    full = f", full in {text.age(log['full_in_s'] * 1000)}" if log["full_in_s"] is not None else ""
    used = f"{text.size(log['bytes'])} of {text.size(log['bytes_max'])} ({log['fill']:.1%}{full})"
    held, dead, refused = log["held"]["count"], log["dead"]["count"], log["refused"]["count"]
    print(
        f"{styled('log', 'bold')}  {state}, {used}, newest sequence {log['last_sequence']:,}, "
        f"oldest kept {text.age(log['oldest_ms'])}, commit p50 {log['commit_p50_ms']:.1f} ms "
        f"p99 {log['commit_p99_ms']:.1f} ms"
    )
    print(
        f"     {text.count(held, 'held event')}, {text.count(dead, 'dead letter')}, {refused:,} refused; "
        f"{text.size(log['queue_bytes'])} wait for their commit"
    )


def _show_destinations(overview: dict[str, Any]) -> None:
    from appliance.cli import output, text
    from appliance.cli.output import styled

    if not overview["destinations"]:
        print("No destination is configured: `sternpost destinations add` or [destinations.NAME] with a plugin.")
        return
    rows = [_destination_row(one) for one in overview["destinations"]]
    header = ("DESTINATION", "STATE", "WAITING", "OLDEST", "PEOPLE HELD", "DELIVERED", "DEAD", "P95", "LAST ERROR")
    if not output.colours():
        output.print_table(header, rows)
    else:
        # Colour goes on after the columns are aligned, since escape codes have no width.
        width = max(len(header[0]), *(len(row[0]) for row in rows)) + 2
        lines = _captured(output.print_table, header, rows)
        print(styled(lines[0], "bold"))
        for line, row in zip(lines[1:], rows, strict=True):
            coloured = styled(row[1], _STYLE_OF_STATE.get(row[1], "dim"))
            print(line[:width] + coloured + line[width + len(row[1]) :])
    up = text.age(overview["now_ms"] - overview["started_ms"])
    kept = text.count(overview["dead_total"], "dead letter")
    are = "is" if overview["dead_total"] == 1 else "are"
    print(f"DELIVERED and DEAD count since the start, {up} ago; {kept} {are} kept now (`sternpost dead list`)")
    for one in overview["destinations"]:
        if one["next_step"]:
            print(f"next, {text.plain(one['name'])}: {text.plain(one['next_step'], 500)}")


def _destination_row(one: dict[str, Any]) -> tuple[str, ...]:
    from appliance.cli import text

    return (
        text.plain(one["name"]),
        one["state"],
        f"{one['lag_events'] + one['held_events']:,}",
        text.age(one["oldest_undelivered_age_ms"]) if one["oldest_undelivered_age_ms"] else "-",
        f"{one['held_people']:,}" if one["held_people"] else "-",
        f"{one['delivered_total']:,}",
        f"{one['aborted_total']:,}",
        f"{one['latency_p95_ms']:.0f} ms",
        text.plain(one["last_error"], 60) or "-",
    )


def _captured(call: Any, *arguments: Any) -> list[str]:
    import contextlib
    import io

    with contextlib.redirect_stdout(io.StringIO()) as printed:
        call(*arguments)
    return printed.getvalue().splitlines()
