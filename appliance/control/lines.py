"""Sends lists of any length as JSON lines while they are read, as long as whoever reads may see them."""

from collections.abc import Iterator

from aiohttp import web

from appliance.control.parts import Parts
from appliance.control.requests import SHOWN, still_holds

CHUNK_BYTES = 64 * 1024


async def streamed(parts: Parts, request: web.Request, lines: Iterator[bytes]) -> web.StreamResponse:
    """Answer with these lines, which are read in the pool for searches.

    Args:
        lines: each with its line end; several together, or none, where a step of reading gives that.
    """
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson", "Cache-Control": "no-store"})
    await response.prepare(request)
    request[SHOWN] = 0
    while (chunk := await parts.searching(_some, lines)) is not None:
        if not still_holds(request):
            if request.transport is not None:
                request.transport.abort()  # so that nobody takes it for the whole
            return response
        request[SHOWN] += chunk.count(b"\n")
        await response.write(chunk)
    await response.write_eof()
    return response


def _some(lines: Iterator[bytes]) -> bytes | None:
    """About `CHUNK_BYTES` of lines; None at the end."""
    taken, size = [], 0
    for line in lines:
        taken.append(line)
        size += len(line) + 1_000  # empty steps count, so that a search without a match still lets others in
        if size >= CHUNK_BYTES:
            break
    return b"".join(taken) if taken else None
