"""Clients that send numbered events and keep a ledger; each waits for an answer before its next request, as SDKs do."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.support.judge import Key, Ledger
from tests.support.wire import basic

_FAILURES = (aiohttp.ClientError, asyncio.TimeoutError, ConnectionError)


class Client:
    """One keep-alive connection that sends the events of its own people, in order.

    Args:
        name: distinguishes its people from those of other clients.
        url: the collector's address.
        write_key: its credential.
        ledger: where it notes what it sent and what was answered.
        draw: its own randomness.
        people: how many people are its own.
        batch_max: events per request, drawn from 1 to this; 1 sends single events.
        retry: repeats a request without an answer with the same messageIds until it is acknowledged; else it goes on
            with the next one, as a client that gives up does.
        ids: whether it sends messageIds of its own.
        pause_s: mean pause between two requests.
    """

    def __init__(
        self,
        name: str,
        url: str,
        write_key: str,
        ledger: Ledger,
        draw: random.Random,
        *,
        people: int = 3,
        batch_max: int = 1,
        retry: bool = True,
        ids: bool = True,
        pause_s: float = 0.02,
        timeout_s: float = 10.0,
    ) -> None:
        assert ids or not retry, "a repeated event without an id of its own is another event"
        self.name, self.url, self.ledger, self.draw = name, url, ledger, draw
        self.people = [f"{name}-{number}" for number in range(people)]
        self.batch_max, self.retry, self.ids, self.pause_s = batch_max, retry, ids, pause_s
        self.headers, self.timeout = basic(write_key), aiohttp.ClientTimeout(total=timeout_s)
        self.numbers = dict.fromkeys(self.people, 0)

    async def run(self, stop: asyncio.Event) -> None:
        """Send until `stop` is set; a request that is being repeated is still brought home."""
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector, headers=self.headers, timeout=self.timeout) as session:
            while not stop.is_set():
                path, body, keys = self.request()
                answered = await self.send(session, path, body)
                while answered != 200 and self.retry:
                    await asyncio.sleep(self.draw.uniform(0.02, 0.2))
                    answered = await self.send(session, path, body)
                if answered == 200:
                    self.ledger.acknowledge(keys)
                else:
                    await asyncio.sleep(self.draw.uniform(0.02, 0.2))
                await asyncio.sleep(self.draw.expovariate(1 / self.pause_s) if self.pause_s else 0)

    def request(self) -> tuple[str, bytes, list[Key]]:
        """The next request: its path, its body and the events in it, noted in the ledger."""
        if self.batch_max == 1:
            event, key = self.event()
            return f"/v1/{event['type']}", json.dumps(event).encode(), [key]
        pairs = [self.event() for _ in range(self.draw.randint(1, self.batch_max))]
        body = {"batch": [event for event, _ in pairs], "sentAt": "2026-01-02T03:04:05.678Z"}
        return "/v1/batch", json.dumps(body).encode(), [key for _, key in pairs]

    def event(self) -> tuple[dict[str, Any], Key]:
        """One event of one of its people."""
        person = self.draw.choice(self.people)
        self.numbers[person] += 1
        key = (person, self.numbers[person])
        event = make_event(*key, self.draw, message_id=f"{person}:{self.numbers[person]}" if self.ids else "")
        self.ledger.note(key, event.get("messageId", ""))
        return event, key

    async def send(self, session: aiohttp.ClientSession, path: str, body: bytes) -> int:
        """Post once; returns the status, 0 where no answer came."""
        began, status = time.monotonic(), 0
        try:
            async with session.post(self.url + path, data=body) as reply:
                await reply.read()
                status = reply.status
        except _FAILURES:
            pass
        self.ledger.answers[status] += 1
        if status == 200:
            self.ledger.latencies_s.append(time.monotonic() - began)
        return status


def make_event(person: str, n: int, draw: random.Random, *, message_id: str = "", name: str = "") -> dict[str, Any]:
    """A plain event; its number stands in `properties.n` or `traits.n`."""
    kind = "track" if name else draw.choice(("track", "track", "track", "page", "identify"))
    event: dict[str, Any] = {
        "type": kind,
        "anonymousId": person,
        "context": {"library": {"name": "proof"}, "locale": "de-DE"},
        "originalTimestamp": "2026-01-02T03:04:05.678Z",
        "traits" if kind == "identify" else "properties": {"n": n, "note": "ä" * draw.randrange(20)},
    }
    if kind == "track":
        event["event"] = name or draw.choice(("Product Viewed", "Product Added", "Order Completed"))
    return event | ({"messageId": message_id} if message_id else {})


def crowd(url: str, write_key: str, ledger: Ledger, seed: int, *, size: int, pause_s: float = 0.05) -> list[Client]:
    """Clients of every kind: singles and batches, stubborn and giving up, with ids of their own and without."""
    kinds: list[dict[str, Any]] = [
        {},
        {"batch_max": 10},
        {"people": 1},
        {"batch_max": 30, "people": 5},
        {"retry": False},
        {"retry": False, "batch_max": 10},
        {"retry": False, "ids": False},
        {"people": 1, "batch_max": 3},
    ]
    return [
        Client(
            f"c{number}",
            url,
            write_key,
            ledger,
            random.Random(f"{seed}:{number}"),
            pause_s=pause_s,
            **kinds[number % len(kinds)],
        )
        for number in range(size)
    ]


async def under_load(clients: list[Client], during: Callable[[], Any], home_s: float = 60.0) -> None:
    """Run the clients while `during` (blocking) runs in a thread; returns once every client came home."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(client.run(stop), name=client.name) for client in clients]
    try:
        await asyncio.to_thread(during)
        stop.set()
        _, away = await asyncio.wait(tasks, timeout=home_s)
        answers = dict(clients[0].ledger.answers)
        assert not away, f"not answered 200 within {home_s} s: {[task.get_name() for task in away]}; answers {answers}"
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie; 0 for none."""
    ranked = sorted(values)
    return ranked[min(int(len(ranked) * share), len(ranked) - 1)] if ranked else 0.0
