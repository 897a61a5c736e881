"""What the admin API asks warehouses, in SQL: chooses the warehouse, tells what came of the query."""

from aiohttp import web

from appliance.control import replies, views
from appliance.control.parts import ApiError, Parts, unknown_destination
from appliance.control.requests import ASKED, SHOWN, body
from appliance.deliver.outcome import Result

_HOW_TO_ADD = (
    'put [destinations.warehouse] with plugin = "duckdb" and path = "warehouse.duckdb" into the configuration, then '
    "`sternpost reload`"
)


class Querying:
    """Reading handlers. Awaited on control's loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def query(self, request: web.Request) -> web.Response:
        """Ask a warehouse; the audit trail has which and how many rows, never the query, which may name people."""
        asked = await body(request, replies.QueryOrder)
        name = request[ASKED] = self._chosen(asked.destination)
        began_ms = self._parts.clock.monotonic_ms()
        try:
            result, answer = await self._parts.dispatcher.query(name, asked.sql, asked.rows_max)
        except KeyError:
            raise ApiError(503, "unavailable", f"the warehouse {name} does not run",
                           f"`sternpost destinations show {name}` says why") from None  # fmt: skip
        if answer is None:
            raise _refusal(name, result)
        if answer.rows:
            request[SHOWN] = len(answer.rows)
        took_ms = round(self._parts.clock.monotonic_ms() - began_ms)
        shown = replies.Answered(name, answer.columns, answer.types, answer.rows, answer.more, took_ms)
        wire = await self._parts.searching(views.wire, shown)  # It may be of megabytes.
        return web.Response(body=wire, content_type="application/json")

    def _chosen(self, given: str) -> str:
        """The warehouse that was named, or the only one."""
        configured, plugins = self._parts.host.configured(), self._parts.host.plugins()
        found = [name for name, plugin in configured.items() if plugin in plugins and plugins[plugin].kind == "load"]
        if given:
            if given not in configured:
                raise unknown_destination(given)
            if given not in found:
                words = f"destination {given} is no warehouse; nothing was asked"
                raise ApiError(409, "refused", words, f"warehouses: {', '.join(found)}" if found else _HOW_TO_ADD)
            return given
        if not found:
            raise ApiError(409, "refused", "there is no warehouse to ask", _HOW_TO_ADD)
        able = [name for name in found if plugins[configured[name]].query is not None]
        if len(able) == 1 or len(found) == 1:
            return (able or found)[0]
        raise ApiError(409, "refused", f"there are {len(found)} warehouses; nothing was asked",
                       f"name one of them: {', '.join(able or found)}")  # fmt: skip


def _refusal(name: str, result: Result) -> ApiError:
    if result.kind == "retry":
        next_step = f"repeat it in a moment; `sternpost destinations show {name}` tells how {name} is"
        return ApiError(503, "unavailable", f"{name} cannot be asked now: {result.reason}", next_step)
    next_step = 'correct the query; "SHOW TABLES" lists the tables and "DESCRIBE tracks" the columns of one'
    return ApiError(400, "invalid", result.sample or result.reason, next_step)
