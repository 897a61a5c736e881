"""A client that posts corpus events at a fixed rate or as fast as it can, and notes when each was acknowledged.

    python -m tests.bench.loader --url URL --events N [--batch 100] [--rate EVENTS_PER_S] [--record FILE]

The rate is an open loop: a request has its time, and its latency counts from that time even when it had to wait for a
connection. Record file: one line `messageId due_s acknowledged_s status` per event, on the machine's monotonic clock.
Prints one JSON object: {"requests", "events", "event_bytes", "failed", "seconds", "cpu_s", "p50_ms", "p99_ms", "max_ms"};
`cpu_s` is the client's own.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from typing import Any, NamedTuple, TextIO, cast
from urllib.parse import urlsplit

import uvloop

from tests.bench.corpus import SEED, Corpus, Narrow
from tests.bench.crowd import Crowd
from tests.bench.tools import AUTHORIZATION


class Request(NamedTuple):
    """One POST and what it carries."""

    data: bytes
    message_ids: list[str]
    due_s: float


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    def __init__(self, loader: "Loader") -> None:
        self._loader, self._buffer, self.current = loader, bytearray(), None

    current: Request | None
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: Request) -> None:
        self.current = request
        self.transport.write(request.data)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(self._buffer[:head_end]).lower()
        at = head.find(b"\r\ncontent-length:")
        size = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < head_end + 4 + size:
            return
        self._buffer.clear()
        self._loader.answered(self, int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.current is not None:
            self._loader.answered(self, 0)


class Loader:
    """Makes the requests and keeps the books."""

    def __init__(self, options: argparse.Namespace, record: TextIO | None) -> None:
        self.options, self.record = options, record
        known = options.crowd
        plain = Narrow if options.narrow else Corpus
        self.corpus = (
            plain(options.people, options.seed) if known is None else Crowd(known, draw=options.seed)
        ).events()
        self.idle: deque[Connection] = deque()
        self.waiting: deque[Request] = deque()
        self.latencies_ms: list[float] = []
        self.made = self.answers = self.failed = self.event_bytes = 0
        url = urlsplit(options.url)
        self.address = (url.hostname or "127.0.0.1", url.port or 80)
        path = b"/v1/batch" if options.batch > 1 else b"/v1/track"
        self.head = (
            b"POST %b HTTP/1.1\r\nHost: %b\r\nAuthorization: %b\r\nContent-Type: application/json\r\n"
            b"Content-Length: %%d\r\n\r\n" % (path, url.netloc.encode(), AUTHORIZATION.encode())
        )

    async def run(self) -> dict[str, Any]:
        """Send everything and wait for every answer."""
        loop = asyncio.get_running_loop()
        for _ in range(self.options.connections):
            _, connection = await loop.create_connection(lambda: Connection(self), *self.address)
            self.idle.append(connection)
        self.done: asyncio.Future[None] = loop.create_future()
        self.requests = -(-self.options.events // self.options.batch)
        began_s = time.monotonic()
        if self.options.rate:
            await self._pace(began_s)
        else:
            for connection in list(self.idle):
                self._next(connection)
        await self.done
        return self._report(time.monotonic() - began_s)

    async def _pace(self, began_s: float) -> None:
        interval_s = self.options.batch / self.options.rate
        while self.made < self.requests:
            due_s = began_s + self.made * interval_s
            if (wait_s := due_s - time.monotonic()) > 0:
                await asyncio.sleep(wait_s)
                continue
            request = self._make(due_s)
            if self.idle:
                self.idle.popleft().send(request)
            else:
                self.waiting.append(request)

    def answered(self, connection: Connection, status: int) -> None:
        request, connection.current = connection.current, None
        assert request is not None
        now_s = time.monotonic()
        self.answers += 1
        self.failed += status != 200
        self.latencies_ms.append((now_s - request.due_s) * 1000)
        if self.record is not None:
            self.record.writelines(f"{name} {request.due_s:.6f} {now_s:.6f} {status}\n" for name in request.message_ids)
        if self.done.done():
            return
        if self.answers == self.requests:
            self.done.set_result(None)
        elif status == 0:
            self.done.set_exception(ConnectionError("the collector closed a connection with a request on its way"))
        elif self.waiting:
            connection.send(self.waiting.popleft())
        elif self.options.rate:
            self.idle.append(connection)
        else:
            self._next(connection)

    def _next(self, connection: Connection) -> None:
        if self.made < self.requests:
            connection.send(self._make(time.monotonic()))

    def _make(self, due_s: float) -> Request:
        self.made += 1
        pairs = [next(self.corpus) for _ in range(self.options.batch)]
        self.event_bytes += sum(len(event) for _, event in pairs)
        body = pairs[0][1] if self.options.batch == 1 else b'{"batch":[%b]}' % b",".join(event for _, event in pairs)
        return Request(self.head % len(body) + body, [name for name, _ in pairs], due_s)

    def _report(self, seconds: float) -> dict[str, Any]:
        ordered = sorted(self.latencies_ms)
        return {
            "requests": self.answers,
            "events": self.made * self.options.batch,
            "event_bytes": self.event_bytes,
            "failed": self.failed,
            "seconds": seconds,
            "cpu_s": time.process_time(),
            "p50_ms": ordered[len(ordered) // 2],
            "p99_ms": ordered[int(len(ordered) * 0.99)],
            "max_ms": ordered[-1],
        }


def main() -> int:
    parser = argparse.ArgumentParser(description="post corpus events")
    parser.add_argument("--url", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--people", type=int, default=1_000)
    parser.add_argument("--crowd", type=int, help="people with log-ins (see crowd.py), so many of them known before")
    parser.add_argument("--narrow", type=int, default=0, help="1: events of 20 columns")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--record")
    options = parser.parse_args()
    record = open(options.record, "w", buffering=1 << 16, encoding="ascii") if options.record else None  # noqa: SIM115
    print(json.dumps(uvloop.run(Loader(options, record).run())))
    if record is not None:
        record.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
