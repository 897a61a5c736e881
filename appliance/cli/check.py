"""`sternpost check`: report every fault of the configuration at once, plug-in options included."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli import output
from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.core.errors import Fault
    from appliance.core.settings import Loaded


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit code 0: sound; 2: faults were printed."
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.core.errors import ConfigError
    from appliance.core.settings import examine

    if args.config is None:
        raise output.CommandError(
            "there is no sternpost.toml here", "`sternpost init` writes one; `sternpost run` works without", code=2
        )
    try:
        loaded, faults = examine(args.config)
        faults = sorted(faults + plugin_faults(loaded, args.data), key=lambda fault: fault.line)
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


def plugin_faults(loaded: "Loaded", data: Path) -> "list[Fault]":
    """Plug-ins that are missing or broken, and what the others say about their own keys."""
    import msgspec

    from appliance.core.errors import ConfigError
    from appliance.core.settings import Loaded
    from appliance.deliver.bind import Shelf, bind

    shelf = Shelf(data)
    shelf.look(loaded.config.plugins.folders)
    faults = []
    for name, destination in loaded.config.destinations.items():
        alone = msgspec.structs.replace(loaded.config, destinations={name: destination})
        try:
            _, broken = bind(shelf, Loaded(alone, loaded.origins, loaded.file), Path(loaded.file).parent)
            faults += [loaded.fault(("destinations", name, "plugin"), words) for words in broken]
        except ConfigError as error:
            faults += error.faults
    return faults
