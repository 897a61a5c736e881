"""`sternpost run`: start the appliance and say what to try next."""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.core.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without a configuration file: loopback, a generated write key, events into DATA/out and DATA/warehouse.\n"
        "SIGTERM and Ctrl-C stop within 10 s and lose nothing; SIGHUP re-loads the configuration."
    )
    parser.add_argument("--quiet", action="store_true", help="do not print what to try next (for services)")
    parser.add_argument(
        "--null-store",
        action="store_true",
        help="measurements only: acknowledge events WITHOUT keeping them",
    )


def run(args: argparse.Namespace) -> int:
    from appliance.app import App

    app = App(args.config, args.data, null_store=args.null_store)

    def show(config: "Config", collect_address: tuple[str, int]) -> None:
        from appliance.cli.snippets import banner

        if not args.quiet:
            base = args.config.parent if args.config else Path()
            print(banner(config, collect_address, base, program(args), app.console_link()), flush=True)

    return app.run(on_ready=show)


def program(args: argparse.Namespace) -> str:
    """How to call this command from here so that it finds the same configuration and data folder."""
    from appliance.cli.frame import DEFAULT_CONFIG, DEFAULT_DATA

    words = [_called()]
    if args.config not in (None, DEFAULT_CONFIG):
        words += ["--config", shlex.quote(str(args.config))]
    if args.data != DEFAULT_DATA:
        words += ["--data", shlex.quote(str(args.data))]
    return " ".join(words)


def _called() -> str:
    if os.path.basename(sys.argv[0]) == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m appliance"
    found = shutil.which("sternpost")
    if found and os.path.samefile(found, sys.argv[0]):
        return "sternpost"
    return shlex.quote(os.path.relpath(sys.argv[0]))
