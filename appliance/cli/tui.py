"""`sternpost tui`: the console, which is a program of its own and talks to the admin API."""

import argparse
from pathlib import Path

EPILOG = """\
The token comes from STERNPOST_TOKEN, from --token-file, from the data folder of an appliance on this machine, or from
a prompt. Own keys stand in $XDG_CONFIG_HOME/sternpost/keys.toml; ? in the console lists them all."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "url", nargs="?", default="", metavar="URL", help="the admin API (default: of the process on the data folder)"
    )
    parser.add_argument("--token-file", type=Path, default=None, metavar="PATH", help="file that holds the token")
    parser.add_argument("--read-only", action="store_true", help="offer nothing that changes anything")


def run(args: argparse.Namespace) -> int:
    from appliance.cli.locate import locate
    from appliance.cli.output import CommandError
    from tui.start import StartFault, run_console

    if not args.url:
        locate(args.data)  # A process that cannot be reached is told before a console is drawn.
    try:
        return run_console(args.url, args.data, args.token_file, read_only=args.read_only)
    except StartFault as fault:
        raise CommandError(fault.message, fault.next_step, fault.code) from None
