"""Every route with every role and right, from the table of routes: who may call it, and that no payload slips out."""

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest

from appliance.control import replies
from appliance.control.people import replies as people_replies
from appliance.control.people import review_replies
from appliance.control.routes import EVENTS, ROUTES, Route
from appliance.control.tokens import Role
from appliance.core import logs
from appliance.core.config import ControlConfig
from appliance.core.event import Refused
from appliance.identity.acts import Act
from appliance.identity.review import SuggestedPair, Suggesting
from tests.support.appliance import webhook
from tests.support.room import Room, running
from tests.support.sink import Plan, Sink

MARK = "payload-that-nobody-may-see"
HOLDERS = [(role, payloads) for role in Role for payloads in (False, True)]


MERGE = "5"
"""Of u3 and a visitor with the same e-mail address: by the fifth event."""


class Asked(NamedTuple):
    """A request that a route understands, and that would do no harm."""

    path: str
    body: Any
    query: dict[str, str]


def asked(route: Route, letter_id: int, room: Room) -> Asked:
    name = "web" if "/sources/" in route.path else "crm"
    path = route.path.replace("{name}", name).replace("{id}", str(letter_id))
    path = path.replace("{message_id}", "stuck").replace("{person}", room.who("u2"))
    path = path.replace("{person_id}", room.who("u3"))
    queries = {"/v1/people": {"id": "u2"}, "/v1/dead": {"full": "1"}, "/v1/people/parting": {"merge": MERGE}}
    pair = people_replies.Pair(*(people_replies.AskedId("user_id", value) for value in ("u1", "nobody")))
    bodies: dict[Any, Any] = {
        replies.Expecting: {"expect": 999},
        replies.DeadAction: {"ids": [letter_id], "expect": 999},
        replies.EditAction: {"event": {}, "expect": 999},
        replies.ReplayOrder: {"destination": "crm", "from_ms": 2, "to_ms": 1},
        people_replies.Undo: {"merge": "999"},
        people_replies.Pair: msgspec.to_builtins(pair),
        Suggesting: {"pairs": []},
        review_replies.Decision: {"number": 999},
    }
    return Asked(path, bodies.get(route.takes), queries.get(route.path, {}))


@asynccontextmanager
async def furnished(
    tmp_path: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[Room, dict[tuple[Role, bool], str]]]:
    """A room with an event in every place where one can be, and a token for every role with and without the right."""
    tokens, tables = {}, {}
    for role, payloads in HOLDERS:
        token = tokens[role, payloads] = secrets.token_hex(16)
        variable = f"T_{role}_{payloads}".upper()
        monkeypatch.setenv(variable, token)
        table = {"token": f"env:{variable}", "role": str(role), "payloads": payloads}
        tables[f"{role}-{str(payloads).lower()}"] = table
    retry = {"delay_min": "60s", "delay_max": "60s"}
    config = {"destinations": {"crm": webhook(sink.url, retry=retry)}, "control": {"tokens": tables}}
    async with running(tmp_path, config, graph=True) as room:
        for number, (event, user) in enumerate((("Bad", "u1"), ("Stuck", "u2"), ("Good", "u3"))):
            event = {"type": "track", "event": event, "userId": user, "properties": {"p": MARK}}
            await room.collect({**event, "messageId": ["bad", "stuck", "good"][number]})
        traits = {"email": f"{MARK}@example.com"}
        for number, ids in enumerate(({"anonymousId": "visitor"}, {"userId": "u3"})):
            await room.collect({"type": "identify", **ids, "traits": traits, "messageId": f"identify{number}"})
        await room.settled()
        assert room.identifier is not None
        pair = SuggestedPair(("user_id", "u1"), ("user_id", "u3"), 1.0, 9.0, [MARK])
        await room.identifier.act(Act(suggest=Suggesting([pair])), room.clock.wall_ms())
        await room.log.refuse([Refused("web", room.clock.wall_ms(), "203.0.113.9", "invalid json", MARK.encode())])
        logs.recent.add(room.clock.wall_ms(), "debug", "plugin", "event_posted", {"payload": MARK})
        await room.until("/v1/overview", lambda one: one["dead_total"] == 1 and one["destinations"][0]["held_events"])
        yield room, tokens


