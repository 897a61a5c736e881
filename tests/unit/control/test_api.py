"""The admin API on a real log and real deliveries: who may call, what it shows, what its actions do and leave behind."""

import asyncio
import json
import os
import secrets
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import pytest
from yarl import URL

from appliance.core.errors import ConfigError, Fault
from tests.support.appliance import webhook
from tests.support.room import Room, running
from tests.support.sink import Plan, Sink

MakeSink = Callable[..., Sink]


def track(number: int, user: str = "u1", event: str = "Order Completed", **keys: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "event": event,
        "userId": user,
        "messageId": f"m{number}",
        "properties": {"n": number},
        **keys,
    }


async def dead(room: Room, count: int) -> list[dict[str, Any]]:
    answer = await room.until("/v1/dead", lambda answer: len(answer["dead"]) >= count)
    letters: list[dict[str, Any]] = answer["dead"]
    return sorted(letters, key=lambda one: str(one["message_id"]))  # different people's may be buried in any order


def audited(room: Room) -> list[dict[str, Any]]:
    path = room.data / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


async def test_only_health_ready_and_metrics_need_no_token(tmp_path: Path) -> None:
    async with running(tmp_path) as room, aiohttp.ClientSession(room.url) as stranger:
        for path in ("/health", "/ready", "/metrics"):
            async with stranger.get(path) as reply:
                assert reply.status == 200, path
        routes = [
            ("GET", path)
            for path in (
                "/v1/overview",
                "/v1/sources",
                "/v1/sources/web/key",
                "/v1/destinations",
                "/v1/dead",
                "/v1/dead/1",
                "/v1/tail",
                "/v1/refused",
                "/v1/wal/stats",
                "/v1/wal/events",
                "/v1/events/m1",
                "/v1/audit",
                "/v1/nothing",
                "/v1/replays",
            )
        ] + [
            ("POST", path)
            for path in (
                "/v1/reload",
                "/v1/dead/purge",
                "/v1/dead/requeue",
                "/v1/replays",
                "/v1/destinations/crm/forget",
            )
        ]
        for method, path in routes:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {room.token}"}):
                async with stranger.request(method, path, headers=headers) as reply:
                    assert reply.status == 401, (method, path)
                    assert (await reply.json())["error"]["code"] == "unauthorized"
                    assert reply.headers["WWW-Authenticate"] == "Bearer"
        assert audited(room) == []


