"""The live tail as server-sent events."""

from aiohttp import web

from appliance.control import views
from appliance.control.parts import ApiError, Parts, invalid
from appliance.control.requests import SHOWN, query, sees_payloads, still_holds
from appliance.control.tail import POINTS, TooManyWatchers, Watcher

KEEPALIVE_S = 15.0


class Live:
    """One handler. Awaited on control's loop."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Events as they come, as server-sent events; frames `sampled` and `missed` say what was left out."""
        asked = request.query.get("point", "collected")
        point = next((point for point in POINTS if point == asked), None)
        if point is None:
            raise invalid(f"there is no tail of {asked[:40]!r}", f"point is one of {', '.join(POINTS)}")
        payload = sees_payloads(request) and request.query.get("payload") != "0"
        if not payload:
            request[SHOWN] = 0
        try:
            watcher = self._parts.tail.watch(point, query(request), payload=payload)
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
        try:
            async for frame in watcher.frames(KEEPALIVE_S):
                if not still_holds(request):  # a re-load took the token, or a right of it
                    break
                if frame is None:
                    await response.write(b": still here\n\n")
                else:
                    await response.write(b"event: %b\ndata: %b\n\n" % (frame.name.encode(), views.wire(frame.data)))
        except ConnectionError:
            pass  # Whoever watched has gone: that is how a tail ends.
        return response
