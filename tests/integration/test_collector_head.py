"""Heads of requests: how many bytes of an unfinished one are kept, and that a large one in time is welcome."""

import asyncio
import json
from pathlib import Path

from appliance.collect.http import HEAD_BYTES_MAX
from tests.support.collecting import Collecting, collecting, event
from tests.support.wire import basic

HEAD = f"POST /v1/track HTTP/1.1\r\nHost: x\r\nAuthorization: {basic('wk_proof')['Authorization']}\r\n".encode()
FIELD = b"X-%d: " + b"v" * 1_000 + b"\r\n"


async def send(room: Collecting, fields: int, rest: bytes, packet_bytes: int = 5_000) -> bytes:
    """Send a head of so many KB in small packets; returns what came back until the connection ended or 3 s passed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
    text = HEAD + b"".join(FIELD % number for number in range(fields)) + rest
    try:
        for at in range(0, len(text), packet_bytes):
            writer.write(text[at : at + packet_bytes])
            await asyncio.sleep(0.005)
        return await asyncio.wait_for(reader.read(1_000), 3)
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_an_unfinished_head_is_cut_at_its_bound(tmp_path: Path) -> None:
    async with collecting(tmp_path, header_timeout_s=60.0) as room:
        assert await send(room, HEAD_BYTES_MAX // 1_000 + 30, b"") == b""
        assert await send(room, HEAD_BYTES_MAX // 1_000 + 30, b"", packet_bytes=50_000) == b""


async def test_a_large_head_and_a_large_body_in_one_packet_are_welcome(tmp_path: Path) -> None:
    body = json.dumps(event(properties={"v": "x" * 200_000})).encode()
    rest = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body
    async with collecting(tmp_path) as room:
        assert (await send(room, 40, rest)).startswith(b"HTTP/1.1 200")
        assert (await send(room, 60, rest, packet_bytes=1 << 20)).startswith(b"HTTP/1.1 200")


async def test_the_rest_of_a_body_that_nobody_wants_is_no_head(tmp_path: Path) -> None:
    unread = b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n"
    async with collecting(tmp_path) as room:
        reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
        writer.write(unread)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        for _ in range(10):
            writer.write(b"x" * 50_000)
            await asyncio.sleep(0.005)
        writer.write(b"GET /robots.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert b"User-agent" in await asyncio.wait_for(reader.read(), 3)
        writer.close()
