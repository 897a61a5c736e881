"""`sternpost resume`: let a paused destination or source go on."""

import argparse

from appliance.cli.switching import add_switch_arguments, switch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_switch_arguments(parser)


def run(args: argparse.Namespace) -> int:
    return switch(args, "resume")
