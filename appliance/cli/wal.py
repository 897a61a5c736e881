"""`sternpost wal`: figures of the write-ahead log, its verification, its events as JSON lines."""

import argparse
import sys
from pathlib import Path
from typing import Any

from appliance.cli.frame import add_json

FOLDER = "wal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "stats, verify and dump work without a running process too; they change nothing.\n"
        "Exit code 5: the log is damaged."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="action", required=True)
    stats = commands.add_parser("stats", help="sizes, sequences, ages")
    add_json(stats)
    verify = commands.add_parser("verify", help="read everything and compare checksums")
    verify.epilog = (
        "While no process runs: pages, trees, free list and every block. While one runs: every block.\n"
        "It works in a process of its own, since a damaged page kills the process that maps it."
    )
    add_json(verify)
    dump = commands.add_parser("dump", help="print events as JSON lines, oldest first")
    dump.epilog = 'times: RFC 3339 such as 2030-01-31T12:00:00Z, or how long ago such as "2h ago" or 2h'
    dump.add_argument("--from", dest="start", default="", metavar="TIME", help="collected from this time on")
    dump.add_argument("--to", dest="end", default="", metavar="TIME", help="collected before this time")
    dump.add_argument("--type", default="", help="only events of this type (track, identify, ...)")
    dump.add_argument("--filter", default="", metavar="FILTER", help="only events that match, as for `sternpost tail`")
    dump.add_argument("--after", type=int, default=0, metavar="SEQUENCE", help="only events above this sequence")

    add_json(dump)  # it prints nothing else; scripts pass it everywhere
    refused = commands.add_parser("refused", help="list input that never became an event, with the reason")
    refused.epilog = "Needs a running process."
    refused.add_argument("--limit", type=int, default=50, metavar="N", help="at most N (default: 50)")
    refused.add_argument("--after", type=int, default=0, metavar="ID", help="only those above this id")
    add_json(refused)


def run(args: argparse.Namespace) -> int:
    return {"stats": _stats, "verify": _verify, "dump": _dump, "refused": _refused}[args.action](args)


def _stats(args: argparse.Namespace) -> int:
    from appliance.cli import client, output

    process = client.running(args.data)
    if process is None:
        from appliance.wal import offline

        with offline.reading(args.data / FOLDER) as log:
            figures = log.figures()
    else:
        figures = process.get("/v1/wal/stats")
    if args.json:
        output.print_json(figures)
    else:
        _show_stats(figures)
    return 0


def _show_stats(figures: dict[str, Any]) -> None:
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):<22} {_shown(name, value)}")


def _shown(name: str, value: Any) -> str:
    """A figure in the unit that its name ends in."""
    from appliance.cli import text

    if name == "destinations":
        return ", ".join(f"{text.plain(one)} at {where['low']:,}" for one, where in value.items()) or "none"
    if isinstance(value, dict):
        budget = f" of {text.size(value['bytes_max'])}" if "bytes_max" in value else ""
        return f"{value['count']:,}, {text.size(value['bytes'])}{budget}"
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if "bytes" in name:
        return text.size(value)
    if name == "fill":
        return f"{value:.1%}"
    if name.endswith("received_ms"):
        return text.moment(value)
    if name == "oldest_ms":
        return f"{text.age(value)} ago"
    if name.endswith("_ms"):
        return f"{value:.1f} ms"
    return text.age(value * 1000) if name.endswith("_s") else f"{value:,}" if isinstance(value, int) else str(value)


def _verify(args: argparse.Namespace) -> int:
    from appliance.cli import output
    from appliance.cli.checking import check
    from appliance.wal import offline

    folder: Path = args.data / FOLDER
    if not (folder / "data.mdb").is_file():
        raise output.CommandError(f"there is no log in {folder}", "name the data folder with --data", 2)
    with offline.unowned(folder) as free:
        live = not free
        findings = check(folder, live=live)
    if args.json:
        output.print_json({"folder": str(folder), "running": live, "sound": not findings, "findings": findings})
    elif findings:
        print("\n".join(findings))
    else:
        looked_at = "every block" if live else "pages, trees, free list and every block"
        print(f"{folder} is sound: {looked_at}")
    if not findings:
        return 0
    if not args.json:
        output.error(
            f"{len(findings)} findings in {folder}",
            "the next `sternpost run` after an unclean stop sets a damaged store aside and salvages what can be read",
        )
    return 5


def _dump(args: argparse.Namespace) -> int:
    from appliance.cli import client, text

    from_ms = text.parse_moment(args.start) if args.start else 0
    to_ms = text.parse_moment(args.end) if args.end else (1 << 63) - 1
    query = " ".join(filter(None, (f'type:"{args.type}"' if args.type else "", args.filter)))
    process = client.running(args.data)
    if process is None:
        return _dump_offline(args.data / FOLDER, from_ms, to_ms, query, args.after)
    asked = {"from_ms": from_ms, "to_ms": to_ms, "after": args.after, "query": query}
    for line in process.stream("/v1/wal/events", **asked):
        print(line.decode("utf-8", "replace"))
    return 0


def _dump_offline(folder: Path, from_ms: int, to_ms: int, query: str, after: int) -> int:
    from appliance.cli.output import CommandError
    from appliance.control import dump
    from appliance.control.query import QueryError, parse
    from appliance.control.tail_subjects import RecordSubject
    from appliance.core.clock import SystemClock
    from appliance.wal import offline

    try:
        chosen = parse(query)
    except QueryError as error:
        raise CommandError(str(error), "`sternpost tail --help` lists the filters", 2) from None
    clock, damaged = SystemClock(), False
    with offline.reading(folder) as log:
        for line in dump.lines(log, from_ms, to_ms, lambda one: chosen.matches(RecordSubject(one, clock)), after):
            sys.stdout.buffer.write(line)
            damaged |= line.startswith(b'{"damaged"')
    sys.stdout.flush()
    return 5 if damaged else 0


def _refused(args: argparse.Namespace) -> int:
    from appliance.cli import client, output, text

    page = client.find(args.data).get("/v1/refused", after=args.after, limit=max(1, args.limit))
    if args.json:
        output.print_json(page)
        return 0
    if not page["refused"]:
        print("nothing was refused")
        return 0
    rows = [
        (
            one["id"],
            text.moment(one["received_ms"]),
            text.plain(one["source"]) or "-",
            text.plain(one["client"]),
            text.plain(one["reason"], 80),
            text.plain(one["body"], 60),
        )
        for one in page["refused"]
    ]
    output.print_table(("ID", "WHEN", "SOURCE", "CLIENT", "REASON", "BEGINS WITH"), rows)
    if page["after"]:
        print(f"\nthere are more: --after {page['after']}", file=sys.stderr)
    return 0
