"""Dead letters from the console in a real browser: the file arrives as a download, whole, soon after the key or late."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import installed
from tests.browser.devtools import Page, driven
from tests.browser.test_console_journey import DRAWN
from tests.integration.clients.needs import require
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.console import link
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

LONG = "Käse 🧀 \u202e[red]" * 8_000
"""Longer than the pieces in which a file comes from its console."""
UNASKED = """document.querySelector('.xterm-helper-textarea').dispatchEvent(
    new KeyboardEvent('keypress', {key: 'x', charCode: 120, bubbles: true}))"""
"""A key that the browser does not take for a person's."""


def post(appliance: Appliance) -> None:
    """Three events that the destination refuses for good."""
    events = [
        {"type": "track", "event": "Bad", "userId": f"u{n}", "messageId": f"bad{n}", "properties": {"note": LONG}}
        for n in range(3)
    ]
    with Wire(appliance.port, WRITE_KEY) as wire:
        for event in events:
            assert wire.post("/v1/track", json.dumps(event).encode()).status == 200


async def letters(appliance: Appliance, count: int) -> list[dict[str, Any]]:
    """The dead letters as the admin API has them, once there are so many."""
    async with asyncio.timeout(30):
        while len(found := (await asyncio.to_thread(appliance.admin, "/v1/dead"))["dead"]) < count:
            await asyncio.sleep(0.1)
    return [await asyncio.to_thread(appliance.admin, f"/v1/dead/{one['id']}") for one in found]


async def downloaded(folder: Path, page: Page) -> tuple[str, list[dict[str, Any]]]:
    """The one file of a folder, once the browser has all of it: its name and its lines; it is taken away."""
    deadline = asyncio.get_running_loop().time() + 30
    while not (found := list(folder.glob("*.ndjson"))) or list(folder.glob("*.crdownload")):
        assert asyncio.get_running_loop().time() < deadline, (list(folder.iterdir()), page.received[-2000:], page.said)
        await asyncio.sleep(0.1)
    (path,) = found
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    path.unlink()
    return path.name, lines


@pytest.mark.browser
@pytest.mark.timeout(180)
async def test_exported_letters_arrive_as_a_download(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], tmp_path: Path
) -> None:
    require(installed() is not None, "Chromium (Debian package: chromium)")
    sink: Sink = make_sink(Plan(fail_events={"Bad": 400}))
    appliance: Appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    await asyncio.to_thread(appliance.start)
    await asyncio.to_thread(post, appliance)
    kept = await letters(appliance, 3)
    folder = tmp_path / "downloads"
    folder.mkdir()
    async with driven(tmp_path, 1300, 800) as page:
        await page.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        await page.ask("Page.navigate", url=await asyncio.to_thread(link, appliance))
        await page.until(DRAWN)
        await page.until_received(b"crm")
        await page.type("5")
        await page.until_received(b"3 dead letters")
        await page.type("x")
        name, lines = await downloaded(folder, page)
        await page.until_received(b"your browser saves")
        assert name.startswith("sternpost-dead-")
        assert sorted(lines, key=lambda one: one["id"]) == sorted(kept, key=lambda one: one["id"])
        assert all(one["original"]["properties"]["note"] == LONG for one in lines)
        await page.type(" ")
        await page.until_received(b"1 marked")
        # What takes long to gather comes when the browser has forgotten the key, and opens no window for it any more.
        await page.until("!navigator.userActivation.isActive")
        await page.evaluate(UNASKED)
        _, lines = await downloaded(folder, page)
        assert lines == [kept[0]]
        assert await page.evaluate("location.pathname") == "/console"
        await page.type("7")
        await page.until_received(b"collect.listen")
        assert [text for text in page.said if "Security Policy" in text or "exception" in text.lower()] == []
