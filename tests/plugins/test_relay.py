"""The relay plug-in: what it puts on the wire, judged by a real server that reads it like a data plane."""

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from appliance.core.errors import ConfigError
from appliance.deliver.plugins import shipped_folder
from tests.support.receiver import Receiver, bound, event, receiving

RELAY = shipped_folder() / "relay.py"


async def relay(server: Receiver, events: list[Any], **options: Any) -> list[Any]:
    async with bound(RELAY, {"url": server.url, "write_key": "wk_central", **options}) as instance:
        return (await instance.call(events)).results


@pytest.mark.parametrize("gzipped", [False, True])
@pytest.mark.parametrize("path", ["", "/", "/v1/batch", "/v1/batch/"])
async def test_a_batch_as_a_data_plane_wants_it(gzipped: bool, path: str) -> None:
    raws = [b'{"messageId":"m-%d","n":%d.0,"timestamp":"2030-01-01T00:00:00.000Z"}' % (n, n) for n in (2, 1, 3)]
    async with receiving() as server:
        async with bound(RELAY, {"url": server.url + path, "write_key": "wk_central", "gzip": gzipped}) as instance:
            before = datetime.now(UTC)
            results = (await instance.call([event(n, raw) for n, raw in enumerate(raws, 1)])).results
        (request,) = server.requests
    assert [result.kind for result in results] == ["succeeded"] * 3
    assert (request.method, request.path) == ("POST", "/v1/batch")
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"wk_central:"
    body = gzip.decompress(request.body) if gzipped else request.body
    assert request.headers.get("content-encoding") == ("gzip" if gzipped else None)
    assert b",".join(raws) in body, "the events' own bytes, in order"
    sent_at = datetime.fromisoformat(json.loads(body)["sentAt"])
    assert abs((sent_at - before).total_seconds()) < 5


async def test_large_batches_are_compressed_whole() -> None:
    raw = json.dumps({"messageId": "m", "x": "y" * 400_000}).encode()
    async with receiving() as server:
        (result,) = await relay(server, [event(1, raw)], gzip=True)
        assert result.kind == "succeeded"
        assert json.loads(gzip.decompress(server.requests[0].body))["batch"] == [json.loads(raw)]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "succeeded"),
        (400, "abort"),
        (401, "abort"),
        (404, "abort"),
        (413, "abort"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
        (302, "abort"),
    ],
)
async def test_a_batch_succeeds_or_fails_as_a_whole(status: int, kind: str) -> None:
    async with receiving() as server:
        server.answer = (status, {"Retry-After": "9"} if status == 503 else {}, b"words")
        results = await relay(server, [event(1), event(2)])
    assert [result.kind for result in results] == [kind] * 2
    assert results[0].after_s == {503: 9.0, 429: 1.0}.get(status)


async def test_the_write_key_stays_out_of_samples() -> None:
    async with receiving() as server:
        server.answer = (401, {}, b"invalid write key wk_central " + base64.b64encode(b"wk_central:"))
        (result,) = await relay(server, [event()])
    assert "invalid write key" in result.sample and "POST /v1/batch" in result.sample
    assert "wk_central" not in result.sample and "d2tfY2VudHJhb" not in result.sample


async def test_keys_that_do_not_fit_are_refused() -> None:
    for options, words in (
        ({"url": "http://x?a=b"}, "no query"),
        ({"url": "x"}, "url"),
        ({"write_key": "a b"}, "write key"),
    ):
        with pytest.raises(ConfigError, match=words):
            async with bound(RELAY, {"url": "http://x", "write_key": "wk", **options}):
                pass
