"""What an operator gets to see of a failed call: the beginnings of request and reply, without secrets."""

import base64
from collections.abc import Iterable, Mapping
from urllib.parse import quote, urlsplit

import msgspec

from appliance.core.secret import names_a_secret
from appliance.sdk import Reply, Secret

SAMPLE_BYTES_MAX = 4096
REQUEST_BYTES_MAX = 1536
"""Of a sample, at most this is the request; the reply gets the rest."""
MASK = "***"

_SECRET_CHARACTERS_MIN = 4
"""Shorter secrets would mask ordinary words."""


class Exchange:
    """One HTTP request and what came back; texts are made only when somebody asks."""

    __slots__ = ("body", "headers", "method", "reply", "url")

    def __init__(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> None:
        self.method, self.url, self.headers, self.body = method, url, headers, body
        self.reply: Reply | None = None

    def text(self) -> str:
        """Both sides as they went over the wire, cut, header values that look secret masked."""
        return cut(f"{cut(self._request(), REQUEST_BYTES_MAX)}\n\n{self._answer()}", SAMPLE_BYTES_MAX)

    def _request(self) -> str:
        parts = urlsplit(self.url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        head = f"{self.method} {target} HTTP/1.1\nHost: {parts.netloc.rpartition('@')[2]}\n{_head(self.headers)}"
        return f"{head}\n{_body(self.body or b'', REQUEST_BYTES_MAX)}"

    def _answer(self) -> str:
        if self.reply is None:
            return "(no reply)"
        head = f"HTTP/1.1 {self.reply.status} {self.reply.phrase}".rstrip()
        return f"{head}\n{_head(self.reply.headers)}\n{_body(self.reply.body, SAMPLE_BYTES_MAX)}"


class Masker:
    """Takes the secrets of one configuration out of any text.

    Args:
        config: a plug-in's configuration; every `Secret` in it is masked, as it is, percent-encoded and in base64.
    """

    def __init__(self, config: msgspec.Struct) -> None:
        forms: set[str] = set()
        for secret in secrets_of(config):
            value = secret.reveal()
            if len(value) >= _SECRET_CHARACTERS_MIN:
                encoded = value.encode("utf-8", "surrogatepass")  # the environment may hold any bytes
                forms |= {value, quote(encoded, safe=""), *_base64_forms(encoded)}
        self._forms = sorted(forms, key=len, reverse=True)

    def mask(self, text: str) -> str:
        """`text` with every secret replaced."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text


def _base64_forms(value: bytes) -> list[str]:
    """As a Basic user name, and whatever it begins in base64: its whole groups of three bytes."""
    groups = value[: len(value) // 3 * 3]
    forms = [base64.b64encode(value + b":").decode(), base64.b64encode(value).decode().rstrip("=")]
    return forms + ([base64.b64encode(groups).decode()] if len(groups) >= 6 else [])


def secrets_of(value: object) -> Iterable[Secret]:
    """Every secret inside a configuration."""
    if isinstance(value, Secret):
        yield value
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from secrets_of(getattr(value, name))
    elif isinstance(value, dict):
        for inner in value.values():
            yield from secrets_of(inner)
    elif isinstance(value, list | tuple | set | frozenset):
        for inner in value:
            yield from secrets_of(inner)


def cut(text: str, bytes_max: int) -> str:
    """At most so many bytes of UTF-8, never half a character."""
    encoded = text.encode("utf-8", "replace")
    return encoded[:bytes_max].decode("utf-8", "ignore")


def _head(headers: Mapping[str, str]) -> str:
    return "".join(f"{name}: {MASK if names_a_secret(name) else value}\n" for name, value in headers.items())


def _body(body: bytes, bytes_max: int) -> str:
    """The beginning as text, or its length where it is none (compressed bodies)."""
    beginning = body[:bytes_max]
    if b"\0" in beginning or body.startswith(b"\x1f\x8b"):
        return f"({len(body)} bytes, not text)"
    return beginning.decode("utf-8", "replace")
