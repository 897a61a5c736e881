"""The admin API: routes, who may call them, errors as JSON, start and stop.

Without a token: /health, /ready, /metrics. With `Authorization: Bearer TOKEN` (DATA/admin.token):

    GET  /v1/overview                              POST /v1/reload
    GET  /v1/sources                               GET  /v1/sources/NAME/key
    GET  /v1/destinations                          POST /v1/destinations/NAME/{pause,resume,test,forget}
    GET  /v1/destinations/NAME/held                GET  /v1/replays             POST /v1/replays
    GET  /v1/dead?query=&after=&limit=&full=1      GET  /v1/dead/count?query=   GET  /v1/dead/ID
    POST /v1/dead/requeue, /v1/dead/purge          GET  /v1/refused             GET  /v1/audit
    GET  /v1/wal/stats                             GET  /v1/wal/events          GET  /v1/events/MESSAGE_ID
    GET  /v1/tail?point=&query=&payload=0          (server-sent events)

With a cookie: /console, see `console/door.py`.

Errors are {"error": {"code", "message", "next"}}. Bodies are JSON. No CORS: web pages of other origins have no
business here.
"""

import asyncio
import os
import secrets
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from aiohttp import web

from appliance.control import auth, metrics, query
from appliance.control.actions import Actions, Who
from appliance.control.audit import AuditTrail, Entry, Gathered
from appliance.control.console.door import Console
from appliance.control.health import Health
from appliance.control.listener import Connection, Listener
from appliance.control.parts import ApiError, Parts, invalid
from appliance.control.ports import Collector, Dispatcher, Host
from appliance.control.resources import Resources, json_reply
from appliance.control.tail import Tail
from appliance.core import logs
from appliance.core.clock import Clock
from appliance.core.config import ControlConfig
from appliance.core.metrics import Metrics
from appliance.core.units import parse_address
from appliance.wal.log import Audit, Log

BODY_BYTES_MAX = 1 << 20
BODY_TIMEOUT_S = 10.0
IDS_MAX = 10_000
CONTROL_FILE = "control.json"
POOL_THREADS = 2
_LOG = logs.logger("control")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
S = TypeVar("S", bound=msgspec.Struct)
_OPEN = frozenset({"/health", "/ready", "/metrics"})


class ControlFile(msgspec.Struct):
    """DATA/control.json: how to reach the running process."""

    url: str
    pid: int
    version: str
    certificate: str = ""
    """PEM file to trust, where the admin API is served over TLS."""


class _Expecting(msgspec.Struct):
    """Body of a destructive action."""

    expect: int | None = None


class _DeadAction(msgspec.Struct):
    """Body of an action on dead letters."""

    expect: int | None = None
    query: str = ""
    ids: list[int] = []


class _Replay(msgspec.Struct):
    """Body that starts a replay."""

    destination: str
    from_ms: int
    to_ms: int
    type: str = ""
    event: str = ""
    user: str = ""


