"""People by the person graph over the admin API: look-ups, merges, acts and what comes of them, exports, rights."""

import asyncio
import csv
import io
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import duckdb
import networkx
import pytest

from appliance.control.people import by_graph, pages
from appliance.core.errors import Overloaded
from tests.support.appliance import webhook
from tests.support.room import Room, running
from tests.support.sink import Plan, Sink

MakeSink = Callable[..., Sink]
SLOW = {"delay_min": "600s", "delay_max": "600s"}
ANN = {"type": "identify", "anonymousId": "a1", "userId": "ann", "traits": {"email": "Ann@example.com"}}
BOB = {"type": "identify", "anonymousId": "b1", "userId": "bob", "traits": {"email": "bob@example.com"}}
BAD_ALIAS = {"type": "alias", "userId": "ann", "previousId": "bob"}
PAIR = {"a": {"type": "userId", "value": "ann"}, "b": {"type": "email", "value": " BOB@example.com"}}


async def collect(room: Room, *events: dict[str, Any]) -> None:
    """One after the other, so that each has a block of its own."""
    for event in events:
        await room.collect({"type": "track", "event": "E", "messageId": f"m{secrets.token_hex(4)}", **event})
    await room.settled()


async def find(room: Room, wanted: str, **query: str) -> dict[str, dict[str, Any]]:
    answer = await room.get("/v1/people", id=wanted, **query)
    assert answer["complete"] is True
    return {one["person"]: one for one in answer["people"]}


async def who(room: Room, wanted: str) -> str:
    (person,) = await find(room, wanted)
    return person


async def test_a_person_has_all_lanes_and_events_of_theirs(tmp_path: Path, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Stuck": 500}))
    config = {"destinations": {"crm": webhook(sink.url, retry=SLOW), "off": webhook(sink.url, enabled=False)}}
    async with running(tmp_path, config, graph=True) as room:
        await collect(
            room,
            {"anonymousId": "a1", "messageId": "before"},
            {"anonymousId": "a1", "event": "Stuck", "messageId": "stuck"},
            {"anonymousId": "a1", "messageId": "behind"},
        )
        await room.until("/v1/destinations/crm/held", lambda one: sum(each["events"] for each in one["held"]) == 2)
        visitor = await who(room, "a1")
        await collect(
            room,
            {"userId": "ann", "messageId": "server"},
            {"anonymousId": "x1", "messageId": "stranger"},
            {**ANN, "messageId": "log-in"},
            {"userId": "ann", "context": {"device": {"id": "d"}}, "messageId": "mobile"},
        )
        found = await find(room, "ANN@EXAMPLE.COM")
        assert len(found) == 1
        ann = found[await who(room, "ann")]
        assert ann["ids"] == {
            "anonymousId": ["a1"],
            "userId": ["ann"],
            "email": ["ann@example.com"],
            "device_id": ["d"],
        }
        assert (ann["ids_total"], ann["matches"]) == (4, [{"type": "email", "value": "ann@example.com"}])
        assert [one["message_id"] for one in ann["events"]] == [
            "mobile",
            "log-in",
            "server",
            "behind",
            "stuck",
            "before",
        ]
        queues = {one["destination"]: one for one in ann["queues"]}
        assert (queues["crm"]["state"], queues["off"]["state"], queues["off"]["events"]) == ("held", "waiting", 6)
        assert queues["crm"]["events"] >= 2 and "500" in queues["crm"]["head"]["error"]
        for name in (visitor, "email:ann@example.com", "a1", "d", ann["person"]):
            assert list(await find(room, name)) == [ann["person"]], name
        assert await find(room, "a1", type="user_id") == {}
        assert list(await find(room, "a1", type="anonymousId")) == [ann["person"]]
        quick = (await find(room, "a1", events="0"))[ann["person"]]
        assert quick == {**ann, "matches": [{"type": "anonymous_id", "value": "a1"}], "events": [], "queues": []}
        assert await find(room, "nobody") == {}
        for query in ({"id": "ann", "type": "email"}, {"id": "ann", "type": "?"}, {"id": "x" * 1001}, {}):
            assert (await room.get("/v1/people", 400, **query))["error"]["code"] == "invalid"


async def test_who_has_no_usable_id_is_found_by_the_id_that_destinations_saw(
    tmp_path: Path, make_sink: MakeSink
) -> None:
    sink = make_sink(Plan(fail_events={"Stuck": 500}))
    config = {"destinations": {"crm": webhook(sink.url, retry=SLOW)}}
    async with running(tmp_path, config, graph=True) as room:
        await collect(room, {"userId": "ann"}, {"userId": "null", "event": "Stuck", "messageId": "nobodys"})
        held = (await room.until("/v1/destinations/crm/held", lambda one: one["held"]))["held"]
        (person,) = (await find(room, held[0]["person"])).values()
        assert [one["message_id"] for one in person["events"]] == ["nobodys"]
        assert (person["queues"][0]["state"], person["ids_total"]) == ("held", 0)
        await room.get(f"/v1/people/{held[0]['person']}", 404)


async def test_all_of_a_person_and_their_merges(tmp_path: Path) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB)
        ann, bob = await who(room, "ann"), await who(room, "bob")
        await collect(room, {**BAD_ALIAS, "messageId": "bad"}, {"anonymousId": "a1", "userId": "eve"})
        both = await who(room, "ann")
        former = {ann: bob, bob: ann}[both]
        shown = await room.get(f"/v1/people/{former}")
        assert shown == await room.get(f"/v1/people/{both}")
        assert (shown["person"], shown["was"]) == (both, [former])
        assert len(shown["members"]) == 6 and {one["type"] for one in shown["members"]} == {
            "user_id", "anonymous_id", "email",
        }  # fmt: skip
        (left,) = shown["left_out"]
        assert (left["other"]["value"], left["other_person"]) == ("eve", await who(room, "eve"))
        assert "unique" in left["reason"] and left["id"] == {"type": "anonymous_id", "value": "a1"}
        merges = (await room.get("/v1/people/merges"))["merges"]
        assert merges == shown["merges"] and len(merges) == 1
        (merge,) = merges
        assert (merge["message_id"], merge["source"], merge["holds"], merge["ended"]) == ("bad", "web", True, "")
        assert {one["value"] for one in merge["ids"]} == {"ann", "bob"} and merge["when_ms"]
        for name in ("nobody", "00000000-0000-8000-8000-000000000000", "%F0%9F%92%A9"):
            assert (await room.get(f"/v1/people/{name}", 404))["error"]["code"] == "not_found"


