"""The webhook plug-in against a real server; signatures checked by an independent computation."""

import base64
import gzip
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.core.errors import ConfigError
from appliance.deliver.plugins import shipped_folder
from tests.support.ports import free_port
from tests.support.receiver import Receiver, Request, bound, event, receiving

WEBHOOK = shipped_folder() / "webhook.py"
# The example of the Standard Webhooks specification: secret, id, timestamp, payload and the signature it gives there.
SPEC_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SPEC = (
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    1614265330,
    b'{"test": 2432232314}',
    "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
)


async def sent(options: dict[str, Any], events: list[Any], server: Receiver) -> tuple[list[Any], list[Request]]:
    async with bound(WEBHOOK, {"url": server.url + "/hook?a=1", **options}) as instance:
        results = (await instance.call(events)).results
    return results, server.requests


def independent_signature(secret: str, request: Request, body: bytes) -> str:
    """Written from the specification alone: HMAC-SHA256 by its definition, over `id.timestamp.payload`."""
    key = base64.b64decode(secret.removeprefix("whsec_")).ljust(64, b"\0")
    content = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in key) + content).digest()
    return "v1," + base64.b64encode(hashlib.sha256(bytes(byte ^ 0x5C for byte in key) + inner).digest()).decode()


def test_the_specifications_own_example() -> None:
    from appliance.deliver.plugins import load_plugin
    from appliance.sdk import Secret

    module = load_plugin(WEBHOOK).deliver.call.__globals__
    headers = module["signature"](module["signing_key"](Secret(SPEC_SECRET)), *SPEC[:3])
    assert headers == {"webhook-id": SPEC[0], "webhook-timestamp": str(SPEC[1]), "webhook-signature": SPEC[3]}


async def test_one_event_goes_out_as_it_is() -> None:
    raw = '{"b":1.0,"a":"ü\\u0041 ☕","big":12345678901234567890123,\n "messageId":"m-1"}'.encode()
    async with receiving() as server:
        results, (request,) = await sent({}, [event(1, raw)], server)
    assert results[0].kind == "succeeded"
    assert (request.method, request.path, request.body) == ("POST", "/hook?a=1", raw)
    assert request.headers["content-type"] == "application/json" and "webhook-signature" not in request.headers


async def test_an_array_holds_the_events_in_order() -> None:
    events = [event(number) for number in (3, 1, 2)]
    async with receiving() as server:
        results, (request,) = await sent({"body": "array", "method": "PUT"}, events, server)
        one, (_, single) = await sent({"body": "array"}, [event(9)], server)
    assert [result.kind for result in results + one] == ["succeeded"] * 4
    assert request.method == "PUT"
    assert [each["messageId"] for each in json.loads(request.body)] == ["m-3", "m-1", "m-2"]
    assert [each["messageId"] for each in json.loads(single.body)] == ["m-9"], "an array of one stays an array"


async def test_headers_and_tokens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("T", "t0ken")
    (tmp_path / "k").write_text("k3y\n")
    options = {
        "headers": {"X-A": "1", "Content-Type": "application/cloudevents+json"},
        "token": "env:T",
        "secret_headers": {"X-Api-Key": f"file:{tmp_path / 'k'}"},
    }
    async with receiving() as server:
        server.answer = (400, {}, b"you sent t0ken and k3y-x")
        (result,), (request,) = await sent(options, [event()], server)
    assert request.headers["authorization"] == "Bearer t0ken" and request.headers["x-api-key"] == "k3y"
    assert (request.headers["x-a"], request.headers["content-type"]) == ("1", "application/cloudevents+json")
    assert result.kind == "abort" and "t0ken" not in result.sample and "HTTP/1.1 400" in result.sample


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize("body", ["event", "array"])
async def test_signed_and_compressed(monkeypatch: pytest.MonkeyPatch, size: int, body: str) -> None:
    monkeypatch.setenv("S", SPEC_SECRET)
    raw = json.dumps({"messageId": "m-1", "x": "y" * size}).encode()
    async with receiving() as server:
        results, (request,) = await sent(
            {"gzip": True, "signing_secret": "env:S", "body": body}, [event(1, raw)], server
        )
    assert results[0].kind == "succeeded"
    assert request.headers["content-encoding"] == "gzip"
    plain = gzip.decompress(request.body)
    assert plain == (raw if body == "event" else b"[" + raw + b"]")
    assert request.headers["webhook-id"] == "m-1"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 10
    assert request.headers["webhook-signature"] == independent_signature(SPEC_SECRET, request, plain)


