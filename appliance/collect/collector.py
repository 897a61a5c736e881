"""The collector: from a request to events on disk and an answer. Reads in the order in which a request goes through it.

Lives on one event loop. Bodies over `OFF_LOOP_BYTES` and the second parser run in worker threads.
"""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from appliance.collect import admission, answers, browser, encodings, figures, mapping, parse, repair, routes
from appliance.collect import body as bodies
from appliance.collect.admission import Source, Sources
from appliance.collect.answers import Answer
from appliance.collect.exchange import Exchange, Refuse
from appliance.collect.figures import Figures, Gauges, SourceStatus
from appliance.collect.http import Connection, Listener
from appliance.collect.parse import Envelope, Limits, Parsed
from appliance.collect.routes import Route
from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.config import Config
from appliance.core.errors import LogFailed, Overloaded
from appliance.core.event import Refused
from appliance.core.metrics import Metrics, Reading
from appliance.core.pauses import Pauses
from appliance.wal.log import Appended, Log

OFF_LOOP_BYTES = 256 * 1024
INFLATE_ON_LOOP_BYTES = 16 * 1024
"""A compressed body up to this size is inflated on the loop."""
WORKERS = 2
RECORD_BYTES = 400
"""What a record costs in memory beside its bytes."""
BUSY_RETRY_S = 1
PAUSED_RETRY_S = 30
STOP_S = 3.0
_LOG = logs.logger("collect")
T = TypeVar("T")