async def test_merges_come_in_pages(tmp_path: Path) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, *({"userId": f"u{number}"} for number in range(8)))
        await collect(room, *({"type": "alias", "userId": "u0", "previousId": f"u{number}"} for number in range(1, 8)))
        names, after = [], ""
        while True:
            page = await room.get("/v1/people/merges", limit="3", after=after)
            names += [one["merge"] for one in page["merges"]]
            if not (after := page["after"]):
                break
        assert names == [str(number) for number in range(15, 8, -1)]
        await room.get("/v1/people/merges", 400, after="x")


async def test_a_merge_whose_ids_were_seen_together_before_names_the_event_that_joined_them(tmp_path: Path) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, {"userId": "ann", "anonymousId": "a1"}, {"userId": "bob"})
        await collect(room, {"userId": "bob", "anonymousId": "a1", "messageId": "left out"})
        merge_call = {"type": "merge", "userId": "", "messageId": "joined", "mergeProperties": [
            {"type": "anonymous_id", "value": "a1"}, {"type": "user_id", "value": "bob"}]}  # fmt: skip
        await collect(room, merge_call)
        merges = (await room.get("/v1/people/merges"))["merges"]
        assert [one["message_id"] for one in merges] == ["joined"] and merges[0]["when_ms"] > 0
        assert (await room.get(f"/v1/people/{await who(room, 'bob')}"))["merges"] == merges


