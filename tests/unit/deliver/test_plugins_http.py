"""The injected HTTP client against real servers: replies, failures, vetting, cap, redirects, TLS, proxy, samples."""

import asyncio
import gzip
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from appliance.core.config import OutboundConfig
from appliance.core.errors import ConfigError
from appliance.deliver.http_client import CallHttp, HttpClient
from appliance.sdk import Reply, Retry
from tests.support.ports import free_port
from tests.support.receiver import receiving


@asynccontextmanager
async def client(**config: Any) -> AsyncIterator[CallHttp]:
    made = HttpClient(OutboundConfig(**config))
    await made.start()
    try:
        yield made.bind()
    finally:
        await made.close()


@asynccontextmanager
async def raw_server(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    """A server that speaks whatever `answer` writes, once the request's head is in."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            pass

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
    finally:
        server.close()


async def failed(call: Any) -> Retry:
    with pytest.raises(Retry) as caught:
        await call
    return caught.value


async def test_a_reply_is_given_whatever_its_status() -> None:
    async with receiving() as server, client() as http:
        server.answer = (418, {"X-Tea": "pot"}, b'{"a": [1]}')
        reply = await http.request("PUT", server.url + "/a?b=c", body=b"{}", headers={"X-Mine": "1"})
        assert (reply.status, reply.phrase, reply.json(), reply.truncated) == (418, "I'm a Teapot", {"a": [1]}, False)
        assert reply.headers["x-tea"] == "pot"
        (request,) = server.requests
        assert (request.method, request.path, request.body) == ("PUT", "/a?b=c", b"{}")
        assert request.headers["content-type"] == "application/json" and request.headers["x-mine"] == "1"
        assert request.headers["user-agent"] == "sternpost"
        assert (await http.get(server.url)).status == 418
        assert "content-type" not in server.requests[1].headers
        await http.post(server.url, body=b"a,b", headers={"content-type": "text/csv"})
        assert server.requests[2].headers["content-type"] == "text/csv"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    async with receiving() as server, client() as http:
        server.answer = (status, {"Location": server.url + "/elsewhere"}, b"")
        assert (await http.post(server.url, body=b"{}")).status == status
        assert len(server.requests) == 1


async def test_a_reply_is_read_up_to_the_cap_and_not_further() -> None:
    sent = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while sent < 100_000_000:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with raw_server(endless) as url, client(reply_bytes_max=1000) as http:
        reply = await http.post(url, body=b"{}")
        assert (len(reply.body), reply.truncated, reply.status) == (1000, True, 200)
        await asyncio.sleep(0.1)
        assert sent < 30_000_000, "the rest was read all the same"


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 200_000])
async def test_the_cap_is_exact(size: int) -> None:
    async with receiving() as server, client(reply_bytes_max=1000) as http:
        server.answer = (200, {}, b"x" * size)
        for _ in range(2):
            reply = await http.get(server.url)
            assert (len(reply.body), reply.truncated) == (min(size, 1000), size > 1000)


async def test_a_bomb_is_not_inflated() -> None:
    async with receiving() as server, client() as http:
        server.answer = (200, {"Content-Encoding": "gzip"}, gzip.compress(b"0" * 50_000_000))
        assert len((await http.get(server.url)).body) < 65_537
        assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_connections_are_used_again() -> None:
    peers = set()

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.add(request.transport.get_extra_info("peername"))
        return web.Response(text="x" * 100)

    async with receiving() as server, client() as http:
        server.handler = handler
        for _ in range(10):
            await http.post(server.url, body=b"{}")
    assert len(peers) == 1


async def test_no_connection_is_told_apart_from_no_answer() -> None:
    async with client() as http:
        error = await failed(http.post(f"http://127.0.0.1:{free_port()}/", body=b""))
        assert error.connection and error.reason.startswith("connection refused by 127.0.0.1:")
        error = await failed(http.post("http://no-such-host.invalid/", body=b""))
        assert error.connection and error.reason == "the name no-such-host.invalid was not found"

    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

    async def noise(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

    for answer, words in (
        (reset, "the connection was lost before the reply"),
        (half, "the reply broke off"),
        (noise, "the reply is no HTTP"),
    ):
        async with raw_server(answer) as url, client() as http:
            error = await failed(http.post(url, body=b"{}"))
            assert error.reason.startswith(words) and not error.connection


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http://[::1", "unix:///var/run/docker.sock"],
)
async def test_what_is_no_http_url_is_the_plugins_fault(url: str) -> None:
    async with client() as http:
        with pytest.raises(ValueError, match="not a URL to call|URL"):
            await http.post(url, body=b"")


async def test_headers_cannot_be_smuggled() -> None:
    async with receiving() as server, client() as http:
        with pytest.raises(ValueError, match="(?i)header|newline|character"):
            await http.post(server.url, body=b"", headers={"X-A": "1\r\nX-B: 2"})
        assert server.requests == []


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[::ffff:169.254.169.254]", "[fd00:ec2::254]", "100.100.100.200", "[64:ff9b::a9fe:a9fe]"],
)
async def test_metadata_services_cannot_be_reached(host: str) -> None:
    async with client() as http:
        error = await failed(http.get(f"http://{host}/latest/meta-data/"))
        assert error.connection and "is never allowed" in error.reason


@pytest.mark.parametrize("host", ["2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518"])
async def test_odd_spellings_of_a_metadata_address_do_not_help(host: str) -> None:
    async with client() as http:
        with pytest.raises((Retry, ValueError)) as caught:
            await http.get(f"http://{host}/")
        assert "never allowed" in str(caught.value) or "not found" in str(caught.value) or "URL" in str(caught.value)


async def test_a_name_is_judged_by_what_it_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name under an attacker's control that points at the metadata service; the resolver's answer is ours to give."""
    real = asyncio.get_running_loop().getaddrinfo

    async def rebound(host: Any, port: Any, **arguments: Any) -> Any:
        return await real("169.254.169.254" if host == "rebound.example" else host, port, **arguments)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", rebound)
    async with client() as http:
        error = await failed(http.get("http://rebound.example/"))
        assert "connecting to 169.254.169.254 is never allowed" in error.reason


async def test_an_allow_list_keeps_everybody_else_out() -> None:
    async with receiving() as server:
        async with client(allow=["127.0.0.0/8"]) as http:
            assert (await http.get(server.url)).status == 200
        async with client(allow=["10.0.0.0/8"]) as http:
            assert "not in outbound.allow" in (await failed(http.get(server.url))).reason
            assert (
                "not in outbound.allow" in (await failed(http.get(server.url.replace("127.0.0.1", "localhost")))).reason
            )
        assert len(server.requests) == 1


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, by the openssl command."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=private", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


async def test_private_authorities_are_trusted_where_configured_and_only_there(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with receiving(ssl_context=context) as server:
        async with client(authorities=certificate) as http:
            assert (await http.get(server.url)).status == 200
        async with client() as http:
            error = await failed(http.get(server.url))
            assert error.connection and error.reason.startswith("TLS: ") and "certificate" in error.reason
        assert len(server.requests) == 1


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_unusable_authorities_are_a_fault(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="outbound.authorities"):
        HttpClient(OutboundConfig(authorities=path))


async def test_a_proxy_is_used_and_numeric_metadata_addresses_stay_out() -> None:
    seen = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy")

    async with raw_server(proxy) as url, client(proxy=url.removesuffix("/x")) as http:
        reply = await http.get("http://somewhere.invalid/y")
        assert reply.text == "proxy"
        seen.append(reply)
        assert "never allowed" in (await failed(http.get("http://169.254.169.254/"))).reason
    assert seen


async def test_the_sample_shows_both_sides_without_secrets_and_within_4_kib() -> None:
    async with receiving() as server, client() as http:
        server.answer = (400, {"Set-Cookie": "session=abc", "X-Why": "because"}, b"no such list " + b"y" * 9000)
        headers = {"Authorization": "Bearer s3cr3t", "X-Api-Key": "s3cr3t", "X-Plain": "shown"}
        await http.post(server.url + "/a?b=c", body=b'{"n":1}' + b"z" * 9000, headers=headers)
        assert http.last is not None
        text = http.last.text()
    assert text.startswith("POST /a?b=c HTTP/1.1\nHost: 127.0.0.1:")
    for words in ('{"n":1}zzz', "X-Plain: shown", "HTTP/1.1 400 Bad Request", "X-Why: because", "no such list yyy"):
        assert words in text
    assert "s3cr3t" not in text and "abc" not in text and len(text.encode()) <= 4096


async def test_a_sample_without_a_reply_says_so() -> None:
    async with client() as http:
        await failed(http.post(f"http://127.0.0.1:{free_port()}/", body=gzip.compress(b"x")))
        assert http.last is not None
        assert "(no reply)" in http.last.text() and "bytes, not text)" in http.last.text()


@pytest.mark.parametrize(
    ("status", "headers", "after_s"),
    [
        (429, {"Retry-After": "7"}, 7.0),
        (429, {}, 1.0),
        (429, {"Retry-After": "soon"}, 1.0),
        (503, {}, None),
        (503, {"Retry-After": "99999"}, 3600.0),
        (500, {"Retry-After": "-3"}, 0.0),
        (429, {"Retry-After": "nan"}, 1.0),
        (429, {"Retry-After": "1e999"}, 1.0),
        (503, {"Date": "Wed, 21 Oct 2015 07:27:00 GMT", "Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 60.0),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after(status: int, headers: dict[str, str], after_s: float | None) -> None:
    assert Reply(status, headers, b"").retry_after_s == after_s
