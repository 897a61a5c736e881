"""The HTTP server that plug-ins are tried against: answers as it is told, in a thread and loop of its own."""

import asyncio
import socket
import threading
from types import TracebackType

import msgspec
from aiohttp import web


class Answer(msgspec.Struct, frozen=True):
    """How the server answers every request from now on."""

    status: int = 200
    headers: dict[str, str] = {}
    delay_s: float = 0.0
    """Before the answer; the kit's way of hanging is a long one, cut short when the server stops."""


class Server:
    """A context manager; inside it, `url` answers with `answer` and `bodies` grows by every request's body."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.bodies: list[bytes] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopping, self._released = asyncio.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="conformance-server", daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/conformance"

    def __enter__(self) -> "Server":
        self._thread.start()
        self._ready.wait(10.0)
        assert self.port, "the local server did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.let_go()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10.0)

    def let_go(self) -> None:
        """Answer those that hang."""
        self._loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        """An event that is set and cleared wakes whoever waits for it now."""
        self._released.set()
        self._released.clear()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_route("*", "/{rest:.*}", self._handle)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stopping.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        answer = self.answer
        self.bodies.append(await request.read())
        if answer.delay_s:
            try:
                await asyncio.wait_for(self._released.wait(), answer.delay_s)
            except TimeoutError:
                pass
        return web.Response(status=answer.status, headers=answer.headers, text=f"conformance {answer.status}")


class RefusingPort:
    """A context manager; inside it, connecting to `url` is refused, since nobody listens and nobody else can."""

    def __enter__(self) -> str:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/conformance"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
