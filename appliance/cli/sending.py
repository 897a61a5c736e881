"""Sends sample events over some connections, each person's in order; waits out 429, 503 and broken lines."""

import asyncio
import base64
import json
import sys
import time
import zlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import aiohttp

from appliance.cli import samples
from appliance.cli.samples import Sample
from appliance.cli.text import plain

CONNECTIONS_MAX = 256
QUEUED_MAX = 2_000
"""Events that wait for one connection."""
LINGER_S = 0.05
"""A batch that does not fill up is sent after this."""
TRIES_MAX = 30
WAIT_MAX_S = 10.0
REQUEST_TIMEOUT_S = 30.0
LATENCIES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send where; `count` 0 is endless, `rate` 0 without a limit."""

    url: str
    key: str
    kind: str
    count: int
    rate: float
    people: int
    batch: int
    connections: int
    seed: int


@dataclass(slots=True)
class Summary:
    """What came of it."""

    seed: int
    sent: int = 0
    """Events acknowledged."""
    requests: int = 0
    waits: int = 0
    """Tries that were waited out."""
    seconds: float = 0.0
    error: str = ""
    last_message_id: str = ""
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_MAX))

    def latency_ms(self, share: float) -> float:
        """Time to an answer that `share` of the requests stayed under; 0 before the first."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    def as_dict(self) -> dict[str, Any]:
        """For --json."""
        return {
            "sent": self.sent,
            "requests": self.requests,
            "waits": self.waits,
            "seconds": round(self.seconds, 3),
            "latency_p50_ms": round(self.latency_ms(0.5), 3),
            "latency_p95_ms": round(self.latency_ms(0.95), 3),
            "last_message_id": self.last_message_id,
            "seed": self.seed,
            "error": self.error,
        }


class Refusal(Exception):
    """The data plane refuses what we send."""


def send(plan: Plan, show_progress: bool) -> Summary:
    """Send everything; Ctrl-C ends it with what was sent so far."""
    summary = Summary(plan.seed)
    began = time.monotonic()
    try:
        with _progress_bar(plan, show_progress) as bar:
            asyncio.run(_Sender(plan, summary, bar).run())
    except KeyboardInterrupt:
        pass
    except Refusal as refusal:
        summary.error = str(refusal)
    summary.seconds = time.monotonic() - began
    return summary


