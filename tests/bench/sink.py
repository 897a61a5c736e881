"""A webhook sink that is cheap enough not to be the bound: answers 200 and notes when each messageId arrived.

    python -m tests.bench.sink --port PORT --record FILE

Record file: one line `messageId seconds` per request, `seconds` on the machine's monotonic clock.
"""

import argparse
import asyncio
import sys
import time
from typing import TextIO, cast

import uvloop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"
_KEY = b'"messageId":"'


class Receiver(asyncio.Protocol):
    """One connection: heads with Content-Length or chunked bodies, one event per request."""

    def __init__(self, record: TextIO) -> None:
        self._record, self._buffer = record, bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._end()) > 0:
            at = self._buffer.find(_KEY, 0, end)
            start = at + len(_KEY)
            message_id = self._buffer[start : self._buffer.index(b'"', start)].decode() if at >= 0 else "?"
            self._record.write(f"{message_id} {time.monotonic():.6f}\n")
            self._transport.write(_ANSWER)
            del self._buffer[:end]

    def _end(self) -> int:
        """Where the first request ends, or 0 while it is not complete."""
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return 0
        head = bytes(self._buffer[:head_end]).lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            end = self._buffer.find(b"\r\n0\r\n\r\n", head_end)
            return end + 7 if end >= 0 else 0
        size = int(head[at + 17 :].split(b"\r\n", 1)[0])
        end = head_end + 4 + size
        return end if end <= len(self._buffer) else 0


async def serve(port: int, path: str) -> None:
    """Serve until the process is ended."""
    with open(path, "w", buffering=1 << 16, encoding="ascii") as record:
        server = await asyncio.get_running_loop().create_server(
            lambda: Receiver(record), "127.0.0.1", port, backlog=1024
        )
        print("listening", flush=True)
        async with server:
            while True:
                await asyncio.sleep(0.2)
                record.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description="a cheap webhook sink with times")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--record", required=True)
    arguments = parser.parse_args()
    uvloop.run(serve(arguments.port, arguments.record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
