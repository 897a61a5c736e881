"""`sternpost pause`: stop a destination or a source; nothing is lost."""

import argparse

from appliance.cli.switching import add_switch_arguments, switch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "A paused destination keeps its position; its events wait in the log, in order. A paused source answers 503\n"
        "with Retry-After, so that clients keep their events. Both stay paused over a restart: `sternpost resume`."
    )
    add_switch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return switch(args, "pause")
