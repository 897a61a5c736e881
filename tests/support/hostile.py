"""Hostile and broken requests: a table of named ones with the answer each must get, and random ones by the thousand."""

import gzip
import json
import random
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import zstandard

from tests.support.wire import basic

GOOD: dict[str, Any] = {"type": "track", "event": "Good", "anonymousId": "good", "properties": {}}
JSON_400 = "invalid json"


class Case(NamedTuple):
    """One request.

    Attributes:
        body: exact bytes.
        statuses: the answers that are right.
        text: what the answer's text must contain, in lower case.
        kept: what must be found in the event as delivered; None: nothing must arrive with the messageId `case`.
        path, headers: where and how it is sent; the write key is added unless `headers` has an Authorization.
    """

    body: bytes
    statuses: tuple[int, ...]
    text: str = ""
    kept: str | None = None
    path: str = "/v1/track"
    headers: dict[str, str] = {}


def encoded(**fields: Any) -> bytes:
    """A good event with the messageId `case` and these fields in place of its own."""
    return json.dumps({**GOOD, "messageId": "case", **fields}).encode()


def raw(properties: bytes) -> bytes:
    """A good event whose properties are these bytes."""
    return encoded()[:-1].replace(b'"properties": {}, ', b"") + b', "properties": ' + properties + b"}"


def batch(*items: bytes) -> bytes:
    return b'{"batch":[' + b",".join(items) + b"]}"


def packed(encoding: str, first: bytes, chunk: bytes, times: int) -> bytes:
    """`first` and then `chunk` so many times, compressed without ever standing in memory as a whole."""
    makers: dict[str, Callable[[], Any]] = {
        "gzip": lambda: zlib.compressobj(6, wbits=31),
        "deflate": lambda: zlib.compressobj(6),
        "zstd": lambda: zstandard.ZstdCompressor(level=3).compressobj(),
    }
    maker = makers[encoding]()
    return bytes(maker.compress(first) + b"".join(maker.compress(chunk) for _ in range(times)) + maker.flush())


DEEP = b"[" * 10_000 + b"]" * 10_000
BIG = b"7" * 4301
SIDE = encoded(messageId="beside")
"""A good event that stands beside a bad one in a batch: it must arrive."""


def cases() -> dict[str, Case]:
    """Every named case."""
    return {**_malformed(), **_refused_events(), **_credentials(), **_sizes(), **_repaired(), **_kept_as_they_are()}


def _malformed() -> dict[str, Case]:
    bodies = {
        "empty": b"",
        "blank": b" \n ",
        "cut off": encoded()[:-5],
        "two values": encoded() + encoded(),
        "html": b"<html>",
        "only a brace": b"{",
        "single quotes": b"{'a': 1}",
        "trailing comma": encoded()[:-1] + b",}",
        "bare word": b"undefined",
        "nul bytes": bytes(100),
        "10,000 deep": raw(DEEP),
        "1,000,000 brackets": b"[" * 1_000_000,
        "10,000 deep objects": raw(b'{"a":' * 10_000 + b"1" + b"}" * 10_000),
    }
    broken = {name: Case(body, (400,), JSON_400) for name, body in bodies.items()}
    broken["utf-16"] = Case(encoded().decode().encode("utf-16"), (400,), JSON_400)
    broken["batch cut off"] = Case(batch(SIDE)[:-2], (400,), JSON_400, path="/v1/batch")
    return broken


