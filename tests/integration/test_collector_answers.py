"""The contract's routes and answers, on a real listener with a real log: words, statuses, and what is on disk by then."""

import asyncio
import base64
import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from appliance.core.event import MESSAGE_ID_SET, REPAIRED, TYPE_SET
from tests.support.collecting import collecting, configured, event, source
from tests.support.wire import basic

TYPES = ("identify", "track", "page", "screen", "group", "alias", "merge")
SHORT = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}


@pytest.mark.parametrize("type_", TYPES)
async def test_a_single_event_is_on_disk_when_it_is_answered(tmp_path: Path, type_: str) -> None:
    async with collecting(tmp_path) as room:
        reply = await room.post(f"/v1/{type_}", event())
        assert (reply.status, reply.text) == (200, "ok")
        assert reply.headers["content-type"].startswith("text/plain")
        (record,) = room.records()
    assert (record.source, record.type, record.message_id, record.anonymous_id, record.user_id) == (
        "web",
        type_,
        "m1",
        "a1",
        "",
    )
    assert (record.client, record.flags, json.loads(record.raw)) == ("127.0.0.1", TYPE_SET, event())


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/import", "/v1/b", "/v1/batch/"])
async def test_a_batch_keeps_its_order(tmp_path: Path, path: str) -> None:
    batch = [event(f"m{n}", type="track") for n in range(50)]
    async with collecting(tmp_path) as room:
        reply = await room.post(path, {"batch": batch, "sentAt": "2026-01-01T00:00:00.000Z"})
        assert (reply.status, reply.text) == (200, "ok")
        records = room.records()
    assert [json.loads(record.raw) for record in records] == batch
    assert {record.sent_at for record in records} == {"2026-01-01T00:00:00.000Z"}
    assert {record.flags for record in records} == {0}


async def test_segments_short_forms_take_the_key_from_the_body(tmp_path: Path) -> None:
    async with collecting(tmp_path) as room:
        for letter in SHORT:
            body = event(letter, writeKey="wk_proof")
            reply = await room.post(f"/v1/{letter}", body, {"Content-Type": "text/plain"}, key="")
            assert (reply.status, reply.text) == (200, "ok")
        reply = await room.post("/v1/b", {"batch": [event("b", type="page")], "writeKey": "wk_proof"}, key="")
        assert reply.status == 200
        assert (await room.post("/v1/m", {"series": []}, key="")).status == 200
        types = {record.message_id: record.type for record in room.records()}
    assert types == {**SHORT, "b": "page"}


async def test_the_body_s_key_counts_only_where_no_other_is_given(tmp_path: Path) -> None:
    async with collecting(tmp_path) as room:
        assert (await room.post("/v1/track", event("1", writeKey="y***"))).status == 200
        assert (await room.post("/v1/track?writeKey=wk_proof", event("2", writeKey="y***"), key="")).status == 200
        reply = await room.post("/v1/track", event("3", writeKey="wk_proof"), key="wk_other")
        assert (reply.status, reply.text) == (401, "invalid write key")
        reply = await room.post("/v1/track", event("4", writeKey="wk_other"), key="")
        assert (reply.status, reply.text) == (401, "invalid write key")
        assert [record.message_id for record in room.records()] == ["1", "2"]
        assert room.refused() == [], "what strangers send is counted, never kept"
        assert room.figure('collect_answered_requests_total{status="401"}') == 2


