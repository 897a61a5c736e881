"""A webhook receiver that fails on demand and records every arrival before it answers; a process of its own.

Record file: one JSON array per line and event, in the order of arrival:

    [time_s, run, request, status, person, n, message_id, type, event, body]

`time_s` is the machine's monotonic clock, `run` the query parameter of that name in the URL (else 0), `request` counts
requests, `status` is what the sink is about to answer (0: it hangs, -1: it resets the connection), `person` the
anonymousId, else the userId, `n` the event's own number (`properties.n` or `traits.n`, else -1), `body` the whole
event as text where asked for, else "".
"""

import argparse
import asyncio
import os
import random
import socket
import struct
import sys
import time
from typing import Any

import msgspec
from aiohttp import web


class Plan(msgspec.Struct, forbid_unknown_fields=True):
    """How the sink behaves; shares are of requests, between 0 and 1, and drawn in this order."""

    seed: int = 0
    error: float = 0.0
    """Share answered 500."""
    throttle: float = 0.0
    """Share answered 429."""
    retry_after: str = "1"
    """Retry-After of a 429; "" leaves the header out."""
    hang: float = 0.0
    """Share never answered: the connection closes after `hang_s`."""
    hang_s: float = 30.0
    reset: float = 0.0
    """Share whose connection is reset without an answer."""
    status: int = 200
    """What all others are answered."""
    delay_s: float = 0.0
    """Pause before every answer."""
    fail_events: dict[str, int] = {}
    """Status by event name or type; stands above the shares. A batch takes the status of its first such event."""
    fail_ids: dict[str, int] = {}
    """Status by messageId; stands above the shares."""
    slow_people: dict[str, float] = {}
    """Seconds of pause by person."""


class _Numbered(msgspec.Struct):
    n: int = -1


class Seen(msgspec.Struct, rename="camel"):
    """What the sink reads of an event, whatever types its fields have."""

    message_id: Any = ""
    anonymous_id: Any = None
    user_id: Any = None
    type: Any = ""
    event: Any = ""
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    traits: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def person(self) -> str:
        return str(self.anonymous_id or self.user_id or "")


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw] = []


class Receiver:
    """Handles requests, one plan at a time."""

    def __init__(self, record: str, keep_bodies: bool) -> None:
        self.record = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self.keep_bodies, self.requests = keep_bodies, 0
        self.apply(Plan())

    def apply(self, plan: Plan) -> None:
        self.plan, self.random = plan, random.Random(plan.seed)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/_plan":
            self.apply(msgspec.json.decode(await request.read(), type=Plan))
            return web.Response(text="ok")
        if request.path == "/_ping":
            return web.Response(text="ok")
        raw = split(await request.read())
        events = [_read(item) for item in raw]
        status = self.decide(events)
        self.write(int(request.query.get("run", "0")), status, raw, events)
        pause_s = self.plan.delay_s + max((self.plan.slow_people.get(event.person, 0.0) for event in events), default=0)
        if pause_s:
            await asyncio.sleep(pause_s)
        return await self.answer(request, status)

    def decide(self, events: list[Seen]) -> int:
        """The status to answer: 0 for a hang, -1 for a reset."""
        for event in events:
            for key, table in (
                (event.message_id, self.plan.fail_ids),
                (event.event, self.plan.fail_events),
                (event.type, self.plan.fail_events),
            ):
                if key in table:
                    return table[key]
        draw = self.random.random()
        for share, status in (
            (self.plan.error, 500),
            (self.plan.throttle, 429),
            (self.plan.hang, 0),
            (self.plan.reset, -1),
        ):
            if draw < share:
                return status
            draw -= share
        return self.plan.status

    def write(self, run: int, status: int, raw: list[bytes], events: list[Seen]) -> None:
        self.requests += 1
        now_s, lines = time.monotonic(), bytearray()
        for item, event in zip(raw, events, strict=True):
            body = item.decode(errors="replace") if self.keep_bodies else ""
            row = (
                now_s,
                run,
                self.requests,
                status,
                event.person,
                _number(event),
                event.message_id,
                event.type,
                event.event,
                body,
            )
            lines += msgspec.json.encode(row) + b"\n"
        os.write(self.record, lines)

    async def answer(self, request: web.BaseRequest, status: int) -> web.StreamResponse:
        if status == 0:
            await asyncio.sleep(self.plan.hang_s)
        if status <= 0:
            reset(request)
            return web.Response()
        headers = {"Retry-After": self.plan.retry_after} if status == 429 and self.plan.retry_after else {}
        return web.Response(status=status, text="ok" if status < 300 else f"planned {status}", headers=headers)


def split(body: bytes) -> list[bytes]:
    """The events of a body: one object, an array of objects, or an object with `batch`."""
    body = body.strip()
    if not body:
        return []
    if body.startswith(b"["):
        return [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
    batch = msgspec.json.decode(body, type=_Batch).batch
    return [bytes(item) for item in batch] if batch else [body]


def reset(request: web.BaseRequest) -> None:
    """Close the connection with RST."""
    if request.transport is None:
        return
    peer: Any = request.transport.get_extra_info("socket")
    if peer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


def _read(item: bytes) -> Seen:
    try:
        seen = msgspec.json.decode(item, type=Seen)
        seen.message_id, seen.type, seen.event = str(seen.message_id), str(seen.type), str(seen.event)
        return seen
    except (msgspec.ValidationError, msgspec.DecodeError):
        return Seen(event="unreadable")


def _number(event: Seen) -> int:
    for part in (event.properties, event.traits):
        try:
            number = msgspec.json.decode(part, type=_Numbered).n
        except (msgspec.ValidationError, msgspec.DecodeError):
            continue
        if number >= 0:
            return number
    return -1


async def serve(port: int, receiver: Receiver) -> None:
    """Serve until the process is ended."""
    runner = web.ServerRunner(web.Server(receiver.handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024, shutdown_timeout=0.1).start()
    print("listening", flush=True)
    await asyncio.Event().wait()


def main() -> int:
    parser = argparse.ArgumentParser(description="a webhook receiver that fails on demand")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--record", required=True)
    parser.add_argument("--plan", default="{}")
    parser.add_argument("--bodies", action="store_true")
    arguments = parser.parse_args()
    receiver = Receiver(arguments.record, arguments.bodies)
    receiver.apply(msgspec.json.decode(arguments.plan, type=Plan))
    asyncio.run(serve(arguments.port, receiver))
    return 0


if __name__ == "__main__":
    sys.exit(main())
