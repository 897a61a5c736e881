"""`sternpost dead edit`: one dead letter goes back with another event in its original's place."""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.client import Client

EDITORS = ("VISUAL", "EDITOR")


def add_edit_arguments(parser: argparse.ArgumentParser) -> None:
    """Which letter, and where the event comes from."""
    parser.epilog = (
        "Opens the original in $VISUAL or $EDITOR; with --file it is read from there (- for standard input).\n"
        "messageId, userId and anonymousId must stay: they are how the event is known and ordered. Nothing is done\n"
        "where the text stays as it was."
    )
    parser.add_argument("id", type=int)
    parser.add_argument("--file", "-f", metavar="FILE", help="a JSON object in the original's place")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_json(parser)


def edit(process: "Client", args: argparse.Namespace) -> int:
    """Have it edited and sent again."""
    from appliance.cli import client, output

    original = _original(process, args.id)
    if original == "null":
        raise output.CommandError(f"dead letter {args.id} holds no original; nothing was done", "requeue it as it is")
    edited = _read(args.file) if args.file else _edited(original)
    if edited.strip() == original.strip():
        print("nothing was changed, and nothing was done", file=sys.stderr)
        return 0
    try:
        json.loads(edited)
    except ValueError as error:
        raise output.CommandError(
            f"that is no JSON: {error}; the dead letter was kept", "mend it and repeat", 2
        ) from None
    if not client.confirmed(args, f"Send the edited event in the place of dead letter {args.id}?"):
        return 1
    answer = process.post(f"/v1/dead/{args.id}/requeue", f'{{"expect":1,"event":{edited}}}'.encode())
    return client.printed(args, answer, lambda _: f"dead letter {args.id} is on its way again, edited")


def _original(process: "Client", letter_id: int) -> str:
    """The original's own text, laid out for reading: numbers stay as they came."""
    import msgspec

    letter = msgspec.json.decode(b"".join(process.stream(f"/v1/dead/{letter_id}")), type=dict[str, msgspec.Raw])
    return msgspec.json.format(bytes(letter["original"]), indent=2).decode()


def _read(file: str) -> str:
    from appliance.cli import output

    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise output.CommandError(f"{file} cannot be read: {error}", "the dead letter was kept", 2) from None


def _edited(original: str) -> str:
    """The text as it comes back from the user's editor."""
    from appliance.cli import output

    editor = next((words for name in EDITORS if (words := os.environ.get(name))), "vi")
    with tempfile.TemporaryDirectory() as folder:  # mode 0700: events are nobody else's business
        file = Path(folder) / "event.json"
        file.write_text(original + "\n", encoding="utf-8")
        try:
            done = subprocess.run([*shlex.split(editor), str(file)], check=False)
        except OSError as error:
            raise output.CommandError(
                f"{editor} cannot be started: {error.strerror}", "set EDITOR, or use --file", 2
            ) from None
        if done.returncode:
            raise output.CommandError(f"{editor} ended with {done.returncode}; the dead letter was kept", "repeat", 1)
        return file.read_text(encoding="utf-8")
