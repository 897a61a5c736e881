"""Plain HTTP by hand: exact bytes out, the whole answer back, one connection that can be watched."""

import base64
import gzip
import http.client
import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """An answer; header names are lower case."""

    status: int
    headers: dict[str, str]
    text: str


def basic(write_key: str) -> dict[str, str]:
    """The header that carries a write key."""
    return {"Authorization": "Basic " + base64.b64encode(f"{write_key}:".encode()).decode()}


class Wire:
    """One keep-alive connection; it is never reopened behind the test's back.

    Args:
        port: on loopback.
        write_key: sent as HTTP Basic where given.
    """

    def __init__(self, port: int, write_key: str = "", timeout_s: float = 10.0) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
        self.connection.connect()
        self.connection.auto_open = 0
        self.headers = basic(write_key) if write_key else {}

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request and read its answer."""
        self.connection.request(
            method,
            path,
            body,
            {**self.headers, **(headers or {})},
            encode_chunked=body is not None and not isinstance(body, bytes),
        )
        answer = self.connection.getresponse()
        text = answer.read().decode(errors="replace")
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, text)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """Post bytes as they are, anything else as JSON."""
        return self.request("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode(), headers)


def post(port: int, path: str, body: Any, *, write_key: str = "", headers: Mapping[str, str] | None = None) -> Reply:
    """Post on a connection of its own."""
    with Wire(port, write_key) as wire:
        return wire.post(path, body, headers)


def zipped(body: Any) -> bytes:
    """JSON, gzip."""
    return gzip.compress(json.dumps(body).encode())
