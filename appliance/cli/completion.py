"""`sternpost completion`: print the completion script of a shell."""

import argparse
import re

SHELLS = ("bash", "zsh", "tcsh")
NAMES_OF = ("destinations", "sources", "names", "merges", "suggestions")
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_PREAMBLE = {
    "bash": """_sternpost_names() {
  local given="" number
  for ((number = 1; number < COMP_CWORD; number++)); do
    [[ "${COMP_WORDS[number]}" == --data ]] && given="${COMP_WORDS[number + 1]}"
  done
  compgen -W "$(command "${COMP_WORDS[0]}" completion "$1" ${given:+--data "$given"} 2>/dev/null)" -- "$2"
}
_sternpost_destinations() { _sternpost_names destinations "$1"; }
_sternpost_sources() { _sternpost_names sources "$1"; }
_sternpost_all() { _sternpost_names names "$1"; }
_sternpost_merges() { _sternpost_names merges "$1"; }
_sternpost_suggestions() { _sternpost_names suggestions "$1"; }""",
    "zsh": """_sternpost_names() {
  local -a found
  found=(${(f)"$(command sternpost completion $1 2>/dev/null)"})
  compadd -a found
}
_sternpost_destinations() { _sternpost_names destinations; }
_sternpost_sources() { _sternpost_names sources; }
_sternpost_all() { _sternpost_names names; }
_sternpost_merges() { _sternpost_names merges; }
_sternpost_suggestions() { _sternpost_names suggestions; }""",
}
_FUNCTIONS = {
    "destinations": "_sternpost_destinations",
    "sources": "_sternpost_sources",
    "names": "_sternpost_all",
    "merges": "_sternpost_merges",
    "suggestions": "_sternpost_suggestions",
}
_COMPLETED: dict[tuple[str, ...], str] = {
    ("pause", "name"): "names",
    ("resume", "name"): "names",
    ("keys", "source"): "sources",
    ("send", "source"): "sources",
    ("replay", "destination"): "destinations",
    ("warehouse", "reload", "name"): "destinations",
    ("people", "undo", "merge"): "merges",
    ("people", "accept", "number"): "suggestions",
    ("people", "reject", "number"): "suggestions",
    **{("sources", action, "name"): "sources" for action in ("pause", "resume", "rotate-key")},
    **{
        ("destinations", action, "name"): "destinations"
        for action in ("show", "test", "pause", "resume", "drain", "forget")
    },
}
"""Command, sub-command where there is one, argument -> whose names are offered there."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        'bash: eval "$(sternpost completion bash)"\nzsh:  eval "$(sternpost completion zsh)"\n\n'
        "The scripts of bash and zsh ask for destinations, sources, merges and suggestions as they are needed, by\n"
        "`sternpost completion destinations`, which prints them: those of the process that runs on the data folder."
    )
    parser.add_argument("shell", choices=(*SHELLS, *NAMES_OF))


def run(args: argparse.Namespace) -> int:
    import shtab

    from appliance.cli.frame import build_parser, complete_all

    if args.shell in NAMES_OF:
        print("\n".join(_names(args)))
        return 0
    parser = build_parser()
    complete_all(parser)
    _offer_names(parser, ())
    print(shtab.complete(parser, args.shell, preamble=_PREAMBLE.get(args.shell, "")))
    return 0


def _offer_names(parser: argparse.ArgumentParser, commands: tuple[str, ...]) -> None:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                _offer_names(child, (*commands, name))
        elif kind := _COMPLETED.get((*commands, action.dest)):
            function = _FUNCTIONS[kind]
            action.complete = {"bash": function, "zsh": function}  # type: ignore[attr-defined]  # shtab reads it


def _names(args: argparse.Namespace) -> list[str]:
    """Names that a shell may be offered; none where no process can be asked, since a completion has nobody to tell."""
    from appliance.cli import client
    from appliance.cli.output import CommandError

    kinds = ("destinations", "sources") if args.shell == "names" else (args.shell,)
    try:
        process = client.find(args.data)
        if args.shell == "merges":
            merges = process.get("/v1/people/merges")["merges"]
            return [one["merge"] for one in merges if _SAFE.fullmatch(one["merge"])]
        if args.shell == "suggestions":
            return [str(one["number"]) for one in process.get("/v1/people/suggestions")["suggestions"]]
        return [
            one["name"] for kind in kinds for one in process.get(f"/v1/{kind}")[kind] if _SAFE.fullmatch(one["name"])
        ]
    except CommandError:
        return []
