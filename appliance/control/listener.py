"""The admin listener's connections: so many and no more, and none that keeps us waiting for the head of a request."""

import asyncio
import ssl
from typing import Any

from aiohttp import web

from appliance.control.requests import error_reply

CONNECTIONS_MAX = 64
"""Further ones are closed at once: the collector needs the process's file descriptors."""
HEAD_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 2.0


class Connection(web.RequestHandler):
    """One client. Between two requests it may idle; once a head has begun, it must end in time."""

    __slots__ = ("_busy", "_timer")

    def __init__(self, server: web.Server, **arguments: Any) -> None:
        super().__init__(server, **arguments)
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or close it where there are too many."""
        super().connection_made(transport)
        if len(self._manager.connections if self._manager else ()) > CONNECTIONS_MAX:
            self._cut()
        else:
            self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone."""
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came; between two requests they begin a head."""
        if not self._busy and self._timer is None:
            self._wait_for_head()
        super().data_received(data)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what never became a request; whoever sent it is no news for the log."""
        if status >= 500:
            return super().handle_error(request, status, exc, message)
        reply = error_reply(status, "invalid", "this is no HTTP request that can be read; nothing was done")
        reply.force_close()
        return reply

    def began(self) -> None:
        """A request is being answered."""
        self._busy = True
        self._head_is_there()

    def ended(self) -> None:
        """It was answered."""
        self._busy = False

    def _wait_for_head(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(HEAD_TIMEOUT_S, self._cut)

    def _head_is_there(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()


class Listener:
    """An application on an address."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=STOP_TIMEOUT_S)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None) -> int:
        """Listen; returns the port.

        Raises:
            OSError: the address cannot be listened on.
        """
        await self._runner.setup()
        server = self._runner.server
        assert server is not None
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(server, loop=loop, access_log=None), host, port, ssl=tls
            )
        except OSError:
            await self._runner.cleanup()
            raise
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address[1]

    async def stop(self) -> None:
        """Close the address, then the connections."""
        if self._server is not None:
            self._server.close()
        await self._runner.cleanup()
