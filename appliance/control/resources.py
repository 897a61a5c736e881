"""What the admin API shows: one handler per resource, each a few reads and a view."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any, TypeVar

from aiohttp import web

from appliance.control import dead, dump, views
from appliance.control.health import Health, report, unready
from appliance.control.parts import ApiError, Parts, invalid
from appliance.control.query import Query, QueryError, parse
from appliance.control.tail import Point, RecordSubject, TooManyWatchers, Watcher
from appliance.control.trace import Tracer
from appliance.core.event import Record

LIMIT_MAX = 1_000
SKIPS_SHOWN_MAX = 20
NUMBER_MAX = (1 << 63) - 1
KEEPALIVE_S = 15.0
DUMP_BYTES = 64 * 1024
READY_COMMIT_S = 2.0
T = TypeVar("T")


def json_reply(value: Any, status: int = 200) -> web.Response:
    """A struct as the body."""
    return web.Response(body=views.wire(value), status=status, content_type="application/json")


class Resources:
    """The reading handlers. Awaited on control's loop; what blocks runs in the pool."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    # Health ----------------------------------------------------------------------------------------------------

    def health_now(self) -> Health:
        """How well the appliance is; blocks for a short read, any thread."""
        log = self._parts.log
        if log.failed is not None:
            return report(str(log.failed), None, (), ())
        return report("", log.stats(), self._parts.dispatcher.status(), self._parts.host.faults())

    async def health(self, request: web.Request) -> web.Response:
        """200 while commits work; sick parts in its words."""
        health = await self._parts.blocking(self.health_now)
        return json_reply(health, health.status)

    async def ready(self, request: web.Request) -> web.Response:
        """200 when an event sent now would be committed and delivered everywhere; tries a commit."""
        words = [] if self._parts.host.collect_url else ["the collector does not listen"]
        try:
            written = asyncio.wrap_future(self._parts.log.write(lambda transaction: None))
            await asyncio.wait_for(written, READY_COMMIT_S)
        except Exception as error:  # whatever it is, the log does not commit now
            words.append(f"log: does not commit: {str(error) or type(error).__name__}")
        words += await self._parts.blocking(self.unready_now)
        return json_reply({"ready": not words, "waiting_for": words}, 503 if words else 200)

    def unready_now(self) -> list[str]:
        health = self.health_now()
        stats = None if self._parts.log.failed else self._parts.log.stats()
        return unready(health, stats, self._parts.dispatcher.status()) + list(self._parts.host.faults())

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text."""
        from appliance.core.metrics import CONTENT_TYPE

        body = await self._parts.blocking(self._parts.metrics.exposition)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    # Overview --------------------------------------------------------------------------------------------------

    async def overview(self, request: web.Request) -> web.Response:
        """Is data coming in, is it safe, is it leaving, what is ill."""
        return json_reply(await self._parts.blocking(self._overview))

    def _overview(self) -> views.Overview:
        parts = self._parts
        health = self.health_now()
        return views.Overview(
            version=parts.host.version,
            pid=os.getpid(),
            started_ms=parts.started_ms,
            now_ms=parts.clock.wall_ms(),
            config_file=parts.host.config_file,
            data=str(parts.data),
            collect_url=parts.host.collect_url,
            health=health.health,
            sick=health.sick,
            sources=self._sources(),
            log=parts.log.stats(),
            destinations=self._destinations(),
            replays=self._replays(),
        )

    async def sources(self, request: web.Request) -> web.Response:
        """Every source with its counts."""
        return json_reply({"sources": await self._parts.blocking(self._sources)})

    def _sources(self) -> list[views.SourceView]:
        return [views.source_view(status) for status in self._parts.collector.status()]

    async def source_key(self, request: web.Request) -> web.Response:
        """The write key of a source, for tools on this machine."""
        name = request.match_info["name"]
        source = self._parts.host.sources().get(name)
        if source is None:
            raise ApiError(404, "not_found", f"there is no source {name!r}", "`sternpost keys` shows them")
        return json_reply({"name": name, "write_key": source.write_key.reveal()})

    async def destinations(self, request: web.Request) -> web.Response:
        """Every destination, parked ones last."""
        return json_reply({"destinations": await self._parts.blocking(self._destinations)})

    def _destinations(self) -> list[views.DestinationView]:
        log, configured = self._parts.log, self._parts.host.configured()
        replays = log.replays()
        shown = [views.destination_view(one) for one in self._parts.dispatcher.status() if one.name not in replays]
        known = {view.name for view in shown} | set(configured)
        parked = [
            views.parked_view(name, progress.low, log.last_sequence, log.held_heads(name))
            for name, progress in log.destinations().items()
            if name not in known
        ]
        skew_ms = self._parts.skew_ms()
        for view in shown + parked:
            view.skips = [views.skip_view(skip, skew_ms) for skip in log.skips(view.name)[-SKIPS_SHOWN_MAX:]]
        return shown + parked

    async def held(self, request: web.Request) -> web.Response:
        """Who waits at one destination: the head of every held lane, the longest waiting first."""
        name, limit = request.match_info["name"], _number(request, "limit", 100, LIMIT_MAX)
        heads = await self._parts.blocking(self._parts.log.held_heads, name)
        heads.sort(key=lambda head: (head.first_failed_ms or 1 << 62, head.sequence))
        skew_ms = self._parts.skew_ms()
        return json_reply({"people": len(heads), "held": [views.held_view(head, skew_ms) for head in heads[:limit]]})

    async def replays(self, request: web.Request) -> web.Response:
        """Replays under way."""
        return json_reply({"replays": await self._parts.blocking(self._replays)})

    def _replays(self) -> list[views.ReplayView]:
        return [views.replay_view(name, cursor) for name, cursor in self._parts.log.replays().items()]

    # Dead letters, refused input -----------------------------------------------------------------------------

    async def dead(self, request: web.Request) -> web.Response:
        """A page of dead letters by filter; `full=1` with their payloads."""
        query, limit = _query(request), _number(request, "limit", 100, LIMIT_MAX)
        after = _number(request, "after", 0, NUMBER_MAX)
        now_ms, skew_ms = self._parts.clock.wall_ms(), self._parts.skew_ms()
        full = request.query.get("full") == "1"

        def read() -> web.Response:
            page = dead.page(self._parts.log, query, now_ms, after, min(limit, 100) if full else limit)
            letters = [views.dead_detail(one, skew_ms) if full else views.dead_view(one) for one in page.letters]
            return json_reply({"dead": letters, "after": page.after_id})

        return await self._parts.blocking(read)

    async def dead_count(self, request: web.Request) -> web.Response:
        """How many dead letters a filter matches: letters, people, destinations, the oldest."""
        query, now_ms = _query(request), self._parts.clock.wall_ms()
        found = await self._parts.blocking(dead.matching, self._parts.log, query, now_ms)
        counts = {"count": len(found.ids), "people": found.people, "destinations": found.destinations}
        return json_reply({**counts, "oldest_ms": found.oldest_ms})

    async def dead_letter(self, request: web.Request) -> web.Response:
        """One dead letter with its payload and what the other side said."""
        letter_id = _whole(request.match_info["id"], "a dead letter's id")
        letter = await self._parts.blocking(self._parts.log.dead_letter, letter_id)
        if letter is None:
            raise ApiError(404, "not_found", f"there is no dead letter {letter_id}", "`sternpost dead list` shows them")
        return json_reply(views.dead_detail(letter, self._parts.skew_ms()))

    async def refused(self, request: web.Request) -> web.Response:
        """A page of input that never became an event, with the reason and the beginning of its bytes."""
        after, limit = _number(request, "after", 0, NUMBER_MAX), _number(request, "limit", 100, LIMIT_MAX)
        inputs = await self._parts.blocking(self._parts.log.refused, after, limit)
        shown = [
            {
                "id": item.id,
                "received_ms": item.refused.received_ms,
                "source": item.refused.source,
                "client": item.refused.client,
                "reason": item.refused.reason,
                "bytes": len(item.refused.body),
                "body": item.refused.body[:4096].decode("utf-8", "replace"),
            }
            for item in inputs
        ]
        return json_reply({"refused": shown, "after": inputs[-1].id if len(inputs) == limit else 0})

    # Log and events ------------------------------------------------------------------------------------------

    async def wal_stats(self, request: web.Request) -> web.Response:
        """The log's figures."""
        return json_reply(await self._parts.blocking(self._parts.log.stats))

    async def wal_events(self, request: web.Request) -> web.StreamResponse:
        """The log as JSON lines: `from_ms`, `to_ms`, `after` (sequence), `query`."""
        query = _query(request)
        from_ms, to_ms = _number(request, "from_ms", 0, NUMBER_MAX), _number(request, "to_ms", NUMBER_MAX, NUMBER_MAX)
        clock = self._parts.clock

        def wanted(record: Record) -> bool:
            return not query or query.matches(RecordSubject(record, clock))

        lines = dump.lines(self._parts.log, from_ms, to_ms, wanted, _number(request, "after", 0, NUMBER_MAX))
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
        await response.prepare(request)
        while (chunk := await self._parts.blocking(_some, lines)) is not None:
            await response.write(chunk)
        await response.write_eof()
        return response

    async def trace(self, request: web.Request) -> web.Response:
        """Where one event is."""
        source = request.query.get("source") or None
        tracer = Tracer(self._parts.log, self._parts.dispatcher, self._parts.skew_ms())
        every = request.query.get("all") == "1"
        traced = await self._parts.blocking(tracer.trace, request.match_info["message_id"], source, every=every)
        return json_reply(traced)

    async def audit(self, request: web.Request) -> web.Response:
        """The newest entries of the audit trail."""
        entries = await self._parts.blocking(self._parts.audit.newest, _number(request, "limit", 100, LIMIT_MAX))
        return json_reply({"audit": entries})

    # Tail ----------------------------------------------------------------------------------------------------

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Events as they come, as server-sent events: `point` (collected, delivered), `query`, `payload=0`."""
        point = request.query.get("point", "collected")
        if point not in ("collected", "delivered"):
            raise invalid(f"there is no tail of {point!r}", "point=collected or point=delivered")
        chosen: Point = "collected" if point == "collected" else "delivered"
        try:
            watcher = self._parts.tail.watch(chosen, _query(request), payload=request.query.get("payload") != "0")
        except TooManyWatchers:
            raise ApiError(503, "busy", "too many are watching already", "end another tail first") from None
        try:
            return await self._stream(request, watcher)
        finally:
            self._parts.tail.leave(watcher)

    async def _stream(self, request: web.Request, watcher: Watcher) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(b": watching\n\n")
        async for frame in watcher.frames(KEEPALIVE_S):
            if frame is None:
                await response.write(b": still here\n\n")
            else:
                await response.write(b"event: %b\ndata: %b\n\n" % (frame.name.encode(), views.wire(frame.data)))
        return response


def _some(lines: Iterator[bytes]) -> bytes | None:
    """About `DUMP_BYTES` of lines; None at the end."""
    taken, size = [], 0
    for line in lines:
        taken.append(line)
        size += len(line) + 1_000  # empty steps count, so that a search without a match still lets others in
        if size >= DUMP_BYTES:
            break
    return b"".join(taken) if taken else None


def _query(request: web.Request) -> Query:
    try:
        return parse(request.query.get("query", ""))
    except QueryError as error:
        raise invalid(str(error)) from None


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name)
    return default if text is None else min(_whole(text, name), most)


def _whole(text: str, words: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        raise invalid(f"{words} is a whole number, not {text[:40]!r}")
    return int(text)
