"""`sternpost run`: start the appliance and say what to try next."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from appliance.core.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without a configuration file: loopback, a generated write key, events into DATA/out.\n"
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

    def show(config: "Config", collect_address: tuple[str, int]) -> None:
        from appliance.cli.snippets import banner

        if not args.quiet:
            print(banner(config, collect_address, args.data), flush=True)

    return App(args.config, args.data, null_store=args.null_store).run(on_ready=show)
