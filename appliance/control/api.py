"""The admin API: checks who calls, hands on to the handlers of `routes.py`, answers errors as JSON; start and stop.

Without a token: /health, /ready, /metrics and /openapi.json. Everything else needs `Authorization: Bearer TOKEN`: the
one in DATA/admin.token, or one of `[control.tokens]` with the role and rights given there; /console asks for a cookie,
see `console/door.py`. Errors are {"error": {"code", "message", "next"}}. Bodies are JSON. No CORS: web pages of other
origins have no business here.
"""

import asyncio
import os
import secrets
import shutil
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from appliance.control import auth, metrics, openapi, requests
from appliance.control.audit import AuditTrail, Entry, Gathered
from appliance.control.console.door import Console
from appliance.control.deeds import Deeds
from appliance.control.health import Health
from appliance.control.idempotency import Answer, KeyReused, Once, is_key
from appliance.control.listener import Connection, Listener
from appliance.control.live import Live
from appliance.control.parts import ApiError, Parts, Pools, invalid
from appliance.control.people.pages import EXPORTS, PeoplePages
from appliance.control.people.review_pages import ReviewPages
from appliance.control.ports import Collector, Dispatcher, Host
from appliance.control.querying import Querying
from appliance.control.records import Records
from appliance.control.requests import HOLDER, STANDING, Standing, error_reply, forbidden
from appliance.control.resources import Resources
from appliance.control.routes import ROUTES, Handler, Handlers, Route, pattern
from appliance.control.tail import Tail
from appliance.control.tokens import Keyring
from appliance.control.witness import Witness
from appliance.core import durable, logs
from appliance.core.clock import Clock
from appliance.core.config import ControlConfig
from appliance.core.metrics import Metrics
from appliance.core.units import parse_address
from appliance.identity.lookup import Lookup
from appliance.process.identify import Identifier
from appliance.wal.log import Audit, Log

BODY_BYTES_MAX = 1 << 20
CONTROL_FILE = "control.json"
_LOG = logs.logger("control")
_OPEN = frozenset({openapi.PATH, *(route.path for route in ROUTES if route.role is None)})
_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlFile(msgspec.Struct):
    """DATA/control.json: how to reach the running process."""

    url: str
    pid: int
    version: str
    certificate: str = ""
    """PEM file to trust, where the admin API is served over TLS."""


