"""Posts events to a URL as JSON, one at a time or as arrays, signed after Standard Webhooks if wanted.

2xx is delivered; 408, 429, 5xx and network errors are tried again; any other answer makes a dead letter.

With `signing_secret` every request carries `webhook-id` (stays the same when it is sent again), `webhook-timestamp`
and `webhook-signature`. What is signed is the JSON before compression.
Source: Standard Webhooks, https://github.com/standard-webhooks/standard-webhooks (symmetric signatures, v1).
"""

import asyncio
import base64
import binascii
import hashlib
import hmac
import re
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Literal

from appliance.sdk import Config, Count, Event, Http, Limits, Secret, Url

GZIP_IN_THREAD_BYTES = 64 * 1024
"""Larger bodies are compressed beside the delivery loop."""

_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8000}")
_HOST_HEADERS = {"connection", "content-encoding", "content-length", "host", "transfer-encoding"}
_SAFE_ID = re.compile(r"[A-Za-z0-9_:-]{1,128}")


class Webhook(Config):
    """Where and how to send."""

    url: Url
    """Where to send events."""
    method: Literal["POST", "PUT", "PATCH"] = "POST"
    """HTTP method."""
    body: Literal["event", "array"] = "event"
    """One event per request, or a JSON array of events, which are delivered or refused together."""
    array_events_max: Count = 100
    """Most events in an array."""
    headers: dict[str, str] = {}
    """Further headers."""
    secret_headers: dict[str, Secret] = {}
    """Further headers whose values are `env:NAME` or `file:PATH`."""
    token: Secret | None = None
    """Sent as a bearer token; `env:NAME` or `file:PATH`."""
    gzip: bool = False
    """Compress bodies."""
    signing_secret: Secret | None = None
    """Signs requests; `whsec_` and base64, given as `env:NAME` or `file:PATH`."""

    def __post_init__(self) -> None:
        """Refuse what could not be sent, before the first event."""
        given = {**self.headers, **{name: secret.reveal() for name, secret in self.secret_headers.items()}}
        for name, value in given.items():
            if not _HEADER_NAME.fullmatch(name) or name.lower() in _HOST_HEADERS:
                raise ValueError(f"the header {name[:100]!r} cannot be set")
            if not _HEADER_VALUE.fullmatch(value):
                raise ValueError(f"the value of the header {name} holds characters that no header may")
        if self.token is not None and not _HEADER_VALUE.fullmatch(self.token.reveal()):
            raise ValueError("the token holds characters that no header may")
        if self.signing_secret is not None:
            signing_key(self.signing_secret)


class Sender:
    """What stays the same for every request of a destination."""

    def __init__(self, config: Webhook) -> None:
        self.key = signing_key(config.signing_secret) if config.signing_secret else b""
        self.headers = {"Content-Type": "application/json", **config.headers}
        self.headers |= {name: secret.reveal() for name, secret in config.secret_headers.items()}
        if config.token is not None:
            self.headers["Authorization"] = f"Bearer {config.token.reveal()}"
        if config.gzip:
            self.headers["Content-Encoding"] = "gzip"


def limits(config: Webhook) -> Limits:
    """An array is one atomic batch."""
    events_max = config.array_events_max if config.body == "array" else 1
    return Limits(batch="atomic", batch_events_max=events_max, in_flight_max=8, timeout_s=30.0)


@asynccontextmanager
async def open(config: Webhook) -> AsyncIterator[Sender]:
    """Prepare the headers once."""
    yield Sender(config)


async def deliver(events: Sequence[Event], config: Webhook, sender: Sender, http: Http) -> None:
    """Send one request."""
    if config.body == "array":
        body = b"[" + b",".join([event.json for event in events]) + b"]"
    else:
        body = events[0].json
    headers = sender.headers
    if sender.key:
        headers = headers | signature(sender.key, request_id(events), int(time.time()), body)
    if config.gzip:
        body = await asyncio.to_thread(compress, body) if len(body) > GZIP_IN_THREAD_BYTES else compress(body)
    reply = await http.request(config.method, config.url, body=body, headers=headers)
    reply.raise_for_status()


def compress(body: bytes) -> bytes:
    """Gzip at the fastest level."""
    return zlib.compress(body, 1, wbits=31)


def signing_key(secret: Secret) -> bytes:
    """The key inside `whsec_...`.

    Raises:
        ValueError: it is none; the text does not show it.
    """
    text = secret.reveal()
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True) if text.startswith("whsec_") else b""
    except binascii.Error:
        key = b""
    if not 16 <= len(key) <= 128:
        raise ValueError("signing_secret must be whsec_ and the base64 of 24 to 64 random bytes")
    return key


def request_id(events: Sequence[Event]) -> str:
    """The same for the same events: their messageId where it can stand in a header, else a digest of all."""
    if len(events) == 1 and _SAFE_ID.fullmatch(events[0].message_id):
        return events[0].message_id
    ids = "\n".join(f"{event.source} {event.message_id}" for event in events)
    return "sha256_" + hashlib.sha256(ids.encode("utf-8", "surrogatepass")).hexdigest()


def signature(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The three headers of Standard Webhooks."""
    digest = hmac.digest(key, f"{message_id}.{timestamp_s}.".encode() + body, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
