"""The listener: aiohttp's HTTP parser, our own clock on every connection, answers written as bytes.

A client has `header_timeout_s` from its connection (or the first byte of its next request) to the end of the head, and
`body_timeout_s` from there to the end of the body; an idle connection is closed after `keepalive_timeout_s`. One
sweeper looks after all connections, and only while there are any.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, cast

from aiohttp import web

from appliance.collect import admission, answers
from appliance.collect.answers import Answer
from appliance.core import logs, units
from appliance.core.config import CollectConfig, TlsConfig

HEAD_LINE_BYTES_MAX = 16 * 1024
HEAD_BYTES_MAX = 64 * 1024
"""Of a head that is not complete; twice that may come in one packet."""
LINGER_S = 2.0
"""What is left of a refused body is read for this long, so that the client sees the answer and not a reset."""
SWEEP_S_MAX = 1.0
BACKLOG = 1024
STOP_LOOK_S = 0.02
_IDLE = ("idle", "head")
"""Stages in which a connection owes nobody an answer."""
_LOG = logs.logger("collect")
_NEVER = float("inf")
_FAR_S = 30 * 86_400.0  # aiohttp's own keep-alive timer is not used
Handle = Callable[[web.BaseRequest, "Connection"], Awaitable[tuple[Answer, bytes]]]
"""Answers a request; the second value are CORS header lines. Raises nothing."""


class Connection(web.RequestHandler):
    """One client; lives on the collector's loop."""

    __slots__ = ("_head_bytes", "_listener", "deadline_s", "peer", "stage", "trusted")

    def __init__(self, listener: "Listener", **arguments: Any) -> None:
        super().__init__(listener, **arguments)
        self._listener = listener
        self.deadline_s, self.stage = _NEVER, ""
        self.peer, self.trusted, self._head_bytes = "", False, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or close it at once where there are too many."""
        peer = transport.get_extra_info("peername")
        self.peer = admission.plain_address(peer[0]) if isinstance(peer, tuple) else ""
        self.trusted = self._listener.proxies.trusts(self.peer)
        super().connection_made(transport)
        if self._listener.opened(self):
            self.begin("head", self._listener.config.header_timeout_s)
        else:
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._listener.closed(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; on an idle connection they begin a head. Called with none when aiohttp resumes reading."""
        if data and self.stage == "idle":
            self.begin("head", self._listener.config.header_timeout_s)
        super().data_received(data)
        if self.stage != "head":
            return
        self._head_bytes += len(data)
        if self._messages:  # its head is complete; the request is handled in a moment
            self.begin("body", self._listener.config.body_timeout_s)
        elif self._head_bytes > HEAD_BYTES_MAX and self._waiter is not None:  # else it is the rest of a refused body
            self._listener.broken_total += 1
            self.cut()

    def begin(self, stage: str, timeout_s: float) -> None:
        """From now on the client does this, and for so long."""
        self.stage, self.deadline_s = stage, self._loop.time() + timeout_s
        self._head_bytes = 0

    def work(self) -> None:
        """From now on it is our turn."""
        self.stage, self.deadline_s = "work", _NEVER

    def cut(self) -> None:
        """End it without a word."""
        if self.transport is not None:
            self.transport.abort()

    async def write(self, request: web.BaseRequest, reply: "_Reply") -> None:
        """Send an answer; waits only for a client that does not read."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("client went away")
        config = self._listener.config
        transport.write(reply.encode(request))
        if self._paused:
            self.begin("answer", config.body_timeout_s)
            await self._drain_helper()
        self.begin("idle", config.keepalive_timeout_s)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP gets a plain answer; only our own mistakes get a line in our log."""
        if status < 500:
            self._listener.broken_total += 1
            if exc is not None:
                exc.__traceback__ = None  # it holds its frame and what was read, a cycle of up to 256 KiB a connection
        else:
            _LOG.error("request_failed", error=repr(exc))
        return _reply(Answer(status, HTTPStatus(status).phrase.encode(), close=True), b"")

    @property
    def closing(self) -> bool:
        """Whether no further request is taken."""
        return self._close or self._force_close or self._listener.stopping


