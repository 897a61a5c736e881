"""One HTTP/1.1 connection on the client's side: a request out, its reply in, nothing shared between the two.

Delivery is one small POST after the other to few hosts, where a general client spends more on itself than on the
request. The grammar of replies is llhttp's (httptools); here are the bytes of the request, the cap of the reply, and
what counts as a reply that broke off.
"""

import asyncio
import base64
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple, cast

import httptools
from multidict import CIMultiDict
from yarl import URL

from appliance.sdk import Reply

METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
"""Those whose replies carry a body by the same rules."""
HEAD_BYTES_MAX = 64 * 1024
"""Of a reply's status line and headers, informational replies before it included."""
CHUNK_BYTES_SPARE = 64 * 1024
"""A chunked body takes more bytes than it has."""
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+", re.ASCII)
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BODYLESS = (204, 304)
_USUAL = (
    ("user-agent", b"User-Agent: sternpost\r\n"),
    ("accept", b"Accept: */*\r\n"),
    ("accept-encoding", b"Accept-Encoding: identity\r\n"),
)
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
"""Ours alone: where a request ends must not be a plug-in's business."""


class ReplyBroken(Exception):
    """No whole reply came; the text says why, in words for people."""


class Target(NamedTuple):
    """A URL, as a request needs it."""

    scheme: str
    host: str
    port: int
    path: bytes
    """With the query."""
    usual: tuple[tuple[str, bytes], ...]
    """Header lines that a request has unless it brings its own, by their names in lower case."""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Requests with the same one may share a connection."""
        return self.scheme, self.host, self.port


@lru_cache(maxsize=1024)
def target_of(text: str) -> Target:
    """Take a URL apart.

    Raises:
        ValueError: it is none that can be called.
    """
    url = URL(text)
    host, port = url.raw_host, url.port  # as it was written: Python's own encoding of names is another than yarl's
    if url.scheme not in ("http", "https") or not host or port is None:
        raise ValueError(f"not a URL to call: {text[:200]!r}")
    usual = [("host", f"Host: {url.host_port_subcomponent}\r\n".encode("ascii")), *_USUAL]
    if url.user is not None:
        credential = base64.b64encode(f"{url.user}:{url.password or ''}".encode())
        usual.append(("authorization", b"Authorization: Basic %b\r\n" % credential))
    return Target(url.scheme, host, port, url.raw_path_qs.encode("ascii"), tuple(usual))


def encode(method: str, target: Target, headers: Mapping[str, str], body: bytes | None) -> bytes:
    """The bytes of a request.

    Raises:
        ValueError: a header that is none; line breaks would smuggle others in.
    """
    named = {name.lower() for name in headers}
    lines = [b"%b %b HTTP/1.1\r\n" % (method.encode(), target.path)]
    lines += [line for name, line in target.usual if name not in named]
    lines += [_header(name, value) for name, value in headers.items() if name.lower() not in _FRAMING]
    if body is not None or method in _WITH_BODY:
        lines.append(b"Content-Length: %d\r\n" % len(body or b""))
    lines.append(b"\r\n")
    if body:
        lines.append(body)
    return b"".join(lines)


@lru_cache(maxsize=1024)
def _header(name: str, value: str) -> bytes:
    if not _TOKEN.fullmatch(name) or _FORBIDDEN.search(value):
        raise ValueError(f"{name[:40]!r} is no header that can be sent: a newline or a forbidden character is in it")
    return f"{name}: {value}\r\n".encode()


class Wire(asyncio.Protocol):
    """One connection; `exchange` is for one caller at a time.

    Args:
        reply_bytes_max: bytes of a reply's body that are kept; at more, the connection is given up.
    """

    def __init__(self, reply_bytes_max: int) -> None:
        self._reply_bytes_max = reply_bytes_max
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Reply] | None = None
        self._begin()
        self._is_spoiled = False
        """Whether nothing can be sent on it any more."""
        self.idle_since_s = 0.0

    @property
    def usable(self) -> bool:
        """Whether another request can go out."""
        return not self._is_spoiled and self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and wait for the whole reply. One that is cancelled closes the connection.

        Raises:
            ReplyBroken: none came.
        """
        assert self._transport is not None
        self._begin()
        waiter: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        self._transport.write(request)
        try:
            return await waiter
        except BaseException:
            self.close()
            raise
        finally:
            self._waiter = None

    def close(self) -> None:
        """Give the connection up at once."""
        self._is_spoiled = True
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its type

    def data_received(self, data: bytes) -> None:
        if self._waiter is None or self._waiter.done():  # nobody asked: the other side says good-bye, or talks nonsense
            self.close()
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail("the reply is no HTTP: it wants another protocol")
        except httptools.HttpParserError as error:
            self._fail(f"the reply is no HTTP: {error}"[:200])
        if not self._is_body and self._received_bytes > HEAD_BYTES_MAX:
            self._fail("the reply is no HTTP: its head does not end")
        elif self._received_bytes > HEAD_BYTES_MAX + 2 * self._reply_bytes_max + CHUNK_BYTES_SPARE:
            self._fail("the reply is no HTTP: it is made of chunks' heads and trailers")

    def eof_received(self) -> None:
        self._is_spoiled = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_spoiled = True
        if self._waiter is None or self._waiter.done():
            return
        if self._is_body and self._ends_with_connection and exc is None:
            self._done()
        elif self._is_body:
            self._fail("the reply broke off")
        else:
            self._fail("the connection was lost before the reply")

    # What the parser calls ----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._waiter is None or self._waiter.done():
            self._is_spoiled = True  # More than was asked for: the next request would take it for its own reply.

    def on_status(self, status: bytes) -> None:
        self._phrase += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_body:  # what comes behind the body, a trailer, is of no use to anybody here
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._status = self._parser.get_status_code()
        if self._status < 200 and self._status != 101:
            return  # Informational: the reply proper follows.
        self._is_body = True
        names = {name.lower() for name, _ in self._headers}
        self._ends_with_connection = not names & {b"content-length", b"transfer-encoding"}
        if self._status in _BODYLESS:
            self._ends_with_connection = False

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > self._reply_bytes_max:
            self.close()
            self._done()

    def on_message_complete(self) -> None:
        if not self._is_body:
            self._begin(self._received_bytes)  # however many informational replies there are
            return
        if not self._parser.should_keep_alive():
            self._is_spoiled = True
        self._done()

    # ---------------------------------------------------------------------------------------------------------

    def _begin(self, received_bytes: int = 0) -> None:
        self._status, self._phrase = 0, b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._received_bytes, self._body_bytes = received_bytes, 0
        self._is_body = self._ends_with_connection = False

    def _done(self) -> None:
        if self._waiter is None or self._waiter.done():
            return
        body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        headers = CIMultiDict((_text(name), _text(value)) for name, value in self._headers)
        truncated = len(body) > self._reply_bytes_max
        reply = Reply(
            self._status, headers, body[: self._reply_bytes_max], phrase=_text(self._phrase), truncated=truncated
        )
        self._waiter.set_result(reply)

    def _fail(self, words: str) -> None:
        self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ReplyBroken(words))


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
