"""A re-load while the log takes no change, so that not even what became of an event can be saved: it goes through."""

import asyncio
import concurrent.futures
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.core.errors import Overloaded
from tests.support.appliance import webhook
from tests.support.room import Room, running
from tests.support.sink import Sink


async def test_a_destination_is_exchanged_while_the_budget_refuses_and_goes_on_afterwards(
    tmp_path: Path, make_sink: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink()
    async with running(tmp_path, {"destinations": {"hook": webhook(sink.url)}}) as room:
        with monkeypatch.context() as full:
            full.setattr(room.log, "write", refused)
            await room.collect(event(0))
            sink.wait_accepted({"m0"})
            await room.until("/v1/overview", lambda one: "budget is spent" in one["destinations"][0]["last_error"])
            assert await exchanged(room) == ["destination hook changed"]
        await room.collect(event(1))
        sink.wait_accepted({"m0", "m1"})
        await room.until("/v1/overview", lambda one: not one["destinations"][0]["lag_events"])
    order = [one.message_id for one in sink.accepted()]
    assert order in (["m0", "m1"], ["m0", "m0", "m1"]), "what was not saved may be sent again, nothing else"


def event(n: int) -> dict[str, Any]:
    return {"userId": "u", "messageId": f"m{n}", "type": "track", "event": "E", "properties": {"n": n}}


def refused(*_: Any, **__: Any) -> "concurrent.futures.Future[None]":
    answer: concurrent.futures.Future[None] = concurrent.futures.Future()
    answer.set_exception(Overloaded("the log's disk budget is spent; nothing was kept", 10))
    return answer


async def exchanged(room: Room) -> list[str]:
    """Another worker in place of the destination's, as a re-load with a changed table makes it."""
    old = room.bound["hook"]
    hook = msgspec.structs.replace(old.config, read_ahead_max=old.config.read_ahead_max + 1)
    config = msgspec.structs.replace(room.configuration.config, destinations={"hook": hook})
    async with asyncio.timeout(10):
        return await room.dispatcher.apply(config, {"hook": dataclasses.replace(old, config=hook)})
