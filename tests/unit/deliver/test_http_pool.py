"""The pool of connections against real servers: what idles too long is not used and is closed, names are looked up anew."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from appliance.deliver import http_pool, http_wire
from tests.unit.deliver.test_plugins_http import client, failed

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers every request on every connection with `reply`, and knows its connections.

    Attributes:
        ended: how many the client has closed.
    """

    def __init__(self) -> None:
        self.reply, self.connections, self.ended, self.url = OK, 0, 0, ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(2)
                writer.write(self.reply)
                if b"half" in self.reply:
                    writer.write_eof()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self.ended += 1
        writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[Server]:
    made = Server()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    try:
        yield made
    finally:
        server.close()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


async def test_what_idled_too_long_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "KEEPALIVE_S", 0.3)
    monkeypatch.setattr(http_pool, "SWEEP_S", 60.0)  # the sweeper does not come before it
    async with serving() as server, client() as http:
        for _ in range(3):
            await http.post(server.url, body=b"{}")
        assert server.connections == 1
        await asyncio.sleep(0.4)
        assert server.ended == 0
        await http.post(server.url, body=b"{}")
        assert server.connections == 2
        await until(lambda: server.ended == 1)


async def test_what_idles_too_long_is_closed_though_nobody_asks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "KEEPALIVE_S", 0.2)
    monkeypatch.setattr(http_pool, "SWEEP_S", 0.05)
    async with serving() as server, client() as http:
        await asyncio.gather(*(http.post(server.url, body=b"{}") for _ in range(3)))
        assert server.connections == 3
        await until(lambda: server.ended == 3)
        await http.post(server.url, body=b"{}")  # and once more, after the sweeper had nothing left
        await until(lambda: server.ended == 4)


async def test_the_sweeper_spares_what_was_used_just_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "KEEPALIVE_S", 1.0)
    monkeypatch.setattr(http_pool, "SWEEP_S", 0.05)
    async with serving() as server, client() as http:
        for _ in range(10):
            await http.post(server.url, body=b"{}")
            await asyncio.sleep(0.15)
        assert (server.connections, server.ended) == (1, 0)


@pytest.mark.parametrize(
    "reply",
    [
        OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
    ids=["close", "1.0"],
)
async def test_a_connection_that_the_server_will_close_is_not_used_again(reply: bytes) -> None:
    """It is still open: that the server said so is all that is known."""
    async with serving() as server, client() as http:
        server.reply = reply
        for number in range(1, 4):
            assert (await http.post(server.url, body=b"{}")).text == "ok"
            assert server.connections == number
        await until(lambda: server.ended == 3)


async def test_a_connection_that_the_server_closed_on_its_side_is_not_used_again() -> None:
    """Half closed: bytes could still be written, and nobody would answer them."""
    async with serving() as server, client() as http:
        server.reply = OK.replace(b"200 OK", b"200 half")
        for number in range(1, 4):
            assert (await http.post(server.url, body=b"{}")).text == "ok"
            await asyncio.sleep(0.1)  # until the end of the stream is here
            assert server.connections == number


async def test_names_are_looked_up_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service has moved: from 127.0.0.1 to 127.0.0.2, where somebody else listens."""
    monkeypatch.setattr(http_pool, "DNS_CACHE_S", 0.3)
    monkeypatch.setattr(http_pool, "KEEPALIVE_S", 0.0)
    places, asked = ["127.0.0.1"], []
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def resolved(host: Any, port: Any, **arguments: Any) -> Any:
        if host != "moving.example":
            return await real(host, port, **arguments)
        asked.append(host)
        return await real(places[0], port, **arguments)

    monkeypatch.setattr(loop, "getaddrinfo", resolved)
    async with serving() as old, client() as http:
        port = int(old.url.rpartition(":")[2].partition("/")[0])
        new = Server()
        server = await asyncio.start_server(new.serve, "127.0.0.2", port)
        for _ in range(3):
            await http.post(f"http://moving.example:{port}/", body=b"{}")
        assert (len(asked), old.connections, new.connections) == (1, 3, 0)
        places[0] = "127.0.0.2"
        await asyncio.sleep(0.4)
        await http.post(f"http://moving.example:{port}/", body=b"{}")
        assert (len(asked), old.connections, new.connections) == (2, 3, 1)
        server.close()


async def test_so_many_names_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "NAMES_MAX", 3)
    loop = asyncio.get_running_loop()
    real = loop.getaddrinfo

    async def resolved(host: Any, port: Any, **arguments: Any) -> Any:
        return await real("127.0.0.1", port, **arguments)

    monkeypatch.setattr(loop, "getaddrinfo", resolved)
    async with serving() as server, client() as http:
        port = server.url.rpartition(":")[2].partition("/")[0]
        for number in range(10):
            await http.post(f"http://host{number}.example:{port}/", body=b"{}")
            assert len(http._client.pool._names) <= 3


async def test_a_handshake_that_fails_leaves_no_socket_behind() -> None:
    """A server that speaks no TLS sees its connections end, each failed try's at once."""
    ended = 0

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()
        ended += 1
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with client() as http:
        for number in range(1, 4):
            error = await failed(http.post(f"https://127.0.0.1:{port}/", body=b"{}"))
            assert error.connection and error.reason.startswith("TLS: ")
            await until(lambda number=number: ended == number)  # type: ignore[misc]
    server.close()


async def test_a_handshake_that_is_given_up_leaves_no_socket_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that never answers the handshake: the socket goes when the time is over, and with it the connection."""
    monkeypatch.setattr(http_pool, "CONNECT_TIMEOUT_S", 0.2)
    silent = socket.create_server(("127.0.0.1", 0))
    silent.setblocking(False)
    loop = asyncio.get_running_loop()
    async with client() as http:
        calling = asyncio.create_task(failed(http.post(f"https://127.0.0.1:{silent.getsockname()[1]}/", body=b"")))
        connection, _ = await loop.sock_accept(silent)
        assert (await calling).reason == "no connection within 0.2 s"
        async with asyncio.timeout(5):
            while True:
                try:
                    if not await loop.sock_recv(connection, 4096):
                        break
                except ConnectionResetError:
                    break
    connection.close()
    silent.close()


async def test_a_socket_that_nobody_took_over_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connected, and then there is no memory for what would own it; whoever keeps the error keeps no connection."""

    def no_memory(*_: Any) -> http_wire.Wire:
        raise MemoryError

    monkeypatch.setattr(http_pool, "Wire", no_memory)
    silent = socket.create_server(("127.0.0.1", 0))
    silent.setblocking(False)
    loop = asyncio.get_running_loop()
    async with client() as http:
        with pytest.raises(MemoryError) as kept:
            await http.post(f"http://127.0.0.1:{silent.getsockname()[1]}/", body=b"")
        connection, _ = await loop.sock_accept(silent)
        async with asyncio.timeout(5):
            assert await loop.sock_recv(connection, 1) == b""
    assert kept.tb is not None, "its frames hold the socket"
    connection.close()
    silent.close()
