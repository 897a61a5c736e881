"""The conformance kit: tries any plug-in file against a real local server and says what holds and what does not."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from appliance.core.config import DestinationConfig, OutboundConfig
from appliance.core.errors import ConfigError, PluginFault
from appliance.deliver.conformance_load import CURSOR, LOG_ID, STREAM, sample_load
from appliance.deliver.conformance_options import address_keys, sample_options
from appliance.deliver.conformance_server import Answer, RefusingPort, Server
from appliance.deliver.contract import Plugin, load_plugin
from appliance.deliver.http_client import HttpClient
from appliance.deliver.instance import Instance
from appliance.deliver.outcome import Result
from appliance.deliver.plugins import build_config, options_faults
from appliance.sdk import Event

RETRY_AFTER_S = 7
HANG_S = 60.0
SLOW_S = 0.4
STALL_S = 0.25
"""Holding up the delivery loop for so long during a slow call is blocking."""

NO_ADDRESS = "does not apply: no key of its Config holds an address (type Url, or text named ...url or ...endpoint)"


NO_WAREHOUSE = "does not apply: it says, as it should, that no warehouse can be loaded; give one with --option"


class Check(msgspec.Struct, frozen=True):
    """One row of the table."""

    name: str
    verdict: Literal["passed", "failed", "skipped"]
    words: str
    """What was seen; for a failure, what to change."""


class Breach(Exception):
    """A check failed; the text says what was seen and what to change."""


def run_conformance(path: Path, given: dict[str, Any] | None = None, *, timeout_s: float = 1.0) -> list[Check]:
    """Every check on one plug-in file, in the order of the table. Takes a few seconds; call it outside of any loop.

    Args:
        path: the plug-in.
        given: options it needs and the kit cannot guess; addresses are replaced by the local server's.
        timeout_s: time limit of a call in the time-out check.
    """
    try:
        plugin = load_plugin(path)
    except PluginFault as fault:
        return [Check("loads", "failed", str(fault))]
    kind = f"{plugin.kind}, {plugin.batch}, {'on the delivery loop' if plugin.is_async else 'in threads'}"
    checks = [Check("loads", "passed", kind)]
    with tempfile.TemporaryDirectory() as folder, Server() as server:
        kit = _Kit(plugin, given or {}, Path(folder), server, timeout_s)
        for name, check in kit.checks():
            checks.append(_checked(name, check))
            server.answer = Answer()
    return checks


def _checked(name: str, check: Callable[[], Coroutine[Any, Any, str]]) -> Check:
    """Each check has a loop of its own, so that what one leaves behind cannot disturb the next."""
    try:
        words = asyncio.run(check())
    except (Breach, ConfigError, PluginFault) as error:
        return Check(name, "failed", str(error))
    return Check(name, "skipped" if words.startswith("does not apply") else "passed", words)


class _Kit:
    """The checks of one plug-in; each returns words for people or raises Breach."""

    def __init__(self, plugin: Plugin, given: dict[str, Any], folder: Path, server: Server, timeout_s: float) -> None:
        self._plugin, self._given, self._folder = plugin, given, folder
        self._server, self._timeout_s = server, timeout_s
        self._calls_http = bool(address_keys(plugin.config_type))
        self._sequence = 0

    def checks(self) -> list[tuple[str, Callable[[], Coroutine[Any, Any, str]]]]:
        """Names and checks, in order."""
        if self._plugin.kind == "load":
            return [
                ("docstrings", self.docstrings),
                ("configuration", self.configuration),
                ("opens", self.opens),
                ("loads (twice)", self.loads),
                ("check", self.check),
            ]
        return [
            ("docstrings", self.docstrings),
            ("configuration", self.configuration),
            ("opens", self.opens),
            ("delivers (200)", self.delivers),
            ("in parallel", self.in_parallel),
            ("429, Retry-After", self.throttled),
            ("500", self.server_error),
            ("400", self.refused_event),
            ("time-out", self.timed_out),
            ("connection refused", self.connection_refused),
            ("check", self.check),
        ]

    async def docstrings(self) -> str:
        """Every key of the Config says what it is."""
        keys = [field.encode_name for field in msgspec.structs.fields(self._plugin.config_type)]
        names = [field.name for field in msgspec.structs.fields(self._plugin.config_type)]
        bare = [key for key, name in zip(keys, names, strict=True) if not self._plugin.config_docs.get(name)]
        if bare:
            raise Breach(f"no docstring under {', '.join(bare)}: write a sentence on the line below each")
        return f"{self._plugin.summary}"

    async def configuration(self) -> str:
        """What is missing, unknown or of a wrong type is named, and nothing else happens."""
        options = self._options(self._server.url)
        wrong = self._faults(options)
        if wrong:
            raise Breach(f"the kit has no valid options for it, give them with --option: {'; '.join(wrong)}")
        cases = [("no_such_key", {**options, "no_such_key": 1})]
        for field in msgspec.structs.fields(self._plugin.config_type):
            key = field.encode_name
            if field.required:
                cases.append((key, {name: value for name, value in options.items() if name != key}))
            cases.append((key, {**options, key: [{"wrong": [1]}]}))
        silent = [key for key, table in cases if not any(key in text for text in self._faults(table))]
        if silent:
            raise Breach(f"a wrong {silent[0]} is not named in a fault")
        return f"{len(cases)} wrong tables refused, naming the key"

    async def opens(self) -> str:
        """`open` works, and works again after closing."""
        if self._plugin.open is None:
            return "does not apply: it has no open"
        for _ in range(2):
            async with self._instance(self._server.url) as instance:
                opened = await instance.open()
                if opened.kind != "succeeded":
                    raise Breach(f"open failed: {opened.reason}")
        return "opened, closed and opened again"

    async def delivers(self) -> str:
        """A call with one event, one with three where it takes batches, and the first event once more."""
        async with self._instance(self._server.url) as instance:
            events = [self._event() for _ in range(min(3, instance.batch_events_max))]
            calls = [events[:1], events, events[:1]]
            for count, call in enumerate(calls, 1):
                seen = len(self._server.bodies)
                for result in (await instance.call(call)).results:
                    _expect(result, "succeeded", "a call that nothing was wrong with")
                if self._calls_http and len(self._server.bodies) == seen:
                    raise Breach(f"call {count} counts as delivered, but no request came to the server")
        return f"{len(calls)} calls of up to {len(events)} events"

    async def loads(self) -> str:
        """A warehouse takes a load, passes over the same one, and tells its tables and its cursor."""
        async with self._instance(self._server.url) as instance:
            if (seen := await instance.load(sample_load())).kind == "retry" and not seen.fault:
                return f"{NO_WAREHOUSE}: {seen.reason}"
            for words in ("a load that nothing was wrong with", "the same load again"):
                _expect(await instance.load(sample_load()), "succeeded", words)
            result, known = await instance.inspect(STREAM)
            _expect(result, "succeeded", "inspect after a load")
            assert known is not None
            if known.cursors.get(LOG_ID) != CURSOR:
                raise Breach(f"inspect tells the cursors {known.cursors}, and {LOG_ID} was loaded up to {CURSOR}")
            if "tracks" not in {name.lower() for name in known.tables}:
                raise Breach("inspect does not tell the table that was loaded")
            if self._plugin.query is None:
                return "loaded once of two times"
            result, answer = await instance.query("SELECT count(*) FROM tracks", 10)
            _expect(result, "succeeded", "a query that nothing was wrong with")
            if answer is None or answer.rows != [[2]]:
                raise Breach(f"after a load of 2 rows, given twice, a query counts {answer and answer.rows}")
        return "loaded once of two times, and a query says so"

    async def in_parallel(self) -> str:
        """Calls at once, against a slow server; an `async def` must not hold up the loop meanwhile."""
        self._server.answer = Answer(delay_s=SLOW_S if self._calls_http else 0.0)
        async with self._instance(self._server.url) as instance:
            count = min(instance.limits.in_flight_max, 8)
            watch = asyncio.create_task(_longest_stall())
            await asyncio.sleep(0.02)
            outcomes = await asyncio.gather(*[instance.call([self._event()]) for _ in range(count)])
            watch.cancel()
            stalled_s = await watch
        for outcome in outcomes:
            _expect(outcome.results[0], "succeeded", f"one of {count} calls at once")
        if self._plugin.is_async and stalled_s > STALL_S:
            raise Breach(f"held up the delivery loop for {stalled_s:.2f} s: await, or write a plain def instead")
        return f"{count} calls at once, loop held up for at most {stalled_s * 1000:.0f} ms"

    async def throttled(self) -> str:
        """429 slows the destination for as long as the server asks."""
        answer = Answer(429, {"Retry-After": str(RETRY_AFTER_S)})
        result = await self._answered(answer)
        if result is None:
            return NO_ADDRESS
        _expect(result, "retry", "HTTP 429")
        if result.after_s is None or abs(result.after_s - RETRY_AFTER_S) > 1:
            raise Breach(f"Retry-After: {RETRY_AFTER_S} is not passed on: Retry(..., after_s=reply.retry_after_s)")
        return f"waits {result.after_s:g} s: {result.reason}"

    async def server_error(self) -> str:
        """500 is tried again."""
        result = await self._answered(Answer(500))
        if result is None:
            return NO_ADDRESS
        _expect(result, "retry", "HTTP 500")
        return f"tried again: {result.reason}"

    async def refused_event(self) -> str:
        """400 is a dead letter."""
        result = await self._answered(Answer(400))
        if result is None:
            return NO_ADDRESS
        _expect(result, "abort", "HTTP 400")
        return f"dead letter: {result.reason}"

    async def timed_out(self) -> str:
        """A server that does not answer: tried again, and soon."""
        if not self._calls_http:
            return NO_ADDRESS
        self._server.answer = Answer(delay_s=HANG_S)
        async with self._instance(self._server.url, timeout_s=self._timeout_s) as instance:
            started = time.monotonic()
            result = (await instance.call([self._event()])).results[0]
            took_s = time.monotonic() - started
            self._server.let_go()
            while instance.hung and time.monotonic() - started < self._timeout_s + 5:  # noqa: ASYNC110  # a count
                await asyncio.sleep(0.05)
        _expect(result, "retry", f"no answer within {self._timeout_s:g} s")
        if took_s > self._timeout_s + 2:
            raise Breach(f"came back after {took_s:.1f} s instead of {self._timeout_s:g} s")
        return f"given up after {took_s:.1f} s: {result.reason}"

    async def connection_refused(self) -> str:
        """Nobody listens: tried again."""
        if not self._calls_http:
            return NO_ADDRESS
        with RefusingPort() as url:
            async with self._instance(url) as instance:
                result = (await instance.call([self._event()])).results[0]
        _expect(result, "retry", "a refused connection")
        return f"tried again: {result.reason}"

    async def check(self) -> str:
        """Its own `check` agrees that all is well."""
        if self._plugin.check is None:
            return "does not apply: it has no check"
        async with self._instance(self._server.url) as instance:
            result = (await instance.check()).results[0]
            if self._plugin.kind == "load" and result.kind == "retry" and not result.fault:
                return f"{NO_WAREHOUSE}: {result.reason}"
            _expect(result, "succeeded", "check, with nothing wrong")
        return "says that all is well"

    # Means -------------------------------------------------------------------------------------------------------

    async def _answered(self, answer: Answer) -> Result | None:
        """The result of one call to a server that answers so; None where it calls none."""
        if not self._calls_http:
            return None
        self._server.answer = answer
        async with self._instance(self._server.url) as instance:
            return (await instance.call([self._event()])).results[0]

    def _options(self, url: str) -> dict[str, Any]:
        return sample_options(self._plugin.config_type, url, self._folder, self._given)

    def _faults(self, options: dict[str, Any]) -> list[str]:
        found = options_faults(self._plugin, options, path=(), file="", line_of=lambda _: 0, base=self._folder)
        return [f"{fault.key}: {fault.message}" for fault in found]

    @asynccontextmanager
    async def _instance(self, url: str, timeout_s: float = 10.0) -> AsyncIterator[Instance]:
        config = build_config(self._plugin, self._options(url), self._folder)
        client = HttpClient(OutboundConfig())
        await client.start()
        destination = DestinationConfig(plugin=self._plugin.name, timeout=timeout_s)
        instance = Instance("conformance", self._plugin, config, destination, client)
        try:
            yield instance
        finally:
            await instance.close()
            await client.close()

    def _event(self) -> Event:
        """A track call as a browser sends it, of a person of its own."""
        self._sequence += 1
        body = {
            "type": "track", "event": "Product Added", "messageId": f"conformance-{self._sequence}",
            "anonymousId": f"person-{self._sequence}", "userId": "42", "channel": "web",
            "properties": {"product_id": "ankle-boot-38", "name": "Stiefel für Größe 38 \U0001f462", "price": 89.9,
                           "big": 12345678901234567890, "tags": ["a", "b"], "nothing": None},
            "context": {"library": {"name": "conformance"}, "locale": "de-DE"},
            "timestamp": "2030-01-31T12:00:00.000Z", "originalTimestamp": "2030-01-31T12:00:00.000Z",
            "sentAt": "2030-01-31T12:00:00.100Z", "receivedAt": "2030-01-31T12:00:00.200Z",
        }  # fmt: skip
        return Event(
            sequence=self._sequence,
            part=0,
            source="web",
            type="track",
            message_id=f"conformance-{self._sequence}",
            anonymous_id=f"person-{self._sequence}",
            user_id="42",
            person_id="",
            received_ms=1_896_091_200_200,
            json=msgspec.json.encode(body),
        )


_WORDS = {"succeeded": "delivered", "retry": "to be tried again", "abort": "a dead letter"}
_ADVICE = {
    "succeeded": "let deliver return when the target has taken the event, and only then",
    "retry": "raise Retry",
    "abort": "raise Abort",
}


def _expect(result: Result, kind: Literal["succeeded", "retry", "abort"], what: str) -> None:
    if result.fault:
        raise Breach(f"{what} shows as a bug: {result.reason}")
    if result.kind != kind:
        reason = f" ({result.reason})" if result.reason else ""
        raise Breach(f"{what} counts as {_WORDS[result.kind]}{reason}; it should be {_WORDS[kind]}: {_ADVICE[kind]}")


async def _longest_stall() -> float:
    """Until it is cancelled: the longest time in seconds that the loop did not answer."""
    longest, step_s, before = 0.0, 0.01, time.monotonic()
    try:
        while True:
            before = time.monotonic()
            await asyncio.sleep(step_s)
            longest = max(longest, time.monotonic() - before - step_s)
    except asyncio.CancelledError:
        return max(longest, time.monotonic() - before - step_s)
