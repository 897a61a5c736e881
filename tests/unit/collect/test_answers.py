"""Answers as bytes: framing, CORS lines, and that nothing a client says can break out of a header."""

import pytest

from appliance.collect import answers


def test_an_answer_is_one_complete_http_message() -> None:
    sent = answers.retry_after(503, "Service Unavailable", 0).encode(
        b"X: cors\r\n", b"Connection: close\r\n", answers.date_line(0)
    )
    head, _, body = sent.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 503 Service Unavailable"
    assert set(lines[1:]) == {
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: 19",
        b"Vary: Origin",
        b"X: cors",
        b"Connection: close",
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
        b"Retry-After: 1",
    }
    assert body == b"Service Unavailable"


def test_head_gets_the_same_without_the_body() -> None:
    full, head = (answers.OK.encode(b"", b"", b"", head_only=only) for only in (False, True))
    assert full == head + b"ok"


@pytest.mark.parametrize("value", ["", " ", "a\r\nSet-Cookie: x", "a\nb", "\u00e4", "a\0", "x" * 5000, "a\tb"])
def test_what_cannot_stand_in_a_header_is_not_repeated(value: str) -> None:
    assert answers.allow(value) == b""
    assert b"Allow-Headers" not in answers.preflight("https://a.example", value)


def test_preflight() -> None:
    lines = answers.preflight("https://a.example", "authorization, x-y").split(b"\r\n")
    assert b"Access-Control-Allow-Origin: https://a.example" in lines
    assert b"Access-Control-Allow-Headers: authorization, x-y" in lines
    assert b"Access-Control-Max-Age: 900" in lines
    assert b"Access-Control-Allow-Methods: GET, POST, HEAD, OPTIONS" in lines
