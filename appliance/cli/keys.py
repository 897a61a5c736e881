"""`sternpost keys`: show the write keys and how to send with them."""

import argparse

from appliance.cli import output
from appliance.cli.frame import add_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without --config: the file of the process that runs on the data folder; where none runs, ./sternpost.toml."
    )
    parser.add_argument("source", nargs="?", help="name of one source (default: all)")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import client
    from appliance.cli.snippets import collect_url, for_source
    from appliance.core.settings import load_or_default
    from appliance.core.tables import did_you_mean

    config = load_or_default(client.config_in_use(args), args.data).config
    if args.source and args.source not in config.sources:
        hint = did_you_mean(args.source, config.sources) or f"known: {', '.join(config.sources) or 'none'}"
        raise output.CommandError(f"there is no source {args.source!r}", hint, code=2)
    chosen = {name: source for name, source in config.sources.items() if args.source in (None, name)}
    url = collect_url(config)
    if args.json:
        output.print_json([
            {"source": name, "write_key": source.write_key.reveal(), "url": url, "enabled": source.enabled}
            for name, source in chosen.items()
        ])  # fmt: skip
        return 0
    if not chosen:
        print("No source is configured: add [sources.NAME] with a write_key.")
    print("\n\n\n".join(for_source(name, url, source.write_key.reveal()) for name, source in chosen.items()))
    return 0