async def test_undo_parts_whom_it_said_and_says_what_came_of_it(tmp_path: Path) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB)
        ann, bob = await who(room, "ann"), await who(room, "bob")
        await collect(room, BAD_ALIAS)
        foreseen = (await room.get("/v1/people/parting", merge="3"))["people"]
        assert len(foreseen) == 2
        done = await room.post("/v1/people/undo", {"merge": "3"})
        assert (done["done"], done["changed"], set(done["people"])) == ("merge 3 is undone", True, {ann, bob})
        for group in foreseen:
            assert len({await who(room, f"{one['type']}:{one['value']}") for one in group["ids"]}) == 1
        assert (await who(room, "ann"), await who(room, "bob")) == (ann, bob)
        await collect(room, {**BAD_ALIAS, "messageId": "once more"})
        assert await who(room, "ann") != await who(room, "bob"), "the same alias does not join them again"
        (merge,) = (await room.get("/v1/people/merges", all="1"))["merges"]
        assert (merge["holds"], merge["ended"]) == (False, "undone by an operator")
        assert (await room.get("/v1/people/merges"))["merges"] == []
        refused = (await room.post("/v1/people/undo", {"merge": "3"}, 409))["error"]
        assert refused["code"] == "refused" and "holds no more: undone by an operator" in refused["message"]
        audit = [one for one in (await room.get("/v1/audit"))["audit"] if one["what"] == "people.undo"]
        assert [(one["target"], one["count"], one["detail"]["done"]) for one in audit] == [
            ("3", 2, "merge 3 is undone")
        ]


async def test_forbid_and_allow(tmp_path: Path) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB, BAD_ALIAS)
        query = {"a_type": "user_id", "a": "ann", "b_type": "email", "b": "bob@example.com"}
        foreseen = (await room.get("/v1/people/parting", **query))["people"]
        assert len(foreseen) == 2
        done = await room.post("/v1/people/forbid", PAIR)
        assert done["changed"] and "never" in done["done"] and len(set(done["people"])) == 2
        again = await room.post("/v1/people/forbid", PAIR)
        assert (again["changed"], again["people"]) == (False, done["people"]) and "already" in again["done"]
        await collect(room, {**BAD_ALIAS, "messageId": "again"})
        assert await who(room, "ann") != await who(room, "bob@example.com")
        shown = await room.get(f"/v1/people/{await who(room, 'ann')}")
        assert [one["b"] for one in shown["forbidden"]] == [{"type": "email", "value": "bob@example.com"}]
        assert (await room.post("/v1/people/allow", PAIR))["changed"]
        assert (await room.get(f"/v1/people/{await who(room, 'ann')}"))["forbidden"] == []
        audit = [one for one in (await room.get("/v1/audit"))["audit"] if one["what"].startswith("people.")]
        whats = [one["what"] for one in audit if one["what"] in ("people.forbid", "people.allow")]
        assert whats == ["people.allow", "people.forbid", "people.forbid"]
        assert {one["target"] for one in audit if "forbid" in one["what"]} == {"user_id:ann email:***"}


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("undo", {"merge": "99"}, 404, "there is no merge 99"),
        ("undo", {"merge": "x"}, 400, "'x' is no merge"),
        ("undo", {}, 400, "missing required field `merge`"),
        ("forbid", {"a": PAIR["a"], "b": PAIR["a"]}, 400, "the same id twice"),
        ("forbid", {**PAIR, "b": {"type": "email", "value": "x@y.zz"}}, 404, "nobody has the email x@y.zz"),
        ("forbid", {**PAIR, "b": {"type": "email", "value": "bob"}}, 400, "'bob' is no e-mail address"),
        ("allow", {**PAIR, "b": {"type": "?", "value": "bob"}}, 400, "'?' is no type of ids"),
        ("allow", {**PAIR, "b": {"type": "email", "value": "x@y.zz"}}, 404, "nobody has the email x@y.zz"),
        ("allow", {"a": PAIR["a"]}, 400, "missing required field `b`"),
    ],
)
async def test_what_cannot_be_done_says_why_and_leaves_no_act_in_the_log(
    tmp_path: Path, path: str, body: Any, status: int, words: str
) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB)
        before = room.log.last_sequence
        answer = await room.post(f"/v1/people/{path}", body, status)
        assert words in answer["error"]["message"], answer
        assert room.log.last_sequence == before
        async with room.http.post(f"/v1/people/{path}", json=body) as reply:
            assert reply.status == 400 and "Idempotency-Key" in (await reply.json())["error"]["message"]


async def test_an_act_is_done_once_under_its_key(tmp_path: Path) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB, BAD_ALIAS)
        headers = {"Idempotency-Key": "one"}
        answers = []
        for _ in range(2):
            async with room.http.post("/v1/people/undo", json={"merge": "3"}, headers=headers) as reply:
                answers.append((reply.status, await reply.json(), reply.headers.get("Idempotency-Replayed")))
        assert [one[0] for one in answers] == [200, 200] and answers[0][1] == answers[1][1]
        assert [one[2] for one in answers] == [None, "true"]


