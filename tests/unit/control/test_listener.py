"""The admin listener under clients that dawdle, crowd or talk nonsense."""

import asyncio
import json
import logging
import time
from pathlib import Path

import pytest

from appliance.control import listener
from tests.support.room import Room, running


async def connected(room: Room) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(room.url.rpartition(":")[2]))


@pytest.mark.parametrize("beginning", [b"", b"GET /health HTT", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"])
async def test_a_head_that_does_not_come_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT_S", 0.5)
    async with running(tmp_path) as room:
        reader, writer = await connected(room)
        began = time.monotonic()
        writer.write(beginning)
        with pytest.raises(ConnectionResetError):
            async with asyncio.timeout(10):
                assert await reader.read() == b""
                raise ConnectionResetError
        assert 0.3 < time.monotonic() - began < 5
        writer.close()


async def test_an_idle_connection_stays_and_a_second_head_that_dawdles_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT_S", 0.5)
    whole = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    async with running(tmp_path) as room:
        reader, writer = await connected(room)
        for _ in range(2):
            writer.write(whole)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            await asyncio.sleep(1.0)
        writer.write(whole[:20])
        async with asyncio.timeout(5):
            try:
                assert await reader.read() == b""
            except ConnectionResetError:
                pass
        writer.close()


async def test_a_tail_outlives_the_time_for_a_head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "HEAD_TIMEOUT_S", 0.3)
    async with running(tmp_path) as room, room.http.get("/v1/tail") as reply:
        await asyncio.sleep(1.0)
        await room.collect({"type": "track", "userId": "u", "messageId": "m1"})
        async with asyncio.timeout(10):
            while b"m1" not in await reply.content.readline():
                pass


async def test_connections_are_bounded_and_come_free_again(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        crowd = [await connected(room) for _ in range(listener.CONNECTIONS_MAX)]
        late_reader, late_writer = await connected(room)
        async with asyncio.timeout(10):
            try:
                assert await late_reader.read() == b""
            except ConnectionResetError:
                pass
        late_writer.close()
        for _, writer in crowd:
            writer.close()
        await asyncio.sleep(0.2)
        assert (await room.get("/health"))["health"] == "well"


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\r\n" * 100,
        b"A" * 100_000,
        b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_nonsense_harms_nobody(tmp_path: Path, nonsense: bytes) -> None:
    async with running(tmp_path) as room:
        reader, writer = await connected(room)
        writer.write(nonsense)
        writer.write_eof()
        async with asyncio.timeout(15):
            try:
                answer = await reader.read()
            except ConnectionResetError:
                answer = b""
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert (await room.get("/health"))["health"] == "well"
        writer.close()


@pytest.mark.parametrize("target", [b"*", b"?x", b"http://[", b"http://x:99999/", b"\xff"])
async def test_a_target_that_is_none_is_answered_as_any_error_and_logs_nothing(
    tmp_path: Path, target: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path) as room:
        caplog.clear()
        reader, writer = await connected(room)
        writer.write(b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % target)
        async with asyncio.timeout(15):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        assert head.split()[1] == b"400" and json.loads(body)["error"]["code"] == "invalid"
        assert [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING or one.exc_info] == []
        writer.close()
