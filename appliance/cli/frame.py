"""The command line's frame: knows every command's name, imports a command's module only when it is called.

How to add a command: write `appliance/cli/NAME.py`, or a room `appliance/cli/NAME/` where it has many, with

    def add_arguments(parser: argparse.ArgumentParser) -> None   # may call parser.add_subparsers(...)
    def run(args: argparse.Namespace) -> int                      # does the work, returns an exit code

and one line in `COMMANDS` below. Heavy imports (aiohttp, msgspec, rich, ...) stand inside `run` or below it, never
where `add_arguments` needs them, so that `sternpost NAME --help` stays instant too. The same
holds for the other modules of a room.

`args` always carries
    args.config: Path | None   --config, else ./sternpost.toml where that exists, else None
    args.data:   Path          --data, else ./sternpost-data
    args.json:   bool          --json, for commands that called `add_json(parser)`; False elsewhere
`--config`, `--data` may stand before the command, behind it and behind a command's own sub-command.

A command that fails raises `CommandError(message, next_step, code)`, or any `SternpostError`; the frame prints it as
one clear message on stderr and returns its exit code. Printing helpers: `appliance/cli/output.py`.
"""

import argparse
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from appliance.cli import output
from appliance.cli.output import CommandError
from appliance.core import errors

COMMANDS: dict[str, str] = {
    "run": "start the appliance",
    "init": "write a commented sternpost.toml",
    "check": "check the configuration and report every fault at once",
    "keys": "show the write keys and how to send with them",
    "send": "send sample events, to try things out",
    "status": "show what the running process does",
    "tui": "look at a running process and act on it, on the whole terminal",
    "console": "print a link that opens the console in a browser",
    "tail": "show events as they come in",
    "trace": "tell where one event is",
    "sources": "list, pause or resume sources, rotate their keys",
    "destinations": "list, add, test, drain or forget destinations",
    "warehouse": "load a warehouse again that was restored from a backup",
    "pause": "stop a destination or a source; nothing is lost",
    "resume": "let a paused destination or source go on",
    "people": "find people by any id, look at their merges and undo them, export the graph",
    "dead": "list, show, requeue, edit, purge or export dead letters",
    "replay": "deliver a range of past events again",
    "reload": "read the configuration again, or show what that would change",
    "audit": "show who did what, when and to how many",
    "wal": "inspect and verify the write-ahead log",
    "plugins": "list, create or test plug-ins",
    "completion": "print the completion script of a shell",
}
"""Name and summary of every command; the module is `appliance.cli.NAME`."""

EXIT_CODES: dict[int, str] = {
    0: "done",
    1: "failed at run time",
    2: "bad usage or configuration",
    3: "the data folder is locked: another process runs on it",
    4: "no process is running where one is needed",
    5: "the write-ahead log failed or is damaged",
}
"""What every command returns, and when."""

_CODE_OF_ERROR: dict[type[errors.SternpostError], int] = {
    errors.ConfigError: 2,
    errors.PluginFault: 2,
    errors.FolderLocked: 3,
    errors.LogFailed: 5,
    errors.DamagedRecord: 5,
}

DEFAULT_CONFIG = Path("sternpost.toml")
DEFAULT_DATA = Path("sternpost-data")


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves epilogs as written, and room for the longest command name."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=20, width=100)


class CommandParser(argparse.ArgumentParser):
    """A parser that knows `--config` and `--data`, and fetches its command's module when it is first asked to parse."""

    def __init__(self, *args: Any, module: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", _Formatter)
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(*args, **kwargs)
        self._module, self._mixing = module, False
        self.add_argument(
            "--config",
            type=Path,
            metavar="PATH",
            default=argparse.SUPPRESS,
            help="configuration file (default: ./sternpost.toml, where it exists)",
        )
        self.add_argument(
            "--data",
            type=Path,
            metavar="PATH",
            default=argparse.SUPPRESS,
            help="data folder (default: ./sternpost-data)",
        )

    def complete(self) -> None:
        """Add the arguments of this parser's command, once."""
        if not self._module:
            return
        module, self._module = importlib.import_module(self._module), ""
        self.set_defaults(run_command=module.run)
        module.add_arguments(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # the base has overloads
        self.complete()
        if self._mixing or not any(action.nargs in ("*", "+") for action in self._get_positional_actions()):
            return super().parse_known_args(args, namespace)
        # Words of a list may stand on both sides of an option: `dead purge dest:crm --yes code:400`.
        self._mixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._mixing = False

    def error(self, message: str) -> NoReturn:
        """One clear message and the next step, exit code 2."""
        next_step = f"`{self.prog} --help`"
        if unknown := re.fullmatch(r"argument COMMAND: invalid choice: '(.*?)' \(.*", message, re.DOTALL):
            from difflib import get_close_matches

            message = f"there is no command {unknown[1]!r}"
            if near := get_close_matches(unknown[1], COMMANDS, n=1):
                next_step = f"did you mean `sternpost {near[0]}`?"
        output.error(message, next_step)
        sys.exit(2)


def add_json(parser: argparse.ArgumentParser) -> None:
    """Give a command the flag `--json`: print JSON for machines in place of text for people."""
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")


def build_parser() -> CommandParser:
    """The whole command line, without any command's own arguments."""
    codes = "\n".join(f"  {code}  {meaning}" for code, meaning in EXIT_CODES.items())
    parser = CommandParser(
        prog="sternpost",
        description="Sternpost: a customer data platform in one process.",
        epilog=f"exit codes:\n{codes}\n\nenvironment:\n  NO_COLOR  set to anything: no colours",
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    parser.set_defaults(config=None, data=DEFAULT_DATA, json=False, run_command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", prog="sternpost")
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary, description=_sentence(summary), module=f"appliance.cli.{name}")
    return parser


def complete_all(parser: argparse.ArgumentParser) -> None:
    """Fetch the arguments of all commands; for those who need the whole command line at once."""
    if isinstance(parser, CommandParser):
        parser.complete()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                complete_all(child)


def main(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: as typed, without the program's name.

    Returns:
        The exit code, one of `EXIT_CODES`, or 130 after Ctrl-C.
    """
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.version:
        print(f"sternpost {_version()}")
        return 0
    if args.run_command is None:
        parser.print_help()
        return 2
    args.config_given = args.config is not None
    if args.config is None and DEFAULT_CONFIG.is_file():
        args.config = DEFAULT_CONFIG
    return _guarded(args)


def _guarded(args: argparse.Namespace) -> int:
    try:
        return int(args.run_command(args))
    except CommandError as error:
        output.error(error.message, error.next_step)
        return error.code
    except errors.SternpostError as error:
        output.error(str(error))
        return next((code for kind, code in _CODE_OF_ERROR.items() if isinstance(error, kind)), 1)
    except BrokenPipeError:
        # The reader (head, less) has gone: nobody wants the rest, and Python's own flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("sternpost")
    except PackageNotFoundError:
        return "(not installed)"