@pytest.mark.parametrize("path", ["/beacon/v1/batch", "/b/v1/batch"])
async def test_beacons_bring_their_key_in_the_query(tmp_path: Path, path: str) -> None:
    body = {"batch": [event(type="page")]}
    async with collecting(tmp_path) as room:
        assert (
            await room.post(f"{path}?writeKey=wk_proof", body, {"Content-Type": "text/plain"}, key="")
        ).status == 200
        reply = await room.post(path, body, key="")
        assert (reply.status, reply.text) == (401, "failed to read writekey from query params")
        assert len(room.records()) == 1


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        ("", "failed to read writekey from header"),
        ("Bearer wk_proof", "failed to read writekey from header"),
        ("Basic %%%", "failed to read writekey from header"),
        ("Basic Og==", "failed to read writekey from header"),
        (basic("wk_proo")["Authorization"], "invalid write key"),
        (basic("wk_proof ")["Authorization"], "invalid write key"),
    ],
)
async def test_credentials(tmp_path: Path, authorization: str, words: str) -> None:
    async with collecting(tmp_path) as room:
        headers = {"Authorization": authorization} if authorization else {}
        reply = await room.post("/v1/track", event(), headers, key="")
        assert (reply.status, reply.text) == (401, words)
        password = base64.b64encode(b"wk_proof:any password: at all").decode()
        assert (await room.post("/v1/track", event(), {"Authorization": f"basic {password}"}, key="")).status == 200


@pytest.mark.parametrize(
    ("path", "body", "status", "words", "kept"),
    [
        ("/v1/track", b"", 400, "invalid json", 0),
        ("/v1/track", b" \n", 400, "invalid json", 0),
        ("/v1/track", b'{"a', 400, "invalid json", 1),
        ("/v1/track", b'{"v":"\xff"}', 400, "invalid json", 1),
        ("/v1/track", b"[]", 400, "event is not a valid rudder event", 1),
        ("/v1/track", b"{}", 400, "request neither has anonymousId nor userId", 1),
        ("/v1/batch", b'{"batch":[]}', 400, "empty batch payload", 1),
        ("/v1/batch", b'{"batch":[{"type":"track","userId":"u"}', 400, "invalid json", 1),
        ("/v1/track", b"[" * 10_000 + b"]" * 10_000, 400, "invalid json", 1),
        ("/v1/track", b'{"userId":"u","v":"' + b"x" * 600_000 + b'"}', 413, "request size exceeds max limit", 1),
    ],
)
async def test_refused_bodies_are_told_so_and_kept(
    tmp_path: Path, path: str, body: bytes, status: int, words: str, kept: int
) -> None:
    async with collecting(tmp_path) as room:
        reply = await room.post(path, body)
        assert (reply.status, reply.text) == (status, words)
        refused = room.refused()
        assert room.records() == []
    assert [(one.source, one.client, one.body) for one in refused] == [("web", "127.0.0.1", body[: 512 * 1024])] * kept
    assert all(one.reason.startswith(words) for one in refused)


async def test_bad_events_of_a_batch_are_kept_beside_the_good_ones(tmp_path: Path) -> None:
    bad: list[Any] = [
        5,
        None,
        [1],
        "x",
        {},
        event("t", type="nosuch"),
        event("d", type="track", v=json.loads("[" * 70 + "]" * 70)),
        {"type": "track", "event": "no id"},
        event("big", type="track", v="x" * 600_000),
    ]
    good = [event(f"g{n}", type="track") for n in range(len(bad))]
    batch = [one for pair in zip(bad, good, strict=True) for one in pair]
    async with collecting(tmp_path) as room:
        reply = await room.post("/v1/batch", {"batch": batch})
        assert (reply.status, reply.text) == (200, "ok")
        assert [record.message_id for record in room.records()] == [one["messageId"] for one in good]
        refused = room.refused()
        assert len(refused) == len(bad)
        assert [json.loads(one.body) for one in refused[:-1]] == bad[:-1]
        (status,) = room.collector.status()
        assert (status.accepted_total, status.refused_total) == (len(good), len(bad))
        assert room.figure('collect_refused_events_total{source="web"}') == len(bad)


