"""`sternpost reload`: have the running process read its configuration again; what changes is shown first."""

import argparse
from typing import TYPE_CHECKING, Any

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client

EXIT_REFUSED = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Sources, destinations, plug-ins, tokens and logs change while it runs; no connection ends. A bad file is\n"
        "refused with every fault, and the running configuration stays. SIGHUP does the same."
    )
    parser.add_argument("--diff", action="store_true", help="only show what would change")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client, output

    process = client.find(args.data)
    if args.diff:
        return _diff(process, args)
    changes = process.post("/v1/reload")["changes"]
    if args.json:
        output.print_json({"changes": changes})
    else:
        print("\n".join(changes) or "re-loaded; nothing has changed")
    return 0


def _diff(process: "Client", args: argparse.Namespace) -> int:
    from appliance.cli import output, text

    found = process.get("/v1/config/diff")
    if args.json:
        output.print_json(found)
    for fault in [] if args.json else found["faults"]:
        hint = f" ({text.plain(fault['hint'], 200)})" if fault["hint"] else ""
        print(f"{found['file']}:{fault['line']}: {fault['key']}: {text.plain(fault['message'], 500)}{hint}")
    if not args.json:
        print("\n".join(_words(one) for one in found["changes"]) or _nothing(found))
    return EXIT_REFUSED if found["faults"] else 0


def _words(change: dict[str, Any]) -> str:
    from appliance.cli import text

    later = "  (takes effect at the next start)" if change["restart"] else ""
    return f"{change['key']}: {text.plain(change['running'], 200)} -> {text.plain(change['file'], 200)}{later}"


def _nothing(found: dict[str, Any]) -> str:
    return "a re-load would be refused; the running configuration stays" if found["faults"] else "nothing would change"
