"""Who is behind an id: ids, queues and events of people, from the log's newest events."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.control.people import by_log
from tests.support.appliance import webhook
from tests.support.room import Room, running
from tests.support.sink import Plan, Sink

MakeSink = Callable[..., Sink]


def event(number: int, name: str = "E", **ids: str) -> dict[str, Any]:
    return {"type": "track", "event": name, "messageId": f"m{number}", **ids}


async def find(room: Room, wanted: str) -> dict[str, dict[str, Any]]:
    answer = await room.get("/v1/people", id=wanted)
    assert answer["complete"] is True
    return {one["person"]: one for one in answer["people"]}


async def test_a_person_is_found_by_any_id_with_what_came_before_the_log_in(
    tmp_path: Path, make_sink: MakeSink
) -> None:
    sink = make_sink(Plan(fail_events={"Stuck": 500}))
    slow = {"delay_min": "600s", "delay_max": "600s"}
    config = {"destinations": {"crm": webhook(sink.url, retry=slow), "off": webhook(sink.url, enabled=False)}}
    async with running(tmp_path, config) as room:
        await room.collect(
            event(1, anonymousId="a1"),
            event(2, anonymousId="a1", userId="u1"),
            event(3, "Stuck", userId="u1"),
            event(4, userId="u1"),
            event(5, anonymousId="a2", userId="u2"),
        )
        await room.until("/v1/destinations/crm/held", lambda one: sum(each["events"] for each in one["held"]) == 2)
        await room.until("/v1/people?id=a1", lambda one: one["people"][0]["queues"][0]["state"] == "clear")
        found = await find(room, "u1")
        assert set(found) == {"a:a1", "u:u1"}
        browser, server = found["a:a1"], found["u:u1"]
        assert browser["ids"] == {"anonymousId": ["a1"], "userId": ["u1"]}
        assert [one["message_id"] for one in browser["events"]] == ["m2", "m1"]
        assert [one["message_id"] for one in server["events"]] == ["m4", "m3"]
        queues = {one["destination"]: one for one in server["queues"]}
        assert (queues["crm"]["state"], queues["crm"]["events"]) == ("held", 2)
        assert queues["crm"]["head"]["attempts"] == 1 and "500" in queues["crm"]["head"]["error"]
        assert (queues["off"]["state"], queues["off"]["events"]) == ("waiting", 2)
        assert [one["state"] for one in browser["queues"]] == ["clear", "waiting"]
        assert await find(room, "a:a1") == {"a:a1": browser} == await find(room, "a1")
        assert await find(room, "nobody") == {}
        await room.get("/v1/people", 400)
        await room.get("/v1/people", 400, id="x" * 1001)


async def test_only_so_much_is_looked_at_and_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path) as room:
        for start in range(0, 100, 10):
            await room.collect(*(event(number, userId=f"u{number % 50}") for number in range(start, start + 10)))
        monkeypatch.setattr(by_log, "STRIDE", 7)
        whole = by_log.find(room.log, [], "u3", 0, False)
        assert [one.message_id for one in whole.people[0].events] == ["m53", "m3"]
        assert whole.complete and whole.scanned_events == 100
        monkeypatch.setattr(by_log, "EVENTS_MAX", 60)
        part = by_log.find(room.log, [], "u3", 0, False)
        assert [one.message_id for one in part.people[0].events] == ["m53"]
        assert not part.complete and 60 <= part.scanned_events < 70
        ticks = iter(range(1_000))
        late = by_log.find(room.log, [], "u3", 0, False, lambda: next(ticks))
        assert not late.complete and late.scanned_events == 21


async def test_so_many_people_and_events_and_no_more(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        await room.collect(*(event(number, anonymousId=f"a{number % 40}", userId="u1") for number in range(2_000)))
        found = await find(room, "u1")
        assert len(found) == by_log.PEOPLE_MAX
        assert all(len(one["events"]) == by_log.SHOWN_MAX for one in found.values())
