"""Calls of a blocking plug-in, from the loop: time limits, hung calls that keep their place, nothing sent twice."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from appliance.core.errors import PluginFault, SternpostError
from appliance.deliver.outcome import SUCCEEDED, Outcome, Result
from appliance.deliver.threads import Threads
from appliance.sdk import Event

LATE_RESULTS_MAX = 10_000
"""So many results of hung calls that ended after all are kept until their events come again."""

Key = tuple[int, int]
Prepare = Callable[[list[Event]], tuple[Callable[..., Any], tuple[Any, ...]]]
Judge = Callable[[BaseException, list[Event]], Outcome]


class CallHangs(SternpostError):
    """No call was made, or no answer came: a thread is still busy with an earlier or this very call."""

    def __init__(self, words: str, *, timed_out: bool = False) -> None:
        super().__init__(words)
        self.timed_out = timed_out


class BlockingCalls:
    """The threads of one destination. All methods run on the delivery loop.

    Args:
        name: of the threads.
        count: most calls at once; a hung one counts.
        timeout_s: longest call.
    """

    def __init__(self, name: str, count: int, timeout_s: float) -> None:
        self._count, self._timeout_s = count, timeout_s
        self._threads = Threads(name, count + 1)  # one more: closing goes through even where all calls hang
        self._places = asyncio.Semaphore(count)
        self._hanging: set[Key] = set()
        self._late: OrderedDict[Key, Result] = OrderedDict()
        self.hung = 0

    def close(self) -> None:
        """Threads end after their present call; nobody waits for them."""
        self._threads.close()

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """One call outside of all accounts, for opening and closing."""
        return await asyncio.wrap_future(self._threads.submit(function, *arguments))

    async def outcome(self, events: list[Event], prepare: Prepare, judge: Judge) -> Outcome:
        """What becomes of these events: of some, an earlier call may have decided.

        Args:
            events: none for a check.
            prepare: gives the function and its arguments for those events that are to be sent.
            judge: turns an exception into results.
        """
        keys = [(event.sequence, event.part) for event in events]
        late = {key: self._late.pop(key) for key in keys if key in self._late}
        left = [event for event, key in zip(events, keys, strict=True) if key not in late]
        if events and not left:
            return Outcome([late[key] for key in keys])
        outcome = await self._fresh(left, prepare, judge)
        if not late:
            return outcome
        fresh = iter(outcome.results)
        return Outcome([late[key] if key in late else next(fresh) for key in keys])

    async def _fresh(self, events: list[Event], prepare: Prepare, judge: Judge) -> Outcome:
        if any((event.sequence, event.part) in self._hanging for event in events):
            return judge(CallHangs("an earlier call with this event has not ended; it waits for that"), events)
        try:
            returned = await self._in_thread(events, prepare, judge)
        except (Exception, SystemExit) as error:
            return judge(error, events)
        return _of_returned(returned, events, judge)

    async def _in_thread(self, events: list[Event], prepare: Prepare, judge: Judge) -> Any:
        if self.hung >= self._count:
            raise CallHangs(f"all {self._count} calls of the plug-in hang; none is started beside them")
        try:
            await asyncio.wait_for(self._places.acquire(), self._timeout_s)
        except TimeoutError:
            raise CallHangs(f"all {self._count} calls of the plug-in are busy or hang") from None
        function, arguments = prepare(events)
        future = self._threads.submit(function, *arguments)
        waiting = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait({waiting}, timeout=self._timeout_s)
        except asyncio.CancelledError:
            self._leave_behind(future, events, judge)
            raise
        if not done:
            self._leave_behind(future, events, judge)
            raise CallHangs("no answer in time", timed_out=True)
        self._places.release()
        return waiting.result()

    def _leave_behind(self, future: "Future[Any]", events: list[Event], judge: Judge) -> None:
        """The call goes on: it keeps its place, and its events wait for it."""
        loop = asyncio.get_running_loop()
        self.hung += 1
        self._hanging.update((event.sequence, event.part) for event in events)
        future.add_done_callback(lambda ended: _on_loop(loop, self._ended, ended, events, judge))

    def _ended(self, future: "Future[Any]", events: list[Event], judge: Judge) -> None:
        """A hung call has ended after all: what it decided counts."""
        self.hung -= 1
        self._places.release()
        self._hanging.difference_update((event.sequence, event.part) for event in events)
        if not events or future.cancelled():
            return
        error = future.exception()
        outcome = _of_returned(future.result(), events, judge) if error is None else judge(error, events)
        for event, result in zip(events, outcome.results, strict=True):
            if result.kind != "retry":
                self._late[event.sequence, event.part] = result
        while len(self._late) > LATE_RESULTS_MAX:
            self._late.popitem(last=False)


def _of_returned(returned: object, events: list[Event], judge: Judge) -> Outcome:
    if returned is None:
        return Outcome([SUCCEEDED] * max(len(events), 1))
    verb = "raise it" if isinstance(returned, BaseException) else "return nothing"
    return judge(PluginFault(f"the plug-in returned {type(returned).__name__}; it must {verb}"), events)


def _on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *arguments: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:
        pass  # The loop has ended; nobody asks any more.
