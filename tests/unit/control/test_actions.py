"""The newer actions on a real log and real deliveries: once per key, drain, edited requeue, export, sources."""

import asyncio
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.appliance import webhook
from tests.support.room import Room, running
from tests.support.sink import Plan, Sink

MakeSink = Callable[..., Sink]
SLOW = {"delay_min": "600s", "delay_max": "600s"}


def track(number: int, event: str, user: str = "u1", **keys: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, "userId": user, "messageId": f"m{number}", **keys}


async def act(room: Room, path: str, body: Any, key: str | None) -> tuple[int, dict[str, Any], bool]:
    """Status, answer, and whether it was an earlier one."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    async with room.http.post(path, json=body, headers=headers) as reply:
        return reply.status, await reply.json(), "Idempotency-Replayed" in reply.headers


async def buried(room: Room, count: int) -> list[dict[str, Any]]:
    answer = await room.until("/v1/dead", lambda answer: len(answer["dead"]) >= count)
    letters: list[dict[str, Any]] = answer["dead"]
    return letters


async def test_a_key_acts_once_alone_at_the_same_time_and_with_another_body(
    tmp_path: Path, make_sink: MakeSink
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect(*(track(number, "Bad", f"u{number}") for number in range(6)))
        ids = [letter["id"] for letter in await buried(room, 6)]
        one, two, rest = ids[:1], ids[1:2], ids[2:]

        first = await act(room, "/v1/dead/purge", {"ids": one, "expect": 1}, "k1")
        assert first == (200, {"done": "purge", "count": 1}, False)
        assert await act(room, "/v1/dead/purge", {"ids": one, "expect": 1}, "k1") == (*first[:2], True)
        status, answer, _ = await act(room, "/v1/dead/purge", {"ids": two, "expect": 1}, "k1")
        assert (status, answer["error"]["code"]) == (409, "key_reused")
        status, answer, _ = await act(room, "/v1/dead/requeue", {"ids": one, "expect": 1}, "k1")
        assert (status, answer["error"]["code"]) == (409, "key_reused"), "the same key on another route"

        body = {"ids": rest, "expect": 4}
        answers = await asyncio.gather(*(act(room, "/v1/dead/purge", body, "k2") for _ in range(8)))
        assert {(status, answer["count"]) for status, answer, _ in answers} == {(200, 4)}
        assert sorted(again for _, _, again in answers) == [False] + [True] * 7

        assert (await room.get("/v1/dead/count"))["count"] == 1
        purges = [entry for entry in (await room.get("/v1/audit"))["audit"] if entry["what"] == "dead.purge"]
        assert [entry["count"] for entry in purges] == [4, 1], "each was done once"


async def test_a_changed_count_answers_409_again_under_its_key_and_nothing_is_done(
    tmp_path: Path, make_sink: MakeSink
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect(*(track(number, "Bad", f"u{number}") for number in range(3)))
        await buried(room, 3)
        for again in (False, True):
            status, answer, was = await act(room, "/v1/dead/purge", {"query": "dest:crm", "expect": 2}, "k")
            assert (status, answer["error"]["code"], was) == (409, "changed", again)
            assert "there are 3 dead letters now" in answer["error"]["message"]
        assert (await room.get("/v1/dead/count"))["count"] == 3


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/dead/purge", {"query": "dest:crm", "expect": 0}),
        ("/v1/dead/requeue", {"query": "dest:crm", "expect": 0}),
        ("/v1/dead/1/requeue", {"event": {}, "expect": 1}),
        ("/v1/destinations/crm/drain", {"expect": 0}),
        ("/v1/destinations/crm/forget", {"expect": 0}),
    ],
)
async def test_what_destroys_or_moves_needs_both_key_and_count(tmp_path: Path, path: str, body: Any) -> None:
    async with running(tmp_path, {"destinations": {"crm": webhook("http://127.0.0.1:9")}}) as room:
        for key in (None, "", "x" * 129, "\u00fc"):
            status, answer, _ = await act(room, path, body, key)
            assert (status, answer["error"]["code"]) == (400, "invalid")
            assert "Idempotency-Key" in answer["error"]["next"] and "expect" in answer["error"]["next"]
        if path != "/v1/dead/1/requeue":  # there is no such letter
            without = {name: value for name, value in body.items() if name != "expect"}
            status, answer, _ = await act(room, path, without, secrets.token_hex(4))
            assert status == 400 and '"expect": 0' in answer["error"]["next"], answer


async def test_drain_tries_at_once_whoever_waits(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(status=500))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url, retry=SLOW)}}) as room:
        await room.collect(*(track(number, "E", f"u{number % 3}") for number in range(9)))
        await room.until("/v1/destinations", lambda one: one["destinations"][0]["held_events"] == 9)
        tried = len(sink.arrivals())
        sink.set_plan(Plan())
        await asyncio.sleep(0.2)
        assert len(sink.arrivals()) == tried, "nobody is due for ten minutes"
        await room.post("/v1/destinations/crm/drain", {"expect": 8}, 409)
        await room.post("/v1/destinations/nobody/drain", {"expect": 0}, 404)
        await room.post("/v1/destinations/crm/pause")
        assert "paused" in (await room.post("/v1/destinations/crm/drain", {"expect": 9}, 409))["error"]["message"]
        await room.post("/v1/destinations/crm/resume")
        answer = await room.post("/v1/destinations/crm/drain", {"expect": 9})
        assert answer == {"destination": "crm", "hastened": 3}
        sink.wait_accepted({f"m{number}" for number in range(9)})
        for user in range(3):
            mine = [one.message_id for one in sink.accepted() if one.person == f"u{user}"]
            assert mine == [f"m{user}", f"m{user + 3}", f"m{user + 6}"]


async def test_an_edited_event_takes_the_place_of_the_original(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}), bodies=True)
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url, retry=SLOW)}}) as room:
        await room.collect(track(1, "Bad", properties={"n": 1.10}))
        letter = (await buried(room, 1))[0]
        await room.collect(track(2, "Stuck"))
        await room.until("/v1/destinations", lambda one: one["destinations"][0]["held_events"] == 1)
        path = f"/v1/dead/{letter['id']}/requeue"
        good = track(1, "Good", properties={"n": 2})
        for event, words in (
            ({**good, "messageId": "m9"}, "messageId"),
            ({**good, "userId": "u2"}, "userId"),
            ({**good, "anonymousId": "a1"}, "anonymousId"),
            ({"type": "track", "messageId": "m1"}, "neither"),
            ([good], "could not have been collected"),
            ("text", "could not have been collected"),
        ):
            error = (await room.post(path, {"event": event, "expect": 1}, 400))["error"]
            assert words in error["message"] and "kept" in error["message"], event
        await room.post(path, {"expect": 1}, 400)
        await room.post(path, {"event": good}, 400)
        await room.post(path, {"event": good, "expect": 2}, 409)
        await room.post("/v1/dead/999/requeue", {"event": good, "expect": 1}, 404)
        body = b'{"expect": 1, "event": {"messageId":"m1", "type":"track","event":"Good","userId":"u1","properties":{"n":1.50}}}'
        async with room.http.post(path, data=body, headers={"Idempotency-Key": "edit"}) as reply:
            assert await reply.json() == {"done": "requeue", "count": 1}
        sink.wait_accepted({"m1"})
        await room.until("/v1/destinations", lambda one: one["destinations"][0]["failed_5m"] >= 3)
        sink.set_plan(Plan())
        await room.post("/v1/destinations/crm/drain", {"expect": 1})
        sink.wait_accepted({"m1", "m2"})
        first, second = sink.accepted()
        assert (first.message_id, second.message_id) == ("m1", "m2"), "at its original place"
        assert '"n":1.50' in first.body and json.loads(first.body)["event"] == "Good"
        entry = next(one for one in (await room.get("/v1/audit"))["audit"] if one["what"] == "dead.edit")
        assert entry["count"] == 1 and entry["detail"] == {"destination": "crm", "message_id": "m1"}
        assert (await room.get("/v1/dead/count"))["count"] == 0


async def test_an_export_is_every_letter_that_matches_whole(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect(*(track(number, "Bad", f"u{number % 2}", properties={"n": number}) for number in range(230)))
        await room.until("/v1/dead/count", lambda one: one["count"] == 230)
        for query, count in (("", 230), ("user:u1", 115), ("user:nobody", 0)):
            async with room.http.get("/v1/dead/export", params={"query": query}) as reply:
                assert reply.status == 200 and reply.content_type == "application/x-ndjson"
                letters = [json.loads(line) for line in (await reply.text()).splitlines()]
            assert len(letters) == count
            assert all(one["original"]["properties"]["n"] == int(one["message_id"][1:]) for one in letters)


async def test_destinations_and_held_people_come_in_pages(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(status=500))
    breaker = {"people": 1_000}
    many = {f"d{number}": webhook(sink.url, enabled=False) for number in range(5)}
    config = {"destinations": {"crm": webhook(sink.url, retry=SLOW, breaker=breaker), **many}}
    async with running(tmp_path, config) as room:
        names, after = [], ""
        while True:
            page = await room.get("/v1/destinations", limit=2, **({"after": after} if after else {}))
            names += [one["name"] for one in page["destinations"]]
            assert page["total"] == 6 and len(page["destinations"]) <= 2
            if not (after := page["after"]):
                break
        assert names == list(config["destinations"])
        await room.get("/v1/destinations", 400, after="nobody")

        await room.collect(*(track(number, "E", f"u{number % 7}") for number in range(14)))
        await room.until("/v1/destinations/crm/held", lambda one: one["people"] == 7)
        people, after = [], ""
        while True:
            page = await room.get("/v1/destinations/crm/held", limit=3, **({"after": after} if after else {}))
            people += [one["person"] for one in page["held"]]
            assert page["people"] == 7
            if not (after := page["after"]):
                break
        assert sorted(people) == [f"u:u{number}" for number in range(7)]
        assert (await room.get("/v1/destinations/crm/held", 400, after="x"))["error"]["code"] == "invalid"
        await room.get("/v1/destinations/nobody/held", 404)
        jobs = await room.get("/v1/destinations/crm/held/u:u3")
        assert jobs["person"] == "u:u3" and [one["message_id"] for one in jobs["jobs"]] == ["m3", "m10"]
        assert jobs["jobs"][0]["attempts"] == 1 and jobs["jobs"][0]["payload"]["userId"] == "u3"
        assert jobs["jobs"][0]["bytes"] > 50 and jobs["jobs"][1]["attempts"] == 0
        one = await room.get("/v1/destinations/crm")
        assert one["state"] == "degraded" and one["failed_5m"] == 7 and one["last_error_ms"] > 0
        assert one["sources"] == ["web"] and one["kind"] == "destination"
        assert {each["key"]: each["value"] for each in one["config"]}["destinations.crm.url"] == sink.url.split("?")[0]
        await room.get("/v1/destinations/nobody", 404)


async def test_rates_show_what_happens_now(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink()
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect(*(track(number, "E", f"u{number}") for number in range(200)))
        seen = await room.until("/v1/overview", lambda one: one["destinations"][0]["delivered_per_s"] >= 20)
        assert seen["destinations"][0]["delivered_per_s"] == pytest.approx(20)
        assert seen["role"] == "admin" and seen["appliance"] and seen["dead_total"] == seen["refused_total"] == 0


async def test_the_document_is_served_without_a_token(tmp_path: Path) -> None:
    from appliance.control.routes import ROUTES

    async with running(tmp_path) as room, room.http.get("/openapi.json", headers={"Authorization": "none"}) as reply:
        document = msgspec.json.decode(await reply.read())
    assert document["openapi"] == "3.1.0" and document["info"]["version"] == "0.0.test"
    operations = [(method, path) for path, methods in document["paths"].items() for method in methods]
    assert sorted(operations) == sorted((route.method.lower(), route.path) for route in ROUTES)


async def test_a_letter_that_cannot_be_prepared_keeps_no_other_from_being_requeued(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect({"type": "track", "event": "Bad", "userId": "u1", "messageId": "good"})
        page = await room.until("/v1/dead", lambda one: len(one["dead"]) == 1)
        good = room.log.dead_letter(page["dead"][0]["id"])
        assert good is not None
        broken = msgspec.structs.replace(good, id=0, record=b"\xc1", sequence=good.sequence + 1)
        await asyncio.wrap_future(room.log.write(lambda transaction: transaction.bury([broken])))
        sink.set_plan(Plan())
        done = await room.post("/v1/dead/requeue", {"query": "dest:crm", "expect": 2})
        assert done["count"] == 1
        await asyncio.to_thread(sink.wait_accepted, {"good"})
        assert [one["id"] for one in (await room.get("/v1/dead"))["dead"]] == [good.id + 1]


async def test_a_spent_budget_is_said_in_words(tmp_path: Path, make_sink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget's answer is the real one; only how full it is, is ours to say."""
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        await room.collect({"type": "track", "event": "Bad", "userId": "u1", "messageId": "m"})
        await room.until("/v1/dead", lambda one: len(one["dead"]) == 1)
        monkeypatch.setattr(room.log._state.budget, "reserve_used", lambda: 0.9)
        refused = await room.post("/v1/dead/requeue", {"query": "dest:crm", "expect": 1}, 409)
        assert "budget is spent" in refused["error"]["message"] and "0 of 1" in refused["error"]["message"]
        monkeypatch.undo()
        assert len((await room.get("/v1/dead"))["dead"]) == 1, "it was kept"