def _refused_events() -> dict[str, Case]:
    wrong = ("event is not a valid", "invalid json", "request neither has", "empty batch")
    no_id = json.dumps({"type": "track", "event": "E", "messageId": "case"}).encode()
    table = {
        "an array": Case(b"[]", (400,)),
        "a number": Case(b"5", (400,)),
        "a string": Case(b'"x"', (400,)),
        "null": Case(b"null", (400,)),
        "no ids": Case(no_id, (400,), wrong[2]),
        "blank ids": Case(encoded(anonymousId="", userId="  "), (400,), wrong[2]),
        "null ids": Case(encoded(anonymousId=None, userId=None), (400,), wrong[2]),
        "ids that are objects": Case(encoded(anonymousId={"a": 1}, userId=[1]), (400,)),
        "empty batch": Case(b'{"batch":[]}', (400,), wrong[3], path="/v1/batch"),
        "batch is a string": Case(b'{"batch":"x"}', (400,), path="/v1/batch"),
        "batch is an object": Case(b'{"batch":{}}', (400,), path="/v1/batch"),
        "batch is missing": Case(b"{}", (400,), path="/v1/batch"),
        "batch is null": Case(b'{"batch":null}', (400,), path="/v1/batch"),
        "unknown route": Case(encoded(), (404,), path="/v1/nosuch"),
    }
    beside = {
        "a number": b"5",
        "null": b"null",
        "an array": b"[1]",
        "no ids": no_id,
        "an event too deep": raw(DEEP),
        "an event too big": encoded(event="x" * 600_000),
        "ids that are objects": encoded(anonymousId={}, userId=[]),
    }
    for name, item in beside.items():
        table[f"batch with {name} beside a good event"] = Case(batch(item, SIDE), (200,), "ok", path="/v1/batch")
        table[f"strict batch with {name}"] = Case(
            batch(item, encoded(messageId="strict")), (400, 413), path="/v1/batch?strict=1"
        )
    return table


def _credentials() -> dict[str, Case]:
    unread, unknown = "failed to read writekey from header", "invalid write key"
    return {
        "no key": Case(encoded(), (401,), unread, headers={"Authorization": ""}),
        "unknown key": Case(encoded(), (401,), unknown, headers=basic("wk_other")),
        "empty key": Case(encoded(), (401,), headers=basic("")),
        "bearer": Case(encoded(), (401,), unread, headers={"Authorization": "Bearer wk_proof"}),
        "no base64": Case(encoded(), (401,), unread, headers={"Authorization": "Basic %%%"}),
        "key of 1 MiB in the body": Case(encoded(writeKey="x" * 1_000_000), (401, 413), headers={"Authorization": ""}),
        "key with a NUL": Case(encoded(), (401,), headers=basic("wk_proof\0")),
    }


def _sizes() -> dict[str, Case]:
    too_big = "request size exceeds max limit"
    table = {
        "5 MB": Case(encoded(event="x" * 5_000_000), (413,), too_big),
        "one event of 600 KB": Case(encoded(event="x" * 600_000), (400, 413)),
        "says gzip, is none": Case(encoded(), (400,), headers={"Content-Encoding": "gzip"}),
        "says zstd, is none": Case(encoded(), (400,), headers={"Content-Encoding": "zstd"}),
        "says deflate, is none": Case(encoded(), (400,), headers={"Content-Encoding": "deflate"}),
        "gzip cut off": Case(gzip.compress(encoded())[:-9], (400,), headers={"Content-Encoding": "gzip"}),
        "unknown encoding": Case(encoded(), (400, 415), headers={"Content-Encoding": "br"}),
        "gzip in gzip": Case(
            gzip.compress(gzip.compress(encoded())), (400, 415), headers={"Content-Encoding": "gzip, gzip"}
        ),
    }
    for name in ("gzip", "deflate", "zstd"):
        encoding = {"Content-Encoding": name}
        table[f"{name} bomb of zeros"] = Case(packed(name, b"", bytes(1 << 20), 100), (413,), too_big, headers=encoding)
        table[f"{name} bomb of JSON"] = Case(
            packed(name, b'{"a":"', b"a" * 65_536, 800), (413,), too_big, headers=encoding
        )
        table[f"good {name}"] = Case(
            packed(name, encoded(messageId=name), b"", 0), (200,), kept=f'"{name}"', headers=encoding
        )
    return table


def _repaired() -> dict[str, Case]:
    return {
        "NaN": Case(raw(b'{"v":NaN}'), (200,), kept='"v":null'),
        "Infinity": Case(raw(b'{"v":[Infinity,-Infinity]}'), (200,), kept='"v":[null,null]'),
        "lone surrogate in the event's name": Case(encoded(event="a\ud83db"), (200,), kept='"messageId":"case"'),
        "lone surrogate in properties": Case(encoded(properties={"v": "\ud83d"}), (200,), kept='"messageId":"case"'),
        "lone surrogate in an id": Case(encoded(userId="u\ude00"), (200,), kept='"messageId":"case"'),
        "NaN in a batch": Case(batch(raw(b'{"v":NaN}')), (200,), kept='"v":null', path="/v1/batch"),
    }


