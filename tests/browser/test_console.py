"""The console in a real browser: without a token the form, with the link or the token the terminal, and keys act."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.chromium import installed
from tests.browser.devtools import Page, driven
from tests.integration.clients.needs import require
from tests.support.appliance import Appliance
from tests.support.console import link, pids, with_console

DRAWN = (
    "document.body.classList.contains('-first-byte') && document.querySelectorAll('.xterm-screen canvas').length > 0"
)


def chosen(page: Page, host: str) -> list[str]:
    """What it asked of others than us."""
    return [url for url in page.requested if urlsplit(url).netloc not in ("", host) and not url.startswith("data:")]


async def keys_of(told: Path, expected: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        (pid,) = pids(told)[-1:]
        path = told / f"{pid}.keys"
        if path.exists() and path.read_text() == expected:
            return
        assert time.monotonic() < deadline, path.exists() and path.read_text()
        await asyncio.sleep(0.1)


@pytest.mark.browser
@pytest.mark.timeout(180)
async def test_a_click_on_the_link_opens_a_console_that_hears_keys(
    make_appliance: Callable[..., Appliance], tmp_path: Path
) -> None:
    require(installed() is not None, "Chromium (Debian package: chromium)")
    appliance, told = await asyncio.to_thread(with_console, make_appliance, tmp_path)
    host = urlsplit(appliance.control_url).netloc
    async with driven(tmp_path) as page:
        await page.ask("Page.navigate", url=link(appliance))
        await page.until(DRAWN)
        assert await page.evaluate("location.href") == f"{appliance.control_url}/console"
        assert await page.evaluate("document.cookie") == ""
        assert await page.evaluate("document.fonts.check('16px \"Roboto Mono\"')")
        await page.until_received(b"The console is here")
        await page.type("xy")
        await page.until_received(b"Pressed y")
        await keys_of(told, "x\ny\n")
        await page.picture(tmp_path / "console.png")
        assert chosen(page, host) == []
        assert [text for text in page.said if "Security Policy" in text or "exception" in text.lower()] == []
        await asyncio.to_thread(appliance.stop)
        await page.until("getComputedStyle(document.querySelector('.closed')).display === 'block'")


@pytest.mark.browser
@pytest.mark.timeout(180)
async def test_a_browser_without_a_session_gets_the_form_and_the_token_opens(
    make_appliance: Callable[..., Appliance], tmp_path: Path
) -> None:
    require(installed() is not None, "Chromium (Debian package: chromium)")
    appliance, told = await asyncio.to_thread(with_console, make_appliance, tmp_path)
    token = (appliance.data / "admin.token").read_text().strip()
    async with driven(tmp_path) as page:
        await page.ask("Page.navigate", url=f"{appliance.control_url}/console")
        await page.until("document.activeElement && document.activeElement.id === 'token'")
        assert pids(told) == []
        await page.ask("Input.insertText", text="wrong")
        await page.type("\r")
        await page.until("document.querySelector('.wrong')?.textContent.includes('not a token')")
        await page.picture(tmp_path / "form.png")
        await page.evaluate("document.getElementById('token').value = ''; document.getElementById('token').focus()")
        await page.ask("Input.insertText", text=token)
        await page.type("\r")
        await page.until(DRAWN)
        await page.until_received(b"The console is here")
        assert [text for text in page.said if "Security Policy" in text] == []
