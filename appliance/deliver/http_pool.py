"""Connections to the hosts that plug-ins call: every address vetted on connecting, idle ones used again."""

import asyncio
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable

from aiohappyeyeballs import AddrInfoType, start_connection

from appliance.deliver.http_wire import Target, Wire
from appliance.sdk import Retry

CONNECT_TIMEOUT_S = 10.0
KEEPALIVE_S = 4.0
"""Idle connections are closed first by us: Node's default is 5 s, and a request on a closing connection is lost."""
DNS_CACHE_S = 10.0
NAMES_MAX = 1_000
"""Names whose addresses are remembered."""
SWEEP_S = 1.0
STAGGER_S = 0.25
"""Head start of one address before the next is tried beside it. Source: RFC 8305, section 5."""


class Pool:
    """All connections of one delivery loop; lives on it.

    Args:
        tls: for https.
        refusal: why an address must not be connected to, or "".
    """

    def __init__(self, tls: ssl.SSLContext, refusal: Callable[[str], str], reply_bytes_max: int) -> None:
        self._tls, self._refusal, self._reply_bytes_max = tls, refusal, reply_bytes_max
        self._idle: dict[tuple[str, str, int], deque[Wire]] = {}
        self._names: dict[tuple[str, int], tuple[float, list[AddrInfoType]]] = {}
        self._sweeper: asyncio.TimerHandle | None = None

    async def take(self, target: Target) -> Wire:
        """A connection that nobody uses; give it to `put` when its reply is read.

        Raises:
            Retry: there is none to be had, in words for people.
        """
        idle = self._idle.get(target.origin)
        oldest_s = time.monotonic() - KEEPALIVE_S
        while idle:
            wire = idle.pop()
            if wire.usable and wire.idle_since_s > oldest_s:
                return wire
            wire.close()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await self._connect(target)
        except TimeoutError as error:
            raise Retry(f"no connection within {CONNECT_TIMEOUT_S:g} s", connection=True) from error

    def put(self, target: Target, wire: Wire) -> None:
        """Keep a connection for the next request, if it can serve one."""
        if not wire.usable:
            wire.close()
            return
        wire.idle_since_s = time.monotonic()
        self._idle.setdefault(target.origin, deque()).append(wire)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)

    def close(self) -> None:
        """Close what is idle."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for wire in idle:
                wire.close()
        self._idle.clear()

    def _sweep(self) -> None:
        """Idle for too long: the last used stand at the end."""
        oldest_s = time.monotonic() - KEEPALIVE_S
        for origin, idle in list(self._idle.items()):
            while idle and idle[0].idle_since_s <= oldest_s:
                idle.popleft().close()
            if not idle:
                del self._idle[origin]
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep) if self._idle else None

    # Connecting ----------------------------------------------------------------------------------------------

    async def _connect(self, target: Target) -> Wire:
        infos = await self._addresses(target.host, target.port)
        refusals = {info: why for info in infos if (why := self._refusal(str(info[4][0])))}
        allowed = [info for info in infos if info not in refusals]
        if not allowed:
            raise Retry(next(iter(refusals.values()), f"the name {target.host} has no address"), connection=True)
        try:
            opened = await start_connection(allowed, happy_eyeballs_delay=STAGGER_S, interleave=1)
            return await self._wired(target, opened)
        except ssl.SSLError as error:
            raise Retry(f"TLS: {error}", connection=True) from error
        except OSError as error:
            raise Retry(_words(target, error), connection=True) from error

    async def _wired(self, target: Target, opened: socket.socket) -> Wire:
        secure = target.scheme == "https"
        try:
            _, wire = await asyncio.get_running_loop().create_connection(
                lambda: Wire(self._reply_bytes_max),
                sock=opened,
                ssl=self._tls if secure else None,
                server_hostname=target.host if secure else None,
            )
        except BaseException:
            opened.close()
            raise
        return wire

    async def _addresses(self, host: str, port: int) -> list[AddrInfoType]:
        now_s = time.monotonic()
        known_s, known = self._names.get((host, port), (0.0, []))
        if known and now_s - known_s < DNS_CACHE_S:
            return known
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Retry(f"the name {host} was not found", connection=True) from error
        infos: list[AddrInfoType] = list(found)
        if len(self._names) >= NAMES_MAX:
            self._names.clear()
        self._names[host, port] = now_s, infos
        return infos


def _words(target: Target, error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"connection refused by {target.host}:{target.port}"
    return f"no connection to {target.host}:{target.port}: {error.strerror or error}"
