"""`sternpost query --csv, --parquet`: an answer as a file that is whole or not there."""

import argparse
import io
import json
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from appliance.cli import output, text
from appliance.cli.files import check_free, written
from appliance.cli.output import CommandError

CHUNK_ROWS = 1_000
CHUNK_BYTES = 1 << 16
_KEPT = re.compile(
    r"U?(TINY|SMALL|BIG)?INT(EGER)?|DOUBLE|FLOAT|DECIMAL\(\d+,\d+\)|BOOLEAN|VARCHAR|DATE|TIME|UUID"
    r"|TIMESTAMP( WITH TIME ZONE|_S|_MS|_NS)?"
)
"""Types that a column of a Parquet file has as the warehouse has it; anything else is text there."""


def check(args: argparse.Namespace) -> None:
    """See to it before the query that a file can be written."""
    if args.parquet is not None and str(args.parquet) == "-":
        raise CommandError("Parquet is written to a file alone", "name a file", 2)
    if str(args.csv or args.parquet) != "-":
        check_free(args.csv or args.parquet, args.force)


def write(args: argparse.Namespace, answer: dict[str, Any]) -> int:
    """Write an answer.

    Raises:
        CommandError: it is not all there and no limit was asked for, or the file cannot be written.
    """
    if answer["more"] and args.limit is None:
        raise CommandError(
            f"the answer has more than {text.count(len(answer['rows']), 'row')}; nothing was written",
            "say how many with --limit, ask for less, or ask the warehouse with a client of its own between two loads",
        )
    if str(args.csv) == "-":
        for part in csv_parts(answer):
            sys.stdout.buffer.write(part)
        sys.stdout.flush()
        return 0
    target: Path = args.csv or args.parquet
    parts = csv_parts(answer) if args.csv else parquet_parts(answer, target.absolute().parent)
    count = written(target, parts, lambda done: None)
    if args.json:
        output.print_json({"file": str(target), "bytes": count, "rows": len(answer["rows"]), "more": answer["more"]})
    else:
        cut = "; there are more" if answer["more"] else ""
        print(f"{text.count(len(answer['rows']), 'row')} written to {target}, {text.size(count)}{cut}", file=sys.stderr)
    return 0


def csv_parts(answer: dict[str, Any]) -> Iterator[bytes]:
    """CSV with a header; NULL is an empty field, text that is empty is "". Source: RFC 4180."""
    rows = [answer["columns"], *answer["rows"]]
    for start in range(0, len(rows), CHUNK_ROWS):
        part = io.StringIO()
        for row in rows[start : start + CHUNK_ROWS]:
            part.write(",".join(map(_field, row)) + "\n")
        yield part.getvalue().encode()


def parquet_parts(answer: dict[str, Any], folder: Path) -> Iterator[bytes]:
    """Parquet in the warehouse's own types, made by DuckDB beside the file."""
    with tempfile.TemporaryDirectory(prefix=".sternpost-query-", dir=folder) as scratch:
        file = Path(scratch) / "answer.parquet"
        _make(answer, Path(scratch), file)
        with file.open("rb") as made:
            while part := made.read(CHUNK_BYTES):
                yield part


def distinct(columns: Sequence[str]) -> list[str]:
    """Names of columns, those that come again, in whatever case, with a number."""
    taken: set[str] = set()
    names = []
    for column in columns:
        name, number = column, 1
        while name.lower() in taken:
            number += 1
            name = f"{column}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def _make(answer: dict[str, Any], scratch: Path, file: Path) -> None:
    import duckdb

    names = distinct(answer["columns"])
    types = answer["types"] or ["VARCHAR"] * len(names)
    kept = ["DECIMAL(38,0)" if each == "HUGEINT" else each if _KEPT.fullmatch(each) else "VARCHAR" for each in types]
    columns = ", ".join(
        f'CAST(r[{place}] AS {kind}) AS "{name.replace(chr(34), chr(34) * 2)}"'
        for place, (name, kind) in enumerate(zip(names, kept, strict=True), 1)
    )
    source = "read_json(?, format = 'newline_delimited', records = false, columns = {r: 'VARCHAR[]'})"
    try:
        with (
            tempfile.TemporaryFile(dir=scratch) as rows,
            duckdb.connect(config={"temp_directory": str(scratch)}) as connection,
        ):
            for row in answer["rows"]:
                rows.write(json.dumps([_scalar(value) for value in row]).encode() + b"\n")
            rows.flush()
            connection.execute("SET TimeZone = 'UTC'")
            # By its number, as a path may hold characters that stand for many files.
            connection.execute(
                f"CREATE TABLE answer AS SELECT {columns} FROM {source}", [f"/proc/self/fd/{rows.fileno()}"]
            )
            connection.table("answer").write_parquet(str(file), compression="zstd")
    except duckdb.Error as error:
        raise CommandError(f"the answer cannot be written as Parquet: {error}", "--csv writes anything") from None


def _scalar(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    shown = str(_scalar(value))
    if shown and not any(character in shown for character in ',"\r\n') and shown == shown.strip():
        return shown
    return '"' + shown.replace('"', '""') + '"'
