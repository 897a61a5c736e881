"""Notices when somebody's code blocks the delivery loop, and names the destination and the line."""

import asyncio
import sys
import threading
import traceback

from appliance.core import logs

BEAT_S = 1.0
STALL_S = 2.0
"""A loop that does not answer for so long is reported."""
_LOG = logs.logger("deliver")


class Watchdog:
    """A thread that asks the loop for a sign of life every second."""

    def __init__(self, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
        self._loop, self._watched = loop, thread
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="deliver-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()

    def _watch(self) -> None:
        answered = threading.Event()
        while not self._stop.wait(BEAT_S):
            answered.clear()
            try:
                self._loop.call_soon_threadsafe(answered.set)
            except RuntimeError:
                return
            if not answered.wait(STALL_S) and not self._stop.is_set():
                self._report()
                answered.wait()

    def _report(self) -> None:
        task = asyncio.current_task(self._loop)
        frame = sys._current_frames().get(self._watched.ident or 0)
        where = traceback.extract_stack(frame)[-1] if frame else None
        _LOG.error(
            "delivery_loop_stalled",
            destination=task.get_name() if task else "unknown",
            stalled_s=STALL_S,
            where=f"{where.filename}:{where.lineno} {where.name}" if where else "unknown",
            advice="a plug-in blocks in an `async def`; make it a plain `def`, which runs in a thread of its own",
        )