async def test_an_act_that_the_graph_does_not_come_to_in_time_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.process.identify.ACT_TIMEOUT_S", 0.2)
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB, BAD_ALIAS)
        assert room.identifier is not None
        monkeypatch.setattr(room.identifier, "_turn", lambda: False)
        await room.collect({"type": "track", "userId": "x", "messageId": "wakes"})
        error = (await room.post("/v1/people/undo", {"merge": "3"}, 503))["error"]
        assert error["code"] == "not_yet" and "will be done" in error["message"]


async def test_an_act_that_the_log_does_not_take_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any) -> None:
        raise Overloaded("the disk budget is spent", 30)

    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB, BAD_ALIAS)
        with monkeypatch.context() as patched:
            patched.setattr(room.log, "append", full)
            error = (await room.post("/v1/people/undo", {"merge": "3"}, 503))["error"]
        assert error["message"] == "the disk budget is spent; nothing was changed" and error["next"]
        assert await who(room, "ann") == await who(room, "bob")
        (line,) = [one for one in (await room.get("/v1/audit"))["audit"] if one["what"] == "people.undo"]
        assert line["outcome"].startswith("failed: the disk budget is spent")


async def test_exports_hold_everybody_and_leave_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB)
        async with room.http.get("/v1/people/export") as reply:
            text = await reply.text()
            assert (reply.status, reply.content_type) == (200, "text/csv")
            assert 'filename="people.csv"' in reply.headers["Content-Disposition"]
            assert int(reply.headers["Content-Length"]) == len(text.encode())
        rows = list(csv.DictReader(io.StringIO(text)))
        assert {row["id_value"] for row in rows} == {"ann", "bob", "ann@example.com", "bob@example.com", "a1", "b1"}
        async with room.http.get("/v1/people/export", params={"format": "parquet"}) as reply:
            assert reply.content_type == "application/vnd.apache.parquet"
            (tmp_path / "all.parquet").write_bytes(await reply.read())
        found = duckdb.read_parquet(str(tmp_path / "all.parquet")).fetchall()
        assert sorted(row[:3] for row in found) == sorted(tuple(row.values())[:3] for row in rows)
        assert list((room.data / pages.EXPORTS).iterdir()) == []
        await room.get("/v1/people/export", 400, format="xlsx")
        person = await who(room, "ann")
        async with room.http.get(f"/v1/people/{person}/graphml") as reply:
            assert reply.content_type == "application/graphml+xml"
            assert set(networkx.parse_graphml(await reply.text())) == {
                "user_id:ann",
                "email:ann@example.com",
                "anonymous_id:a1",
            }
        await room.get("/v1/people/nobody/graphml", 404)
        trail = (await room.get("/v1/audit"))["audit"]
        left = [(one["what"], one["count"], one.get("outcome", "done")) for one in trail]
        for what, count in (("people.export", 6), ("people.graphml", 3)):
            assert (what, count, "begun") in left and (what, count, "done") in left


async def test_what_a_killed_export_left_is_gone_at_the_next_start(tmp_path: Path) -> None:
    left = tmp_path / "data" / pages.EXPORTS / "0123" / "csv"
    left.parent.mkdir(parents=True)
    left.write_text("everybody")
    async with running(tmp_path, graph=True):
        assert not left.exists()


async def test_an_export_that_finds_no_room_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    async with running(tmp_path, graph=True) as room:
        monkeypatch.setattr("appliance.identity.export.write_csv", full)
        error = (await room.get("/v1/people/export", 409))["error"]
        assert "No space left" in error["message"] and "make room" in error["next"]
        assert list((room.data / pages.EXPORTS).iterdir()) == []