class Control:
    """The admin listener of one process; lives on the collector's loop.

    Args:
        config: as configured; port 0 takes a free one.
        data: the data folder, for token, control.json and the audit trail.
        metrics: the process's; figures of log and dispatcher are added to it.
    """

    def __init__(
        self,
        log: Log,
        dispatcher: Dispatcher,
        collector: Collector,
        host: Host,
        config: ControlConfig,
        data: Path,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._config, self._data, self._log = config, data, log
        self._pool = ThreadPoolExecutor(POOL_THREADS, thread_name_prefix="control")
        self._parts = Parts(
            log=log,
            dispatcher=dispatcher,
            collector=collector,
            host=host,
            clock=clock,
            metrics=metrics,
            data=data,
            audit=AuditTrail(data),
            tail=Tail(log, dispatcher, clock, self._pool),
            pool=self._pool,
            started_ms=clock.wall_ms(),
        )
        self._resources, self._actions = Resources(self._parts), Actions(self._parts)
        self._listener: Listener | None = None
        self._token = ""
        self.console = Console(
            lambda token: auth.bearer_matches(f"Bearer {token}", self._token), clock, config.console_windows_max
        )
        self._gathered = Gathered(self._append)
        log.on_audit(self._log_acted)
        self._watch_parts()

    def health(self) -> Health:
        """How well the appliance is; any thread, milliseconds."""
        return self._resources.health_now()

    def unready(self) -> list[str]:
        """Why an event sent now would not reach every destination; any thread, milliseconds."""
        return self._resources.unready_now()

    async def start(self) -> tuple[str, int]:
        """Listen; returns host and port. From then on DATA/control.json names them.

        Raises:
            OSError: the address cannot be listened on.
            TokenError: the admin token can neither be read nor made.
        """
        self._token = auth.kept_token(self._data)
        host, port = parse_address(self._config.listen)
        listener = Listener(self._application())
        port = await listener.start(host, port, self._tls())
        self._listener = listener
        self._write_control_file(host, port)
        return host, port

    async def stop(self) -> None:
        """End tails and connections, take the control file away."""
        if self._listener is not None:
            self._remove_control_file()
            self._parts.tail.close()
            await self.console.close()
            await self._listener.stop()
            self._listener = None
        await asyncio.to_thread(self._gathered.flush)
        self._pool.shutdown(wait=False, cancel_futures=True)

    # Requests --------------------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded], client_max_size=BODY_BYTES_MAX)
        shown = self._resources
        app.add_routes(
            [
                web.get("/health", shown.health),
                web.get("/ready", shown.ready),
                web.get("/metrics", shown.metrics),
                web.get("/v1/overview", shown.overview),
                web.post("/v1/reload", self._reload),
                web.get("/v1/sources", shown.sources),
                web.get("/v1/sources/{name}/key", shown.source_key),
                web.get("/v1/destinations", shown.destinations),
                web.get("/v1/destinations/{name}/held", shown.held),
                web.post("/v1/destinations/{name}/{action:pause|resume|test|forget}", self._destination),
                web.get("/v1/replays", shown.replays),
                web.post("/v1/replays", self._replay),
                web.get("/v1/dead", shown.dead),
                web.get("/v1/dead/count", shown.dead_count),
                web.get(r"/v1/dead/{id:\d+}", shown.dead_letter),
                web.post("/v1/dead/{action:requeue|purge}", self._dead),
                web.get("/v1/refused", shown.refused),
                web.get("/v1/audit", shown.audit),
                web.get("/v1/wal/stats", shown.wal_stats),
                web.get("/v1/wal/events", shown.wal_events),
                web.get("/v1/events/{message_id:.+}", shown.trace),
                web.get("/v1/tail", shown.tail),
                *self.console.routes(),
            ]
        )
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        """Checks who calls, and answers every error as JSON."""
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.began()
        try:
            self._check(request)
            return await handler(request)
        except ApiError as error:
            return _error(error.status, error.code, error.message, error.next_step)
        except web.HTTPException as error:
            reply = _error(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
            if "Allow" in error.headers:
                reply.headers["Allow"] = error.headers["Allow"]
            return reply
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            error_id = secrets.token_hex(4)
            _LOG.exception("request_failed", route=request.path, error_id=error_id)
            return _error(500, "internal", f"this is a bug; the log tells more under error id {error_id}")
        finally:
            if isinstance(connection, Connection):
                connection.ended()

    def _check(self, request: web.Request) -> None:
        transport = request.transport
        local = transport.get_extra_info("sockname") if transport is not None else None
        listen_host = parse_address(self._config.listen)[0]
        if not auth.host_allowed(request.headers.get("Host"), str(local[0]) if local else "", listen_host):
            raise ApiError(421, "wrong_host", "this Host is not served here", "call it as 127.0.0.1 or localhost")
        if _is_open(request.path):
            return
        if not auth.bearer_matches(request.headers.get("Authorization"), self._token):
            raise ApiError(
                401,
                "unauthorized",
                "the admin token is missing or wrong",
                f"send `Authorization: Bearer TOKEN` with the token in {auth.TOKEN_FILE} of the data folder",
            )

    async def _destination(self, request: web.Request) -> web.Response:
        """POST: pause, resume, test, forget."""
        who, name, action = _who(request), request.match_info["name"], request.match_info["action"]
        if action == "test":
            result = await self._actions.test(who, name)
            return json_reply({"destination": name, "result": result})
        if action == "forget":
            body = await _body(request, _Expecting)
            return json_reply({"destination": name, "forgotten": await self._actions.forget(who, name, body.expect)})
        await (self._actions.pause(who, name) if action == "pause" else self._actions.resume(who, name))
        return json_reply({"destination": name, "done": action})

    async def _dead(self, request: web.Request) -> web.Response:
        """POST: requeue or purge dead letters, by ids or by a filter."""
        action: Literal["requeue", "purge"] = "requeue" if request.match_info["action"] == "requeue" else "purge"
        body = await _body(request, _DeadAction)
        if len(body.ids) > IDS_MAX:
            raise invalid(f"at most {IDS_MAX} ids at once", "use a filter")
        try:
            chosen = query.parse(body.query)
        except query.QueryError as error:
            raise invalid(str(error)) from None
        act = self._actions.requeue if action == "requeue" else self._actions.purge
        done = await act(_who(request), chosen, body.ids, body.expect)
        return json_reply({"done": action, "count": done})

    async def _replay(self, request: web.Request) -> web.Response:
        """POST: start a replay."""
        body = await _body(request, _Replay)
        criteria = {key: value for key in ("type", "event", "user") if (value := getattr(body, key))}
        name = await self._actions.replay(_who(request), body.destination, body.from_ms, body.to_ms, criteria)
        started = (await self._parts.blocking(self._log.replays)).get(name)
        events = max(0, started.until - started.low) if started else 0
        return json_reply({"replay": name, "events_max": events})

    async def _reload(self, request: web.Request) -> web.Response:
        """POST: read the configuration again."""
        return json_reply({"changes": await self._actions.reload(_who(request))})

    # Around ----------------------------------------------------------------------------------------------------

    def _watch_parts(self) -> None:
        log, dispatcher = self._log, self._parts.dispatcher
        self._parts.metrics.watch(lambda: metrics.log_readings(log.stats()))
        self._parts.metrics.watch(lambda: metrics.destination_readings(dispatcher.status()))

    def _log_acted(self, audit: Audit) -> None:
        """On the writer thread: the log dropped something to stay within a budget."""
        self._gathered.add(audit.action, audit.count, audit.bytes, audit.detail)

    def _append(self, entry: Entry) -> None:
        try:
            self._parts.audit.append(entry)
        except OSError as error:
            _LOG.error("audit_entry_not_written", error=str(error), what=entry.what)

    def _tls(self) -> ssl.SSLContext | None:
        if self._config.tls is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._config.tls.certificate, self._config.tls.key)
        return context

    def _write_control_file(self, host: str, port: int) -> None:
        reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        shown = f"[{reachable}]" if ":" in reachable else reachable
        tls = self._config.tls
        content = ControlFile(
            url=f"{'https' if tls else 'http'}://{shown}:{port}",
            pid=os.getpid(),
            version=self._parts.host.version,
            certificate=str(tls.certificate.absolute()) if tls else "",
        )
        handle, temporary = tempfile.mkstemp(dir=self._data)
        with os.fdopen(handle, "wb") as opened:
            opened.write(msgspec.json.encode(content) + b"\n")
        os.replace(temporary, self._data / CONTROL_FILE)
        self.console.opened(content.url, self._token, content.certificate)

    def _remove_control_file(self) -> None:
        path = self._data / CONTROL_FILE
        try:
            if msgspec.json.decode(path.read_bytes(), type=ControlFile).pid == os.getpid():
                path.unlink()
        except (OSError, msgspec.DecodeError):
            return  # Somebody took it away already.


def _is_open(path: str) -> bool:
    """Whether a path asks for no token; the console asks for its own cookie."""
    return path in _OPEN or Console.is_open(path)


def _who(request: web.Request) -> Who:
    user = request.headers.get("X-Sternpost-User", "")
    return Who("admin", "".join(character for character in user if character.isprintable())[:64], request.remote or "")


async def _body(request: web.Request, kind: type[S]) -> S:
    """The request's JSON body; an empty one counts as {}."""
    try:
        content = await asyncio.wait_for(request.read(), BODY_TIMEOUT_S)
    except TimeoutError:
        raise ApiError(408, "too_slow", f"the body did not come within {BODY_TIMEOUT_S:.0f} s") from None
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"the body is not what this action takes: {error}") from None


def _error(status: int, code: str, message: str, next_step: str = "") -> web.Response:
    error: dict[str, Any] = {"code": code, "message": message}
    if next_step:
        error["next"] = next_step
    reply = json_reply({"error": error}, status)
    if status == 401:
        reply.headers["WWW-Authenticate"] = "Bearer"
    return reply
