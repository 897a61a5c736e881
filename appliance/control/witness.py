"""Notes in the audit trail who saw payloads or a secret, before the first byte of it leaves; never the thing itself.

Which answers these are stands in the table of routes. A list that is streamed has two lines: `begun`, and with its
count `done` or why it was interrupted.
"""

from collections import OrderedDict

from aiohttp import web

from appliance.control.parts import Parts
from appliance.control.requests import ASKED, HOLDER, SHOWN, who
from appliance.control.routes import JSON, STREAMED, Handler, Route

AGAIN_S = 600.0
"""Further pages of a list belong to the line of the first for so long."""
LOOKS_MAX = 1_000
"""Looks that are remembered; one that is forgotten has a line of its own again."""
TARGET_CHARACTERS_MAX = 500
_ROUTE = web.RequestKey("route", Route)


class Witness:
    """Of one process; lives on control's loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._looks: OrderedDict[tuple[str, ...], int] = OrderedDict()

    async def watched(self, request: web.Request, route: Route, handler: Handler) -> web.StreamResponse:
        """Answer under the eyes of `before`, and note how a streamed list ended."""
        request[_ROUTE] = route
        if route.content not in STREAMED or route.noted is None:
            return await handler(request)
        outcome = "interrupted"
        try:
            reply = await handler(request)
            outcome = "done" if request.transport is not None and not request.transport.is_closing() else outcome
            return reply
        finally:
            if (count := request.get(SHOWN)) is not None:
                entry = who(request).entry(route.noted.what, _target(request), count)
                entry.detail, entry.outcome = _detail(request, route), outcome
                await self._parts.note(entry)

    async def before(self, request: web.Request, response: web.StreamResponse) -> None:
        """An answer is about to leave: write its line, where it shows what not everybody may see."""
        route = request.get(_ROUTE)
        if route is None or route.noted is None or response.status != 200 or request.get(SHOWN) == 0:
            return
        if route.payloads != "none" and not request[HOLDER].payloads:
            return
        entry = who(request).entry(route.noted.what, _target(request), request.get(SHOWN, 0))
        look = (entry.who, entry.user, entry.address, entry.what, entry.target)
        goes_on = request.query.get("after", "") not in ("", "0")
        if self._is_known(look, AGAIN_S if goes_on else route.noted.again_s):
            return
        entry.detail = _detail(request, route)
        if route.content != JSON:
            entry.outcome = "begun"
        if not await self._parts.note(entry):
            self._looks.pop(look, None)

    def _is_known(self, look: tuple[str, ...], again_s: float) -> bool:
        """Whether such a look has a line already; remembers it where not."""
        now_ms = self._parts.clock.monotonic_ms()
        noted_ms = self._looks.get(look)
        if noted_ms is not None and now_ms - noted_ms < again_s * 1000:
            return True
        self._looks[look] = now_ms
        self._looks.move_to_end(look)
        if len(self._looks) > LOOKS_MAX:
            self._looks.popitem(last=False)
        return False


def _target(request: web.Request) -> str:
    """What was asked for: names in the path, or the filter, or the id."""
    named = " ".join(request.match_info.values()) or request.get(ASKED, "")
    return _plain(named or request.query.get("query") or request.query.get("id") or "")


def _detail(request: web.Request, route: Route) -> dict[str, str]:
    """The other parameters."""
    names = [one.name for one in route.query if one.name not in ("query", "id")]
    return {name: _plain(request.query[name]) for name in names if name in request.query}


def _plain(text: str) -> str:
    """As much as a line takes, and as it can be written."""
    return text[:TARGET_CHARACTERS_MAX].encode("utf-8", "replace").decode()