async def test_a_page_that_rebinds_its_name_to_loopback_gets_nothing(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        for path in ("/health", "/metrics", "/v1/overview"):
            async with room.http.get(path, headers={"Host": "evil.example"}) as reply:
                assert reply.status == 421 and "Access-Control-Allow-Origin" not in reply.headers
        async with room.http.options("/v1/overview", headers={"Origin": "http://evil.example"}) as reply:
            assert reply.status == 405
            assert not [name for name in reply.headers if name.startswith("Access-Control")]


async def test_bodies_are_bounded_and_bad_ones_named(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        for body, status in (
            (b"x" * (1 << 20) + b"x" * 10, 413),
            (b"{", 400),
            (b"[]", 400),
            (b'{"expect": "x"}', 400),
            (b"\xff", 400),
            (b'{"ids": [1], "query": "age:>0s", "expect": 1}', 400),
            (b'{"expect": 0}', 400),
            (b'{"query": "colour:red", "expect": 0}', 400),
        ):
            key = {"Idempotency-Key": secrets.token_hex(8)}
            async with room.http.post("/v1/dead/purge", data=body, headers=key) as reply:
                assert reply.status == status, (body[:40], await reply.text())
                assert (await reply.json())["error"]["message"]
        for path in (
            "/v1/dead?limit=x",
            "/v1/dead?after=-1",
            "/v1/dead?query=age:1h",
            "/v1/tail?point=middle",
            "/v1/dead?limit=99999999999999999999",
        ):
            assert (await room.get(path, 400))["error"]["code"] == "invalid"
        await room.get("/v1/nothing", 404)
        async with room.http.get("/v1/reload") as reply:
            assert reply.status == 405 and reply.headers["Allow"] == "POST"


async def test_control_json_tells_where_the_process_is_and_goes_with_it(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        found = json.loads((room.data / "control.json").read_bytes())
        assert found["url"] == room.url and found["pid"] == os.getpid() and found["version"] == "0.0.test"
        assert stat.S_IMODE((room.data / "admin.token").stat().st_mode) == 0o600
    assert not (room.data / "control.json").exists()


async def test_the_control_file_of_a_successor_stays(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        successor = json.dumps({"url": "http://127.0.0.1:1", "pid": 1, "version": "2"})
        (room.data / "control.json").write_text(successor)
    assert (room.data / "control.json").read_text() == successor


async def test_a_taken_port_is_an_error_that_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        async with running(tmp_path) as room:
            room.control._config = msgspec.structs.replace(
                room.control._config, listen=f"127.0.0.1:{taken.getsockname()[1]}"
            )
            await room.control.stop()
            with pytest.raises(OSError, match="in use"):
                await room.control.start()
            assert not (room.data / "control.json").exists()


async def test_the_overview_counts_what_happens(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with running(
        tmp_path, {"destinations": {"crm": webhook(sink.url), "off": webhook(sink.url, enabled=False)}}
    ) as room:
        await room.collect(*(track(number) for number in range(5)), track(9, event="Bad"))
        overview = await room.until(
            "/v1/overview",
            lambda answer: answer["destinations"][0]["delivered_total"] == 5 and answer["log"]["dead"]["count"] == 1,
        )
        crm, off = overview["destinations"]
        assert (crm["name"], crm["state"], crm["aborted_total"]) == ("crm", "running", 1)
        assert [error["reason"] for error in crm["errors"]] == [crm["last_error"]] and "400" in crm["last_error"]
        assert (off["state"], off["lag_events"]) == ("paused", 6)
        assert overview["log"]["last_sequence"] == 6 and overview["log"]["dead"]["count"] == 1
        assert overview["health"] == "well" and overview["pid"] == os.getpid()
        assert (await room.get("/v1/sources/web/key"))["write_key"] == "wk_proof"
        await room.get("/v1/sources/nobody/key", 404)
        async with room.http.get("/metrics") as reply:
            text = await reply.text()
        assert 'deliver_succeeded_events_total{destination="crm"} 5.0' in text
        assert 'deliver_destination_state{destination="off",state="paused"} 1.0' in text
        assert "wal_dead_letters 1.0" in text and 'wal_log_state{state="running"} 1.0' in text


async def test_pause_and_resume_are_acts_with_a_trail(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink()
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.post("/v1/destinations/crm/pause")
        await room.collect(track(1))
        await room.until("/v1/destinations", lambda answer: answer["destinations"][0]["state"] == "paused")
        assert not sink.arrivals()
        async with room.http.post("/v1/destinations/crm/resume", headers={"X-Sternpost-User": "ada\r"[:3]}) as reply:
            assert reply.status == 200
        sink.wait_accepted({"m1"})
        await room.post("/v1/destinations/nobody/pause", status=404)
        entries = audited(room)
        assert [(one["what"], one["target"], one.get("outcome", "done")[:6]) for one in entries] == [
            ("destination.pause", "crm", "done"),
            ("destination.resume", "crm", "done"),
            ("destination.pause", "nobody", "failed"),
        ]
        assert entries[1]["user"] == "ada" and entries[0]["who"] == "admin" and entries[0]["from"] == "127.0.0.1"
        assert (await room.get("/v1/audit"))["audit"][0]["what"] == "destination.pause"


async def test_a_test_event_shows_the_whole_exchange(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(bodies=True)
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        result = (await room.post("/v1/destinations/crm/test"))["result"]
        assert (
            result["kind"] == "succeeded"
            and "POST /events" in result["sample"]
            and "HTTP/1.1 200 OK" in result["sample"]
        )
        assert json.loads(sink.accepted()[0].body)["event"] == "Sternpost test"
        sink.set_plan(Plan(status=403))
        result = (await room.post("/v1/destinations/crm/test"))["result"]
        assert result["kind"] == "abort" and "403" in result["reason"] and "HTTP/1.1 403" in result["sample"]
        assert (await room.get("/v1/dead"))["dead"] == [] and room.log.last_sequence == 0


async def test_dead_letters_are_listed_filtered_and_shown(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Worse": 422}))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect(track(1, "u1", "Bad"), track(2, "u2", "Worse"), track(3, "u3"), track(4, "u1", "Bad"))
        letters = await dead(room, 3)
        assert [(one["message_id"], one["code"]) for one in letters] == [("m1", 400), ("m2", 422), ("m4", 400)]
        for query, ids in (
            ("code:400", ["m1", "m4"]),
            ("user:u2", ["m2"]),
            ("event:w*", ["m2"]),
            ("code:500", []),
            ("dest:crm -user:u1", ["m2"]),
            ("type:track", ["m1", "m2", "m4"]),
            ("age:>1h", []),
            ('"n\\":4"', ["m4"]),
            ("id:m1", ["m1"]),
            ("DEST:CRM age:<1h", ["m1", "m2", "m4"]),
        ):
            answer = await room.get("/v1/dead", query=query)
            assert sorted(one["message_id"] for one in answer["dead"]) == ids, query
            count = await room.get("/v1/dead/count", query=query)
            assert count["count"] == len(ids), query
        assert (await room.get("/v1/dead/count", query="code:400"))["people"] == 1
        page = await room.get("/v1/dead", limit=2)
        rest = await room.get("/v1/dead", limit=2, after=page["after"])
        assert sorted(one["message_id"] for one in page["dead"] + rest["dead"]) == ["m1", "m2", "m4"]
        assert len(page["dead"]) == 2 and rest["after"] == 0
        detail = await room.get(f"/v1/dead/{letters[0]['id']}")
        assert detail["payload"]["properties"] == {"n": 1} and detail["original"]["messageId"] == "m1"
        assert "HTTP/1.1 400" in detail["sample"] and detail["person"] == "u:u1"
        await room.get("/v1/dead/999999", 404)


async def test_requeue_and_purge_act_on_the_count_they_expect(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect(*(track(number, f"u{number % 2}", "Bad") for number in range(1, 7)))
        letters = await dead(room, 6)
        for body, status in (
            ({"query": "user:u1"}, 400),
            ({"query": "user:u1", "expect": 2}, 409),
            ({"query": "user:u1", "expect": 4}, 409),
            ({"ids": [99999], "expect": 1}, 409),
        ):
            for action in ("requeue", "purge"):
                error = (await room.post(f"/v1/dead/{action}", body, status))["error"]
                assert error["code"] == ("invalid" if status == 400 else "changed")
        assert len((await room.get("/v1/dead"))["dead"]) == 6 and audited(room) == []
        sink.set_plan(Plan())
        seen = len(sink.arrivals())
        assert (await room.post("/v1/dead/requeue", {"query": "user:u1", "expect": 3}))["count"] == 3
        sink.wait_accepted({"m1", "m3", "m5"})
        assert [one.message_id for one in sink.arrivals()[seen:]] == ["m1", "m3", "m5"]
        answer = await room.post("/v1/dead/purge", {"ids": [letters[1]["id"], letters[1]["id"]], "expect": 1})
        assert answer["count"] == 1
        assert (await room.post("/v1/dead/purge", {"query": "age:>0s", "expect": 2}))["count"] == 2
        assert (await room.get("/v1/dead"))["dead"] == []
        assert [(one["what"], one["target"], one["count"]) for one in audited(room)] == [
            ("dead.requeue", "user:u1", 3),
            ("dead.purge", f"id:{letters[1]['id']}", 1),
            ("dead.purge", "age:>0s", 2),
        ]


async def test_a_trace_says_where_an_event_stands(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    destinations = {
        "crm": webhook(sink.url, retry={"delay_min": "60s", "delay_max": "60s"}),
        "other": webhook(sink.url, sources=["api"]),
        "late": webhook(sink.url, enabled=False),
    }
    sources = {"web": {"write_key": "wk_proof"}, "api": {"write_key": "wk_api"}}
    async with running(tmp_path, {"sources": sources, "destinations": destinations}) as room:
        await room.collect(track(1), track(2, event="Bad"), track(3, "u9", "Stuck"), track(4, "u9"))
        await room.until(
            "/v1/overview",
            lambda answer: (
                answer["destinations"][0]["held_events"] == 2
                and answer["destinations"][0]["delivered_total"] == 1
                and answer["log"]["dead"]["count"] == 1
            ),
        )
        await asyncio.sleep(0.2)

        async def standing(message_id: str) -> dict[str, Any]:
            trace = await room.get(f"/v1/events/{message_id}")
            return {one["destination"]: one for one in trace["events"][0]["destinations"]}

        first = await standing("m1")
        assert first["crm"]["state"] == "succeeded" and first["other"]["state"] == "filtered"
        assert first["late"]["state"] == "waiting" and "paused" in first["late"]["words"]
        bad = (await standing("m2"))["crm"]
        assert (
            bad["state"] == "aborted"
            and bad["dead_id"] > 0
            and "400" in bad["words"]
            and "HTTP/1.1 400" in bad["sample"]
        )
        stuck = (await standing("m3"))["crm"]
        assert stuck["state"] == "failed" and stuck["attempts"] == 1 and "500" in stuck["words"]
        assert abs(stuck["next_try_ms"] - room.clock.wall_ms()) <= 61_000
        behind = (await standing("m4"))["crm"]
        assert behind["state"] == "waiting" and "behind 1 earlier" in behind["words"] and "m3" in behind["words"]
        late = (await standing("m4"))["late"]
        assert "behind at most 3 events, 1 of the same person" in late["words"]
        nothing = await room.get("/v1/events/unknown")
        assert nothing == {"message_id": "unknown", "events": [], "refused": [], "unreadable": []}
        held = await room.get("/v1/destinations/crm/held")
        assert held["people"] == 1 and held["held"][0]["person"] == "u:u9" and held["held"][0]["events"] == 2


async def test_a_message_id_may_hold_anything(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        for message_id in ("a/b/../c", "ü ?#&=%2F", "x" * 300, "\U0001f6d2"):
            await room.collect({"type": "track", "messageId": message_id, "userId": "u"})
            url = URL(f"{room.url}/v1/events/{quote(message_id, safe='')}", encoded=True)
            async with room.http.get(url) as reply:
                assert (await reply.json())["events"][0]["event"]["message_id"] == message_id


async def test_a_replay_delivers_a_range_again(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink()
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect(*(track(number, event="A" if number % 2 else "B") for number in range(1, 7)))
        sink.wait_accepted({f"m{number}" for number in range(1, 7)})
        body = {"destination": "crm", "from_ms": 0, "to_ms": room.clock.wall_ms() + 1000, "event": "A"}
        assert (await room.post("/v1/replays", body))["events_max"] == 6
        sink.wait(lambda arrivals: len(arrivals) == 9)
        assert [one.message_id for one in sink.arrivals()[6:]] == ["m1", "m3", "m5"]
        await room.post("/v1/replays", {**body, "destination": "nobody"}, 404)
        await room.post("/v1/replays", {**body, "to_ms": 0}, 400)
        await room.post("/v1/replays", {"destination": "crm"}, 400)
        refused = await room.post("/v1/replays", {**body, "from_ms": body["to_ms"], "to_ms": body["to_ms"] + 1}, 409)
        assert "no event" in refused["error"]["message"]


async def test_only_a_parked_destination_is_forgotten_and_only_with_the_right_count(tmp_path: Path) -> None:
    async with running(tmp_path, {"destinations": {"crm": webhook("http://127.0.0.1:9")}}) as room:
        assert (await room.post("/v1/destinations/crm/forget", {"expect": 0}, 409))["error"]["code"] == "refused"
        await room.post("/v1/destinations/nobody/forget", {"expect": 0}, 404)
        await asyncio.wrap_future(room.log.write(lambda transaction: transaction.save_progress("old", _progress())))
        parked = (await room.get("/v1/destinations"))["destinations"][-1]
        assert (parked["name"], parked["state"]) == ("old", "parked")
        await room.post("/v1/destinations/old/forget", {}, 400)
        await room.post("/v1/destinations/old/forget", {"expect": 3}, 409)
        await room.post("/v1/destinations/old/forget", {"expect": 0})
        assert [one["name"] for one in (await room.get("/v1/destinations"))["destinations"]] == ["crm"]


def _progress() -> Any:
    from appliance.wal.types import Progress

    return Progress()


async def test_a_reload_answers_with_what_changed_or_every_fault(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        room.reloads = ["destination crm added"]
        assert (await room.post("/v1/reload"))["changes"] == ["destination crm added"]
        room.reloads = ConfigError([Fault("s.toml", 3, "a.b", "is wrong"), Fault("s.toml", 9, "c", "too")])
        error = (await room.post("/v1/reload", status=409))["error"]
        assert "s.toml:3: a.b: is wrong" in error["message"] and "s.toml:9" in error["message"]
        room.problems = ["collector: the port is taken"]
        assert (await room.get("/health"))["sick"] == ["collector: the port is taken"]
        assert (await room.get("/ready", 503))["waiting_for"] == ["collector: the port is taken"]


async def test_our_own_mistake_is_an_id_in_the_log_not_a_traceback(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        room.reloads = RuntimeError("secret detail")
        error = (await room.post("/v1/reload", status=500))["error"]
        assert error["code"] == "internal" and "secret detail" not in error["message"]


async def test_the_log_comes_as_lines_by_time_and_filter(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        await room.collect(*(track(number, f"u{number}") for number in range(200)))
        await asyncio.sleep(0.01)
        middle_ms = room.clock.wall_ms()
        await asyncio.sleep(0.01)
        await room.collect(track(200, "u1"), {"type": "page", "name": "P", "userId": "u1", "messageId": "p1"})

        async def lines(**query: Any) -> list[str]:
            async with room.http.get("/v1/wal/events", params=query) as reply:
                assert reply.status == 200
                return [json.loads(line)["message_id"] for line in (await reply.text()).splitlines()]

        assert await lines() == [*(f"m{number}" for number in range(201)), "p1"]
        assert await lines(from_ms=middle_ms) == ["m200", "p1"]
        assert await lines(to_ms=middle_ms) == [f"m{number}" for number in range(200)]
        assert await lines(query="user:u1") == ["m1", "m200", "p1"]
        assert await lines(query="type:page") == ["p1"]
        assert await lines(after=200) == ["m200", "p1"]
        assert await lines(query="type:nothing") == []
