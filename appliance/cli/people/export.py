"""`sternpost people export, graphml`: to a file that is whole or not there, or to standard output."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from appliance.cli import client, output, progress, text
from appliance.cli.client import Client
from appliance.cli.files import check_free, written
from appliance.cli.output import CommandError
from appliance.cli.people.looking import person_of

EXPORT_TIMEOUT_S = 3600.0
"""The process gathers all of it before the first byte comes."""


def export(process: Client, args: argparse.Namespace) -> int:
    kind = args.format or ("parquet" if args.file and args.file.suffix == ".parquet" else "csv")
    if args.file is None and kind == "parquet" and sys.stdout.isatty():
        raise CommandError("Parquet is nothing for a terminal", "name a file", 2)
    check_free(args.file, args.force)
    with progress.bar("gathering people", 0, progress.wanted(args) and args.file is not None):
        get = process.download
        size, parts = progress.watched(
            lambda: get("/v1/people/export", timeout_s=EXPORT_TIMEOUT_S, format=kind), lambda: None
        )
    return _written(args, size, parts, "all ids with their people")


def graphml(process: Client, args: argparse.Namespace) -> int:
    check_free(args.file, args.force)
    name = person_of(process, args.person)
    size, parts = process.download(f"/v1/people/{client.segment(name)}/graphml")
    return _written(args, size, parts, f"person {name}")


def _written(args: argparse.Namespace, size: int, parts: Iterator[bytes], what: str) -> int:
    target: Path | None = args.file
    if target is None:
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.flush()
        return 0
    with progress.bar("writing bytes", size, progress.wanted(args)) as show:
        count = written(target, parts, show)
    answer = {"file": str(target), "bytes": count}
    if args.json:
        output.print_json(answer)
    else:
        print(f"{what} written to {target}, {text.size(count)}", file=sys.stderr)
    return 0