async def test_a_batch_of_bad_events_alone_is_200_and_strict_refuses_it(tmp_path: Path) -> None:
    async with collecting(tmp_path) as room:
        assert (await room.post("/v1/batch", {"batch": [5, {}]})).status == 200
        assert (len(room.records()), len(room.refused())) == (0, 2)
        mixed = {"batch": [event("good", type="track"), 5]}
        reply = await room.post("/v1/batch?strict=1", mixed)
        assert (reply.status, reply.text) == (400, "event is not a valid rudder event")
        assert (len(room.records()), len(room.refused())) == (0, 3)
        assert (await room.post("/v1/batch?strict=1", {"batch": mixed["batch"][:1]})).status == 200


async def test_repaired_events_are_flagged_and_counted(tmp_path: Path) -> None:
    body = (
        b'{"batch":[{"type":"track","userId":"u","v":[NaN,-Infinity],"big":' + b"7" * 4301 + b"},"
        b'{"type":"track","userId":"u\\ud83d","x":1.0}, {"type":"track","userId":"w","e":"\\ud83d\\ude00"}]}'
    )
    async with collecting(tmp_path) as room:
        assert (await room.post("/v1/batch", body)).status == 200
        records = room.records()
        assert room.collector.status()[0].repaired_total == 2
    assert [bool(record.flags & REPAIRED) for record in records] == [True, True, False]
    assert records[0].raw == b'{"type":"track","userId":"u","v":[null,null],"big":' + b"7" * 4301 + b"}"
    assert (records[1].user_id, records[1].raw) == ("u\ufffd", b'{"type":"track","userId":"u\\ufffd","x":1.0}')
    assert records[2].raw == b'{"type":"track","userId":"w","e":"\\ud83d\\ude00"}'


async def test_ids_are_cleaned_for_keys_and_left_alone_in_the_event(tmp_path: Path) -> None:
    raw = b'{"userId": 12.0, "anonymousId":" \\u200bx\\u0000y ", "messageId":" m ", "n":1.50, "n":1e400}'
    async with collecting(tmp_path) as room:
        assert (await room.post("/v1/track", raw)).status == 200
        (record,) = room.records()
    assert (record.user_id, record.anonymous_id, record.message_id) == ("12", "xy", "m")
    assert record.flags == MESSAGE_ID_SET | TYPE_SET
    assert record.raw == raw


async def test_duplicates_are_acknowledged_once_kept_once(tmp_path: Path) -> None:
    async with collecting(tmp_path, configured({"web": source(), "app": source("wk_app")})) as room:
        for _ in range(3):
            assert (await room.post("/v1/track", event("same"))).text == "ok"
        assert (await room.post("/v1/batch", {"batch": [event("same", type="track")] * 2})).text == "ok"
        assert (await room.post("/v1/track", event("same"), key="wk_app")).text == "ok"
        assert [record.source for record in room.records()] == ["web", "app"]
        assert [(s.accepted_total, s.duplicates_total) for s in room.collector.status()] == [(1, 4), (1, 0)]


async def test_disabled_limited_and_closed_to_webhooks(tmp_path: Path) -> None:
    sources = {"off": source("wk_off", enabled=False), "slow": source("wk_slow", rate_per_s=0.1), "web": source()}
    async with collecting(tmp_path, configured(sources)) as room:
        reply = await room.post("/v1/track", event(), key="wk_off")
        assert (reply.status, reply.text) == (404, "source is disabled")
        assert (await room.post("/v1/track", event(), key="wk_slow")).status == 200
        reply = await room.post("/v1/track", event("m2"), key="wk_slow")
        assert (reply.status, reply.text) == (429, "max requests limit reached")
        assert 1 <= int(reply.headers["retry-after"]) <= 10
        reply = await room.post("/v1/webhook", event())
        assert (reply.status, reply.text) == (404, "source does not accept webhook events")


