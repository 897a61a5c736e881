"""A real HTTP server in the test's own loop that keeps every request, and helpers to bind a plug-in to a destination."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web

from appliance.core.config import DestinationConfig, OutboundConfig
from appliance.deliver.http_client import HttpClient
from appliance.deliver.instance import Instance
from appliance.deliver.plugins import build_config, load_plugin
from appliance.sdk import Event

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    """As sent, not decompressed."""


class Receiver:
    """Answers with `answer` (status, headers, body) or by `handler`, where one is set."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: tuple[int, dict[str, str], bytes] = (200, {}, b"ok")
        self.handler: Handler | None = None
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append(Request(request.method, request.path_qs, headers, await request.read()))
        if self.handler is not None:
            return await self.handler(request)
        status, reply_headers, body = self.answer
        return web.Response(status=status, headers=reply_headers, body=body)


@asynccontextmanager
async def receiving(**site: Any) -> AsyncIterator[Receiver]:
    """A running receiver on a free port of 127.0.0.1."""
    receiver = Receiver()
    application = web.Application(client_max_size=1 << 28, handler_args={"auto_decompress": False})
    application.router.add_route("*", "/{rest:.*}", receiver.handle)
    runner = web.AppRunner(application, shutdown_timeout=0.1, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, **site).start()
    scheme = "https" if site.get("ssl_context") else "http"
    receiver.url = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def event(sequence: int = 1, json: bytes = b"", *, part: int = 0, message_id: str = "", person: str = "p1") -> Event:
    """An event as delivery hands it over."""
    message_id = message_id or f"m-{sequence}"
    json = json or b'{"type":"track","messageId":"%b","anonymousId":"%b"}' % (message_id.encode(), person.encode())
    return Event(
        sequence=sequence,
        part=part,
        source="web",
        type="track",
        message_id=message_id,
        anonymous_id=person,
        user_id="",
        person_id="",
        received_ms=1_700_000_000_000,
        json=json,
    )


@asynccontextmanager
async def bound(
    path: Path,
    options: dict[str, Any] | None = None,
    *,
    host: dict[str, Any] | None = None,
    outbound: OutboundConfig | None = None,
) -> AsyncIterator[Instance]:
    """An instance of the plug-in in this file; `host` holds the destination's own keys."""
    plugin = load_plugin(path)
    config = build_config(plugin, options or {}, path.parent)
    destination = DestinationConfig(plugin=plugin.name, **(host or {}))
    client = HttpClient(outbound or OutboundConfig())
    await client.start()
    instance = Instance("crm", plugin, config, destination, client)
    try:
        yield instance
    finally:
        await instance.close()
        await client.close()
