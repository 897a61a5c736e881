"""A fixed, seeded corpus: browser events of about 930 bytes with random ids, as the SDKs write them.

An event is a template with two holes, its messageId and the person's anonymousId; both are filled with random hex, so
that nothing of an event but its shape compresses better than in real life.
"""

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

SEED = 20_261_121
MESSAGE_HOLE, PERSON_HOLE = "@message-id@", "@anonymous-id@"

_PAGES = ("/", "/pricing", "/docs/install", "/shop/cameras", "/shop/cart", "/blog/2026/edge-boxes", "/account/devices")
_EVENTS = (
    "Product Viewed",
    "Product Added",
    "Checkout Started",
    "Order Completed",
    "Camera Motion",
    "Door Opened",
    "Search Performed",
    "Video Played",
)
_AGENTS = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
)
_WORDS = ("amber", "bronze", "cedar", "delta", "ember", "fjord", "grove", "harbour", "ivory", "jasper", "kelp", "lunar")


class Template(NamedTuple):
    """An event cut at its two holes: head + messageId + middle + anonymousId + tail."""

    head: bytes
    middle: bytes
    tail: bytes


class Corpus:
    """An endless, repeatable stream of events of `people` people."""

    def __init__(self, people: int = 1_000, seed: int = SEED, templates: int = 256) -> None:
        self._random = random.Random(seed)
        self.people = [self._hex() for _ in range(people)]
        self.templates = [_cut(self._event()) for _ in range(templates)]

    def events(self) -> Iterator[tuple[str, bytes]]:
        """Pairs of messageId and JSON bytes, without end."""
        while True:
            message_id = self._hex()
            head, middle, tail = self._random.choice(self.templates)
            person = self._random.choice(self.people)
            yield message_id, b"%b%b%b%b%b" % (head, message_id.encode(), middle, person.encode(), tail)

    def _hex(self) -> str:
        bits = f"{self._random.getrandbits(128):032x}"
        return f"{bits[:8]}-{bits[8:12]}-{bits[12:16]}-{bits[16:20]}-{bits[20:]}"

    def _event(self) -> dict[str, Any]:
        rng = self._random
        second = (
            f"2026-11-21T{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(1000):03}Z"
        )
        event: dict[str, Any] = {
            "type": "track",
            "event": rng.choice(_EVENTS),
            "channel": "web",
            "messageId": MESSAGE_HOLE,
            "originalTimestamp": second,
            "sentAt": second,
            "anonymousId": PERSON_HOLE,
            "userId": f"user-{rng.randrange(10**7)}" if rng.random() < 0.4 else "",
            "context": {
                "traits": {},
                "sessionId": rng.randrange(10**12, 2 * 10**12),
                "locale": rng.choice(("en-US", "de-DE", "pt-BR")),
                "app": {
                    "name": "RudderLabs JavaScript SDK",
                    "namespace": "com.rudderlabs.javascript",
                    "version": "3.34.1",
                },
                "library": {"name": "RudderLabs JavaScript SDK", "version": "3.34.1"},
                "userAgent": rng.choice(_AGENTS),
                "screen": {"width": 1920, "height": 1080, "density": 1},
                "page": {
                    "path": (path := rng.choice(_PAGES)),
                    "url": f"https://shop.example.test{path}?ref={rng.getrandbits(40):x}",
                    "title": f"{rng.choice(_WORDS).title()} shop",
                },
            },
            "integrations": {"All": True},
        }
        event["properties"] = {
            "order_id": f"{rng.getrandbits(64):016x}",
            "price": round(rng.uniform(1, 900), 2),
            "currency": "EUR",
            "note": " ".join(rng.choices(_WORDS, k=rng.randrange(3, 12))),
        }
        return event


class Narrow(Corpus):
    """Events of a server-side SDK whose tables have 20 columns (`paid`) and 16 (`tracks`)."""

    def _event(self) -> dict[str, Any]:
        rng = self._random
        second = f"2026-11-21T10:{rng.randrange(60):02}:{rng.randrange(60):02}.{rng.randrange(1000):03}Z"
        return {
            "type": "track",
            "event": "Paid",
            "messageId": MESSAGE_HOLE,
            "anonymousId": PERSON_HOLE,
            "originalTimestamp": second,
            "sentAt": second,
            "properties": {
                "order_id": f"{rng.getrandbits(64):016x}",
                "price": round(rng.uniform(1, 900), 2),
                "quantity": rng.randrange(9),
                "express": rng.random() < 0.5,
            },
        }


def _cut(event: dict[str, Any]) -> Template:
    text = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    head, _, rest = text.partition(MESSAGE_HOLE)
    middle, _, tail = rest.partition(PERSON_HOLE)
    return Template(head.encode(), middle.encode(), tail.encode())
