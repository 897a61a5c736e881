"""One request on its way through the collector: what it says of itself, and how it may end early."""

from aiohttp import web

from appliance.collect import admission
from appliance.collect.admission import Source
from appliance.collect.answers import Answer
from appliance.collect.body import Share
from appliance.collect.http import Connection


class Exchange:
    """One request on its way."""

    __slots__ = ("connection", "path", "query", "received_ms", "request", "share", "source")

    def __init__(self, request: web.BaseRequest, connection: Connection, share: Share, now_ms: int) -> None:
        self.request, self.connection, self.share, self.received_ms = request, connection, share, now_ms
        self.path, _, self.query = _text(request.raw_path).partition("?")
        if not self.path.startswith("/"):
            self.path = request.path
        self.source: Source | None = None

    def header(self, name: str) -> str:
        """A header's value, or ""."""
        return _text(self.request.headers.get(name, ""))

    @property
    def client(self) -> str:
        """The client's address."""
        if self.connection.trusted and (forwarded_for := self.header("X-Forwarded-For")):
            return admission.client_address(self.connection.peer, forwarded_for)
        return self.connection.peer

    @property
    def is_strict(self) -> bool:
        """Whether one bad event refuses the whole batch."""
        return bool(self.query) and "strict=1" in self.query.split("&")


class Refuse(Exception):
    """The request ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def _text(given: str) -> str:
    """What aiohttp read of a head, as text that can be written again: bytes that are no UTF-8 become U+FFFD."""
    return given if given.isascii() else given.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