class _Sender:
    def __init__(self, plan: Plan, summary: Summary, bar: "_Bar") -> None:
        self._plan, self._summary, self._bar = plan, summary, bar
        self._why = ""
        self._queues: list[asyncio.Queue[Sample | None]] = [asyncio.Queue(QUEUED_MAX) for _ in range(plan.connections)]

    async def run(self) -> None:
        plan = self._plan
        credential = base64.b64encode(f"{plan.key}:".encode()).decode()
        headers = {"Authorization": f"Basic {credential}", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=plan.connections)
        try:
            async with (
                aiohttp.ClientSession(headers=headers, timeout=timeout, connector=connector) as session,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(self._produce())
                for queue in self._queues:
                    group.create_task(self._work(session, queue))
        except BaseExceptionGroup as group_error:
            refusals = group_error.subgroup(Refusal)
            if refusals is None:
                raise
            refusal = refusals.exceptions[0]
        else:
            return
        raise refusal

    async def _produce(self) -> None:
        plan = self._plan
        events: Iterator[Sample] = samples.stream(plan.kind, plan.people, plan.seed)
        began = time.monotonic()
        for number, sample in enumerate(islice(events, plan.count or None)):
            if plan.rate and (ahead_s := number / plan.rate - (time.monotonic() - began)) > 0.002:
                await asyncio.sleep(ahead_s)
            await self._queues[zlib.crc32(sample.person.encode()) % plan.connections].put(sample)
        for queue in self._queues:
            await queue.put(None)

    async def _work(self, session: aiohttp.ClientSession, queue: "asyncio.Queue[Sample | None]") -> None:
        async for batch in self._batches(queue):
            await self._deliver(session, [sample.event for sample in batch])

    async def _batches(self, queue: "asyncio.Queue[Sample | None]") -> AsyncIterator[list[Sample]]:
        batch: list[Sample] = []
        while (sample := await queue.get()) is not None:
            batch.append(sample)
            if queue.empty() and len(batch) < self._plan.batch:
                await asyncio.sleep(LINGER_S)
            if len(batch) >= self._plan.batch or queue.empty():
                yield batch
                batch = []
        if batch:
            yield batch

    async def _deliver(self, session: aiohttp.ClientSession, events: list[dict[str, Any]]) -> None:
        single = self._plan.batch == 1
        path = f"/v1/{events[0]['type']}" if single else "/v1/batch"
        sent_at = samples.now()
        body = json.dumps({**events[0], "sentAt": sent_at} if single else {"batch": events, "sentAt": sent_at}).encode()
        for tried in range(TRIES_MAX):
            wait_s = await self._attempt(session, path, body, tried)
            if wait_s is None:
                self._summary.sent += len(events)
                self._summary.last_message_id = events[-1]["messageId"]
                self._bar.advance(len(events))
                return
            self._summary.waits += 1
            self._say_once()
            await asyncio.sleep(min(wait_s, WAIT_MAX_S))
        raise Refusal(f"no answer but 429, 503 or a broken line from {self._plan.url} in {TRIES_MAX} tries")

    def _say_once(self) -> None:
        """The first wait is explained; the others are counted and told at the end."""
        if self._summary.waits == 1:
            self._bar.say(f"waiting: {self._why}; nothing is lost, it is sent again")

    async def _attempt(self, session: aiohttp.ClientSession, path: str, body: bytes, tried: int) -> float | None:
        """None when it was acknowledged, else the seconds to wait before the next try."""
        began = time.monotonic()
        try:
            async with session.post(self._plan.url + path, data=body, allow_redirects=False) as reply:
                said = (await reply.content.read(300)).decode("utf-8", "replace")
        except (aiohttp.ClientError, TimeoutError) as error:
            self._why = f"no answer from {self._plan.url}: {plain(str(error) or type(error).__name__)}"
            if tried >= 5 and isinstance(error, aiohttp.ClientConnectorError):
                raise Refusal(f"cannot reach {self._plan.url}: {error}") from None
            return _pause_s(tried)
        self._summary.requests += 1
        self._summary.latencies_ms.append((time.monotonic() - began) * 1000)
        if reply.status == 200:
            return None
        if reply.status in (429, 500, 502, 503, 504):
            given = reply.headers.get("Retry-After", "")
            asked = f", Retry-After {plain(given, 40)} s" if given else ""
            self._why = f"{self._plan.url} answered HTTP {reply.status}: {plain(said.strip())}{asked}"
            return float(given) if given.isdigit() else _pause_s(tried)
        raise Refusal(f"{self._plan.url} answered HTTP {reply.status}: {said.strip()}")


def _pause_s(tried: int) -> float:
    return min(0.2 * float(1 << min(tried, 10)), WAIT_MAX_S)


class _Bar(NamedTuple):
    """How far it is: `advance` is called with events that were acknowledged, `say` with what a person should know."""

    advance: Callable[[int], None]
    say: Callable[[str], None]


@contextmanager
def _progress_bar(plan: Plan, shown: bool) -> Iterator[_Bar]:
    if not shown:
        yield _Bar(lambda _: None, lambda words: print(words, file=sys.stderr, flush=True))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    began = time.monotonic()
    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("sending"), BarColumn(), MofNCompleteColumn(), rate, TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=plan.count or None, rate="")

        def advance(events: int) -> None:
            progress.update(task, advance=events)
            done = progress.tasks[0].completed
            progress.update(task, rate=f"{done / max(time.monotonic() - began, 0.001):,.0f} per s")

        yield _Bar(advance, lambda words: progress.console.print(words, markup=False, highlight=False))