async def test_without_the_right_to_payloads_only_what_every_list_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("T_OPERATOR", "0123456789abcdef0123456789abcdef")
    tokens = {"ops": {"token": "env:T_OPERATOR", "role": "operator", "payloads": False}}
    async with running(tmp_path, {"control": {"tokens": tokens}}, graph=True) as room:
        await collect(
            room, ANN, BOB, BAD_ALIAS, {"userId": "ann", "context": {"externalId": [{"type": "card", "id": "c-77"}]}}
        )
        person = await who(room, "ann")
        headers = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}
        async with aiohttp.ClientSession(room.url, headers=headers) as session:

            async def get(path: str, **query: str) -> tuple[int, str]:
                async with session.get(path, params=query) as reply:
                    return reply.status, await reply.text()

            for path, query in (
                (f"/v1/people/{person}", {}), ("/v1/people/merges", {}), ("/v1/people/parting", {"merge": "3"}),
                ("/v1/people", {"id": "ann"}), ("/v1/people", {"id": "ann@example.com"}), ("/v1/people", {"id": "c-77"}),
                ("/v1/people", {"id": "card:c-77"}),
            ):  # fmt: skip
                status, text = await get(path, **query)
                assert status == 200 and "example.com" not in text and "c-77" not in text, (path, text)
            assert '"people":[]' in (await get("/v1/people", id="bob@example.com"))[1]
            assert "ann" in (await get(f"/v1/people/{person}"))[1]
            for path in ("/v1/people/export", f"/v1/people/{person}/graphml"):
                assert (await get(path))[0] == 403
            asked = {"a_type": "user_id", "a": "ann", "b_type": "email", "b": "bob@example.com"}
            for value in ("bob@example.com", "nobody@example.com"):  # the answer must not tell whether somebody has it
                assert (await get("/v1/people/parting", **{**asked, "b": value}))[0] == 403
                for path in ("/v1/people/forbid", "/v1/people/allow"):
                    body = {**PAIR, "b": {"type": "email", "value": value}}
                    async with session.post(path, json=body, headers={"Idempotency-Key": path + value}) as reply:
                        assert reply.status == 403, await reply.text()
            key = {"Idempotency-Key": "k"}
            async with session.post("/v1/people/undo", json={"merge": "3"}, headers=key) as reply:
                assert reply.status == 200 and "example.com" not in await reply.text()


async def test_without_a_graph_it_says_how_to_get_one(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        await room.collect({"type": "track", "userId": "ann", "messageId": "m"})
        for path in ("/v1/people/merges", "/v1/people/export", "/v1/people/x", "/v1/people/x/graphml",
                     "/v1/people/parting?merge=1", "/v1/people?id=ann&type=email"):  # fmt: skip
            error = (await room.get(path, 409))["error"]
            assert "[identity]" in error["message"] and "enabled = true" in error["next"], path
        for path, body in (("undo", {"merge": "1"}), ("forbid", PAIR), ("allow", PAIR)):
            await room.post(f"/v1/people/{path}", body, 409)


async def test_who_is_not_found_may_be_among_what_the_graph_has_yet_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN)
        assert room.identifier is not None
        monkeypatch.setattr(room.identifier, "_turn", lambda: False)
        await room.collect({"type": "track", "userId": "late", "messageId": "late"})
        answers = {name: await room.get("/v1/people", id=name) for name in ("late", "ann")}
        assert (answers["late"]["people"], answers["late"]["complete"]) == ([], False)
        assert answers["ann"]["complete"]


async def test_only_so_much_of_the_log_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, graph=True) as room:
        await collect(room, *({"userId": f"u{number % 10}", "messageId": f"m{number}"} for number in range(60)))
        monkeypatch.setattr("appliance.control.people.by_log.STRIDE", 7)
        lookup = room.control._parts.lookup
        assert lookup is not None
        whole = await asyncio.to_thread(by_graph.find, room.log, lookup, [], "u3", "", 0, False)
        assert [one.message_id for one in whole.people[0].events] == ["m53", "m43", "m33", "m23", "m13", "m3"]
        assert whole.complete and whole.scanned_events == 60
        monkeypatch.setattr(by_graph, "EVENTS_MAX", 30)
        part = await asyncio.to_thread(by_graph.find, room.log, lookup, [], "u3", "", 0, False)
        assert [one.message_id for one in part.people[0].events] == ["m53", "m43", "m33"] and not part.complete
        ticks = iter(range(1_000))
        late = await asyncio.to_thread(by_graph.find, room.log, lookup, [], "u3", "", 0, False, lambda: next(ticks))
        assert not late.complete and late.scanned_events == 21
