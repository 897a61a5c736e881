"""A TCP proxy in front of the collector: forwards every byte as it is and keeps what each request and answer said.

It shows what an SDK really put on the wire. Order between connections is the proxy's, not the collector's.
"""

import asyncio
import contextlib
import gzip
import itertools
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field

import zstandard


@dataclass
class Message:
    """One HTTP request or response: its first line, lower-cased headers and decoded-from-chunks body."""

    first_line: str
    headers: dict[str, str]
    body: bytes = b""


@dataclass
class Exchange:
    """One request with its answer (None while none came).

    `asked` and `answered` count what the proxy saw, both directions together: an answer with a lower number than
    another request had reached the client before the collector could know that request.
    """

    request: Message
    asked: int
    response: Message | None = None
    answered: int | None = None

    @property
    def method(self) -> str:
        return self.request.first_line.split(" ")[0]

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.request.first_line.split(" ")[1].partition("?")[0]

    @property
    def status(self) -> int:
        """Status of the answer; 0 while none came."""
        return int(self.response.first_line.split(" ")[1]) if self.response else 0

    @property
    def payload(self) -> bytes:
        """The request's body with its content encoding undone."""
        encoding = self.request.headers.get("content-encoding", "").lower()
        undo: dict[str, Callable[[bytes], bytes]] = {
            "": bytes,
            "gzip": gzip.decompress,
            "deflate": zlib.decompress,
            "zstd": lambda body: zstandard.ZstdDecompressor().decompressobj().decompress(body),
        }
        return undo[encoding](self.request.body)


class _Parser:
    """Cuts a byte stream into HTTP/1.1 messages; `feed` returns those that became complete."""

    def __init__(self, bodiless: Callable[[Message], bool]) -> None:
        self._buffer, self._bodiless = bytearray(), bodiless

    def feed(self, data: bytes) -> list[Message]:
        self._buffer += data
        complete = []
        while (message := self._next()) is not None:
            complete.append(message)
        return complete

    def _next(self) -> Message | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        first_line, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        message = Message(first_line, {name.lower(): value.strip() for name, _, value in pairs})
        start = end + 4
        if self._bodiless(message):
            stop: int | None = start
        elif "chunked" in message.headers.get("transfer-encoding", "").lower():
            message.body, stop = self._chunks(start)
        else:
            stop = start + int(message.headers.get("content-length", "0"))
            message.body = bytes(self._buffer[start:stop])
        if stop is None or stop > len(self._buffer):
            return None
        del self._buffer[:stop]
        return message

    def _chunks(self, at: int) -> tuple[bytes, int | None]:
        body = bytearray()
        while (line_end := self._buffer.find(b"\r\n", at)) >= 0:
            size = int(self._buffer[at:line_end].split(b";")[0], 16)
            at = line_end + 2 + size + 2
            if at > len(self._buffer):
                break
            if size == 0:
                return bytes(body), at
            body += self._buffer[line_end + 2 : line_end + 2 + size]
        return b"", None


@dataclass
class Recorder:
    """Runs in a thread of its own. `exchanges` is in the order in which requests became complete.

    Shape:
        with Recorder("127.0.0.1", 8080) as recorder: ... recorder.url ...
    """

    upstream_host: str
    upstream_port: int
    exchanges: list[Exchange] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Recorder":
        self._loop, self._count = asyncio.new_event_loop(), itertools.count()
        self._thread = threading.Thread(target=self._loop.run_forever, name="recorder", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        self._server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        waiting: list[Exchange] = []

        def requested(message: Message) -> None:
            waiting.append(Exchange(message, next(self._count)))
            self.exchanges.append(waiting[-1])

        def answered(message: Message) -> None:
            exchange = waiting.pop(0)
            exchange.response, exchange.answered = message, next(self._count)

        def bodiless(message: Message) -> bool:
            return waiting[0].method == "HEAD" or message.first_line.split(" ")[1] in ("204", "304")

        try:
            up_reader, up_writer = await asyncio.open_connection(self.upstream_host, self.upstream_port)
        except OSError:
            writer.close()
            return
        with contextlib.suppress(asyncio.CancelledError):  # the recorder ends; asyncio would log it as a failure
            await asyncio.gather(
                _pump(reader, up_writer, _Parser(lambda message: False), requested),
                _pump(up_reader, writer, _Parser(bodiless), answered),
            )


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, parser: _Parser, seen: Callable[[Message], None]
) -> None:
    """Copy one direction until it ends; what is parsed is noted before it is forwarded."""
    try:
        while data := await reader.read(65_536):
            for message in parser.feed(data):
                seen(message)
            writer.write(data)
            await writer.drain()
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
