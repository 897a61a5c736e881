"""Compares what an SDK put on the wire with what a destination received: all of it, once, in order, unchanged.

Order is by arrival at the collector. It is judged from outside: an event whose request was answered before another
request was complete came first, and the events of one batch stand in the batch's order.
"""

import datetime
import json
import re
from collections import defaultdict
from typing import Any, NamedTuple

import msgspec

from tests.integration.clients.recorder import Exchange
from tests.support.sink import Arrival

REPLACED = {"timestamp", "receivedAt", "request_ip", "rudderId", "context"}
"""Keys whose value is the collector's; of `context` only a missing `ip` is added."""
ADDED = REPLACED | {"type", "sentAt", "originalTimestamp"}
"""Keys that the collector may add where the client sent none."""
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


class Sent(NamedTuple):
    """One event as it left the SDK, in the request that carried it first."""

    message_id: str
    lane: str
    raw: bytes
    route_type: str
    batch_sent_at: str
    exchange: Exchange


class _Head(msgspec.Struct, rename="camel"):
    message_id: str
    type: str = ""
    anonymous_id: str | None = None
    user_id: str | None = None


class _Batch(msgspec.Struct, rename="camel"):
    batch: list[msgspec.Raw]
    sent_at: str = ""


def sent_events(exchanges: list[Exchange]) -> list[Sent]:
    """Every event of the answered POSTs, first sending only, in the proxy's order."""
    events: dict[str, Sent] = {}
    for exchange in exchanges:
        if exchange.method != "POST" or exchange.status != 200:
            continue
        route = exchange.path.rsplit("/", 1)[1]
        body = (
            msgspec.json.decode(exchange.payload, type=_Batch)
            if route == "batch"
            else _Batch([msgspec.Raw(exchange.payload)])
        )
        for item in body.batch:
            raw = bytes(item)
            head = msgspec.json.decode(raw, type=_Head)
            sent = Sent(
                head.message_id,
                head.anonymous_id or head.user_id or "",
                raw,
                "" if route == "batch" else route,
                body.sent_at,
                exchange,
            )
            events.setdefault(head.message_id, sent)
    return list(events.values())


def assert_arrived(sent: list[Sent], arrivals: list[Arrival], types: set[str]) -> None:
    """All, once, in order, unchanged, and every call of the scenario was there."""
    assert_all_once(sent, arrivals)
    assert_in_order(sent, [arrival.message_id for arrival in arrivals])
    bodies = {arrival.message_id: arrival.body for arrival in arrivals}
    for event in sent:
        assert_unchanged(event, bodies[event.message_id])
    assert {arrival.type for arrival in arrivals} == types


def assert_all_once(sent: list[Sent], arrivals: list[Arrival]) -> None:
    """Every event arrived, and none twice."""
    arrived = [arrival.message_id for arrival in arrivals]
    assert sorted(arrived) == sorted(event.message_id for event in sent)


def assert_in_order(sent: list[Sent], arrived_ids: list[str]) -> None:
    """Within each lane nothing arrived before what the collector must have known earlier."""
    position = {message_id: index for index, message_id in enumerate(arrived_ids)}
    lanes: dict[str, dict[int, list[Sent]]] = defaultdict(lambda: defaultdict(list))
    for event in sent:
        lanes[event.lane][event.exchange.asked].append(event)
    for requests in lanes.values():
        answered: list[tuple[int, int]] = []
        for asked, events in sorted(requests.items()):
            places = [position[event.message_id] for event in events]
            assert places == sorted(places), f"a batch was reordered: {places}"
            earlier = max((last for time, last in answered if time < asked), default=-1)
            assert earlier < places[0], f"{events[0].message_id} arrived before an event acknowledged earlier"
            assert events[0].exchange.answered is not None
            answered.append((events[0].exchange.answered, places[-1]))


def assert_same_order(sent: list[Sent], one: list[str], other: list[str]) -> None:
    """Two destinations, each on its own cursor, got every lane in the same order: the log's.

    It is the only order there is for what an SDK posted in parallel.
    """
    lane_of = {event.message_id: event.lane for event in sent}
    assert set(one) == set(other) == set(lane_of)
    for lane in set(lane_of.values()):
        assert [name for name in one if lane_of[name] == lane] == [name for name in other if lane_of[name] == lane]


def assert_unchanged(event: Sent, delivered: str) -> None:
    """The delivered event is the sent one, byte for byte, but for what the collector is to set."""
    before = msgspec.json.decode(event.raw, type=dict[str, msgspec.Raw])
    after = msgspec.json.decode(delivered, type=dict[str, msgspec.Raw])
    kept = [key for key in before if key not in REPLACED]
    assert [key for key in after if key in set(kept)] == kept, "keys are missing or in another order"
    assert set(after) - set(before) <= ADDED, set(after) - set(before)
    for key in kept:
        assert bytes(after[key]) == bytes(before[key]), f"{key} changed"
    decoded = json.loads(delivered)
    _assert_context(bytes(before.get("context", b"{}")), bytes(after["context"]), decoded["rudderId"])
    _assert_times(event, json.loads(event.raw), decoded)
    if event.route_type:
        assert decoded["type"] == event.route_type
    assert decoded["request_ip"] == "127.0.0.1"


def _assert_context(before: bytes, after: bytes, person_id: str) -> None:
    pairs_before, pairs_after = _pairs(before), _pairs(after)
    assert pairs_after.pop() == ("sternpost", [("personId", person_id)])
    if "ip" not in json.loads(before):
        assert ("ip", "127.0.0.1") in pairs_after
        pairs_after.remove(("ip", "127.0.0.1"))
    assert pairs_after == pairs_before


def _pairs(raw: bytes) -> Any:
    """JSON as nested lists of pairs, numbers as they are written: equality sees order, types and every digit."""

    def number(kind: str) -> Any:
        return lambda text: (kind, text)

    return json.loads(raw, object_pairs_hook=list, parse_int=number("int"), parse_float=number("float"))


def _assert_times(event: Sent, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert INSTANT.fullmatch(after["receivedAt"]), after["receivedAt"]
    assert INSTANT.fullmatch(after["timestamp"]), after["timestamp"]
    if before.get("timestamp"):
        expected_ms = _instant_ms(before["timestamp"])
    else:
        sent_at = before.get("sentAt") or event.batch_sent_at
        expected_ms = _instant_ms(after["receivedAt"]) - (
            _instant_ms(sent_at) - _instant_ms(before["originalTimestamp"])
        )
    assert abs(_instant_ms(after["timestamp"]) - expected_ms) <= 1


def _instant_ms(text: str) -> float:
    return datetime.datetime.fromisoformat(text).timestamp() * 1000
