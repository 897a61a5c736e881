"""The admin API of people who may be one: pages, what is hidden, what is done once, what is refused."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.identity.review import AT_ONCE_MAX
from tests.support.room import Room, running

SECRET = "ann@example.com"
USERS = ["u1", "u2", "u3", "u4", "u5"]


def pair(a: str, b: str, weight: float, type: str = "user_id") -> dict[str, Any]:
    return {"a": [type, a], "b": ["user_id", b], "probability": 0.95, "weight": weight, "why": [f"e-mail {SECRET}"]}


async def furnish(room: Room) -> None:
    """Five users, a visitor with an address, and four suggestions."""
    for user in USERS:
        await room.collect({"type": "identify", "userId": user, "messageId": user, "traits": {"name": user}})
    await room.collect({"type": "identify", "anonymousId": "v", "messageId": "v", "traits": {"email": SECRET}})
    await room.settled()
    pairs = [pair("u1", "u2", 5), pair("u2", "u3", 9), pair("u3", "u4", 5), pair(SECRET, "u5", 7, "email")]
    taken = await room.post("/v1/people/suggestions", {"pairs": pairs, "first": True})
    assert taken == {"taken": 4, "done": "4 are there to be decided"}


async def test_pages_hold_everything_once_the_likeliest_first(tmp_path: Path) -> None:
    async with running(tmp_path, {}, graph=True) as room:
        await furnish(room)
        whole = await room.get("/v1/people/suggestions")
        assert [one["weight"] for one in whole["suggestions"]] == [9, 7, 5, 5]
        assert (whole["after"], whole["total"]) == (0, 4)
        pages, after = [], 0
        while True:
            page = await room.get("/v1/people/suggestions", limit="1", **({"after": after} if after else {}))
            pages += page["suggestions"]
            if not (after := page["after"]):
                break
        assert pages == whole["suggestions"]
        first = pages[0]
        alone = await room.get("/v1/people/suggestions", number=first["number"])
        assert alone["suggestions"] == [first]
        assert first["a"]["person"] == room.who(first["a"]["id"]["value"])
        await room.get("/v1/people/suggestions", 404, number="99")
        for query in ({"state": "replaced"}, {"state": "x"}, {"after": "99"}, {"number": "x"}):
            assert (await room.get("/v1/people/suggestions", 400, **query))["error"]["code"] == "invalid"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"pairs": [pair("u1", "u2", 5)] * (AT_ONCE_MAX + 1)},
        {"pairs": [{**pair("u1", "u2", 5), "probability": 1.5}]},
        {"pairs": [{**pair("u1", "u2", 5), "a": ["user_id"]}]},
        {"pairs": [{**pair("u1", "u2", 5), "why": ["x"] * 21}]},
    ],
)
async def test_what_is_no_suggestion_is_refused(tmp_path: Path, body: dict[str, Any]) -> None:
    async with running(tmp_path, {}, graph=True) as room:
        assert (await room.post("/v1/people/suggestions", body, 400))["error"]["code"] == "invalid"


async def test_a_decision_is_taken_once_however_often_it_is_sent(tmp_path: Path) -> None:
    async with running(tmp_path, {}, graph=True) as room:
        await furnish(room)
        first = (await room.get("/v1/people/suggestions"))["suggestions"][0]
        headers = {"Authorization": f"Bearer {room.token}", "Idempotency-Key": secrets.token_hex(8)}

        async def accept(session: aiohttp.ClientSession) -> tuple[int, Any, bool]:
            body = {"number": first["number"]}
            async with session.post("/v1/people/accept", json=body, headers=headers) as reply:
                return reply.status, await reply.json(), "Idempotency-Replayed" in reply.headers

        async with aiohttp.ClientSession(room.url) as session:
            answers = await asyncio.gather(accept(session), accept(session))
        assert [answer[:2] for answer in answers] == [answers[0][:2]] * 2 and answers[0][0] == 200
        assert {again for _, _, again in answers} == {False, True}
        assert answers[0][1]["done"] == "they are one person from here on"
        assert room.who("u2") == room.who("u3") == answers[0][1]["people"][0]
        assert (await room.post("/v1/people/accept", {"number": first["number"]}, 409))["error"]["code"] == "refused"
        assert (await room.post("/v1/people/reject", {"number": first["number"]}, 409))["error"]["code"] == "refused"
        lines = [one for one in (await room.get("/v1/audit"))["audit"] if one["what"] == "people.accept"]
        (target,) = (one["target"].split() for one in lines)
        assert target[0] == str(first["number"]) and sorted(target[1:]) == ["user_id:u2", "user_id:u3"]


async def test_addresses_are_for_those_alone_who_may_see_payloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T_BLIND", token := secrets.token_hex(16))
    config = {"control": {"tokens": {"blind": {"token": "env:T_BLIND", "role": "operator", "payloads": False}}}}
    async with running(tmp_path, config, graph=True) as room:
        await furnish(room)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "k"}
        async with aiohttp.ClientSession(room.url, headers=headers) as session:
            async with session.get("/v1/people/suggestions") as reply:
                found, text = (await reply.json())["suggestions"], await reply.text()
            assert SECRET not in text and [one["why"] for one in found] == [[]] * 4
            async with session.post("/v1/people/suggestions", json={"pairs": []}) as reply:
                assert reply.status == 403
            async with session.post("/v1/people/reject", json={"number": found[1]["number"]}) as reply:
                assert reply.status == 200 and SECRET not in await reply.text()
        trail = await room.get("/v1/audit")
        assert SECRET not in str(trail) and "email:***" in str(trail)


async def test_candidates_come_line_by_line(tmp_path: Path) -> None:
    async with running(tmp_path, {}, graph=True) as room:
        await furnish(room)
        headers = {"Authorization": f"Bearer {room.token}"}
        async with (
            aiohttp.ClientSession(room.url, headers=headers) as session,
            session.get("/v1/people/candidates") as reply,
        ):
            assert reply.content_type == "application/x-ndjson"
            found = [json.loads(line) for line in (await reply.text()).splitlines()]
        said = {tuple(one["id"]): one["traits"] for one in found}
        users = {("user_id", user): {"name": [user]} for user in USERS}
        assert said == {**users, ("email", SECRET): {"email": [SECRET]}}
        assert {one["person"] for one in found} == {room.who(value) for _, value in said}


async def test_without_a_graph_there_is_nobody_to_suggest(tmp_path: Path) -> None:
    async with running(tmp_path, {}) as room:
        for path in ("/v1/people/candidates", "/v1/people/suggestions"):
            assert "no person graph" in (await room.get(path, 409))["error"]["message"]
        for path, body in (("suggestions", {"pairs": []}), ("accept", {"number": 1}), ("reject", {"number": 1})):
            assert "no person graph" in (await room.post(f"/v1/people/{path}", body, 409))["error"]["message"]