async def test_what_stands_at_other_paths(tmp_path: Path) -> None:
    async with collecting(tmp_path) as room:
        room.health = (503, "the disk budget is spent")
        for path in ("/health", "/"):
            reply = await room.send("GET", path)
            assert (reply.status, reply.text) == (503, "the disk budget is spent")
        assert (await room.send("GET", "/ready")).text == "ready"
        assert json.loads((await room.send("GET", "/version")).text)["name"] == "sternpost"
        assert (await room.send("GET", "/robots.txt")).text == "User-agent: *\nDisallow: /\n"
        head = await room.send("HEAD", "/health")
        assert (head.status, head.text, head.headers["content-length"]) == (
            503,
            "",
            str(len("the disk budget is spent")),
        )
        assert (await room.send("GET", "/v1/nosuch")).status == 404
        reply = await room.send("GET", "/v1/track")
        assert (reply.status, reply.headers["allow"]) == (405, "POST, OPTIONS")
        assert (await room.post("//v1//track", event())).status == 200, "a data plane URL that ends in a slash"


async def test_what_browser_sdks_fetch(tmp_path: Path) -> None:
    async with collecting(tmp_path) as room:
        for headers, query in ((basic("wk_proof"), ""), ({}, "&writeKey=wk_proof")):
            reply = await room.send("GET", f"/sourceConfig/?p=cdn&v=3{query}", headers=headers, key="")
            found = json.loads(reply.text)["source"]
            assert (found["name"], found["writeKey"], found["enabled"], found["destinations"]) == (
                "web",
                "wk_proof",
                True,
                [],
            )
            assert {"id", "config", "dataplanes"} <= set(found)
        assert (await room.send("GET", "/sourceConfig/", key="wk_other")).status == 401
        settings = json.loads((await room.send("GET", "/v1/projects/wk_proof/settings", key="")).text)
        assert settings["integrations"]["Segment.io"]["apiKey"] == "wk_proof"
        assert settings["integrations"]["Segment.io"]["apiHost"] == f"127.0.0.1:{room.port}/v1"
        assert (await room.send("GET", "/v1/projects/wk_other/settings", key="")).status == 401


async def test_pixels_always_get_their_picture(tmp_path: Path) -> None:
    async with collecting(tmp_path) as room:
        query = urlencode({"writeKey": "wk_proof", "anonymousId": "p1", "event": "Opened", "properties.mail": "m=1&2"})
        for path in (
            f"/pixel/v1/track?{query}",
            "/pixel/v1/track?writeKey=wk_other",
            "/pixel/v1/page",
            f"/pixel/v1/page?{query}",
        ):
            reply = await room.send("GET", path, key="")
            assert (reply.status, reply.headers["content-type"]) == (200, "image/gif")
            assert reply.text.startswith("GIF89a")
        track, page = room.records()
    assert (track.type, track.anonymous_id, page.type) == ("track", "p1", "page")
    sent = json.loads(track.raw)
    assert (sent["channel"], sent["event"], sent["properties"]) == ("web", "Opened", {"mail": "m=1&2"})
    assert "wk_proof" not in sent.values()


MULTIPART = (
    b'--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--xx\r\nContent-Disposition: form-data; name="f"; '
    b'filename="n.bin"\r\nContent-Type: image/x\r\n\r\n\x00\xff\r\n--xx--\r\n'
)


@pytest.mark.parametrize(
    ("content_type", "body", "properties"),
    [
        ("application/json", b'{"a":1.50,"b":null}', {"a": 1.5, "b": None}),
        ("application/json", b"[1,2]", {"payload": [1, 2]}),
        ("text/plain", b'{"a":NaN}', {"a": None}),
        ("application/x-www-form-urlencoded", b"a=1&b=x+y&b=z", {"a": "1", "b": ["x y", "z"]}),
        ("application/x-www-form-urlencoded", b'{"a":1}', {"a": 1}),
        (
            "multipart/form-data; boundary=xx",
            MULTIPART,
            {"a": "1", "f": {"filename": "n.bin", "contentType": "image/x", "content": "AP8="}},
        ),
    ],
)
async def test_webhooks_of_any_shape_become_one_track(
    tmp_path: Path, content_type: str, body: bytes, properties: dict[str, Any]
) -> None:
    async with collecting(tmp_path, configured({"web": source(webhook=True)})) as room:
        reply = await room.post("/v1/webhook?writeKey=wk_proof", body, {"Content-Type": content_type}, key="")
        assert (reply.status, reply.text) == (200, "ok")
        assert (await room.send("GET", "/v1/webhook?x=1")).status == 200
        by_post, by_get = room.records()
    assert (by_post.type, json.loads(by_post.raw)["properties"]) == ("track", properties)
    assert by_post.anonymous_id
    assert json.loads(by_get.raw)["properties"] == {"x": "1"}


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=xx", b"--xx\r\n"),
    ],
)
async def test_webhooks_that_cannot_be_read_are_kept(tmp_path: Path, content_type: str, body: bytes) -> None:
    async with collecting(tmp_path, configured({"web": source(webhook=True)})) as room:
        reply = await room.post("/v1/webhook", body, {"Content-Type": content_type})
        assert (reply.status, reply.text) == (400, "invalid json")
        assert [one.body for one in room.refused()] == [body]


