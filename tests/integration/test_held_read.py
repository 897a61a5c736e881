"""A read of the held store that fails once strands nobody."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
import pytest

from appliance.wal.log import HeldJob
from tests.support.appliance import webhook
from tests.support.room import running
from tests.support.sink import Plan, Sink


async def test_a_person_whose_held_events_could_not_be_read_once_is_delivered(
    tmp_path: Path, make_sink: Callable[..., Sink], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = make_sink(Plan(status=500))
    hook = webhook(sink.url, retry={"delay_min": "500ms", "delay_max": "500ms"})
    async with running(tmp_path, {"destinations": {"hook": hook}}) as room:
        read, failures = room.log.held_jobs, iter([lmdb.ReadersFullError("no place for another reader")])

        def failing_once(*arguments: Any, **keys: Any) -> list[HeldJob]:
            if error := next(failures, None):
                sink.set_plan(Plan())
                raise error
            return read(*arguments, **keys)

        monkeypatch.setattr(room.log, "held_jobs", failing_once)
        for n in range(3):
            event = {"userId": "u", "messageId": f"m{n}", "type": "track", "event": "E", "properties": {"n": n}}
            await room.collect(event)
        sink.wait_accepted({"m0", "m1", "m2"}, timeout_s=15)
        assert [one.n for one in sink.accepted()] == [0, 1, 2]
        assert next(failures, None) is None, "the read never failed"
        await room.until("/v1/overview", lambda answer: answer["log"]["held"]["count"] == 0)
