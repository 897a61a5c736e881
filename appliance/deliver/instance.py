"""One destination's plug-in at work: opened, called, its exceptions turned into outcomes, its secrets kept."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from appliance.core import logs
from appliance.core.config import DestinationConfig
from appliance.core.errors import PluginFault
from appliance.deliver.blocking import BlockingCalls, CallHangs
from appliance.deliver.contract import Function, Plugin, error_words
from appliance.deliver.http_client import CallHttp, HttpClient
from appliance.deliver.outcome import SUCCEEDED, Outcome, Result
from appliance.deliver.plugins import effective_limits
from appliance.deliver.sample import SAMPLE_BYTES_MAX, Masker, cut, secrets_of
from appliance.sdk import Abort, Answer, Config, Event, Known, Load, Partial, Retry

REASON_CHARACTERS_MAX = 500
CLOSE_TIMEOUT_S = 5.0
"""How long a plug-in may take to close; then it is left behind."""

_ONE_SUCCEEDED = Outcome([SUCCEEDED])
T = TypeVar("T")


class Instance:
    """A plug-in bound to one destination. Lives on the delivery loop: make, call and close it there.

    Calls may run in parallel, up to `limits.in_flight_max`; the caller sees to that, and that no event is in two
    calls at once.

    Args:
        name: of the destination.
        plugin: as loaded.
        config: the plug-in's own, from `plugins.build_config`.
        destination: the host's keys.
        client: the loop's shared HTTP client, started.

    Raises:
        PluginFault: the plug-in's `limits(config)` failed.
    """

    def __init__(
        self, name: str, plugin: Plugin, config: Config, destination: DestinationConfig, client: HttpClient
    ) -> None:
        self.name, self.plugin, self.config = name, plugin, config
        self.limits = effective_limits(plugin, config, destination)
        self.batch = "single" if plugin.batch == "single" else self.limits.batch
        self.batch_events_max = self.limits.batch_events_max
        self._client, self._masker = client, Masker(config)
        for secret in secrets_of(config):
            logs.hide(secret.reveal())
        self._log = logs.logger("plugin").bind(destination=name, plugin=plugin.name)
        self._context: Any = None
        self._opened: Any = None
        self._is_open = plugin.open is None
        self._opening = asyncio.Lock()
        self._entering: asyncio.Future[Any] | None = None
        self._blocking = BlockingCalls(f"plugin-{name}", self.limits.in_flight_max, self.limits.timeout_s)
        deliver = plugin.deliver
        self._deliver = deliver.call
        self._only_http = deliver.injects == ("config", "http")

    @property
    def hung(self) -> int:
        """Calls of a blocking plug-in that were given up and still run; each keeps a place of `in_flight_max`."""
        return self._blocking.hung

    async def open(self) -> Result:
        """Enter the plug-in's `open`, where it has one and is not entered yet. `call` does so too, as long as it fails.

        Returns:
            Succeeded, or why it cannot be opened now; never raises.
        """
        http = self._client.bind()
        try:
            async with self._opening:
                if not self._is_open:
                    await self._enter(http)
        except (Exception, SystemExit) as error:
            return self._result_of(error, http)
        return SUCCEEDED

    async def close(self, timeout_s: float = CLOSE_TIMEOUT_S) -> None:
        """Leave the plug-in's `open`; waits at most `timeout_s`, whatever it does, and never raises."""
        context, self._context = self._context, None
        self._is_open = self.plugin.open is None
        if self._entering is not None:
            self._entering.cancel()
        if context is not None:
            leaving = asyncio.ensure_future(self._leave(context))
            try:
                async with asyncio.timeout(timeout_s):
                    await asyncio.shield(leaving)
            except (Exception, SystemExit) as error:
                leaving.cancel()
                self._log.warning("plugin_not_closed", error=self._words(error))
        self._blocking.close()

    async def check(self) -> Outcome:
        """Ask the plug-in's `check`, where it has one. One result; never raises."""
        opened = await self.open()
        if opened.kind != "succeeded":
            return Outcome([opened])
        if self.plugin.check is None:
            return _ONE_SUCCEEDED
        return await self._called(self.plugin.check, [], ())

    async def call(self, events: list[Event]) -> Outcome:
        """Deliver these events in one call.

        A blocking plug-in's call that times out goes on in its thread. Its events are not sent again before it has
        ended: until then they are answered with a retryable fault, afterwards with what became of that call. So the
        results of one atomic call can differ.

        Args:
            events: one, or 1 to `batch_events_max` in order.

        Returns:
            One result per event, in order. Raises nothing but CancelledError.
        """
        if not self._is_open:
            opened = await self.open()
            if opened.kind != "succeeded":
                return Outcome([opened] * len(events))
        first = events[0] if self.batch == "single" else events
        return await self._called(self.plugin.deliver, events, (first,))

    async def test(self, event: Event) -> Result:
        """Deliver one event as `call` does; a success, too, carries what was sent and answered as its sample."""
        opened = await self.open()
        if opened.kind != "succeeded":
            return opened
        http = self._client.bind()
        first = event if self.batch == "single" else [event]
        result = (await self._called(self.plugin.deliver, [event], (first,), http)).results[0]
        if result.kind == "succeeded":
            return Result(kind="succeeded", sample=self._sample("", http))
        return result

    async def load(self, load: Load) -> Result:
        """Bring a load into the warehouse; raises nothing but CancelledError."""
        opened = await self.open()
        if opened.kind != "succeeded":
            return opened
        return (await self._called(self.plugin.deliver, [], (load,))).results[0]

    async def inspect(self, stream: str) -> tuple[Result, Known | None]:
        """What the warehouse holds; None where that could not be told."""
        assert self.plugin.inspect is not None
        return await self._asked(self.plugin.inspect, (stream,), Known)

    async def query(self, sql: str, rows_max: int) -> tuple[Result, Answer | None]:
        """What a query gives; None where it gives nothing. Only for warehouses that have `query`."""
        assert self.plugin.query is not None
        return await self._asked(self.plugin.query, (sql, rows_max), Answer)

    async def _asked(self, function: Function, arguments: tuple[Any, ...], kind: type[T]) -> tuple[Result, T | None]:
        opened = await self.open()
        if opened.kind != "succeeded":
            return opened, None
        answers: list[Any] = []
        call = msgspec.structs.replace(function, call=lambda *given: answers.append(function.call(*given)))
        result = (await self._called(call, [], arguments)).results[0]
        if result.kind == "succeeded" and not isinstance(answers[0], kind):
            fault = PluginFault(f"the plug-in returned {type(answers[0]).__name__}, not {kind.__name__}")
            return self._result_of(fault, self._client.bind()), None
        return result, answers[0] if result.kind == "succeeded" else None

    # Calling -------------------------------------------------------------------------------------------------

    async def _called(
        self, function: Function, events: list[Event], arguments: tuple[Any, ...], http: CallHttp | None = None
    ) -> Outcome:
        http = http or self._client.bind()
        if not function.is_async:
            return await self._blocking.outcome(
                events,
                lambda part: (function.call, (*self._first(part, arguments), *self._injected(function, http))),
                lambda error, part: self._outcome_of(error, http, len(part) or 1),
            )
        limit = asyncio.timeout(self.limits.timeout_s)
        try:
            async with limit:
                returned = await function.call(*arguments, *self._injected(function, http))
            if returned is None and not limit.expired():
                return _ONE_SUCCEEDED if len(events) < 2 else Outcome([SUCCEEDED] * len(events))
            error: BaseException = _swallowed() if limit.expired() else _returned(returned)
        except (Exception, SystemExit, GeneratorExit) as raised:
            error = self._timed_out() if limit.expired() and isinstance(raised, TimeoutError) else raised
        except asyncio.CancelledError as raised:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            error = raised  # The plug-in's own: nobody has cancelled us.
        return self._outcome_of(error, http, len(events) or 1)

    def _first(self, part: list[Event], arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        if not part:
            return arguments
        return (part[0] if self.batch == "single" else part,)

    def _injected(self, function: Function, http: CallHttp) -> Sequence[Any]:
        if self._only_http and function.injects == ("config", "http"):
            return self.config, http
        offered = {"config": self.config, "http": http, "log": self._log, "opened": self._opened}
        return [offered[name] for name in function.injects]

    def _timed_out(self) -> Retry:
        return Retry(f"no answer within {self.limits.timeout_s:g} s")

    # Opening -------------------------------------------------------------------------------------------------

    async def _enter(self, http: CallHttp) -> None:
        """An opening that takes too long goes on, and the next attempt waits for the same one."""
        if self._entering is None:
            self._entering = asyncio.ensure_future(self._enter_context(http))
        done, _ = await asyncio.wait({self._entering}, timeout=self.limits.timeout_s)
        if not done:
            raise Retry(f"did not open within {self.limits.timeout_s:g} s")
        entered, self._entering = self._entering, None
        self._context, self._opened = entered.result()
        self._is_open = True

    async def _enter_context(self, http: CallHttp) -> tuple[Any, Any]:
        function = self.plugin.open
        assert function is not None
        context = function.call(*self._injected(function, http))
        if function.is_async:
            return context, await context.__aenter__()
        return context, await self._blocking.run(context.__enter__)

    async def _leave(self, context: Any) -> None:
        assert self.plugin.open is not None
        if self.plugin.open.is_async:
            await context.__aexit__(None, None, None)
        else:
            await self._blocking.run(context.__exit__, None, None, None)

    # Outcomes ------------------------------------------------------------------------------------------------

    def _outcome_of(self, error: BaseException, http: CallHttp, count: int) -> Outcome:
        if isinstance(error, CallHangs) and error.timed_out:
            error = self._timed_out()
        if isinstance(error, Partial):
            error_in = _breach(error, self.batch, count)
            if not error_in:
                results = [SUCCEEDED] * count
                for index, failed in error.failed.items():
                    results[index] = self._result_of(failed, http)
                return Outcome(results)
            error = PluginFault(error_in)
        return Outcome([self._result_of(error, http)] * count)

    def _result_of(self, error: BaseException, http: CallHttp) -> Result:
        if isinstance(error, Abort):
            return Result(kind="abort", reason=self._reason(error.reason), sample=self._sample(error.sample, http))
        if isinstance(error, Retry):
            return Result(
                kind="retry",
                reason=self._reason(error.reason),
                sample=self._sample(error.sample, http),
                after_s=error.after_s,
                throttled=error.throttled,
                connection=error.connection,
            )
        if isinstance(error, CallHangs | PluginFault):
            return Result(kind="retry", reason=self._reason(str(error)), sample=self._sample("", http), fault=True)
        reason = self._reason(f"the plug-in failed: {self._words(error)}")
        return Result(kind="retry", reason=reason, sample=self._sample("", http), fault=True)

    def _reason(self, reason: object) -> str:
        return self._masker.mask(str(reason))[:REASON_CHARACTERS_MAX] or "no reason given"

    def _sample(self, given: object, http: CallHttp) -> str:
        """Request and reply as sent, and what the plug-in adds to it."""
        text, given = "" if http.last is None else http.last.text(), str(given)
        if http.last is None or (given and (http.last.reply is None or http.last.reply.text != given)):
            text = f"{text}\n\n{given}".strip()
        return cut(self._masker.mask(text), SAMPLE_BYTES_MAX)

    def _words(self, error: BaseException) -> str:
        return self._masker.mask(error_words(error, self.plugin.path))


def _swallowed() -> PluginFault:
    return PluginFault("the plug-in went on after its time was up; it must let CancelledError pass")


def _returned(returned: object) -> PluginFault:
    if isinstance(returned, BaseException):
        return PluginFault(f"the plug-in returned {type(returned).__name__}; it must raise it")
    return PluginFault(f"the plug-in returned {type(returned).__name__}; it must return nothing")


def _breach(error: Partial, batch: str, count: int) -> str:
    """Why this Partial is none, or ""."""
    if batch != "independent":
        return "the plug-in raised Partial, which only independent batches may"
    given: list[tuple[object, object]] = list(error.failed.items())
    for index, failed in given:
        if not isinstance(index, int) or not 0 <= index < count:
            return f"the plug-in raised Partial with index {index!r}, and the batch has {count} events"
        if not isinstance(failed, Abort | Retry):
            return f"the plug-in raised Partial with a {type(failed).__name__}, which is neither Abort nor Retry"
    return ""


Made = Callable[[], Instance]
"""Makes a fresh instance of one destination, on the delivery loop."""