async def test_cors_stands_on_every_answer(tmp_path: Path) -> None:
    origin = {"Origin": "https://shop.example"}
    async with collecting(tmp_path) as room:
        preflight = await room.send(
            "OPTIONS",
            "/v1/batch",
            headers={
                **origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization,x-retry-count",
            },
            key="",
        )
        assert preflight.status == 200
        assert preflight.headers["access-control-allow-headers"] == "authorization,x-retry-count"
        assert preflight.headers["access-control-allow-methods"] == "GET, POST, HEAD, OPTIONS"
        assert preflight.headers["access-control-max-age"] == "900"
        replies = [
            await room.post("/v1/track", event(), origin),
            await room.post("/v1/track", b"{", origin),
            await room.post("/v1/track", event(), origin, key="wk_other"),
            await room.post("/nosuch", b"", origin),
            await room.post("/v1/track", b"x" * 5_000_000, origin),
            await room.send("GET", "/health", headers=origin),
            preflight,
        ]
        assert [reply.status for reply in replies] == [200, 400, 401, 404, 413, 200, 200]
        for reply in replies:
            assert reply.headers["access-control-allow-origin"] == "https://shop.example"
            assert reply.headers["access-control-allow-credentials"] == "true"
            assert reply.headers["access-control-expose-headers"] == "Retry-After"
            assert "Origin" in reply.headers["vary"]