class Control:
    """The admin listener of one process; lives on the collector's loop.

    Args:
        config: as configured; port 0 takes a free one.
        data: the data folder, for token, control.json and the audit trail.
        metrics: the process's; figures of log and dispatcher are added to it.
        identifier: the person graph; None where it is not enabled.
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
        identifier: Identifier | None = None,
    ) -> None:
        self._config, self._data, self._log = config, data, log
        pools = Pools()
        self._parts = Parts(
            log=log,
            dispatcher=dispatcher,
            collector=collector,
            host=host,
            clock=clock,
            metrics=metrics,
            data=data,
            audit=AuditTrail(data),
            tail=Tail(log, dispatcher, clock, pools.looks),
            pools=pools,
            identifier=identifier,
            lookup=Lookup(identifier.past) if identifier else None,
            started_ms=clock.wall_ms(),
        )
        self._resources = Resources(self._parts)
        parts = self._parts
        self._handlers = Handlers(self._resources, Records(parts), Live(parts), Deeds(parts), PeoplePages(parts),
                                  ReviewPages(parts), Querying(parts))  # fmt: skip
        self._once, self._witness = Once(clock), Witness(self._parts)
        self._admin_token, self._keyring = "", Keyring.empty()
        self.console = Console(self._keyring_has, clock, config.console_windows_max, data)
        self._listener: Listener | None = None
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
        self._admin_token = auth.kept_token(self._data)
        self.apply(self._config)
        await asyncio.to_thread(shutil.rmtree, self._data / EXPORTS, ignore_errors=True)  # a killed process left it
        host, port = parse_address(self._config.listen)
        listener = Listener(self._application())
        port = await listener.start(host, port, self._tls())
        self._listener = listener
        self._write_control_file(host, port)
        return host, port

    def apply(self, config: ControlConfig) -> None:
        """Take the tokens of a new configuration; where it listens changes at the next start only."""
        self._config = msgspec.structs.replace(self._config, tokens=config.tokens)
        self._keyring = Keyring(self._admin_token, config.tokens) if self._admin_token else Keyring.empty()

    async def close_windows(self) -> None:
        """Close the console's windows, which takes seconds; `stop` does the rest."""
        await self.console.close()

    async def stop(self) -> None:
        """End tails and connections, take the control file away."""
        if self._listener is not None:
            self._remove_control_file()
            self._parts.tail.close()
            await self.console.close()
            await self._listener.stop()
            self._listener = None
        await asyncio.to_thread(self._gathered.flush)
        self._parts.pools.shutdown()

    # Requests --------------------------------------------------------------------------------------------------

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guarded], client_max_size=BODY_BYTES_MAX)
        app.router.add_get(openapi.PATH, self._openapi)
        for route in ROUTES:
            app.router.add_route(route.method, pattern(route), self._entry(route))
            if route.role is None:  # probes of balancers and monitors like to ask by HEAD
                app.router.add_route("HEAD", pattern(route), self._entry(route))
        app.router.add_routes(self.console.routes())
        app.on_response_prepare.append(self._witness.before)
        return app

    def _entry(self, route: Route) -> Handler:
        """The route's handler behind its role, its right and its idempotency key."""
        handler = route.handler(self._handlers)

        async def entered(request: web.Request) -> web.StreamResponse:
            if route.role is None:
                return await handler(request)
            holder = request[HOLDER]
            if holder.role < route.role:
                raise forbidden(f"this needs the role {route.role}; the token {holder.name} has the role {holder.role}",
                                "use a token with that role: DATA/admin.token, or [control.tokens]")  # fmt: skip
            if route.payloads == "required" and not holder.payloads:
                raise forbidden(f"this needs the right to see payloads, which the token {holder.name} has not",
                                "use a token with `payloads = true`")  # fmt: skip
            answer = self._witness.watched if route.method == "GET" or route.is_look else self._acted
            return await answer(request, route, handler)

        return entered

    async def _acted(self, request: web.Request, route: Route, handler: Handler) -> web.StreamResponse:
        """Act once per idempotency key."""
        key = request.headers.get("Idempotency-Key")
        if key is None and not route.guarded:
            return await handler(request)
        if key is None or not is_key(key):
            raise invalid("this needs an Idempotency-Key of 1 to 128 printable ASCII characters; nothing was done",
                          "send a header `Idempotency-Key`, a new random one for each action, and "
                          '"expect" with the count that you were shown')  # fmt: skip

        async def act() -> Answer:
            try:
                reply = await handler(request)
            except ApiError as error:
                reply = error_reply(error.status, error.code, error.message, error.next_step)
            assert isinstance(reply, web.Response) and isinstance(reply.body, bytes)
            return Answer(reply.status, reply.body)

        asked = b"\0".join((request.method.encode(), request.raw_path.encode(), await requests.read(request)))
        try:
            answer, again = await self._once.run(request[HOLDER], key, asked, act)
        except KeyReused:
            words = "this Idempotency-Key came with another request before; nothing was done"
            raise ApiError(409, "key_reused", words, "send a new key with each new action") from None
        headers = {"Idempotency-Replayed": "true"} if again else None
        return web.Response(body=answer.body, status=answer.status, content_type=answer.content_type, headers=headers)

    async def _openapi(self, request: web.Request) -> web.Response:
        """What this API takes and gives, for programs."""
        body = await self._parts.blocking(openapi.document, self._parts.host.version)
        return web.Response(body=body, content_type="application/json")

    @web.middleware
    async def _guarded(self, request: web.Request, handler: _Next) -> web.StreamResponse:
        """Checks who calls, and answers every error as JSON."""
        connection = request.protocol
        if isinstance(connection, Connection):
            connection.began()
        try:
            self._check(request)
            return await handler(request)
        except ApiError as error:
            return error_reply(error.status, error.code, error.message, error.next_step)
        except web.HTTPException as error:
            reply = error_reply(error.status, error.reason.lower().replace(" ", "_"), error.text or error.reason)
            if "Allow" in error.headers:
                reply.headers["Allow"] = error.headers["Allow"]
            return reply
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            error_id = secrets.token_hex(4)
            _LOG.exception("request_failed", route=request.path, error_id=error_id)
            return error_reply(500, "internal", f"this is a bug; the log tells more under error id {error_id}")
        finally:
            if isinstance(connection, Connection):
                connection.ended()

    def _check(self, request: web.Request) -> None:
        transport = request.transport
        local = transport.get_extra_info("sockname") if transport is not None else None
        listen_host = parse_address(self._config.listen)[0]
        if not auth.host_allowed(request.headers.get("Host"), str(local[0]) if local else "", listen_host):
            raise ApiError(421, "wrong_host", "this Host is not served here", "call it as 127.0.0.1 or localhost")
        holder = self._keyring.holder(request.headers.get("Authorization"))
        if holder is not None:
            request[HOLDER] = holder
            request[STANDING] = Standing(lambda: self._keyring.holder(request.headers.get("Authorization")) == holder)
        elif request.path not in _OPEN and not Console.is_open(request.path):
            raise ApiError(
                401,
                "unauthorized",
                "the token is missing or wrong",
                f"send `Authorization: Bearer TOKEN` with the token in {auth.TOKEN_FILE} of the data folder",
            )

    def _keyring_has(self, token: str) -> bool:
        return self._keyring.holder(f"Bearer {token}") is not None

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
        durable.replace(self._data / CONTROL_FILE, msgspec.json.encode(content) + b"\n")
        self.console.opened(content.url, self._admin_token)

    def _remove_control_file(self) -> None:
        path = self._data / CONTROL_FILE
        try:
            if msgspec.json.decode(path.read_bytes(), type=ControlFile).pid == os.getpid():
                path.unlink()
        except (OSError, msgspec.DecodeError):
            return  # Somebody took it away already.
