"""`sternpost people export, graphml`: to a file that is whole or not there, or to standard output."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.cli import client, output, progress, text
from appliance.cli.client import Client
from appliance.cli.output import CommandError
from appliance.cli.people.looking import person_of

EXPORT_TIMEOUT_S = 3600.0
"""The process gathers all of it before the first byte comes."""


def export(process: Client, args: argparse.Namespace) -> int:
    kind = args.format or ("parquet" if args.file and args.file.suffix == ".parquet" else "csv")
    if args.file is None and kind == "parquet" and sys.stdout.isatty():
        raise CommandError("Parquet is nothing for a terminal", "name a file", 2)
    _check_free(args)
    with progress.bar("gathering people", 0, progress.wanted(args) and args.file is not None):
        get = process.download
        size, parts = progress.watched(
            lambda: get("/v1/people/export", timeout_s=EXPORT_TIMEOUT_S, format=kind), lambda: None
        )
    return _written(args, size, parts, "all ids with their people")


def graphml(process: Client, args: argparse.Namespace) -> int:
    _check_free(args)
    name = person_of(process, args.person)
    size, parts = process.download(f"/v1/people/{client.segment(name)}/graphml")
    return _written(args, size, parts, f"person {name}")


def _check_free(args: argparse.Namespace) -> None:
    if args.file is None:
        return
    if not args.file.parent.is_dir():
        raise CommandError(f"{args.file} cannot be written: there is no folder {args.file.parent}", "make it first", 2)
    if args.file.exists() and not args.force:
        raise CommandError(
            f"{args.file} is there already; nothing was written", "repeat with --force, or name another", 2
        )


def _written(args: argparse.Namespace, size: int, parts: Iterator[bytes], what: str) -> int:
    target: Path | None = args.file
    if target is None:
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.flush()
        return 0
    with progress.bar("writing bytes", size, progress.wanted(args)) as show:
        count = _kept(target, parts, show)
    answer = {"file": str(target), "bytes": count}
    if args.json:
        output.print_json(answer)
    else:
        print(f"{what} written to {target}, {text.size(count)}", file=sys.stderr)
    return 0


def _kept(target: Path, parts: Iterator[bytes], show: Callable[[int], None]) -> int:
    """Write beside the file first, so that what breaks off is never taken for the whole; a pipe or a device as it is.

    Raises:
        CommandError: it cannot be written, or broke off.
    """
    is_special = target.exists() and not target.is_file()
    written, count = target if is_special else target.with_name(f".{target.name}.{os.getpid()}.part"), 0
    try:
        # Personal data: for nobody else's eyes.
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            for part in parts:
                opened.write(part)
                count += len(part)
                show(count)
        if not is_special:
            written.replace(target)
    except OSError as error:
        raise CommandError(
            f"{target} cannot be written: {error.strerror or error}", "make room, or name another"
        ) from None
    finally:
        if not is_special:
            written.unlink(missing_ok=True)
    return count
