"""Forwards events to another Sternpost, RudderStack or Segment data plane, in order, by POST /v1/batch.

Events go out as they are: same messageId, so the receiver's deduplication sees a repetition, and same `timestamp`,
`originalTimestamp` and `sentAt`. A receiver that keeps a given `timestamp` (Sternpost, RudderStack) arrives at the
same time; one that corrects it by the batch's `sentAt` (Segment) corrects it by the seconds of the way, since that is
the moment of this request. A batch is one request and succeeds or fails as a whole; a receiver that refuses one for
its content or size gets it again in halves, down to the event at fault.

For Segment set `url = "https://api.segment.io"` and `batch_bytes_max = "450 KiB"`, its limit being 500 KB.
Source: contract/http.md (routes, credentials, timestamps).
"""

import asyncio
import base64
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from appliance.sdk import Config, Event, Http, Limits, Secret, Url

LIMITS = Limits(batch="atomic", batch_events_max=100, in_flight_max=4, timeout_s=30.0)

ROUTE = "/v1/batch"
GZIP_IN_THREAD_BYTES = 64 * 1024
"""Larger bodies are compressed beside the delivery loop."""


class Relay(Config):
    """The data plane that gets the events."""

    url: Url
    """Its address, with or without /v1/batch."""
    write_key: Secret
    """Write key of the source there: a literal, `env:NAME` or `file:PATH`."""
    gzip: bool = False
    """Compress bodies; Sternpost and RudderStack read that."""

    def __post_init__(self) -> None:
        """Refuse an address that a route cannot be added to."""
        if "?" in self.url:
            raise ValueError("url must have no query")


class Receiver:
    """What stays the same for every request of a destination."""

    def __init__(self, config: Relay) -> None:
        self.url = config.url.rstrip("/").removesuffix(ROUTE) + ROUTE
        login = base64.b64encode(f"{config.write_key.reveal()}:".encode()).decode()
        self.headers = {"Content-Type": "application/json", "Authorization": f"Basic {login}"}
        if config.gzip:
            self.headers["Content-Encoding"] = "gzip"


@asynccontextmanager
async def open(config: Relay) -> AsyncIterator[Receiver]:
    """Prepare address and headers once."""
    yield Receiver(config)


async def deliver(events: Sequence[Event], config: Relay, receiver: Receiver, http: Http) -> None:
    """Send one batch; it counts as delivered when the receiver says that it is durable there."""
    body = batch_of([event.json for event in events], datetime.now(UTC))
    if config.gzip:
        body = await asyncio.to_thread(compress, body) if len(body) > GZIP_IN_THREAD_BYTES else compress(body)
    reply = await http.post(receiver.url, body=body, headers=receiver.headers)
    reply.raise_for_status()


def batch_of(events: Sequence[bytes], sent_at: datetime) -> bytes:
    """The body of a batch; the events' own bytes are untouched."""
    sent = sent_at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{sent_at.microsecond // 1000:03d}Z"
    return b'{"sentAt":"%b","batch":[%b]}' % (sent.encode(), b",".join(events))


def compress(body: bytes) -> bytes:
    """Gzip at the fastest level."""
    return zlib.compress(body, 1, wbits=31)
