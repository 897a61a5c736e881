"""Starts the console: finds the appliance, its token (never among the arguments) and the user's keys.

The token comes from STERNPOST_TOKEN, from `--token-file` (a pipe such as /dev/fd/3 will do), from the data folder of
an appliance on this machine, or from a prompt, in this order.
"""

import asyncio
import getpass
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tui.keys import KeysFault, keys_file, read_keymap

if TYPE_CHECKING:
    from tui.client import Client

CONTROL_FILE = "control.json"
TOKEN_FILE = "admin.token"
TOKEN_VARIABLE = "STERNPOST_TOKEN"


class StartFault(Exception):
    """The console cannot start.

    Args:
        message: what is wrong.
        next_step: what to do.
        code: exit code.
    """

    def __init__(self, message: str, next_step: str, code: int = 2) -> None:
        super().__init__(message)
        self.message, self.next_step, self.code = message, next_step, code


class Where(NamedTuple):
    """An appliance: its admin API, whom to trust for it, and the token where it lies on this machine."""

    url: str
    certificate: Path | None
    token: str


def run_console(url: str, data: Path, token_file: Path | None, *, read_only: bool) -> int:
    """Run until the user leaves; returns the exit code.

    Args:
        url: of the admin API; "" for that of the appliance that runs on `data`.

    Raises:
        StartFault: there is no address, no token, or no terminal.
    """
    where = find(url, data)
    token = token_of(where, token_file, os.environ)
    try:
        keymap = read_keymap(keys_file())
    except KeysFault as error:
        raise StartFault(str(error), "mend the file, or take it away") from None
    if not sys.stdout.isatty() and "TEXTUAL_DRIVER" not in os.environ:
        raise StartFault("the console needs a terminal to draw on", "`sternpost status` prints the same for a pipe")
    from tui.app import Console
    from tui.client import Client

    if "TEXTUAL_DRIVER" not in os.environ:
        asyncio.run(check_token(Client(where.url, token, where.certificate), token_from(token_file, os.environ)))
    console = Console(Client(where.url, token, where.certificate), read_only=read_only, keymap=keymap)
    console.run()
    return console.return_code or 0


def find(url: str, data: Path) -> Where:
    """The appliance to talk to.

    Raises:
        StartFault: no address is given and none runs on `data`.
    """
    found = _control_file(data)
    here = str(found.get("url", "")).rstrip("/")
    address = url.rstrip("/") or here
    if not address:
        words = f"no process is running on {data}, and no address was given"
        raise StartFault(words, "start one with `sternpost run`, name its folder with --data, or give its address", 4)
    if not address.startswith(("http://", "https://")):
        raise StartFault(f"{address} is no address", "write it as http://127.0.0.1:8081")
    if address != here:
        return Where(address, None, "")  # The token of this folder is nobody else's business.
    certificate = str(found.get("certificate") or "")
    return Where(address, Path(certificate) if certificate else None, _read(data / TOKEN_FILE))


def token_of(where: Where, token_file: Path | None, environment: Mapping[str, str]) -> str:
    """The token, from the first place that has one.

    Raises:
        StartFault: none has, or what it holds cannot be sent.
    """
    token = environment.get(TOKEN_VARIABLE, "").strip()
    if not token and token_file is not None:
        token = _read(token_file)
        if not token:
            raise StartFault(f"{token_file} holds no token that can be read", f"or set {TOKEN_VARIABLE}")
    token = token or where.token
    if not token and sys.stdin.isatty():
        token = getpass.getpass(f"token for {where.url}: ").strip()
    if not token:
        raise StartFault("a token is needed", f"set {TOKEN_VARIABLE}, or name a file with --token-file")
    if not (token.isascii() and token.isprintable()):
        raise StartFault("the token holds characters that none has", "copy it again from admin.token")
    return token


def token_from(token_file: Path | None, environment: Mapping[str, str]) -> str:
    """Where `token_of` took the token, in words."""
    if environment.get(TOKEN_VARIABLE, "").strip():
        return TOKEN_VARIABLE
    return str(token_file) if token_file is not None else "the data folder, or the prompt,"


async def check_token(client: "Client", origin: str) -> None:
    """Ask once whether the token is accepted, so that a wrong one is told before a console is drawn; closes `client`.

    Whatever else goes wrong is the console's to show: it looks again by itself.

    Args:
        origin: where the token came from, in words.

    Raises:
        StartFault: it is refused.
    """
    from tui import wire
    from tui.client import ApiError, Unreachable

    try:
        await client.get("/v1/whoami", wire.Whoami)
    except ApiError as error:
        if error.status == 401:
            words = f"{client.url} refuses the token from {origin}"
            step = f"take the one in {TOKEN_FILE} of its data folder, or one of [control.tokens], by {TOKEN_VARIABLE}"
            raise StartFault(words, f"{step} or --token-file", 1) from None
    except Unreachable:
        return
    finally:
        await client.close()


def _control_file(data: Path) -> dict[str, object]:
    try:
        found = json.loads((data / CONTROL_FILE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
