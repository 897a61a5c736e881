"""The relay into another Sternpost: the real process takes what it sends, unchanged, once, at the same time."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.core.enrich import enrich
from appliance.core.event import MESSAGE_ID_SET, Event, Record
from appliance.deliver.plugins import shipped_folder
from tests.support.appliance import WRITE_KEY, Appliance
from tests.support.receiver import bound
from tests.support.waiting import until_enough

RELAY = shipped_folder() / "relay.py"
DAY_MS = 86_400_000
RECEIVED_MS = 1_900_000_000_000


def edge_event(number: int, **fields: Any) -> Event:
    """An event as an edge box hands it to its relay: collected yesterday, enriched."""
    raw = {
        "type": "track",
        "event": "Door Opened",
        "messageId": f"m-{number}",
        "anonymousId": f"p-{number % 3}",
        **fields,
    }
    record = Record(
        number,
        "cameras",
        RECEIVED_MS,
        "192.0.2.7",
        "track",
        f"p-{number % 3}",
        "",
        f"m-{number}",
        "",
        0,
        json.dumps(raw, ensure_ascii=False).encode(),
    )
    assert not record.flags & MESSAGE_ID_SET
    return Event(
        sequence=number,
        part=0,
        source="cameras",
        type="track",
        message_id=f"m-{number}",
        anonymous_id=f"p-{number % 3}",
        user_id="",
        person_id="",
        received_ms=RECEIVED_MS,
        json=enrich(record, ""),
    )


EVENTS = [
    edge_event(1),
    edge_event(2, timestamp="2030-03-01T08:00:00.000Z"),
    edge_event(3, originalTimestamp="2030-03-01T08:00:00.000Z", sentAt="2030-03-01T08:00:05.000Z"),
    edge_event(
        4,
        originalTimestamp="2030-03-01T09:00:00.123+01:00",
        sentAt="2030-03-01T09:00:10+01:00",
        context={"ip": "10.0.0.9"},
    ),
    edge_event(5, properties={"big": 12345678901234567890123, "f": 1.0, "ü": "☕", "n": None, "messageId": "inner"}),
]


@pytest.mark.parametrize("gzip", [False, True])
async def test_the_central_box_sees_the_same_events_at_the_same_times(
    tmp_path: Path, make_appliance: Callable[..., Appliance], gzip: bool
) -> None:
    out = tmp_path / "out"
    central = make_appliance({"destinations": {"files": {"plugin": "jsonl", "folder": str(out), "start": "oldest"}}})
    central.start()
    async with bound(RELAY, {"url": central.url, "write_key": WRITE_KEY, "gzip": gzip}) as instance:
        for _ in range(2):  # the second time as after a crash: the receiver deduplicates
            results = (await instance.call(EVENTS)).results
            assert [(result.kind, result.sample) for result in results] == [("succeeded", "")] * len(EVENTS)

    def arrived() -> list[str]:
        return [line for path in sorted(out.glob("*.jsonl")) for line in path.read_text().splitlines()]

    until_enough(arrived, lambda lines: len(lines) >= len(EVENTS))
    central.stop()
    lines = [json.loads(line) for line in arrived()]
    assert [line["messageId"] for line in lines] == [event.message_id for event in EVENTS]
    for line, event in zip(lines, EVENTS, strict=True):
        sent = event.as_dict()
        set_by_the_receiver = {"receivedAt", "request_ip", "rudderId"}
        assert line["context"].pop("sternpost") == {"personId": line["rudderId"]}
        assert {key: value for key, value in line.items() if key not in set_by_the_receiver} == {
            key: value for key, value in sent.items() if key not in set_by_the_receiver
        }


async def test_a_wrong_key_aborts_and_a_stopped_box_is_retried(make_appliance: Callable[..., Appliance]) -> None:
    central = make_appliance()
    central.start()
    async with bound(RELAY, {"url": central.url, "write_key": "wk_wrong"}) as instance:
        (result,) = (await instance.call(EVENTS[:1])).results
        assert (result.kind, result.reason) == ("abort", "HTTP 401") and "write" in result.sample
        central.stop()
        (result,) = (await instance.call(EVENTS[:1])).results
        assert (result.kind, result.connection) == ("retry", True)
