"""Which events go to a destination."""

import json

import pytest

from appliance.core.event import Record, event_name
from appliance.process.resolve import IdResolver, lane_of
from appliance.process.route import matches, route, selects
from appliance.wal.log import Block


def record(
    raw: object = None, *, source: str = "web", type: str = "track", anonymous: str = "a", user: str = ""
) -> Record:
    return Record(1, source, 1_000, "", type, anonymous, user, "m", "", 0, json.dumps(raw or {}).encode())


@pytest.mark.parametrize(
    ("integrations", "goes"),
    [
        (None, True), ({}, True), ({"All": True}, True), ({"All": False}, False), ({"All": False, "CRM": True}, True),
        ({"All": False, "crm": {"x": 1}}, True), ({"CRM": False}, False), ({"All": True, "crm": False}, False),
        ({"other": False}, True), ("nonsense", True), ({"All": "yes"}, True),
    ],
)  # fmt: skip
def test_integrations_choose_destinations(integrations: object, goes: bool) -> None:
    raw = json.dumps({"event": "x", **({} if integrations is None else {"integrations": integrations})}).encode()
    assert selects(raw, frozenset({"crm", "webhook"})) is goes
    assert selects(raw.replace(b" ", b""), frozenset({"crm", "webhook"})) is goes


def test_sources_choose_destinations() -> None:
    assert route(None, frozenset())(record())
    assert route(["web"], frozenset())(record())
    assert not route(["app"], frozenset())(record())
    assert not route([], frozenset())(record())


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({}, True), ({"type": "track"}, True), ({"type": "page"}, False), ({"event": "Order*"}, True),
        ({"event": "order*"}, False), ({"event": "Order Completed"}, True), ({"user": "u"}, True), ({"user": "a"}, True),
        ({"user": "b"}, False), ({"type": "track", "user": "b"}, False),
        ({"from_ms": "1000"}, True), ({"from_ms": "1001"}, False), ({"to_ms": "1001"}, True), ({"to_ms": "1000"}, False),
    ],
)  # fmt: skip
def test_a_replay_filters(filters: dict[str, str], fits: bool) -> None:
    assert matches(record({"event": "Order Completed"}, user="u"), **filters) is fits


def test_the_name_is_the_event_or_the_page() -> None:
    assert event_name(b'{"event":"A","name":"B"}') == "A"
    assert event_name(b'{"name":"B"}') == "B"
    assert event_name(b'{"event":5}') == "5"
    assert event_name(b"{}") == event_name(b"[]") == event_name(b'{"event":"\xff"}') == ""


def test_lanes_without_a_graph() -> None:
    both = record(anonymous="x", user="y")
    assert lane_of(both) == "a:x"
    assert lane_of(record(anonymous="", user="x")) == "u:x" != lane_of(record(anonymous="x"))
    resolver = IdResolver()
    assert resolver.resolve(Block(1, 1, [both])) == (["a:x"], [])
    assert resolver.person_id("a:x") == IdResolver().person_id("a:x") != resolver.person_id("u:x")
