"""Talks to the admin API: errors in words, tails by server-sent events, waits with full jitter, knows what is stale."""

import random
import ssl
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from tui import wire

TIMEOUT_S = 10.0
ACT_TIMEOUT_S = 120.0
TAIL_QUIET_S = 40.0
"""The appliance says that it is still there every 15 s; a tail that is quiet for longer is dead."""
FRAME_BYTES_MAX = 8 << 20
DELAY_MIN_S, DELAY_MAX_S = 0.5, 15.0
STALE_AFTER_S = 3.0
T = TypeVar("T")


class ApiError(Exception):
    """The API said no.

    Args:
        status: of the answer.
        refusal: its words.
    """

    def __init__(self, status: int, refusal: wire.Refusal) -> None:
        super().__init__(refusal.message)
        self.status, self.refusal = status, refusal

    def words(self) -> str:
        """What happened, and what to do next."""
        return self.refusal.message + (f"\n{self.refusal.next}" if self.refusal.next else "")


class Unreachable(Exception):
    """Nobody answered, or not in a way that can be read."""


class Frame(NamedTuple):
    """One server-sent event."""

    name: str
    data: bytes


def delay_s(failures: int, drawn: float) -> float:
    """How long to wait after so many failures in a row: full jitter, so that many consoles do not come back at once.

    Args:
        drawn: a random number from 0 to 1.
    """
    return drawn * min(DELAY_MAX_S, DELAY_MIN_S * 2.0 ** min(failures, 16))


class Freshness:
    """How old what is shown is. Pure: the time (seconds, monotonic) comes from outside."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._draw = draw
        self._answered_s: float | None = None
        self._failures = 0
        self.next_try_s = 0.0
        self.why = ""
        self.refused = False
        """Whether the last answer was that the token is not accepted."""

    def answered(self, now_s: float) -> None:
        """The API answered."""
        self._answered_s, self._failures, self.next_try_s, self.why = now_s, 0, 0.0, ""
        self.refused = False

    def failed(self, now_s: float, why: str, *, refused: bool = False) -> None:
        """It did not, or it refuses the token; `next_try_s` moves on."""
        self.why, self.refused = why, refused
        self.next_try_s = now_s + delay_s(self._failures, self._draw())
        self._failures += 1

    def may_try(self, now_s: float) -> bool:
        """Whether it is time to ask again."""
        return now_s >= self.next_try_s

    def age_s(self, now_s: float) -> float | None:
        """Since the last answer; None where there never was one."""
        return None if self._answered_s is None else now_s - self._answered_s

    @property
    def failing(self) -> bool:
        return self._failures > 0

    def stale(self, now_s: float) -> bool:
        """Whether what is shown may be wrong by now."""
        age_s = self.age_s(now_s)
        return age_s is None or age_s > STALE_AFTER_S


class Client:
    """The admin API of one appliance; lives on the console's loop. `close` it.

    Args:
        certificate: PEM file to trust in place of the system's authorities, for an appliance on this machine.
    """

    def __init__(self, url: str, token: str, certificate: Path | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}", "X-Sternpost-User": "console"}
        self._tls = _trusting(certificate)
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def close(self) -> None:
        """End all connections; whoever still asks is told that nobody answers."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, path: str, kind: type[T], **query: object) -> T:
        """A resource.

        Raises:
            ApiError: the API says no.
            Unreachable: nobody answers.
        """
        body = await self._asked("GET", path, query, None, {}, TIMEOUT_S)
        return _decoded(body, kind)

    async def act(
        self, path: str, kind: type[T], body: Mapping[str, object] | None = None, key: str | None = None
    ) -> T:
        """Do something; the same `key` twice does it once. Errors as `get`."""
        headers = {"Idempotency-Key": key or new_key()}
        answer = await self._asked("POST", path, {}, dict(body or {}), headers, ACT_TIMEOUT_S)
        return _decoded(answer, kind)

    async def lines(self, path: str, **query: object) -> AsyncIterator[bytes]:
        """The lines of a resource as they come. Errors as `get`."""
        try:
            async with self._open().get(self._address(path), params=_given(query), timeout=_streaming()) as reply:
                await _check(reply)
                async for one in reply.content:
                    yield one
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unreachable(_why(error)) from None

    async def frames(self, path: str, **query: object) -> AsyncIterator[Frame]:
        """A tail's frames as they come; ends when the other side ends it. Errors as `get`."""
        name, data = "", b""
        async for one in self.lines(path, **query):
            text = one.rstrip(b"\r\n")
            if text.startswith(b"event: "):
                name = text[7:].decode("ascii", "replace")
            elif text.startswith(b"data: "):
                data += text[6:]
            elif not text and data:
                yield Frame(name, data)
                name, data = "", b""

    async def _asked(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: object,
        headers: Mapping[str, str],
        timeout_s: float,
    ) -> bytes:
        timeout = aiohttp.ClientTimeout(total=timeout_s, connect=5.0)
        content = None if body is None else msgspec.json.encode(body)
        sent = {**headers, "Content-Type": "application/json"} if content is not None else dict(headers)
        try:
            async with self._open().request(
                method, self._address(path), params=_given(query), data=content, headers=sent, timeout=timeout
            ) as reply:
                await _check(reply)
                answer = await reply.read()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise Unreachable(_why(error)) from None
        except RuntimeError as error:
            if not self._closed:
                raise
            raise Unreachable(_why(error)) from None
        return answer

    def _address(self, path: str) -> URL:
        """Paths come percent-encoded: names may hold anything."""
        return URL(self.url + path, encoded=True)

    def _open(self) -> aiohttp.ClientSession:
        if self._closed:
            raise Unreachable("the console is being left")
        if self._session is None:
            connector = aiohttp.TCPConnector(ssl=self._tls, limit=8)
            self._session = aiohttp.ClientSession(
                headers=self._headers, connector=connector, read_bufsize=FRAME_BYTES_MAX, requote_redirect_url=False
            )
        return self._session


def segment(text: object) -> str:
    """Text as one segment of a path."""
    return quote(str(text), safe="")


def new_key() -> str:
    """A key that no other action has."""
    return uuid.uuid4().hex


def _given(query: Mapping[str, object]) -> dict[str, str]:
    return {key: str(value) for key, value in query.items() if value not in (None, "")}


def _streaming() -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, connect=5.0, sock_read=TAIL_QUIET_S)


async def _check(reply: aiohttp.ClientResponse) -> None:
    if reply.status < 400:
        return
    body = await reply.content.read(1 << 16)
    try:
        refusal = msgspec.json.decode(body, type=wire.Refused).error
    except msgspec.DecodeError:
        refusal = wire.Refusal(code=str(reply.status), message=f"the appliance answered HTTP {reply.status}")
    raise ApiError(reply.status, refusal)


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unreachable(f"the answer is not what this console reads: {error}") from None


def _why(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _trusting(certificate: Path | None) -> ssl.SSLContext | bool:
    if certificate is None:
        return True
    context = ssl.create_default_context(cafile=str(certificate))
    # The appliance's own certificate, read from its own data folder, proves more than a name would.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def decoded_any(body: bytes, kind: type[T]) -> T | None:
    """A frame's data; None where it cannot be read."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
