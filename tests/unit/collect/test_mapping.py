"""Pixels and webhooks: whatever comes becomes one event, or is said not to be readable; nothing else is raised."""

import json
import random
from typing import Any

import pytest

from appliance.collect import parse
from appliance.collect.mapping import FIELDS_MAX, NoShape, pixel, webhook
from appliance.collect.parse import Envelope, Limits

ENVELOPE, LIMITS = Envelope("web", 1, "127.0.0.1"), Limits(512 * 1024, 64)


def form(*parts: bytes, boundary: bytes = b"b0") -> bytes:
    """A multipart body."""
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


def field(name: str, value: bytes, more: str = "") -> bytes:
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value


def hooked(content_type: str, body: bytes, query: str = "", method: str = "POST") -> Any:
    return json.loads(webhook(method, query, content_type, body))["properties"]


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("anonymousId=a&event=E", {"anonymousId": "a", "event": "E"}),
        (
            "context.page.url=http%3A%2F%2Fx&properties.n=1",
            {"context": {"page": {"url": "http://x"}}, "properties": {"n": "1"}},
        ),
        ("a=1&a.b=2", {"a": "1", "a.b": "2"}),
        ("a.b=2&a=1", {"a": "1"}),
        ("a..b=1&.=2", {"a..b": "1", ".": "2"}),
        ("type=identify&writeKey=secret&x=", {"x": ""}),
        ("properties=%00%F0%9F%98%80", {"properties": "\0\U0001f600"}),
        (".".join("abcdefghijklmnopqrs") + "=1", {".".join("abcdefghijklmnopqrs"): "1"}),
        ("x=%FF", {"x": "\ufffd"}),
    ],
)
def test_a_pixel_s_query(query: str, fields: dict[str, Any]) -> None:
    assert json.loads(pixel(query, "track")) == {"type": "track", "channel": "web", **fields}


def test_a_pixel_has_so_many_fields_and_no_more() -> None:
    assert len(json.loads(pixel("&".join(f"f{n}=1" for n in range(FIELDS_MAX)), "page"))) == FIELDS_MAX + 3
    with pytest.raises(NoShape):
        pixel("&".join(f"f{n}=1" for n in range(FIELDS_MAX + 1)), "page")


@pytest.mark.parametrize(
    ("content_type", "body", "properties"),
    [
        ("", b' {"a": 1} ', {"a": 1}),
        ("application/json; charset=utf-8", b'"x"', {"payload": "x"}),
        ("text/html", b"null", {"payload": None}),
        ("application/json", b"\xef\xbb\xbf[Infinity]", {"payload": [None]}),
        ("Application/X-WWW-Form-Urlencoded; charset=x", b"a=%C3%A4&b", {"a": "\u00e4", "b": ""}),
        ("multipart/form-data; boundary=b0", form(field("a", b"1"), field("a", b"2\r\n")), {"a": ["1", "2\r\n"]}),
        ('multipart/form-data; boundary="b 0"', form(field("\u00e4", b"\xff"), boundary=b"b 0"), {"\u00e4": "\ufffd"}),
        (
            "multipart/form-data; boundary=b0",
            form(field("f", b"\0\r\n--b", '; filename="x.png"')),
            {"f": {"filename": "x.png", "contentType": "text/plain", "content": "AA0KLS1i"}},
        ),
        ("multipart/form-data; boundary=b0", form(), {}),
    ],
)
def test_a_webhook_s_body(content_type: str, body: bytes, properties: Any) -> None:
    assert hooked(content_type, body) == properties


def test_json_keeps_its_bytes() -> None:
    raw = b'{"n":1.50,"big":' + b"7" * 5000 + b',"n":1e400,"k":"\\u00e4"}'
    assert raw in webhook("POST", "", "application/json", raw)


def test_a_get_brings_its_query_and_keeps_its_key_to_itself() -> None:
    assert hooked("", b"", "a=1&writeKey=secret&a=2", "GET") == {"a": ["1", "2"]}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/x-www-form-urlencoded", b"\xff=1"),
        ("application/x-www-form-urlencoded", b"a=1&" * (FIELDS_MAX + 1)),
        ("multipart/form-data", form(field("a", b"1"))),
        ("multipart/form-data; boundary=other", form(field("a", b"1"))),
        ("multipart/form-data; boundary=b0", form(field("a", b"1"))[:-8]),
        ("multipart/form-data; boundary=b0", form(b"no head")),
        ("multipart/form-data; boundary=b0", form(b"X: y\r\n\r\nno name")),
        ("multipart/form-data; boundary=b0", form(*[field("a", b"")] * (FIELDS_MAX + 2))),
    ],
)
def test_what_cannot_be_read_is_said_to_be_so(content_type: str, body: bytes) -> None:
    with pytest.raises(NoShape):
        webhook("POST", "", content_type, body)


def test_random_bodies_become_an_event_or_no_shape(seed: int) -> None:
    draw, made = random.Random(seed), 0
    types = (
        "",
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b0",
        'multipart/form-data; boundary="b\xe9"',
        "multipart/form-data; boundary*=utf-8''b0",
        "multipart/form-data; boundary=b0; x=\r\n y",
    )
    pieces = (
        b"--b0",
        b"\r\n",
        b"\r\n\r\n",
        b"--",
        b'name="a"',
        b"Content-Disposition: form-data; ",
        b"filename*=utf-8''%ff",
        b"{",
        b'"',
        b"=",
        b"&",
        b"%",
        b"\xff",
        b"\0",
        b"Content-Transfer-Encoding: base64",
        b"a=1",
        b'{"a":1}',
        b"NaN",
        b"\\ud83d",
        b"=?utf-8?b?w6Q=?=",
    )
    for _ in range(4000):
        body = b"".join(draw.choices(pieces, k=draw.randrange(12)))
        if draw.random() < 0.3:
            body = b"--b0\r\nContent-Disposition: form-data; " + body + b"\r\n--b0--"
        try:
            event = webhook(draw.choice(("POST", "GET")), body.decode("latin-1"), draw.choice(types), body)
        except NoShape:
            continue
        made += 1
        parsed = parse.parse_event(event, "track", ENVELOPE, LIMITS)
        assert parsed is not None
        assert len(parsed.records) == 1
    assert made > 500
