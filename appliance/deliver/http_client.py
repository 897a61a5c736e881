"""The HTTP client that plug-ins are given: one per delivery loop, every address vetted on connecting.

Requests go over connections of our own (`http_pool.py`); those by a proxy, and rare methods, over aiohttp's client.
"""

import ipaddress
import socket
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any

import aiohttp
from multidict import istr
from yarl import URL

from appliance.core.config import OutboundConfig
from appliance.core.errors import ConfigError, Fault
from appliance.deliver.addresses import parse_networks, refusal
from appliance.deliver.http_pool import CONNECT_TIMEOUT_S, DNS_CACHE_S, KEEPALIVE_S, Pool
from appliance.deliver.http_wire import METHODS, ReplyBroken, encode, target_of
from appliance.deliver.sample import Exchange
from appliance.sdk import Reply, Retry

_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
_USER_AGENT = istr("User-Agent"), "sternpost"
_ACCEPT_ENCODING = istr("Accept-Encoding"), "identity"
_JSON: Mapping[str, str] = {istr("Content-Type"): "application/json"}
_BODYLESS: Mapping[str, str] = {}


class AddressRefused(OSError):
    """The address must not be connected to; the text says why."""


class HttpClient:
    """The session of one delivery loop. `start` and `close` run on that loop; so do all calls.

    Args:
        config: proxy, private authorities, allow-list, reply cap.

    Raises:
        ConfigError: the authorities cannot be read.
    """

    def __init__(self, config: OutboundConfig) -> None:
        self._config = config
        self._allowed = parse_networks(config.allow)
        self._tls = _tls_context(config)
        self._session: aiohttp.ClientSession | None = None
        self.reply_bytes_max = config.reply_bytes_max
        self.pool = Pool(self._tls, lambda address: refusal(address, self._allowed), self.reply_bytes_max)

    @property
    def session(self) -> aiohttp.ClientSession:
        """The running session."""
        assert self._session is not None, "start() comes first"
        return self._session

    async def start(self) -> None:
        """Open the session; it connects on demand."""
        connector = aiohttp.TCPConnector(
            limit=0,
            ttl_dns_cache=int(DNS_CACHE_S),
            keepalive_timeout=KEEPALIVE_S,
            ssl=self._tls,
            socket_factory=self._socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_NO_TIMEOUT,
            auto_decompress=False,
            headers=dict([_USER_AGENT, _ACCEPT_ENCODING]),
            proxy=self._config.proxy or None,
        )

    async def close(self) -> None:
        """Close all connections."""
        self.pool.close()
        if self._session is not None:
            await self._session.close()
            self._session = None

    def bind(self) -> "CallHttp":
        """The client for one call of a plug-in; it remembers its last exchange for the sample."""
        return CallHttp(self)

    def refusal_of(self, url: URL) -> str:
        """Why a URL that names its host by number is not allowed, or "".

        Needed behind a proxy, which connects in our place; otherwise the socket is asked.
        """
        try:
            ipaddress.ip_address(url.host or "")
        except ValueError:
            return ""
        return refusal(url.host or "", self._allowed)

    @property
    def proxied(self) -> bool:
        """Whether a proxy connects in our place."""
        return bool(self._config.proxy)

    def _socket(self, address: Any) -> socket.socket:
        """Called for every address on connecting, numeric hosts included."""
        family, kind, protocol, _, target = address
        why = refusal(str(target[0]), () if self.proxied else self._allowed)
        if why:
            raise AddressRefused(why)
        return socket.socket(family=family, type=kind, proto=protocol)


