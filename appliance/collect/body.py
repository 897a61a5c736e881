"""Reads bodies, with a bound for each and one for all that are in memory."""

from aiohttp import web

from appliance.core.errors import SternpostError


class TooMuch(SternpostError):
    """The body is over the limit, as announced or as it came; nothing was kept."""


class Busy(SternpostError):
    """The bodies in memory have reached their bound; nothing was kept."""


class BodyBroken(SternpostError):
    """The client went away or broke the framing before the body was complete; nothing was kept."""


class Meter:
    """Counts the bytes of bodies in memory, on the collector's loop."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max, self.bytes = bytes_max, 0

    def take(self, count: int) -> None:
        """Count so many more; none are counted where that is too many.

        Raises:
            Busy: it would be over the bound.
        """
        if self.bytes + count > self.bytes_max:
            raise Busy(f"{self.bytes} bytes of requests are in memory")
        self.bytes += count

    def give(self, count: int) -> None:
        """So many are gone."""
        self.bytes -= count


class Share:
    """What one request has of a meter; `free` gives all of it back."""

    __slots__ = ("_meter", "_taken")

    def __init__(self, meter: Meter) -> None:
        self._meter, self._taken = meter, 0

    def take(self, count: int) -> None:
        """As `Meter.take`."""
        self._meter.take(count)
        self._taken += count

    def free(self) -> None:
        """At the end of the request."""
        self._meter.give(self._taken)
        self._taken = 0


async def read(request: web.BaseRequest, bytes_max: int, share: Share) -> bytes:
    """The body as it came.

    Raises:
        TooMuch: at once where Content-Length says so, else when it is.
        Busy: all bodies together are too many bytes.
        BodyBroken: it will never be complete.
    """
    announced = request.headers.get("Content-Length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > bytes_max):
        raise TooMuch(f"{announced} bytes were announced")
    content = request.content
    if not content.is_eof() and request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    pieces, size = [], 0
    try:
        while not content.at_eof():
            piece = await content.readany()
            size += len(piece)
            if size > bytes_max:
                raise TooMuch(f"more than {bytes_max} bytes came")
            share.take(len(piece))
            pieces.append(piece)
    except SternpostError:
        raise
    except Exception as error:  # aiohttp puts whatever ended the body here: a reset, or framing that is broken
        raise BodyBroken(f"{type(error).__name__}: {error}") from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
