"""Who saw payloads or a secret stands in the audit trail: every route that shows one, once per look, never the thing."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.control.routes import EVENTS, ROUTES
from appliance.control.tokens import Role
from appliance.core.clock import SystemClock
from appliance.core.config import ControlConfig
from tests.support.appliance import WRITE_KEY
from tests.support.room import Room, running
from tests.support.sink import Plan
from tests.unit.control.test_roles import MARK, answer, asked, furnished

FIELDS: dict[str, Any] = {"what": "", "target": "", "count": 0, "outcome": "done", "detail": {}}


def lines(room: Room, user: str = "") -> list[dict[str, Any]]:
    path = room.data / "audit.jsonl"
    found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [one for one in found if not user or one.get("user") == user]


async def test_every_look_that_shows_something_leaves_a_line_and_no_other_does(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, wrong = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500})), []
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens):
        letter_id = (await room.get("/v1/dead"))["dead"][0]["id"]
        for route in (one for one in ROUTES if one.method == "GET"):
            for role, payloads in ((Role.ADMIN, False), (Role.ADMIN, True)):
                user = secrets.token_hex(8)
                headers = {"X-Sternpost-User": user}
                async with aiohttp.ClientSession(room.url, headers=headers) as session:
                    _, text = await answer(session, route, asked(route, letter_id, room), tokens[role, payloads])
                shows = MARK in text or WRITE_KEY in text or (route.content == EVENTS and payloads)
                left = lines(room, user)
                if bool(left) is not shows or (route.noted is None and shows):
                    wrong.append((route.path, payloads, left))
                for one in left:
                    assert route.noted is not None and one["what"] == route.noted.what
                    assert (one["who"], one["role"]) == (f"admin-{str(payloads).lower()}", "admin")
                    assert one["from"] == "127.0.0.1" and one["when"].endswith("Z")
        trail = (room.data / "audit.jsonl").read_text()
    assert wrong == []
    assert MARK not in trail and WRITE_KEY not in trail and not any(token in trail for token in tokens.values())


async def test_a_line_says_of_what_and_how_many(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    async with furnished(tmp_path, sink, monkeypatch) as (room, _):
        for path, query in (
            ("/v1/sources/web/key", {}),
            ("/v1/dead/export", {"query": "dest:crm"}),
            ("/v1/dead", {"full": "1", "query": "dest:crm"}),
            ("/v1/refused", {"limit": "5"}),
            ("/v1/wal/events", {"query": "user:u*", "from_ms": "7"}),
            ("/v1/people", {"id": "u2"}),
        ):
            async with room.http.get(path, params=query) as reply:
                assert reply.status == 200 and await reply.read()
        await room.until(f"/v1/destinations/crm/held/{room.who('u2')}", lambda found: found["jobs"])
        # A stream's last line comes behind its last byte; samples are seen while the room is furnished, or not.
        ours = lambda found: [one for one in found["audit"] if one["what"] != "sample.read"]  # noqa: E731
        found = ours(await room.until("/v1/audit", lambda found: len(ours(found)) >= 9))
        person = room.who("u2")
    left = [tuple(one.get(key, absent) for key, absent in FIELDS.items()) for one in found]
    assert sorted(left, key=str) == sorted(
        [
            ("source.key", "web", 0, "done", {}),
            ("dead.export", "dest:crm", 0, "begun", {}),
            ("dead.export", "dest:crm", 1, "done", {}),
            ("dead.export", "dest:crm", 1, "done", {"full": "1"}),
            ("refused.export", "", 1, "done", {"limit": "5"}),
            ("wal.export", "user:u*", 0, "begun", {"from_ms": "7"}),
            ("wal.export", "user:u*", 4, "done", {"from_ms": "7"}),
            ("people.find", "u2", 1, "done", {}),
            ("held.read", f"crm {person}", 1, "done", {}),
        ],
        key=str,
    )


async def test_what_a_console_looks_at_again_and_again_is_one_line_and_every_export_has_its_own(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink, later_ms, real = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500})), [0], SystemClock.monotonic_ms
    monkeypatch.setattr(SystemClock, "monotonic_ms", lambda clock: real(clock) + later_ms[0])
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens):

        async def left(path: str, *, user: str = "", token: str = "", **query: str) -> int:
            before = len(lines(room))
            headers = {"X-Sternpost-User": user, "Authorization": f"Bearer {token or room.token}"}
            async with (
                aiohttp.ClientSession(room.url, headers=headers) as session,
                session.get(path, params=query) as reply,
            ):
                assert reply.status == 200 and await reply.read()
            return len(lines(room)) - before

        (letter,) = (await room.get("/v1/dead"))["dead"]
        path = f"/v1/dead/{letter['id']}"
        assert [await left(path) for _ in range(3)] == [1, 0, 0]
        assert await left(path, user="ada") == await left(path, token=tokens[Role.ADMIN, True]) == 1
        later_ms[0] += 599_000
        assert await left(path) == 0
        later_ms[0] += 2_000
        assert await left(path) == 1
        assert [await left("/v1/sources/web/key") for _ in range(2)] == [1, 1]
        assert [await left("/v1/refused") for _ in range(2)] == [1, 1]
        assert [await left("/v1/dead", full="1", after=str(after)) for after in (0, 0)] == [1, 1]
        # Pages that go on: they are part of a look that has its line, or have one themselves.
        await room.collect({"type": "track", "event": "Bad", "userId": "u7", "messageId": "bad7"})
        await room.until("/v1/overview", lambda one: one["dead_total"] == 2)
        assert await left("/v1/dead", full="1", after=str(letter["id"])) == 0
        assert await left("/v1/dead", full="1", after=str(letter["id"]), user="bob") == 1


async def test_an_export_that_breaks_off_says_so(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        for batch in range(40):
            events = [
                {"type": "track", "userId": "u", "event": "E", "messageId": f"m{batch}-{n}", "properties": {"x": "y" * 20_000}}
                for n in range(20)
            ]  # fmt: skip
            await room.collect(*events)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(room.url.rpartition(":")[2]))
        writer.write(
            b"GET /v1/wal/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n\r\n" % room.token.encode()
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert [one.get("outcome") for one in lines(room)] == ["begun"]
        writer.transport.abort()
        await room.until(
            "/v1/audit",
            lambda found: any(
                one["what"] == "wal.export" and one.get("outcome") == "interrupted" and one["count"] < 800
                for one in found["audit"]
            ),
        )


async def test_a_trail_that_cannot_be_written_keeps_nobody_from_looking(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        (room.data / "audit.jsonl").mkdir()
        assert (await room.get("/v1/sources/web/key"))["write_key"] == WRITE_KEY


async def test_an_export_whose_token_is_taken_away_says_so(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens):
        for number in range(20):
            events = [
                {"type": "track", "userId": "u", "event": "E", "messageId": f"{number}-{n}", "properties": {"x": "y" * 99_000}}
                for n in range(10)
            ]  # fmt: skip
            await room.collect(*events)
        headers = {"Authorization": f"Bearer {tokens[Role.VIEWER, True]}"}
        async with (
            aiohttp.ClientSession(room.url, headers=headers) as session,
            session.get("/v1/wal/events") as reply,
        ):
            assert reply.status == 200
            room.control.apply(ControlConfig())
            with pytest.raises(aiohttp.ClientError):
                await reply.read()
        await room.until("/v1/audit", lambda found: any(one.get("outcome") == "interrupted" for one in found["audit"]))
