"""The unmodified browser SDK in headless Chromium on another origin: configuration fetch, CORS, and every event."""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest

from tests.browser.chromium import installed, open_page
from tests.browser.page_server import SDK, PageServer
from tests.integration.clients import judge
from tests.integration.clients.needs import require
from tests.integration.clients.recorder import Recorder
from tests.integration.clients.stand import two_destinations, wait_for_file
from tests.support.appliance import WRITE_KEY, Appliance
from tests.support.sink import Sink

TYPES = {"identify", "track", "page", "group", "alias"}
ROUTES = {"single": "/v1/track", "batch": "/v1/batch", "beacon": "/beacon/v1/batch"}


@pytest.mark.browser
@pytest.mark.timeout(180)
@pytest.mark.parametrize(("mode", "rapid"), [("single", 500), ("batch", 500), ("beacon", 60)])
def test_the_browser_sdk_sends_all_of_it_once_in_order_unchanged(
    mode: str,
    rapid: int,
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    tmp_path: Path,
) -> None:
    require(installed() is not None, "Chromium (Debian package: chromium)")
    require(SDK.exists(), "the npm clients (npm ci)")
    sink: Sink = make_sink(bodies=True)
    appliance: Appliance = make_appliance({"destinations": two_destinations(sink, tmp_path / "out")})
    appliance.start()
    with Recorder("127.0.0.1", appliance.port) as recorder, PageServer() as page:
        query = urlencode({"collector": recorder.url, "writeKey": WRITE_KEY, "mode": mode, "rapid": rapid})
        with open_page(f"{page.url}/?{query}", tmp_path) as log:
            sent = wait_until_sent(
                recorder, 5 + rapid, lambda: f"{page.reports[-3:]}\n{log.read_text()[-2000:]}\n{appliance.tail()}"
            )
            arrivals = sink.wait_accepted({event.message_id for event in sent}, timeout_s=60.0)
    problems = [text for text in page.reports if not text.startswith("calls:") and "reserved keyword" not in text]
    assert problems == []
    paths = {(exchange.method, exchange.path) for exchange in recorder.exchanges}
    assert {("GET", "/sourceConfig/"), ("OPTIONS", "/sourceConfig/"), ("POST", ROUTES[mode])} <= paths
    judge.assert_arrived(sent, arrivals, TYPES)
    judge.assert_same_order(
        sent, [arrival.message_id for arrival in arrivals], wait_for_file(tmp_path / "out", len(sent))
    )


def wait_until_sent(recorder: Recorder, count: int, said: Callable[[], str]) -> list[judge.Sent]:
    """What the SDK sent, once `count` events were answered with 200."""
    deadline = time.monotonic() + 100.0
    while len(sent := judge.sent_events(list(recorder.exchanges))) < count:
        if time.monotonic() > deadline:
            answers = sorted({(e.method, e.path, e.status) for e in recorder.exchanges})
            pytest.fail(f"{len(sent)} of {count} events sent; {answers}; {said()}")
        time.sleep(0.1)
    return sent
