"""Names that would hurt a terminal, a markup or a parser come back from the admin API as plain, correct JSON."""

import json
import time
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from appliance.control.routes import ROUTES
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

NAMES = [
    "\x1b[31mred\x1b[0m\x1b]0;title\x07",
    "[red]bold[/red] [link=file:///etc/passwd]x[/link]",
    "\u202egnp.exe\u2066\u200f",
    "nul\x00byte",
    "\U0001f6d2\u2028\u2029\u0085",
    'line\r\nbreak\ttab\\back"quote',
]
ALONE = "\ud800 alone"
"""A lone surrogate, which no UTF-8 can carry; the collector keeps U+FFFD in its place."""

ASKED = {
    "/v1/people": "?id=u0",
    "/v1/people/parting": "?a_type=user_id&a=u0&b_type=user_id&b=u1",
    "/v1/replays/count": "?from_ms=0&to_ms=9999999999999",
}
"""What a route cannot be asked without."""


def raw(appliance: Appliance, path: str) -> bytes:
    request = urllib.request.Request(appliance.control_url + path)
    request.add_header("Authorization", f"Bearer {(appliance.data / 'admin.token').read_text().strip()}")
    with urllib.request.urlopen(request, timeout=10) as reply:
        body: bytes = reply.read()
    return body


def test_hostile_names_come_back_as_they_were_and_inert(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(Plan(status=400))
    breaker = {"people": 1_000}
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url, breaker=breaker)}})
    appliance.start()
    events = [
        {"type": "track", "event": name, "userId": f"u{number}", "messageId": f"m{number}", "properties": {name: name}}
        for number, name in enumerate([*NAMES, ALONE])
    ]
    with Wire(appliance.port, WRITE_KEY) as wire:
        for event in events:
            assert wire.post("/v1/track", json.dumps(event).encode()).status == 200
        wire.post("/v1/track", json.dumps({"event": NAMES[0]}).encode())
    wanted = {f"m{number}": name for number, name in enumerate([*NAMES, "\ufffd alone"])}

    letters: list[dict[str, Any]] = []
    deadline = time.monotonic() + 20
    while len(letters) < len(wanted):
        assert time.monotonic() < deadline, letters
        letters = appliance.admin("/v1/dead?full=1")["dead"]
    assert {one["message_id"]: one["event"] for one in letters} == wanted
    assert {one["message_id"]: one["original"]["event"] for one in letters} == wanted
    lines = raw(appliance, "/v1/wal/events").splitlines()
    assert {one["message_id"]: one["event"] for one in map(json.loads, lines)} == wanted
    exported = raw(appliance, "/v1/dead/export").splitlines()
    assert {one["message_id"]: one["event"] for one in map(json.loads, exported)} == wanted
    for message_id, name in wanted.items():
        assert appliance.admin(f"/v1/events/{message_id}")["events"][0]["event"]["event"] == name
        person = appliance.admin(f"/v1/people?id=u{message_id[1:]}")["people"][0]
        assert person["events"][0]["event"] == name
        found = appliance.admin(f"/v1/dead?query={quote(f'id:{message_id}')}")["dead"]
        assert [one["event"] for one in found] == [name]

    for route in ROUTES:  # whatever is shown, no control code leaves unescaped
        if route.method == "GET" and "{" not in route.path and route.path not in ("/v1/tail", "/metrics"):
            body = raw(appliance, route.path + ASKED.get(route.path, ""))
            body.decode()
            assert not [code for code in body if code < 0x20 and code != 0x0A], route.path
    appliance.sternpost("dead", "list")
    assert "request_failed" not in appliance.log()


def test_ids_with_lone_surrogates_and_nul_can_be_asked_for(make_appliance: Callable[..., Appliance]) -> None:
    appliance = make_appliance({})
    appliance.start()
    for text in ("%00", "%ED%A0%80", "%FF", "%E2%80%AE", "a%2Fb", "%5Bred%5D"):
        assert appliance.admin(f"/v1/people?id={text}")["people"] == []
        assert appliance.admin(f"/v1/events/{text}")["events"] == []
    assert "request_failed" not in appliance.log()