def cases() -> Iterator[tuple[Route, Role, bool]]:
    for route in ROUTES:
        for role, payloads in HOLDERS:
            yield route, role, payloads


async def answer(session: aiohttp.ClientSession, route: Route, request: Asked, token: str) -> tuple[int, str]:
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    async with session.request(
        route.method, request.path.replace("%3A", ":"), params=request.query, json=request.body, headers=headers
    ) as reply:
        text = "" if reply.content_type == EVENTS else await reply.text()
        return reply.status, text


async def test_every_route_lets_in_whom_its_row_names_and_nobody_else(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    wrong = []
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens), aiohttp.ClientSession(room.url) as session:
        letter_id = (await room.get("/v1/dead"))["dead"][0]["id"]
        for route in ROUTES:
            status, _ = await answer(session, route, asked(route, letter_id, room), "")
            if (status == 401) is not (route.role is not None):
                wrong.append((route.method, route.path, "nobody", status))
        for route, role, payloads in cases():
            status, text = await answer(session, route, asked(route, letter_id, room), tokens[role, payloads])
            allowed = route.role is None or (role >= route.role and (payloads or route.payloads != "required"))
            if (status != 403) is not allowed or status in (401, 500, 405):
                wrong.append((route.method, route.path, str(role), payloads, status))
            if status == 403:
                assert json.loads(text)["error"]["code"] == "forbidden", text
                assert re.search(r"the role (operator|admin)|right to see payloads", text), text
    assert wrong == []


async def test_payloads_are_seen_with_the_right_and_by_nobody_without(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    leaked, shown = [], set()
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens), aiohttp.ClientSession(room.url) as session:
        letter_id = (await room.get("/v1/dead"))["dead"][0]["id"]
        for route in ROUTES:
            if route.content == EVENTS:
                continue
            for payloads in (False, True):
                _, text = await answer(session, route, asked(route, letter_id, room), tokens[Role.ADMIN, payloads])
                if MARK in text and not payloads:
                    leaked.append((route.method, route.path))
                elif MARK in text:
                    shown.add(route.path)
    assert leaked == []
    hiding = {
        route.path for route in ROUTES if route.method == "GET" and route.payloads != "none" and route.content != EVENTS
    }
    assert shown == hiding, "a route that shows no payload needs no right, and one that does says so in its row"


@pytest.mark.parametrize("point", ["collected", "processed", "delivered"])
async def test_a_tail_leaves_payloads_out_without_a_word(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens):
        for payloads in (False, True):
            headers = {"Authorization": f"Bearer {tokens[Role.VIEWER, payloads]}"}
            query = {"point": point, "query": "user:u9"}
            async with (
                aiohttp.ClientSession(room.url, headers=headers) as session,
                session.get("/v1/tail", params=query) as reply,
            ):
                assert await reply.content.readline() == b": watching\n"
                await asyncio.sleep(0.2)
                event = {"type": "track", "event": "E", "userId": "u9", "messageId": secrets.token_hex(4)}
                await room.collect({**event, "properties": {"p": MARK}})
                async with asyncio.timeout(10):
                    while not (line := await reply.content.readline()).startswith(b"data: "):
                        pass
                frame = json.loads(line[6:])
                assert frame["message_id"] == event["messageId"]
                assert ("payload" in frame) is payloads and (MARK in line.decode()) is payloads
                assert "sample" not in frame or payloads


