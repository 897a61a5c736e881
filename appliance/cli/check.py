"""`sternpost check`: report every fault of the configuration at once, plug-in options included."""

import argparse

from appliance.cli import output
from appliance.cli.frame import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit code 0: sound; 2: faults were printed."
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.core.errors import ConfigError
    from appliance.deliver.bind import Shelf, everything_wrong

    if args.config is None:
        raise output.CommandError(
            "there is no sternpost.toml here", "`sternpost init` writes one; `sternpost run` works without", code=2
        )
    try:
        refused, unusable = everything_wrong(args.config, Shelf(args.data))
        faults = sorted(refused + unusable, key=lambda fault: fault.line)
    except ConfigError as error:
        faults = error.faults
    if args.json:
        output.print_json([
            {"file": fault.file, "line": fault.line, "key": fault.key, "message": fault.message, "hint": fault.hint}
            for fault in faults
        ])  # fmt: skip
    elif faults:
        print("\n".join(str(fault) for fault in faults))
        output.error(f"{len(faults)} fault{'s' if len(faults) > 1 else ''} in {args.config}")
    else:
        print(f"{args.config} is sound")
    return 2 if faults else 0
