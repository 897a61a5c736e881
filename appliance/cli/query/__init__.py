"""`sternpost query`: ask a warehouse through the running process; a table, a chart, JSON, CSV or Parquet."""

import argparse
import sys
from pathlib import Path
from typing import Any

from appliance.cli.frame import add_json

ROWS = 1_000
ROWS_MAX = 100_000
"""Most rows of an answer, as the admin API has it."""
TIMEOUT_S = 120.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'sternpost query "SELECT event, count(*) AS n FROM tracks GROUP BY ALL ORDER BY n DESC" --chart bar\n'
        "sternpost query - < question.sql\n\n"
        "The process asks the warehouse between two loads. A query reads the warehouse alone and changes nothing;\n"
        "what takes too long is ended. A shell takes $ and ` in double quotes for its own: give SQL in single quotes\n"
        "then, or on standard input."
    )
    parser.add_argument("sql", metavar="SQL", help="the query; - reads it from standard input")
    parser.add_argument("--destination", default="", metavar="NAME", help="the warehouse, where there are several")
    parser.add_argument(
        "--limit", type=int, metavar="N", help=f"at most N rows, up to {ROWS_MAX:,} (default: {ROWS:,})"
    )
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--chart", choices=("bar", "line"), help="draw the first column of numbers")
    ways.add_argument("--csv", type=Path, metavar="FILE", help="write CSV; - is standard output")
    ways.add_argument("--parquet", type=Path, metavar="FILE", help="write Parquet")
    parser.add_argument("--force", action="store_true", help="replace FILE where there is one")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, text
    from appliance.cli.output import CommandError

    if args.limit is not None and not 1 <= args.limit <= ROWS_MAX:
        raise CommandError(f"--limit is 1 to {ROWS_MAX:,}", "leave it out for the default", 2)
    sql = sys.stdin.read() if args.sql == "-" else args.sql
    if not sql.strip():
        raise CommandError("the query is empty", 'sternpost query "SHOW TABLES"', 2)
    is_export = args.csv is not None or args.parquet is not None
    if is_export:
        from appliance.cli.query import export

        export.check(args)
    order = {
        "sql": sql,
        "destination": args.destination,
        "rows_max": args.limit or (ROWS_MAX if is_export else ROWS),
    }
    try:
        answer = client.find(args.data).post("/v1/query", order, timeout_s=TIMEOUT_S)
    except CommandError as error:  # The warehouse may quote values, which come from events.
        raise CommandError(text.lines(error.message), error.next_step, error.code) from None
    return export.write(args, answer) if is_export else _show(args, answer)


def _show(args: argparse.Namespace, answer: dict[str, Any]) -> int:
    from appliance.cli import output
    from appliance.cli.query import chart, table

    width = table.terminal_width()
    if args.json:
        output.print_json(answer)
        return 0
    if args.chart:
        draw = chart.bars if args.chart == "bar" else chart.line
        print(draw(answer["columns"], answer["types"], answer["rows"], width or 80))
    elif answer["columns"]:
        print(table.drawn(answer["columns"], answer["types"], answer["rows"], width))
    print(output.styled(table.footer(answer), "dim", sys.stderr), file=sys.stderr)
    return 0