async def test_whoever_may_not_see_payloads_may_not_search_in_them(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens), aiohttp.ClientSession(room.url) as session:
        searching = [route for route in ROUTES if any(one.name == "query" for one in route.query)]
        assert len(searching) == 5
        for route in searching:
            for payloads, words in ((False, MARK), (False, f"dest:crm -{MARK}"), (False, "dest:crm"), (True, "dest:x")):
                request = asked(route, 1, room)._replace(query={"query": words})
                status, _ = await answer(session, route, request, tokens[Role.ADMIN, payloads])
                hidden = not payloads and (MARK in words or route.payloads == "required")
                assert status == (403 if hidden else 200), (route.path, words)
        for path in ("/v1/dead/requeue", "/v1/dead/purge"):
            headers = {"Authorization": f"Bearer {tokens[Role.ADMIN, False]}", "Idempotency-Key": "k" + path}
            async with session.post(path, json={"query": MARK, "expect": 1}, headers=headers) as reply:
                assert reply.status == 403
        assert (await room.get("/v1/dead/count", query=MARK))["count"] == 1


async def test_whoami_tells_each_holder_apart(tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        furnished(tmp_path, make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500})), monkeypatch) as (room, tokens),
        aiohttp.ClientSession(room.url) as session,
    ):
        for (role, payloads), token in tokens.items():
            async with session.get("/v1/whoami", headers={"Authorization": f"Bearer {token}"}) as reply:
                found = await reply.json()
            assert (found["name"], found["role"], found["payloads"]) == (
                f"{role}-{str(payloads).lower()}",
                str(role),
                payloads,
            )
        await room.post("/v1/destinations/crm/pause")
        headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR, False]}"}
        async with session.post("/v1/destinations/crm/resume", headers=headers) as reply:
            assert reply.status == 200
        entries = [one for one in (await room.get("/v1/audit"))["audit"] if one["what"] != "sample.read"]
        assert [(one["who"], one["role"], one["what"]) for one in entries] == [
            ("operator-false", "operator", "destination.resume"),
            ("admin", "admin", "destination.pause"),
        ]


async def test_refused_input_is_not_searched_by_who_may_not_see_it(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens):
        for payloads in (False, True):
            headers = {"Authorization": f"Bearer {tokens[Role.ADMIN, payloads]}"}
            async with aiohttp.ClientSession(room.url, headers=headers) as session:
                found = await (await session.get(f"/v1/events/{MARK}")).json()
                assert bool(found["refused"]) is payloads


async def test_a_tail_ends_when_its_token_is_taken_away(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens):
        headers = {"Authorization": f"Bearer {tokens[Role.VIEWER, True]}"}
        async with aiohttp.ClientSession(room.url, headers=headers) as session, session.get("/v1/tail") as reply:
            assert await reply.content.readline() == b": watching\n"
            room.control.apply(ControlConfig())
            await room.collect(
                {"type": "track", "event": "E", "userId": "u9", "messageId": "u", "properties": {"p": MARK}}
            )
            async with asyncio.timeout(10):
                assert MARK not in (await reply.content.read()).decode()


async def test_an_answer_is_repeated_to_the_token_that_got_it_and_to_no_other(
    tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    async with furnished(tmp_path, sink, monkeypatch) as (room, tokens), aiohttp.ClientSession(room.url) as session:
        replayed = []
        for payloads in (True, True, False, False):
            headers = {"Authorization": f"Bearer {tokens[Role.ADMIN, payloads]}", "Idempotency-Key": "the same"}
            async with session.post("/v1/destinations/crm/pause", headers=headers) as reply:
                assert reply.status == 200, await reply.text()
                replayed.append("Idempotency-Replayed" in reply.headers)
        assert replayed == [False, True, False, True]
        done = [one["who"] for one in (await room.get("/v1/audit"))["audit"] if one["what"] == "destination.pause"]
        assert done == ["admin-false", "admin-true"]
        headers = {"Authorization": f"Bearer {tokens[Role.OPERATOR, False]}", "Idempotency-Key": "the same"}
        async with session.post("/v1/destinations/crm/resume", headers=headers) as reply:
            assert reply.status == 200, "a key of somebody else's was not used by this token"