class CallHttp:
    """`appliance.sdk.Http` for one call."""

    __slots__ = ("_client", "last")

    def __init__(self, client: HttpClient) -> None:
        self._client = client
        self.last: Exchange | None = None

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """See `appliance.sdk.Http`."""
        return await self.request("POST", url, body=body, headers=headers)

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """See `appliance.sdk.Http`."""
        return await self.request("GET", url, headers=headers)

    async def request(
        self, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """See `appliance.sdk.Http`."""
        sent = _with_content_type(headers, body)
        self.last = exchange = Exchange(method, url, sent, body)
        client = self._client
        reply = exchange.reply = await (
            self._by_proxy(method, url, body, sent)
            if client.proxied or method not in METHODS
            else self._directly(method, url, body, sent)
        )
        return reply

    async def _directly(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        target = target_of(url)
        request = encode(method, target, headers, body)
        pool = self._client.pool
        wire = await pool.take(target)
        try:
            return await wire.exchange(request)
        except ReplyBroken as error:
            raise Retry(str(error)) from error
        finally:
            pool.put(target, wire)

    async def _by_proxy(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
        client = self._client
        if client.proxied and (why := client.refusal_of(URL(url))):
            raise Retry(why, connection=True)
        try:
            response = await client.session.request(method, url, data=body, headers=headers, allow_redirects=False)
            try:
                payload, truncated = await _read(response, client.reply_bytes_max)
            except BaseException:
                response.close()
                raise
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError, of connecting, is an OSError
            raise _retry(error) from error
        return Reply(response.status, response.headers, payload, phrase=response.reason or "", truncated=truncated)


def _with_content_type(headers: Mapping[str, str] | None, body: bytes | None) -> Mapping[str, str]:
    if body is None:
        return headers or _BODYLESS
    if not headers:
        return _JSON
    if any(name.lower() == "content-type" for name in headers):
        return headers
    return {**_JSON, **headers}


async def _read(response: aiohttp.ClientResponse, bytes_max: int) -> tuple[bytes, bool]:
    """The body up to the cap; beyond it the connection is given up."""
    content = response.content
    body = await content.readany()
    if len(body) <= bytes_max and content.at_eof():
        return body, False
    chunks, size = [body], len(body)
    while size <= bytes_max:
        chunk = await content.readany()
        if not chunk:
            return b"".join(chunks), False
        chunks.append(chunk)
        size += len(chunk)
    response.close()
    return b"".join(chunks)[:bytes_max], True


def _retry(error: Exception) -> Retry:
    """Words for people, the same for the same cause. Raises what the plug-in is to blame for."""
    if isinstance(error, aiohttp.InvalidURL | aiohttp.NonHttpUrlClientError):
        raise ValueError(f"not a URL to call: {error}") from error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Retry(f"the name {error.host} was not found", connection=True)
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Retry(f"TLS: {error.certificate_error}", connection=True)
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return Retry(f"TLS: {error.os_error}", connection=True)
    if isinstance(error, aiohttp.ClientConnectorError):
        return Retry(_connect_words(error), connection=True)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return Retry(f"no connection within {CONNECT_TIMEOUT_S:g} s", connection=True)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Retry(f"the proxy answered {error.status} {error.message}".rstrip(), connection=True)
    if isinstance(error, aiohttp.ClientPayloadError):
        return Retry("the reply broke off")
    if isinstance(error, aiohttp.ClientResponseError):
        return Retry(f"the reply is no HTTP: {error.message}"[:200])
    return Retry("the connection was lost before the reply")


def _connect_words(error: aiohttp.ClientConnectorError) -> str:
    cause = error.os_error
    if isinstance(cause, AddressRefused):
        return str(cause)
    if isinstance(cause, ConnectionRefusedError):
        return f"connection refused by {error.host}:{error.port}"
    return f"no connection to {error.host}:{error.port}: {cause.strerror or cause}"


def _tls_context(config: OutboundConfig) -> ssl.SSLContext:
    if config.authorities is None:
        return _system_tls_context()
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(cafile=config.authorities)
    except OSError as error:  # SSLError is one
        words = f"{config.authorities} cannot be used: {error.strerror or error}"
        fault = Fault("", 0, "outbound.authorities", words, "give a PEM file of certificates")
        raise ConfigError([fault]) from None
    return context


@cache
def _system_tls_context() -> ssl.SSLContext:
    """Reading the system's authorities takes tens of milliseconds."""
    return ssl.create_default_context()
