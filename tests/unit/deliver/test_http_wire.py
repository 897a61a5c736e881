"""Our own HTTP connections: how a reply may end, what must never be taken for one, which bytes go out."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from appliance.deliver.http_wire import Wire, encode, target_of
from appliance.sdk import Retry
from tests.unit.deliver.test_plugins_http import client, failed, raw_server

HELLO = "hello"


def server_of(pieces: Sequence[bytes], pause_s: float = 0.0):  # type: ignore[no-untyped-def]
    """Writes these, one after the other, and closes."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return raw_server(answer)


@pytest.mark.parametrize("pause_s", [0.0, 0.01], ids=["at once", "in pieces"])
@pytest.mark.parametrize(
    ("pieces", "status", "text"),
    [
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], 200, HELLO),
        ([b"HTTP/1.1 2", b"00 OK\r\nConte", b"nt-Length: 5\r\n\r\nhe", b"llo"], 200, HELLO),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n", b"3;x=y\r\nllo\r\n0\r\n\r\n"],
            200,
            HELLO,
        ),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Trailer: 1\r\n\r\n"], 200, HELLO),
        ([b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo"], 200, HELLO),
        ([b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"], 200, HELLO),
        ([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"], 200, HELLO),
        ([b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"], 503, ""),
        ([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, ""),
        ([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"], 304, ""),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Odd: \xff\xfe\r\n\r\n"], 200, ""),
    ],
    ids=str,
)
async def test_a_reply_ends_where_http_says(pieces: list[bytes], status: int, text: str, pause_s: float) -> None:
    async with server_of(pieces, pause_s) as url, client() as http:
        reply = await http.post(url, body=b"{}")
        assert (reply.status, reply.text, reply.truncated) == (status, text, False)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([b""], "the connection was lost before the reply"),
        ([b"HTTP/1.1 200 OK\r\nContent-"], "the connection was lost before the reply"),
        ([b"HTTP/1.1 100 Continue\r\n\r\n"], "the connection was lost before the reply"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello"], "the reply broke off"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello"], "the reply broke off"),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"], "the reply is no HTTP"),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"], "the reply is no HTTP"),
        (
            [b"HTTP/1.1 200 OK\r\n", *[b"X: %b\r\n" % (b"y" * 1000)] * 200],
            "the reply is no HTTP: its head does not end",
        ),
        (
            [b"HTTP/1.1 103 Early Hints\r\nX: %b\r\n\r\n" % (b"y" * 1000)] * 200,
            "the reply is no HTTP: its head does not end",
        ),
        (
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", *[b"X: %b\r\n" % (b"y" * 1000)] * 400],
            "the reply is no HTTP: it is made of",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_no_whole_reply_is_tried_again(pieces: list[bytes], words: str) -> None:
    async with server_of(pieces) as url, client() as http:
        assert (await failed(http.post(url, body=b"{}"))).reason.startswith(words)


async def test_what_a_server_sends_unasked_is_never_the_next_requests_reply() -> None:
    """Both at once, the second in part only, and one after the reply was read."""
    good, forged = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood",
        b"HTTP/1.1 299 OK\r\nContent-Length: 6\r\n\r\nforged",
    )

    for now, later, pause_s in ((forged, b"", 0.0), (forged[:25], forged[25:], 0.0), (b"", forged, 0.1)):

        async def answer(
            _: asyncio.StreamReader, writer: asyncio.StreamWriter, now: bytes = now, later: bytes = later
        ) -> None:
            writer.write(good + now)
            await writer.drain()
            await asyncio.sleep(0.05)
            writer.write(later)
            await asyncio.sleep(0.2)

        async with raw_server(answer) as url, client() as http:
            for _ in range(3):
                assert (await http.post(url, body=b"{}")).text == "good"
                await asyncio.sleep(pause_s)


async def test_a_cancelled_request_does_not_leave_its_reply_to_the_next() -> None:
    replies = iter((b"first", b"other"))

    async def slow(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = next(replies)
        await asyncio.sleep(0.2 if body == b"first" else 0)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
        await asyncio.sleep(0.5)

    async with raw_server(slow) as url, client() as http:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(http.post(url, body=b"{}"), 0.05)
        assert (await http.post(url, body=b"{}")).text == "other"


async def test_a_connection_that_the_server_closed_meanwhile_is_not_used() -> None:
    async with server_of([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]) as url, client() as http:
        for _ in range(5):
            assert (await http.post(url, body=b"{}")).text == "ok"
            await asyncio.sleep(0.05)


async def test_nothing_is_sent_on_a_connection_from_its_end_on() -> None:
    """The transport closes a moment after it said that the other side will send no more."""
    usable: list[bool] = []

    class Watched(Wire):
        def eof_received(self) -> None:
            usable.append(self.usable)
            super().eof_received()
            usable.append(self.usable)

    ending = socket.create_server(("127.0.0.1", 0))
    ending.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(lambda: Watched(1000), *ending.getsockname())
    connection, _ = await loop.sock_accept(ending)
    connection.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(5):
        while not usable:
            await asyncio.sleep(0.01)
    transport.close()
    connection.close()
    ending.close()
    assert usable == [True, False]


@pytest.mark.parametrize(
    ("url", "headers", "lines"),
    [
        ("http://a.example/x?y=1#z", {}, ["POST /x?y=1 HTTP/1.1", "Host: a.example", "User-Agent: sternpost"]),
        ("http://a.example:81", {}, ["POST / HTTP/1.1", "Host: a.example:81"]),
        ("https://[::1]:8443/ä b", {}, ["POST /%C3%A4%20b HTTP/1.1", "Host: [::1]:8443"]),
        ("http://us%40er:p%3Ass@a.example/", {}, ["Authorization: Basic dXNAZXI6cDpzcw=="]),
        ("http://user:pass@a.example/", {"authorization": "Bearer t"}, ["authorization: Bearer t"]),
        ("https://faß.de/", {}, ["Host: xn--fa-hia.de"]),
        ("http://a.example/", {"Host": "b.example", "USER-AGENT": "mine"}, ["Host: b.example", "USER-AGENT: mine"]),
        ("http://a.example/", {"X": "héllo\tthere"}, ["X: héllo\tthere", "Content-Length: 2"]),
    ],
    ids=str,
)
def test_the_bytes_of_a_request(url: str, headers: dict[str, str], lines: list[str]) -> None:
    head, _, body = encode("POST", target_of(url), headers, b"{}").partition(b"\r\n\r\n")
    sent = head.decode().split("\r\n")
    assert set(lines) <= set(sent), sent
    names = [line.partition(":")[0].lower() for line in sent[1:]]
    assert len(names) == len(set(names)), "a header stands twice"
    assert body == b"{}"


@pytest.mark.parametrize("host", ["xn--fa-hia.de", "faß.de"])
def test_a_name_is_looked_up_as_it_is_written(host: str) -> None:
    """Python's own encoding would call fass.de instead, with the credentials."""
    assert target_of(f"https://{host}/hook").host == "xn--fa-hia.de"


async def test_trailers_are_no_headers_and_a_phrase_is_whole() -> None:
    pieces = [b"HTTP/1.1 500 Ser", b"ver Error\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Late: 1\r\n\r\n"]
    async with server_of(pieces, 0.05) as url, client() as http:
        reply = await http.post(url, body=b"{}")
        assert (reply.status, reply.phrase) == (500, "Server Error") and "X-Late" not in reply.headers


def test_a_post_without_a_body_says_so() -> None:
    assert b"Content-Length: 0\r\n" in encode("POST", target_of("http://a.example/"), {}, None)
    assert b"Content-Length" not in encode("GET", target_of("http://a.example/"), {}, None)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_where_a_request_ends_is_not_a_plugins_business(name: str) -> None:
    sent = encode("POST", target_of("http://a.example/"), {name: "7"}, b"{}")
    assert sent.count(b"Content-Length: 2") == 1 and b": 7" not in sent


@pytest.mark.parametrize(
    "headers", [{"X\r\nY": "1"}, {"X": "1\n"}, {"X": "\x00"}, {"": "1"}, {"X Y": "1"}, {"X:": "1"}]
)
def test_what_is_no_header_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no header that can be sent"):
        encode("POST", target_of("http://a.example/"), headers, b"")


async def test_the_rare_methods_work_as_well() -> None:
    async with server_of([b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"]) as url, client() as http:
        assert (await http.request("HEAD", url)).status == 200


async def test_an_error_is_a_retry_without_its_connection() -> None:
    async with server_of([b"nonsense\r\n\r\n"]) as url, client() as http:
        with pytest.raises(Retry):
            await http.post(url, body=b"")
