"""Type-checked, never run: what somebody who writes a plug-in relies on."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from appliance.sdk import (
    Abort,
    Bytes,
    Config,
    Count,
    Event,
    Http,
    Limits,
    Log,
    Partial,
    Retry,
    Seconds,
    Secret,
    Url,
    quote_identifier,
    quote_literal,
)

LIMITS = Limits(batch="independent", batch_events_max=50, in_flight_max=4, timeout_s=10.0, rate_per_s=100.0)


class Mine(Config):
    """A configuration of every type that the sdk names."""

    url: Url
    """Where to."""
    token: Secret | None = None
    """With what."""
    pause: Seconds = 1.0
    """How long."""
    size: Bytes = 1024
    """How large."""
    most: Count = 3
    """How many."""
    names: list[str] = []
    """Which."""


class Session:
    """What `open` makes and `deliver` gets."""

    def __init__(self, config: Mine) -> None:
        self.config = config


@asynccontextmanager
async def open(config: Mine) -> AsyncIterator[Session]:
    yield Session(config)


async def deliver(events: Sequence[Event], config: Mine, http: Http, log: Log, session: Session) -> None:
    failed: dict[int, Abort | Retry] = {}
    for index, event in enumerate(events):
        token: str = config.token.reveal() if config.token else ""
        reply = await http.post(config.url, body=event.json, headers={"Authorization": token})
        status: int = reply.status
        wait_s: float | None = reply.retry_after_s
        if status == 429:
            raise Retry("HTTP 429", after_s=wait_s, sample=reply.text, throttled=True)
        if status >= 400:
            failed[index] = Abort(f"HTTP {status}", sample=reply.text)
        person: str = event.user_id or event.anonymous_id or event.person_id
        number: int = event.sequence + event.part + event.received_ms
        kind: str = event.type + event.source + event.message_id
        names: dict[str, object] = event.as_dict()
        log.info("event_sent", person=person, number=number, kind=kind, names=len(names), replayed=event.replayed)
    if failed:
        raise Partial(failed)


async def check(config: Mine, http: Http) -> None:
    reply = await http.get(config.url)
    if reply.status == 401:
        raise Abort("the token is refused")


def statement(name: str, text: str) -> str:
    return f"SELECT {quote_literal('postgres', text)} AS {quote_identifier('postgres', name)}"


def limits(config: Mine) -> Limits:
    return Limits(batch_events_max=config.most)
