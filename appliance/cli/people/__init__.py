"""`sternpost people`: who has an id, all of a person, merges and how to undo them, exports of the person graph."""

import argparse

from appliance.cli.people.arguments import add_arguments

__all__ = ["add_arguments", "run"]


def run(args: argparse.Namespace) -> int:
    """Do what one of the commands asks for; nothing else of this room is imported before."""
    from appliance.cli import client
    from appliance.cli.people import acts, export, looking, review, suggest

    actions = {
        "find": looking.find, "show": looking.show, "merges": looking.merges,
        "undo": acts.undo, "forbid": acts.forbid, "allow": acts.allow,
        "export": export.export, "graphml": export.graphml, "suggest": suggest.suggest,
        "suggestions": review.suggestions, "accept": review.accept, "reject": review.reject,
    }  # fmt: skip
    return actions[args.action](client.find(args.data), args)
