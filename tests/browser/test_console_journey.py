"""An operator's outage from start to end in a real browser: seen, paused, mended, resumed, requeued, all in order."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import installed
from tests.browser.devtools import driven
from tests.integration.clients.needs import require
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.console import link
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

DRAWN = "document.body.classList.contains('-first-byte')"


def post(appliance: Appliance, count: int) -> list[str]:
    """Three people's events, whose message ids are returned in order, and one that is refused."""
    ids = [f"m{number}" for number in range(count)]
    events = [{"type": "track", "event": "E", "userId": f"u{n % 3}", "messageId": one} for n, one in enumerate(ids)]
    events.append({"type": "track", "event": "Bad", "userId": "u9", "messageId": "bad"})
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).status == 200
    return ids


async def state(appliance: Appliance, wanted: str) -> dict[str, Any]:
    """The destination, once it is in this state."""
    async with asyncio.timeout(30):
        while True:
            answer = await asyncio.to_thread(appliance.admin, "/v1/destinations")
            found: dict[str, Any] = answer["destinations"][0]
            if found["state"] == wanted:
                return found
            await asyncio.sleep(0.1)


async def first_letter(appliance: Appliance) -> dict[str, Any]:
    """The dead letter, once there is one."""
    async with asyncio.timeout(30):
        while not (letters := (await asyncio.to_thread(appliance.admin, "/v1/dead"))["dead"]):
            await asyncio.sleep(0.1)
    found: dict[str, Any] = letters[0]
    return found


@pytest.mark.browser
@pytest.mark.timeout(180)
async def test_an_outage_is_seen_and_mended_by_keys(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], tmp_path: Path
) -> None:
    require(installed() is not None, "Chromium (Debian package: chromium)")
    sink: Sink = make_sink(Plan(status=500, fail_events={"Bad": 400}))
    appliance: Appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    await asyncio.to_thread(appliance.start)
    ids = await asyncio.to_thread(post, appliance, 30)
    await state(appliance, "degraded")
    letter = await first_letter(appliance)
    async with driven(tmp_path, 1300, 800) as page:
        await page.ask("Page.navigate", url=await asyncio.to_thread(link, appliance))
        await page.until(DRAWN)
        await page.until_received(b"HTTP 500")
        await page.type("3")
        await page.until_received(b"health of a webhook")
        await page.type("p")
        await state(appliance, "paused")
        sink.set_plan(Plan())
        await page.until_received(b"paused")
        assert sink.accepted() == []
        await page.type("r")
        arrivals = await asyncio.to_thread(sink.wait_accepted, set(ids))
        await state(appliance, "running")
        await page.type("5")
        await page.until_received(b"Bad")
        await page.type("R")
        await page.until_received(b"Cancel")
        await page.picture(tmp_path / "asked.png")
        await page.type("Y")
        await asyncio.to_thread(sink.wait_accepted, {"bad"})
    for person in range(3):
        first = list(
            dict.fromkeys(one.message_id for one in arrivals if one.accepted and one.message_id in ids[person::3])
        )
        assert first == ids[person::3]
    assert [(entry["what"], entry["target"]) for entry in appliance.audited()[0]] == [
        ("destination.pause", "crm"),
        ("destination.resume", "crm"),
        ("dead.requeue", f"id:{letter['id']}"),
    ]
