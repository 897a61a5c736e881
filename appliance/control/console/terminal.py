"""One window: the WebSocket between the terminal in the browser and the child process that draws in it."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import WSMsgType, web

from appliance.control.console.child import Child

CELLS_MAX = 1000
"""Of a window, on either side; beyond it a browser lies."""
MESSAGE_BYTES_MAX = 256 * 1024
HEARTBEAT_S = 15.0
CLOSE_TIMEOUT_S = 2.0
LOOK_S = 15.0
"""So often a silent window is asked whether its session is over."""
CLOSE_IDLE = 4000
"""Close code, of the range that is free for applications."""


def websocket() -> web.WebSocketResponse:
    """One that notices a window that went away, and takes no more than keys and pasted text."""
    return web.WebSocketResponse(heartbeat=HEARTBEAT_S, max_msg_size=MESSAGE_BYTES_MAX, timeout=CLOSE_TIMEOUT_S)


async def drive(
    websocket: web.WebSocketResponse, child: Child, size: tuple[int, int], alive: Callable[[bool], bool]
) -> None:
    """Run one window until it is closed, its child ends, or its session is over.

    Args:
        websocket: prepared.
        child: not started yet; it is gone when this returns or raises.
        size: of the window, in cells.
        alive: says whether the session goes on; True counts as a sign of life of its user.

    Raises:
        OSError: the child cannot be started.
    """
    try:
        await child.start(*size)
        while alive(False):
            try:
                message = await websocket.receive(LOOK_S)
            except TimeoutError:
                continue
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return
            if message.type is WSMsgType.TEXT:
                await _obey(websocket, child, message.data, alive)
        await websocket.close(code=CLOSE_IDLE, message=b"the session is over")
    finally:
        await asyncio.shield(child.end())


def cells(text: object, otherwise: int) -> int:
    """A side of a window as the browser says it, within reason."""
    try:
        return min(CELLS_MAX, max(1, int(str(text))))
    except ValueError:
        return otherwise


async def _obey(websocket: web.WebSocketResponse, child: Child, text: str, alive: Callable[[bool], bool]) -> None:
    """One message of the browser's; what is none is left out."""
    with contextlib.suppress(msgspec.DecodeError):
        kind, value = _parts(msgspec.json.decode(text))
        if kind == "stdin" and isinstance(value, str):
            alive(True)
            await child.send_bytes(value.encode("utf-8", "replace"))
        elif kind == "resize" and isinstance(value, dict):
            await child.set_terminal_size(cells(value.get("width"), 80), cells(value.get("height"), 24))
        elif kind == "ping":
            await websocket.send_json(["pong", value])
        elif kind == "focus":
            await child.focus()
        elif kind == "blur":
            await child.blur()


def _parts(envelope: Any) -> tuple[object, object]:
    if not isinstance(envelope, list) or not envelope:
        return None, None
    return envelope[0], envelope[1] if len(envelope) > 1 else None
