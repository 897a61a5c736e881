"""Searches that take long keep nobody waiting: health, metrics and short looks answer while two are under way."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse

from tests.support.appliance import WRITE_KEY, Appliance
from tests.support.wire import Wire

SLOW = " ".join([*(f"-not-there-{number}" for number in range(28)), "nor-this"])
"""Holds back its answer: every word is looked for in every event, and the last is in none."""


def ask(appliance: Appliance, path: str) -> HTTPResponse:
    token = (appliance.data / "admin.token").read_text().strip()
    request = urllib.request.Request(appliance.control_url + path, headers={"Authorization": f"Bearer {token}"})
    reply: HTTPResponse = urllib.request.urlopen(request, timeout=60.0)
    return reply


def test_two_slow_searches_keep_neither_health_nor_a_short_look_waiting(
    make_appliance: Callable[..., Appliance],
) -> None:
    appliance = make_appliance()
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        for batch in range(25):
            events = [
                {"type": "track", "event": "E", "userId": "u", "messageId": f"m{batch}-{n}", "properties": {"x": "y" * 1500}}
                for n in range(500)
            ]  # fmt: skip
            assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).status == 200
    path = "/v1/wal/events?" + urllib.parse.urlencode({"query": SLOW})
    with ThreadPoolExecutor(2) as readers, ask(appliance, path) as first, ask(appliance, path) as second:
        searches = [readers.submit(first.read), readers.submit(second.read)]  # the heads are here: both are under way
        for short in ("/health", "/metrics", "/ready", "/health", "/v1/overview", "/v1/destinations"):
            began = time.monotonic()
            with ask(appliance, short) as reply:
                assert reply.status == 200 and reply.read()
            took_s = time.monotonic() - began
            assert not any(search.done() for search in searches), f"{short} came after a search, {took_s:.1f} s later"
        assert [search.result() for search in searches] == [b"", b""]