class _Reply:
    """What aiohttp needs of a response, around an answer that is written in one piece."""

    __slots__ = ("_answer", "_cors", "keep_alive")

    def __init__(self, answer: Answer, cors: bytes) -> None:
        self._answer, self._cors, self.keep_alive = answer, cors, True

    async def prepare(self, request: web.BaseRequest) -> None:
        """Called by aiohttp; sends everything."""
        await cast(Connection, request.protocol).write(request, self)

    async def write_eof(self) -> None:
        """Called by aiohttp; there is nothing left to send."""

    def encode(self, request: web.BaseRequest) -> bytes:
        """The bytes, for the HTTP version and method of the request."""
        closing = self._answer.close or cast(Connection, request.protocol).closing
        self.keep_alive = request.keep_alive and not closing
        line = b""
        if not self.keep_alive:
            line = b"Connection: close\r\n"
        elif request.version < (1, 1):
            line = b"Connection: keep-alive\r\n"
        date = answers.date_line(int(time.time()))
        return self._answer.encode(self._cors, line, date, head_only=request.method == "HEAD")


def _reply(answer: Answer, cors: bytes) -> web.StreamResponse:
    return cast(web.StreamResponse, _Reply(answer, cors))


class Listener(web.Server):
    """One address. `config` and `proxies` may be replaced while it runs; address and TLS files are read at start."""

    def __init__(self, config: CollectConfig, handle: Handle) -> None:
        super().__init__(self._serve)
        self.config, self.proxies = config, admission.Proxies(config.trusted_proxies)
        self._handle, self._open = handle, set[Connection]()
        self._server: asyncio.Server | None = None
        self.stopping = False
        self._sweeper: asyncio.TimerHandle | None = None
        self.address = ("", 0)
        self.broken_total = self.turned_away_total = 0
        self.cut_total: Counter[str] = Counter()

    def __call__(self) -> web.RequestHandler:
        """A protocol for a new connection."""
        return Connection(
            self,
            loop=self._loop,
            keepalive_timeout=_FAR_S,
            access_log=cast(Any, None),
            auto_decompress=False,
            lingering_time=LINGER_S,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
        )

    async def start(self) -> tuple[str, int]:
        """Bind; returns host and port.

        Raises:
            OSError: the address cannot be used, or a TLS file cannot be read.
            ssl.SSLError: the certificate and its key do not fit.
        """
        host, port = units.parse_address(self.config.listen)
        context = _tls(self.config.tls) if self.config.tls else None
        extra: dict[str, Any] = {"ssl_handshake_timeout": max(1.0, self.config.header_timeout_s)} if context else {}
        self._server = await self._loop.create_server(self, host, port, ssl=context, backlog=BACKLOG, **extra)
        bound = self._server.sockets[0].getsockname()
        self.address = (bound[0], bound[1])
        return self.address

    async def stop(self, grace_s: float) -> None:
        """Take no more connections, let requests under way end for at most `grace_s`, close all."""
        self.stopping = True
        if self._server is not None:
            self._server.close()
        until_s = self._loop.time() + grace_s
        while self._loop.time() < until_s and any(one.stage not in _IDLE for one in self._open):  # noqa: ASYNC110
            await asyncio.sleep(STOP_LOOK_S)  # once in a life; an event would cost every request
        self.pre_shutdown()
        await self.shutdown(STOP_LOOK_S)
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    def opened(self, connection: Connection) -> bool:
        """Whether there is room for it."""
        if len(self._open) >= self.config.connections_max:
            self.turned_away_total += 1
            return False
        self._open.add(connection)
        if self._sweeper is None:
            self._sweep_later()
        return True

    def closed(self, connection: Connection) -> None:
        """It is gone."""
        self._open.discard(connection)

    @property
    def open_count(self) -> int:
        """Connections now."""
        return len(self._open)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast(Connection, request.protocol)
        connection.begin("body", self.config.body_timeout_s)
        answer, cors = await self._handle(request, connection)
        return _reply(answer, cors)

    def _sweep_later(self) -> None:
        config = self.config
        shortest_s = min(config.header_timeout_s, config.body_timeout_s, config.keepalive_timeout_s)
        self._sweeper = self._loop.call_later(min(SWEEP_S_MAX, max(0.05, shortest_s / 4)), self._sweep)

    def _sweep(self) -> None:
        now_s = self._loop.time()
        for connection in [connection for connection in self._open if connection.deadline_s < now_s]:
            self.cut_total[connection.stage] += connection.stage != "idle"
            connection.cut()
        self._sweeper = None
        if self._open:
            self._sweep_later()


def _tls(config: TlsConfig) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.certificate, config.key)
    return context
