"""Live tail: what is shown, what is left out and said, and that watching costs the work nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from appliance.control.query import parse
from appliance.control.tail import EVENTS_PER_TICK, FRAMES_MAX, WATCHERS_MAX, Watcher
from appliance.control.tail_subjects import RecordSubject
from appliance.deliver.outcome import SUCCEEDED
from tests.support.appliance import webhook
from tests.support.room import Room, running
from tests.support.sink import Plan, Sink


def track(number: int, **keys: Any) -> dict[str, Any]:
    return {"type": "track", "event": "E", "userId": f"u{number % 3}", "messageId": f"m{number}", **keys}


@asynccontextmanager
async def watching(room: Room, **query: str) -> AsyncIterator[Callable[[], Any]]:
    """Yields what waits for the next (name, data) of a tail."""
    timeout = aiohttp.ClientTimeout(total=None, sock_read=20)
    async with room.http.get("/v1/tail", params=query, timeout=timeout) as reply:
        assert reply.status == 200 and reply.content_type == "text/event-stream"
        assert await reply.content.readline() == b": watching\n"

        async def following() -> tuple[str, dict[str, Any]]:
            name = ""
            async with asyncio.timeout(10):
                while True:
                    line = await reply.content.readline()
                    assert line, "the tail ended"
                    if line.startswith(b"event: "):
                        name = line[7:].strip().decode()
                    elif line.startswith(b"data: "):
                        return name, json.loads(line[6:])

        yield following


async def test_collected_events_are_shown_from_now_on_and_filtered(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        await room.collect(track(0))
        async with watching(room) as everything, watching(room, query="user:u1", payload="0") as some:
            await asyncio.sleep(0.2)
            await room.collect(track(1), track(2))
            await room.collect(track(4))
            seen = [await everything() for _ in range(3)]
            assert [(name, event["message_id"]) for name, event in seen] == [("collected", f"m{n}") for n in (1, 2, 4)]
            assert seen[0][1]["payload"] == track(1)
            filtered = [(await some())[1] for _ in range(2)]
            assert [event["message_id"] for event in filtered] == ["m1", "m4"] and "payload" not in filtered[0]


async def test_deliveries_are_shown_with_their_outcome(tmp_path: Path, make_sink: Callable[..., Sink]) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    async with (
        running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room,
        watching(room, point="delivered") as everything,
        watching(room, point="delivered", query="code:400") as bad,
    ):
        await asyncio.sleep(0.2)
        await room.collect(track(1), track(2, event="Bad"))
        seen = {event["message_id"]: event for _, event in [await everything(), await everything()]}
        assert seen["m1"]["state"] == "succeeded" and seen["m1"]["destination"] == "crm" and seen["m1"]["took_ms"] > 0
        assert (
            seen["m2"]["state"] == "aborted"
            and "400" in seen["m2"]["reason"]
            and "HTTP/1.1 400" in seen["m2"]["sample"]
        )
        assert (await bad())[1]["message_id"] == "m2"


async def test_processed_events_are_as_they_leave_the_pipeline_and_say_for_whom(
    tmp_path: Path, make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink()
    only_app = webhook(sink.url, sources=["app"])
    config = {
        "sources": {"web": {"write_key": "wk_web"}, "app": {"write_key": "wk_app"}},
        "destinations": {"crm": webhook(sink.url), "app_only": only_app},
    }
    async with (
        running(tmp_path, config) as room,
        watching(room, point="processed") as everything,
        watching(room, point="processed", query="dest:app_only", payload="0") as some,
    ):
        await asyncio.sleep(0.2)
        await room.collect(track(1))
        await room.collect(track(2, integrations={"All": False}), source="app")
        await room.collect(track(3), source="app")
        seen = [await everything() for _ in range(3)]
        assert [name for name, _ in seen] == ["processed"] * 3
        assert [event["destination"] for _, event in seen] == [["crm"], [], ["crm", "app_only"]]
        assert seen[0][1]["payload"]["rudderId"] and seen[0][1]["payload"]["request_ip"] == "203.0.113.9"
        found = (await some())[1]
        assert found["message_id"] == "m3" and "payload" not in found


async def test_a_flood_of_deliveries_is_thinned_out_and_said(tmp_path: Path, make_sink: Callable[..., Sink]) -> None:
    sink = make_sink()
    async with (
        running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room,
        watching(room, point="delivered", payload="0") as following,
    ):
        await asyncio.sleep(0.2)
        room.dispatcher._loop.call_soon_threadsafe(_flood, room, 5_000)
        shown = left_out = 0
        while shown + left_out < 5_000:
            name, data = await following()
            if name == "sampled":
                left_out += data["events_left_out"]
                assert data["one_in"] > 1
            else:
                shown += 1
        assert shown + left_out == 5_000 and 100 <= shown < 500


def _flood(room: Room, count: int) -> None:
    """What the dispatcher's taps hear of so many deliveries, all at once, on its loop."""
    event = room.dispatcher.processed(room.record(track(1)))[0]
    for _ in range(count):
        for tap in room.dispatcher._taps:
            tap("crm", event, SUCCEEDED, 1, 0.5)


@pytest.mark.parametrize("point", ["collected", "processed"])
async def test_a_flood_is_thinned_out_and_said(tmp_path: Path, point: str) -> None:
    async with running(tmp_path) as room, watching(room, point=point, payload="0") as following:
        await asyncio.sleep(0.2)
        count = 20_000
        for start in range(0, count, 1_000):
            await room.collect(*(track(number) for number in range(start, start + 1_000)))
        shown, left_out, last, one_in = 0, 0, -1, []
        while shown + left_out < count:
            name, data = await following()
            if name == "sampled":
                left_out += data["events_left_out"]
                one_in.append(data["one_in"])
            else:
                assert name == point
                shown += 1
                assert int(data["message_id"][1:]) > last
                last = int(data["message_id"][1:])
        assert shown + left_out == count and left_out > count / 2 and last == count - 1
        assert max(one_in) > 10


async def test_when_nobody_watches_nothing_is_tapped_or_subscribed(
    tmp_path: Path, make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink()
    async with running(tmp_path, {"destinations": {"crm": webhook(sink.url)}}) as room:
        async with watching(room) as first, watching(room, point="delivered"):
            await asyncio.sleep(0.2)
            assert room.dispatcher._taps
            await room.collect(track(1))
            await first()
        async with asyncio.timeout(10):
            while room.dispatcher._taps or room.control._parts.tail._pumps:
                await room.collect(track(2))  # a closed connection is noticed when something is written
                await asyncio.sleep(0.1)


async def test_watchers_are_bounded(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        replies = [await room.http.get("/v1/tail") for _ in range(WATCHERS_MAX)]
        assert {reply.status for reply in replies} == {200}
        assert (await room.get("/v1/tail", 503))["error"]["code"] == "busy"
        for reply in replies:
            reply.close()


async def test_a_watcher_that_does_not_read_loses_frames_not_memory(tmp_path: Path) -> None:
    async with running(tmp_path) as room:
        watcher = Watcher("collected", parse(""), payload=True)
        record = room.record(track(1))
        for _ in range(FRAMES_MAX + 500):
            watcher.offer(RecordSubject(record, room.clock))
        names = []
        async for frame in watcher.frames(0.1):
            if frame is None:
                break
            names.append((frame.name, frame.data.get("events")))
        assert names[0] == ("missed", 500) and len(names) == FRAMES_MAX + 1
        assert EVENTS_PER_TICK < FRAMES_MAX
