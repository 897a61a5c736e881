"""Drives a headless Chromium by its DevTools protocol: evaluates, types, takes pictures, listens to what comes in."""

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.browser.chromium import open_page


class Page:
    """One open page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket, self._last = socket, 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.received = b""
        """Everything that WebSockets of the page received."""
        self.said: list[str] = []
        """Errors and words of its console."""
        self.requested: list[str] = []
        """Addresses that it asked for."""
        self.reader = asyncio.create_task(self._read())

    async def ask(self, method: str, **parameters: Any) -> Any:
        """Call a method; returns its result."""
        self._last += 1
        answer = self._answers[self._last] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._last, "method": method, "params": parameters})
        async with asyncio.timeout(20):
            return await answer

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        done = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return done["result"].get("value")

    async def until(self, expression: str, timeout_s: float = 30.0) -> None:
        """Wait until an expression in the page is true."""
        deadline = time.monotonic() + timeout_s
        while not await self.evaluate(expression):
            assert time.monotonic() < deadline, (expression, await self.evaluate("document.body.outerHTML"), self.said)
            await asyncio.sleep(0.1)

    async def until_received(self, words: bytes, timeout_s: float = 30.0) -> None:
        """Wait until a WebSocket of the page received `words`."""
        deadline = time.monotonic() + timeout_s
        while words not in self.received:
            assert time.monotonic() < deadline, (words, self.received[-2000:], self.said)
            await asyncio.sleep(0.1)

    async def type(self, text: str) -> None:
        """Press the keys of a text."""
        for character in text:
            code = "Enter" if character == "\r" else f"Key{character.upper()}"
            key = {"key": "Enter" if character == "\r" else character, "code": code, "text": character}
            key["windowsVirtualKeyCode"] = ord(character.upper())  # type: ignore[assignment]
            await self.ask("Input.dispatchKeyEvent", type="keyDown", **key)
            await self.ask("Input.dispatchKeyEvent", type="keyUp", **key)

    async def picture(self, path: Path) -> None:
        """What it looks like, as PNG."""
        shot = await self.ask("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    async def _read(self) -> None:
        async for message in self._socket:
            event = message.json()
            if "id" in event:
                answer = self._answers.pop(event["id"])
                answer.set_result(event.get("result") or {"result": {}, "error": event.get("error")})
                continue
            method, fact = event["method"], event["params"]
            if method == "Network.webSocketFrameReceived" and fact["response"]["opcode"] == 2:
                self.received += base64.b64decode(fact["response"]["payloadData"])
            elif method == "Network.requestWillBeSent":
                self.requested.append(fact["request"]["url"])
            elif method == "Log.entryAdded":
                self.said.append(fact["entry"]["text"])
            elif method == "Runtime.exceptionThrown":
                self.said.append(str(fact["exceptionDetails"]))


@contextlib.asynccontextmanager
async def driven(folder: Path, width: int = 1000, height: int = 620, *more: str) -> AsyncIterator[Page]:
    """A fresh browser with an empty page of this size; `more` are further flags of the browser."""
    flags = (*more, "--remote-debugging-port=0", f"--window-size={width},{height}", "--enable-unsafe-swiftshader")
    with open_page("about:blank", folder, *flags) as log:
        port_file, deadline = folder / "profile" / "DevToolsActivePort", time.monotonic() + 30
        while not (port_file.exists() and "\n" in port_file.read_text()):
            assert time.monotonic() < deadline, log.read_text()[-2000:]
            await asyncio.sleep(0.05)
        port = port_file.read_text().splitlines()[0]
        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://127.0.0.1:{port}/json/list") as reply:
                address = next(one["webSocketDebuggerUrl"] for one in await reply.json() if one["type"] == "page")
            async with http.ws_connect(address, max_msg_size=64 << 20) as socket:
                page = Page(socket)
                for domain in ("Network", "Page", "Runtime", "Log"):
                    await page.ask(f"{domain}.enable")
                yield page
                page.reader.cancel()
