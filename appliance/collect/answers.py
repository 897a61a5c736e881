"""Answers as bytes: one text line, CORS headers on every one of them.

Source: contract/http.md, Answers and What real clients do, points 2, 3 and 5.
"""

import re
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

TEXT = "text/plain; charset=utf-8"
JSON = "application/json"
GIF = "image/gif"
METHODS = "GET, POST, HEAD, OPTIONS"
PREFLIGHT_AGE_S = 900
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?", re.ASCII)


class Answer(NamedTuple):
    """What a client gets."""

    status: int
    body: bytes
    content_type: str = TEXT
    headers: bytes = b""
    """Further header lines, each with its end."""
    close: bool = False
    """End the connection: what the client still sends is not read."""

    def encode(self, cors: bytes, connection: bytes, date: bytes, *, head_only: bool = False) -> bytes:
        """The whole answer.

        Args:
            cors: from `allow` or `preflight`.
            connection: the Connection header's line, or nothing.
            date: from `date_line`.
            head_only: as HEAD wants it.
        """
        start = _start(self.status, self.content_type, len(self.body))
        return b"".join((start, date, cors, self.headers, connection, b"\r\n", b"" if head_only else self.body))


def text(status: int, words: str, headers: bytes = b"", *, close: bool = False) -> Answer:
    """One line of plain text, without an end of line."""
    return Answer(status, words.encode(), TEXT, headers, close)


def retry_after(status: int, words: str, seconds: int, *, close: bool = False) -> Answer:
    """An answer that says when to try again."""
    return text(status, words, b"Retry-After: %d\r\n" % max(1, seconds), close=close)


OK = text(200, "ok")


@lru_cache(maxsize=512)
def _start(status: int, content_type: str, length: int) -> bytes:
    phrase = HTTPStatus(status).phrase
    return (
        f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\nVary: Origin\r\n"
    ).encode()


@lru_cache(maxsize=2)
def date_line(time_s: int) -> bytes:
    """The Date header's line."""
    return f"Date: {formatdate(time_s, usegmt=True)}\r\n".encode()


@lru_cache(maxsize=1024)
def allow(origin: str) -> bytes:
    """CORS header lines for pages of an allowed origin; nothing where the origin cannot be repeated."""
    if not _HEADER_VALUE.fullmatch(origin):
        return b""
    return (
        f"Access-Control-Allow-Origin: {origin}\r\nAccess-Control-Allow-Credentials: true\r\n"
        "Access-Control-Expose-Headers: Retry-After\r\n"
    ).encode()


def preflight(origin: str, request_headers: str) -> bytes:
    """The same for a preflight: whatever headers the page wants to send are allowed."""
    lines = f"Access-Control-Allow-Methods: {METHODS}\r\nAccess-Control-Max-Age: {PREFLIGHT_AGE_S}\r\n"
    if _HEADER_VALUE.fullmatch(request_headers):
        lines += f"Access-Control-Allow-Headers: {request_headers}\r\n"
    return allow(origin) + lines.encode()
