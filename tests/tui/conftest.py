"""Fixtures of the console's proofs: the fake API, a console at a size with frozen clocks, what stands on the screen."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from rich.console import Console as Paper
from textual.pilot import Pilot

from tests.tui.fake_api import NOW_MS, TOKEN, FakeApi
from tui.app import Console
from tui.client import Client
from tui.themes import DARK

DEADLINE_S = 15.0
Started = AbstractAsyncContextManager["Desk"]


class Desk:
    """A console under a pilot, beside the API it talks to."""

    def __init__(self, app: Console, pilot: Pilot[None], api: FakeApi) -> None:
        self.app, self.pilot, self.api = app, pilot, api

    async def press(self, *keys: str) -> None:
        """Keys, one after the other, and what hangs on them."""
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Text into what has the focus."""
        await self.pilot.press(*text)
        await self.pilot.pause()

    async def until(self, holds: Callable[[], object], what: str = "") -> None:
        """Wait until something holds; fails with the screen where it never does."""
        deadline = asyncio.get_running_loop().time() + DEADLINE_S
        while not holds():
            if asyncio.get_running_loop().time() > deadline:
                raise AssertionError(f"{what or 'it'} never held\n{self.screen()}")
            await self.pilot.pause(0.02)

    async def sees(self, text: str) -> None:
        """Wait until a text stands on the screen."""
        await self.until(lambda: text in self.screen(), f"{text!r} on the screen")

    async def go(self, key: str, text: str) -> None:
        """To a screen by its key, until it shows something."""
        await self.press(key)
        await self.sees(text)

    def screen(self) -> str:
        """What stands on the screen, as text."""
        return _recorded(self.app).export_text(clear=False)

    def svg(self) -> str:
        """The same as a picture."""
        return self.app.export_screenshot(title="Sternpost")


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def start(api: FakeApi) -> Callable[..., Started]:
    """Starts a console at the fake API: `async with start(size=(80, 24)) as desk`."""

    @asynccontextmanager
    async def started(size: tuple[int, int] = (100, 30), token: str = TOKEN, **given: Any) -> AsyncIterator[Desk]:
        async with api.running() as url:
            console = Console(Client(url, token), theme=given.pop("theme", DARK), wall_ms=lambda: NOW_MS, **given)
            console.animation_level = "none"
            async with console.run_test(size=size, notifications=True) as pilot:
                yield Desk(console, pilot, api)

    return started


def _recorded(app: Console) -> Paper:
    width, height = app.size
    paper = Paper(
        width=width, height=height, file=io.StringIO(), force_terminal=True, record=True, legacy_windows=False
    )
    paper.print(app.screen._compositor.render_update(full=True, screen_stack=app._background_screens))
    return paper