async def test_a_receivers_library_call_verifies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a receiver would write it with hmac, and with one byte changed it must not verify."""
    monkeypatch.setenv("S", SPEC_SECRET)
    async with receiving() as server:
        _, (request,) = await sent({"signing_secret": "env:S"}, [event()], server)

    def verifies(body: bytes) -> bool:
        content = b".".join(
            [request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(), body]
        )
        digest = hmac.new(base64.b64decode(SPEC_SECRET[6:]), content, hashlib.sha256).digest()
        return request.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()

    assert verifies(request.body)
    assert not verifies(request.body[:-1] + b" ")


async def test_the_id_stays_the_same_when_sent_again_and_is_safe_in_a_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S", SPEC_SECRET)
    hostile = ["a\r\nX-Evil: 1", "ü", "x" * 5000, "a.b", "", "a b"]
    options = {"signing_secret": "env:S", "body": "array"}
    async with receiving() as server:
        for message_id in hostile:
            for _ in range(2):
                events = [event(1, b"{}", message_id=message_id or " ")]
                results, _ = await sent(options, events, server)
                assert results[0].kind == "succeeded"
        await sent(options, [event(1), event(2)], server)
        await sent(options, [event(1), event(2)], server)
        await sent(options, [event(2), event(1)], server)
    ids = [request.headers["webhook-id"] for request in server.requests]
    pairs = list(zip(ids[0:12:2], ids[1:12:2], strict=True))
    assert all(first == second for first, second in pairs)
    assert len({first for first, _ in pairs}) == len(hostile)
    assert ids[12] == ids[13] != ids[14]
    assert all(len(each) <= 128 and each.isascii() and "." not in each for each in ids)
    assert not any("x-evil" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (200, "succeeded", ""),
        (201, "succeeded", ""),
        (204, "succeeded", ""),
        (408, "retry", "HTTP 408"),
        (429, "retry", "HTTP 429"),
        (500, "retry", "HTTP 500"),
        (503, "retry", "HTTP 503"),
        (599, "retry", "HTTP 599"),
        (301, "abort", "HTTP 301, a redirect, which is not followed"),
        (400, "abort", "HTTP 400"),
        (401, "abort", "HTTP 401"),
        (404, "abort", "HTTP 404"),
        (410, "abort", "HTTP 410"),
        (413, "abort", "HTTP 413"),
    ],
)
async def test_what_a_status_means(status: int, kind: str, reason: str) -> None:
    async with receiving() as server:
        server.answer = (status, {}, b"words")
        (result,), _ = await sent({}, [event()], server)
    assert (result.kind, result.reason, result.fault) == (kind, reason, False)
    assert result.throttled == (status == 429)


async def test_a_refused_connection_is_retried() -> None:
    async with bound(WEBHOOK, {"url": f"http://127.0.0.1:{free_port()}/"}) as instance:
        (result,) = (await instance.call([event()])).results
    assert (result.kind, result.connection, result.fault) == ("retry", True, False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "example.com"}, "url"),
        ({"headers": {"X A": "1"}}, "cannot be set"),
        ({"headers": {"Content-Length": "1"}}, "cannot be set"),
        ({"headers": {"X-A": "a\r\nb"}}, "characters that no header may"),
        ({"headers": {"X-A": "☕"}}, "characters that no header may"),
        ({"token": "literal"}, "never as a literal"),
        ({"token": "env:TWO_LINES"}, "the token holds characters"),
        ({"signing_secret": "env:SHORT"}, "signing_secret must be whsec_"),
        ({"signing_secret": "env:NO_PREFIX"}, "signing_secret must be whsec_"),
        ({"signing_secret": "env:NO_BASE64"}, "signing_secret must be whsec_"),
        ({"method": "GET"}, "method"),
        ({"body": "both"}, "body"),
    ],
)
async def test_what_cannot_be_sent_is_refused_beforehand(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], words: str
) -> None:
    values = {
        "TWO_LINES": "s3cr3t\nline",
        "SHORT": "whsec_c2hvcnQ=",
        "NO_PREFIX": SPEC_SECRET[6:],
        "NO_BASE64": "whsec_!!s3cr3t",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        async with bound(WEBHOOK, {"url": "http://x", **options}):
            pass
    assert words in str(caught.value)
    assert not any(value in str(caught.value) for value in ("s3cr3t", SPEC_SECRET[6:], "c2hvcnQ"))