def _kept_as_they_are() -> dict[str, Case]:
    return {
        "U+0000": Case(encoded(properties={"v": "a\0b"}), (200,), kept='"v":"a\\u0000b"'),
        "U+0000 in an id": Case(encoded(userId="a\0b"), (200,), kept='"messageId":"case"'),
        "4,301 digits": Case(raw(b'{"v":' + BIG + b"}"), (200,), kept='"v":' + BIG.decode()),
        "4,301 digits beside NaN": Case(raw(b'{"v":' + BIG + b',"w":NaN}'), (200, 400)),
        "1e400": Case(raw(b'{"v":1e400}'), (200,), kept='"v":1e400'),
        "duplicate keys": Case(raw(b'{"v":1,"v":2}'), (200,), kept='"v":1,"v":2'),
        "numbers as ids": Case(encoded(userId=5, anonymousId=7.5), (200,), kept='"userId":5'),
        "type is a number": Case(encoded(type=5), (200,), kept='"messageId":"case"'),
        "event is an object": Case(encoded(event={"a": 1}), (200,), kept='"event":{"a":1}'),
        "properties are a string": Case(encoded(properties="x"), (200,), kept='"properties":"x"'),
        "context is null": Case(encoded(context=None), (200,), kept='"messageId":"case"'),
        "context is a list": Case(encoded(context=[1]), (200,), kept='"messageId":"case"'),
        "timestamps that are none": Case(
            encoded(originalTimestamp="yesterday", sentAt=5, timestamp={}), (200,), kept='"messageId":"case"'
        ),
        "year 99999": Case(encoded(originalTimestamp="99999-01-01T00:00:00Z"), (200,), kept='"messageId":"case"'),
        "BOM": Case(b"\xef\xbb\xbf" + encoded(), (200, 400)),
        "invalid UTF-8": Case(raw(b'{"v":"\xff\xfe"}'), (200, 400)),
        "overlong UTF-8": Case(raw(b'{"v":"\xc0\x80"}'), (200, 400)),
        "60 deep": Case(raw(b"[" * 60 + b"]" * 60), (200,), kept='"messageId":"case"'),
    }


def random_request(draw: random.Random) -> tuple[str, dict[str, str], bytes]:
    """Path, headers and body of a request that is wrong in some random way, or by chance right."""
    path = draw.choice(
        (
            "/v1/track",
            "/v1/batch",
            "/v1/identify",
            "/v1/import",
            "/b/v1/batch",
            "/v1/t",
            "/v1/webhook",
            "/v1/" + "".join(draw.choices("abc/%?.", k=5)),
            "/pixel/v1/track",
        )
    )
    seed_body = batch(encoded(messageId=f"f{draw.random()}", anonymousId="fuzz"), SIDE)
    body = draw.choice((_noise, _flip, _splice, _cut, _nest))(draw, seed_body)
    headers = {} if draw.random() < 0.1 else basic("wk_proof")
    encoding = draw.choice(("", "", "", "gzip", "zstd", "deflate", "br", "identity", "x"))
    if encoding:
        headers["Content-Encoding"] = encoding
        if encoding == "gzip" and draw.random() < 0.7:
            body = gzip.compress(body)
    if draw.random() < 0.2:
        headers[draw.choice(("Content-Type", "AnonymousId", "SentAt", "X-Forwarded-For", "Origin"))] = "".join(
            draw.choices("abc:;=/\t %\"'1é", k=draw.randrange(40))
        ).strip()
    return path, headers, body


def _noise(draw: random.Random, _: bytes) -> bytes:
    return draw.randbytes(draw.randrange(2000))


def _flip(draw: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(draw.randint(1, 8)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


def _splice(draw: random.Random, body: bytes) -> bytes:
    at, tokens = (
        draw.randrange(len(body)),
        (b"null", b"NaN", b'"', b"{}", b"[", b"\\u0000", b"\\ud83d", b"-", b"1e999", b","),
    )
    return body[:at] + b"".join(draw.choices(tokens, k=draw.randint(1, 5))) + body[at:]


def _cut(draw: random.Random, body: bytes) -> bytes:
    first, last = sorted(draw.sample(range(len(body)), 2))
    return body[:first] + body[last:]


def _nest(draw: random.Random, body: bytes) -> bytes:
    opening, closing = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"batch":[', b"]}")))
    depth = draw.randrange(300)
    return opening * depth + body + closing * depth