class Collector:
    """The HTTP side of collecting.

    Args:
        log: started, on the same loop.
        health: status and words of `/health`; called on the loop, so it is quick.
        ready: the same for `/ready`.
        paused_file: where the sources that an operator paused are kept.
    """

    def __init__(
        self,
        log: Log,
        config: Config,
        clock: Clock,
        metrics: Metrics,
        health: Callable[[], tuple[int, str]],
        ready: Callable[[], tuple[int, str]],
        paused_file: Path | None = None,
    ) -> None:
        self._log, self._clock, self._health, self._ready = log, clock, health, ready
        self._config = config.collect
        self._limits = Limits(self._config.event_bytes_max, self._config.depth_max)
        self._sources = Sources(config.sources, Pauses(paused_file))
        self._meter = bodies.Meter(self._config.pending_bytes_max)
        self._figures = Figures()
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="collect")
        self._listener: Listener | None = None
        metrics.watch(self._readings)

    async def start(self) -> tuple[str, int]:
        """Listen; returns the bound host and port.

        Raises:
            OSError: the address or a TLS file cannot be used.
        """
        self._listener = Listener(self._config, self._handle)
        return await self._listener.start()

    async def stop(self, grace_s: float = STOP_S) -> None:
        """Take nothing new, answer what is under way for at most `grace_s`, close."""
        if self._listener is not None:
            await self._listener.stop(grace_s)
        self._workers.shutdown(wait=False, cancel_futures=True)

    @property
    def url(self) -> str:
        """How clients on this machine reach it, such as `http://127.0.0.1:8080`; "" before `start`."""
        host, port = self.address
        if not host:
            return ""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"{'https' if self._config.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens; ("", 0) before `start`."""
        return self._listener.address if self._listener is not None else ("", 0)

    def apply(self, config: Config) -> None:
        """Take the sources of a new configuration; no connection ends. On the loop.

        Everything in `[collect]` needs a restart.
        """
        self._sources.apply(config.sources)

    def status(self) -> list[SourceStatus]:
        """Every configured source; any thread."""
        return [figures.status_of(one, self._clock.monotonic_ms()) for one in list(self._sources.by_name.values())]

    def set_paused(self, name: str, paused: bool) -> None:
        """See `Sources.set_paused`."""
        self._sources.set_paused(name, paused)

    # A request, from here to the answer -------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest, connection: Connection) -> tuple[Answer, bytes]:
        exchange = Exchange(request, connection, bodies.Share(self._meter), self._clock.wall_ms())
        try:
            answer = await self._answer(exchange)
        except Refuse as refuse:
            answer = refuse.answer
        except Exception:
            error_id = uuid.uuid4().hex[:12]
            _LOG.exception("request_failed", error_id=error_id, path=exchange.path[:100])
            answer = answers.text(500, f"internal error {error_id}; nothing was kept, the log says more", close=True)
        finally:
            exchange.share.free()
        self._figures.answered[answer.status] += 1
        return answer, self._cors(exchange)

    def _cors(self, exchange: Exchange) -> bytes:
        origin = exchange.header("Origin")
        if not origin:
            return b""
        place = exchange.source or self._sources
        if not (place.allows(origin) if isinstance(place, Source) else place.allow(origin)):
            return b""
        if exchange.request.method == "OPTIONS":
            return answers.preflight(origin, exchange.header("Access-Control-Request-Headers"))
        return answers.allow(origin)

    async def _answer(self, exchange: Exchange) -> Answer:
        route = routes.find(exchange.path)
        if route is None:
            return answers.text(404, "Not Found", close=True)
        method = exchange.request.method
        if method == "OPTIONS":
            exchange.source = self._sources.by_key(admission.key_of_query(exchange.query), exchange.received_ms)
            return answers.text(200, "")
        if method not in route.methods:
            allowed = f"Allow: {', '.join((*route.methods, 'OPTIONS'))}\r\n".encode()
            return answers.text(405, "Method Not Allowed", allowed, close=True)
        try:
            answer: Answer = await getattr(self, f"_on_{route.kind}")(exchange, route)
        except bodies.TooMuch:
            return self._too_large(exchange)
        except bodies.Busy:
            return answers.retry_after(503, "Service Unavailable", BUSY_RETRY_S, close=True)
        except bodies.BodyBroken:
            return answers.text(400, "request body is incomplete", close=True)
        return answer

    # Events -----------------------------------------------------------------------------------------------------

    async def _on_event(self, exchange: Exchange, route: Route) -> Answer:
        body = await self._admitted_body(exchange, route)
        parsed = await self._parsed(
            len(body),
            lambda: parse.parse_event(body, route.type, self._envelope(exchange), self._limits),
            lambda: repair.parse_event(body, route.type, self._envelope(exchange), self._limits),
        )
        return await self._keep(exchange, parsed)

    async def _on_batch(self, exchange: Exchange, route: Route) -> Answer:
        body = await self._admitted_body(exchange, route)
        parsed = await self._parsed(
            len(body),
            lambda: parse.parse_batch(body, self._envelope(exchange), self._limits),
            lambda: repair.parse_batch(body, self._envelope(exchange), self._limits),
        )
        return await self._keep(exchange, parsed)

    async def _on_discard(self, exchange: Exchange, route: Route) -> Answer:
        await bodies.read(exchange.request, self._config.body_bytes_max, exchange.share)
        return answers.OK

    async def _on_webhook(self, exchange: Exchange, route: Route) -> Answer:
        source = self._admit(exchange, self._key(exchange) or self._no_key(exchange, route))
        if not source.webhook:
            raise Refuse(answers.text(404, "source does not accept webhook events", close=True))
        body = await self._body(exchange)
        request, limits = exchange.request, self._limits
        method = "GET" if request.method == "HEAD" else request.method
        content_type = exchange.header("Content-Type")
        try:
            event = await self._off_loop(lambda: mapping.webhook(method, exchange.query, content_type, body))
        except mapping.NoShape as error:
            return await self._keep(exchange, parse.refused(parse.INVALID_JSON._replace(detail=str(error)), body))
        parsed = parse.parse_event(event, "track", self._envelope(exchange), limits)
        assert parsed is not None
        return await self._keep(exchange, parsed)

    async def _on_pixel(self, exchange: Exchange, route: Route) -> Answer:
        """Always the same picture; a mail client can do nothing with an error."""
        try:
            self._admit(exchange, self._key(exchange) or self._no_key(exchange, route))
            event = mapping.pixel(exchange.query, route.type)
            parsed = parse.parse_event(event, route.type, self._envelope(exchange), self._limits)
            assert parsed is not None
            await self._keep(exchange, parsed)
        except (Refuse, mapping.NoShape, bodies.Busy):
            self._figures.unkept_total += 1
        return Answer(200, browser.PIXEL, answers.GIF, b"Cache-Control: no-store\r\n")

    # Who sends --------------------------------------------------------------------------------------------------

    async def _admitted_body(self, exchange: Exchange, route: Route) -> bytes:
        """The decompressed body of a source that may send; its key may stand in the body itself."""
        key = self._key(exchange)
        if not key and (route.key_in_query or exchange.header("Authorization")):
            self._no_key(exchange, route)
        if key:
            self._admit(exchange, key)
        body = await self._body(exchange)
        if not key:
            key = parse.write_key(body) or parse.write_key(repair.repaired(body))
            self._admit(exchange, key or self._no_key(exchange, route))
        assert exchange.source is not None
        exchange.source.bytes_total += len(body)
        if not body.strip():
            exchange.source.refused(1, self._clock.monotonic_ms())
            raise Refuse(answers.text(400, parse.INVALID_JSON.words))
        return body

    def _key(self, exchange: Exchange) -> str:
        return admission.key_of_header(exchange.header("Authorization")) or admission.key_of_query(exchange.query)

    def _no_key(self, exchange: Exchange, route: Route) -> str:
        where = "query params" if route.key_in_query else "header"
        raise Refuse(answers.text(401, f"failed to read writekey from {where}", close=True))

    def _admit(self, exchange: Exchange, key: str) -> Source:
        source = self._sources.by_key(key, exchange.received_ms)
        if source is None:
            raise Refuse(answers.text(401, "invalid write key", close=True))
        exchange.source = source
        source.requests_total += 1
        if not source.enabled:
            raise Refuse(answers.text(404, "source is disabled", close=True))
        if source.paused:  # SDKs keep their events and try again, where a 404 would have them drop everything
            raise Refuse(answers.retry_after(503, "source is paused", PAUSED_RETRY_S, close=True))
        if source.bucket is not None and (wait_s := source.bucket.take(self._clock.monotonic_ms())):
            source.limited_total += 1
            raise Refuse(answers.retry_after(429, "max requests limit reached", wait_s, close=True))
        source.last_received_ms = exchange.received_ms
        return source

    # Bytes ------------------------------------------------------------------------------------------------------

    async def _body(self, exchange: Exchange) -> bytes:
        encoding = exchange.header("Content-Encoding").strip().lower()
        if not encodings.supported(encoding):
            accepted = b"Accept-Encoding: gzip, zstd, deflate\r\n"
            raise Refuse(answers.text(415, "unsupported content encoding", accepted, close=True))
        body = await bodies.read(exchange.request, self._config.body_bytes_max, exchange.share)
        exchange.connection.work()
        if not encoding or encoding == "identity" or not body:
            return body
        caps = encodings.Caps(self._config.body_bytes_max, self._config.ratio_max)
        try:
            if len(body) <= INFLATE_ON_LOOP_BYTES:
                plain = encodings.decompress(encoding, body, caps)
            else:
                plain = await self._off_loop(lambda: encodings.decompress(encoding, body, caps))
        except encodings.TooLarge:
            raise Refuse(self._too_large(exchange)) from None
        except encodings.BrokenEncoding as error:
            refusal = parse.INVALID_JSON._replace(detail=f"no {encoding}: {error}")
            raise Refuse(await self._keep(exchange, parse.refused(refusal, body))) from None
        exchange.share.take(len(plain))
        return plain

    def _too_large(self, exchange: Exchange) -> Answer:
        if exchange.source is not None:
            exchange.source.refused(1, self._clock.monotonic_ms())
        return answers.text(413, parse.TOO_LARGE.words, close=True)

    async def _off_loop(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._workers, work)

    # From bytes to disk -----------------------------------------------------------------------------------------

    def _envelope(self, exchange: Exchange) -> Envelope:
        assert exchange.source is not None
        envelope = Envelope(exchange.source.name, exchange.received_ms, exchange.client)
        return envelope.sent(sent_at) if (sent_at := exchange.header("SentAt")) else envelope

    async def _parsed(self, size: int, first: Callable[[], Parsed | None], second: Callable[[], Parsed]) -> Parsed:
        """By the first parser, and where that cannot read it by the second."""
        parsed = first() if size <= OFF_LOOP_BYTES else await self._off_loop(first)
        return parsed if parsed is not None else await self._off_loop(second)

    async def _keep(self, exchange: Exchange, parsed: Parsed) -> Answer:
        """Make everything durable, and only then answer."""
        source = exchange.source
        if source is None:  # an unknown sender's junk is not kept
            return answers.text(parsed.refused[0][0].status, parsed.refused[0][0].words)
        is_refused = parsed.is_whole or bool(parsed.refused_count and exchange.is_strict)
        records = [] if is_refused else parsed.records
        outcome: Appended | None = None
        waiting: list[asyncio.Future[Any]] = []
        try:
            exchange.share.take(RECORD_BYTES * len(records))
            # Both are handed over before either is awaited; what is refused again, after a 503, does no harm.
            if parsed.refused:
                waiting.append(self._log.refuse(list(self._refusals(exchange, source.name, parsed))))
            if records:
                waiting.append(self._log.append(records))
            for future in waiting:
                outcome = await future
        except Overloaded as overloaded:
            return answers.retry_after(503, "Service Unavailable", overloaded.retry_after_s)
        except LogFailed:
            return answers.retry_after(503, "Service Unavailable", BUSY_RETRY_S)
        finally:
            for future in waiting:
                future.add_done_callback(_heard)
        now_ms = self._clock.monotonic_ms()
        if parsed.refused_count:
            source.refused(parsed.refused_count, now_ms)
        if outcome is not None:
            source.kept(outcome, parsed.repaired_count, now_ms)
        return answers.text(parsed.refused[0][0].status, parsed.refused[0][0].words) if is_refused else answers.OK

    def _refusals(self, exchange: Exchange, source: str, parsed: Parsed) -> Iterator[Refused]:
        def made(reason: str, body: bytes) -> Refused:
            kept = body[: self._config.event_bytes_max]
            return Refused(source, exchange.received_ms, exchange.client, reason, kept)

        for refusal, body in parsed.refused:
            yield made(refusal.reason, body)
        if more := parsed.refused_count - len(parsed.refused):
            yield made(f"{more} more of this body were refused", b"")

    # What clients ask -------------------------------------------------------------------------------------------

    async def _on_source_config(self, exchange: Exchange, route: Route) -> Answer:
        source = self._asking(exchange, self._key(exchange) or self._no_key(exchange, route))
        return Answer(200, browser.source_config(source), answers.JSON)

    async def _on_settings(self, exchange: Exchange, route: Route) -> Answer:
        source = self._asking(exchange, route.argument)
        is_tls = self._config.tls is not None or (
            exchange.connection.trusted and exchange.header("X-Forwarded-Proto") == "https"
        )
        settings = browser.settings(source, self._config.public_url, exchange.header("Host"), is_tls=is_tls)
        return Answer(200, settings, answers.JSON)

    def _asking(self, exchange: Exchange, key: str) -> Source:
        source = exchange.source = self._sources.by_key(key, exchange.received_ms)
        if source is None:
            raise Refuse(answers.text(401, "invalid write key"))
        return source

    async def _on_health(self, exchange: Exchange, route: Route) -> Answer:
        return answers.text(*self._health(), b"Cache-Control: no-store\r\n")

    async def _on_ready(self, exchange: Exchange, route: Route) -> Answer:
        return answers.text(*self._ready(), b"Cache-Control: no-store\r\n")

    async def _on_version(self, exchange: Exchange, route: Route) -> Answer:
        return Answer(200, browser.version(), answers.JSON)

    async def _on_robots(self, exchange: Exchange, route: Route) -> Answer:
        return Answer(200, browser.ROBOTS)

    def _readings(self) -> Iterator[Reading]:
        listener = self._listener
        gauges = Gauges(0, 0, 0, {}, self._meter.bytes)
        if listener is not None:
            gauges = Gauges(
                listener.open_count,
                listener.turned_away_total,
                listener.broken_total,
                dict(listener.cut_total),
                self._meter.bytes,
            )
        return figures.readings(list(self._sources.by_name.values()), self._figures, gauges)


def _heard(future: "asyncio.Future[Any]") -> None:
    """Take note of an error that nobody waits for any more, so that asyncio does not report it."""
    if not future.cancelled():
        future.exception()