async def test_a_source_s_own_origins_are_the_only_ones_allowed(tmp_path: Path) -> None:
    sources = {"web": source(origins=["https://shop.example"])}
    async with collecting(tmp_path, configured(sources)) as room:
        good = await room.post("/v1/track", event(), {"Origin": "https://Shop.example"})
        assert good.headers["access-control-allow-origin"] == "https://Shop.example"
        other = await room.post("/v1/track", event(), {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        split = await room.post("/v1/track", event(), {"Origin": "https://shop.example\tx"})
        assert "access-control-allow-origin" not in split.headers


async def test_the_client_s_address_is_the_proxy_s_word_only_where_it_is_trusted(tmp_path: Path) -> None:
    told = {"X-Forwarded-For": "203.0.113.7, 10.0.0.1"}
    async with collecting(tmp_path / "1") as room:
        await room.post("/v1/track", event(), told)
        assert [record.client for record in room.records()] == ["127.0.0.1"]
    async with collecting(tmp_path / "2", trusted_proxies=["127.0.0.0/8"]) as room:
        for number, header in enumerate(
            ("203.0.113.7, 10.0.0.1", "[2001:db8::1]:443", "203.0.113.8:99", "nonsense", "")
        ):
            await room.post("/v1/track", event(str(number)), {"X-Forwarded-For": header} if header else {})
        clients = [record.client for record in room.records()]
    assert clients == ["203.0.113.7", "2001:db8::1", "203.0.113.8", "127.0.0.1", "127.0.0.1"]


async def test_sent_at_stands_in_the_header_or_the_batch(tmp_path: Path) -> None:
    header = {"SentAt": "2026-02-02T00:00:00.000Z", "AnonymousId": "YTE="}
    async with collecting(tmp_path) as room:
        await room.post("/v1/track", event("1"), header)
        await room.post("/v1/batch", {"batch": [event("2", type="page")]}, header)
        await room.post("/v1/batch", {"batch": [event("3", type="page")], "sentAt": "2026-03-03T00:00:00.000Z"}, header)
        sent = [record.sent_at for record in room.records()]
    assert sent == [header["SentAt"], header["SentAt"], "2026-03-03T00:00:00.000Z"]


async def test_a_time_that_is_none_is_not_carried_by_every_event(tmp_path: Path) -> None:
    batch = {"batch": [event("1", type="page")], "sentAt": "x" * 1000}
    async with collecting(tmp_path) as room:
        await room.post("/v1/batch", batch, {"SentAt": "y" * 1000})
        await room.post("/v1/track", b'{"userId":"u","v":NaN}', {"SentAt": "2026\xff"})
        assert [record.sent_at for record in room.records()] == ["", "2026\ufffd"]


async def test_bytes_in_the_head_that_are_no_text_harm_nobody(tmp_path: Path) -> None:
    head = b"Host: x\r\nAuthorization: " + basic("wk_proof")["Authorization"].encode() + b"\r\n"
    strange = b"\xff\xc3\xa4\xed\xa0\x80"
    asked = [
        b"GET /pixel/v1/page?anonymousId=" + strange + b" HTTP/1.1\r\n" + head + b"\r\n",
        b"GET /v1/webhook?a" + strange + b"=%FF" + strange + b" HTTP/1.1\r\n" + head + b"\r\n",
        b"GET /v1/projects/" + strange + b"/settings HTTP/1.1\r\n" + head + b"\r\n",
        b"GET /sourceConfig/?writeKey=" + strange + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS /" + strange + b" HTTP/1.1\r\nOrigin: " + strange + b"\r\nHost: x\r\n\r\n",
    ]
    for name in (
        b"SentAt",
        b"Origin",
        b"X-Forwarded-For",
        b"Content-Type",
        b"Content-Encoding",
        b"AnonymousId",
        b"Expect",
        b"Host",
    ):
        body = b'{"userId":"u"}'
        lines = head + name + b": " + strange + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        asked += [b"POST /v1/track HTTP/1.1\r\n" + lines + body, b"POST /v1/webhook HTTP/1.1\r\n" + lines + body]
    async with collecting(tmp_path, configured({"web": source(webhook=True)}), trusted_proxies=["127.0.0.1"]) as room:
        for request in asked:
            reader, writer = await asyncio.open_connection("127.0.0.1", room.port)
            writer.write(request)
            status = (await asyncio.wait_for(reader.readline(), 2)).split()[1]
            assert status in (b"200", b"400", b"401", b"404", b"415"), request
            writer.close()
        assert (await room.post("/v1/track", event("after"))).status == 200
        assert room.records()[-1].message_id == "after"


async def test_encodings(tmp_path: Path) -> None:
    lying = {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    async with collecting(tmp_path) as room:
        assert (await room.post("/v1/track", gzip.compress(json.dumps(event("1")).encode()), lying)).status == 200
        assert (await room.post("/v1/track", event("2"), {"Content-Encoding": "identity"})).status == 200
        plain = await room.post("/v1/track", event("3"), {"Content-Encoding": "gzip"})
        assert (plain.status, plain.text) == (400, "invalid json")
        assert (await room.post("/v1/track", event("4"), {"Content-Encoding": "br"})).status == 415
        bomb = await room.post("/v1/track", gzip.compress(b" " * 50_000_000), {"Content-Encoding": "gzip"})
        assert (bomb.status, bomb.text) == (413, "request size exceeds max limit")
        assert [record.message_id for record in room.records()] == ["1", "2"]
        assert [one.reason[:12] for one in room.refused()] == ["invalid json"]
