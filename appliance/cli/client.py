"""Talks to the running process: finds it in the data folder, sends its token, turns its errors into clear ones."""

import argparse
import getpass
import http.client
import json
import os
import secrets
import ssl
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from appliance.cli import output
from appliance.cli.locate import NoProcess, NotListening, locate
from appliance.cli.output import CommandError

TOKEN_FILE = "admin.token"
TIMEOUT_S = 60.0
LINE_BYTES_MAX = 64 << 20
DOWNLOAD_BYTES = 1 << 16
_CODES = {400: 2, 404: 1, 409: 1}


class Client:
    """A connection to one process's admin API.

    Args:
        url: of the admin listener.
        token: the admin token.
        certificate: PEM file to trust, for https.
    """

    def __init__(self, url: str, token: str, certificate: str = "") -> None:
        self.url, self._token, self._certificate = url, token, certificate
        self._user = _user()

    def get(self, path: str, **query: object) -> Any:
        """The JSON of a resource.

        Raises:
            CommandError: the process says no, or cannot be reached.
        """
        return self._json("GET", path, query)

    def post(self, path: str, body: Mapping[str, object] | bytes | None = None, *, timeout_s: float = TIMEOUT_S) -> Any:
        """The JSON that an action answers with. Errors as `get`.

        Args:
            body: JSON as bytes goes out as it is.
        """
        sent = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return self._json("POST", path, {}, sent, timeout_s=timeout_s)

    def stream(self, path: str, **query: object) -> Iterator[bytes]:
        """The lines of a resource as they come, without their line ends. Errors as `get`."""
        connection, reply = self._open("GET", path, query, None, timeout_s=TIMEOUT_S)
        try:
            while line := reply.readline(LINE_BYTES_MAX):
                yield line.rstrip(b"\r\n")
        except (OSError, http.client.HTTPException) as error:
            raise CommandError(f"the process went away: {str(error) or type(error).__name__}", code=4) from None
        finally:
            connection.close()

    def download(self, path: str, *, timeout_s: float = TIMEOUT_S, **query: object) -> tuple[int, Iterator[bytes]]:
        """The bytes of a resource as they come, and how many there will be: 0 where that is not said. Errors as `get`.

        Args:
            timeout_s: until it begins, and between its parts.
        """
        connection, reply = self._open("GET", path, query, None, timeout_s=timeout_s)
        size = int(reply.headers.get("Content-Length") or 0)

        def parts() -> Iterator[bytes]:
            left = size
            try:
                while part := reply.read(DOWNLOAD_BYTES):
                    left -= len(part)
                    yield part
            except (OSError, http.client.HTTPException) as error:
                raise CommandError(f"the answer broke off: {str(error) or type(error).__name__}", "repeat it") from None
            finally:
                connection.close()
            if size and left:
                raise CommandError(f"the answer broke off: {left:,} of {size:,} bytes are missing", "repeat it")

        return size, parts()

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: bytes | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        connection, reply = self._open(method, path, query, body, timeout_s=timeout_s)
        try:
            return json.loads(reply.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise CommandError(f"the answer broke off: {error}", "look again with `sternpost status`") from None
        finally:
            connection.close()

    def _open(
        self, method: str, path: str, query: Mapping[str, object], body: bytes | None, *, timeout_s: float
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        given = {key: value for key, value in query.items() if value not in (None, "")}
        target = path + (f"?{urlencode(given)}" if given else "")
        headers = {"Authorization": f"Bearer {self._token}", "X-Sternpost-User": self._user}
        if body is not None:
            headers["Content-Type"] = "application/json"
            headers["Idempotency-Key"] = secrets.token_hex(16)
        connection = self._connection(timeout_s)
        try:
            connection.request(method, target, body, headers)
            reply = connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise CommandError(
                f"the process at {self.url} does not answer: {str(error) or type(error).__name__}",
                "is it still running? `sternpost run` starts one",
                4,
            ) from None
        if reply.status >= 400:
            failure = reply.read(1 << 20)
            connection.close()
            raise _refusal(reply.status, failure)
        return connection, reply

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "127.0.0.1", parts.port
        if parts.scheme != "https":
            return http.client.HTTPConnection(host, port, timeout=timeout_s)
        context = ssl.create_default_context(cafile=self._certificate or None)
        if self._certificate:
            # The process's own certificate, read from its own data folder, proves more than a name would.
            context.check_hostname = False
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)


def find(data: Path) -> Client:
    """The client of the process that runs on a data folder.

    Raises:
        NoProcess: none does.
        CommandError: one does and cannot be talked to; the text says why.
    """
    located = locate(data)
    try:
        token = (data / TOKEN_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{data / TOKEN_FILE} cannot be read: {error}", "run this as the user who runs it") from None
    return Client(located.url, token, located.certificate)


def running(data: Path) -> Client | None:
    """The client of the process on a data folder; None where none runs, or none that can be asked.

    Raises:
        CommandError: one runs, but its token cannot be read.
    """
    try:
        return find(data)
    except (NoProcess, NotListening):
        return None


def config_in_use(args: argparse.Namespace) -> Path | None:
    """The configuration file a command is about: as given, else that of the running process, else the one here.

    Returns:
        None where there is no file: the running process has none, or none runs and there is none here.
    """
    given: Path | None = args.config
    if args.config_given or (process := running(args.data)) is None:
        return given
    theirs = process.get("/v1/overview")["config_file"]
    return Path(theirs) if theirs else None


def confirmed(args: argparse.Namespace, question: str) -> bool:
    """Whether to go on: `--yes`, or yes to the question on a terminal.

    Raises:
        CommandError: nobody can be asked (exit code 2).
    """
    if args.yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandError(f"{question} Nothing was done.", "repeat with --yes", 2)
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("nothing was done", file=sys.stderr)
    return False


def destination(process: Client, name: str) -> dict[str, Any]:
    """One destination's figures.

    Raises:
        CommandError: there is none of this name.
    """
    for one in process.get("/v1/destinations")["destinations"]:
        if one["name"] == name:
            found: dict[str, Any] = one
            return found
    raise CommandError(f"there is no destination {name!r}", "`sternpost destinations list` shows them")


def segment(text: str) -> str:
    """Text as one segment of a path."""
    return quote(text, safe="")


def printed(args: argparse.Namespace, answer: Any, text: Callable[[Any], str]) -> int:
    """Print an answer as JSON or as text; exit code 0."""
    if args.json:
        output.print_json(answer)
    else:
        print(text(answer))
    return 0


def _refusal(status: int, body: bytes) -> CommandError:
    try:
        error = json.loads(body)["error"]
        message, next_step = str(error["message"]), str(error.get("next", ""))
    except (ValueError, KeyError, TypeError):
        message, next_step = f"the process answered HTTP {status}", ""
    if status == 401:
        next_step = "does control.json belong to another process? Stop it, or name the right folder with --data"
    return CommandError(message, next_step, _CODES.get(status, 1))


def _user() -> str:
    try:
        return getpass.getuser().encode("ascii", "replace").decode()
    except (KeyError, OSError):
        return str(os.getuid())
