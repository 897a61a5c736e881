"""Sample events as shops and cameras send them: a pure stream from a seeded random number generator."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

PRODUCTS = (
    ("sku-101", "Sea kettle", 39.9),
    ("sku-102", "Oilskin jacket", 129.95),
    ("sku-103", "Brass lamp", 74.95),
    ("sku-104", "Tarred rope, 10 m", 18.25),
    ("sku-105", "Sounding lead", 52.4),
    ("sku-106", "Øresund chart", 27.8),
)
"""No price is a whole number, nor is it times two or three: a warehouse that meets 52.0 first has a column of integers,
which takes no 39.9 afterwards."""
CAMERAS = ("cam-gate", "cam-quay", "cam-yard", "cam-bridge")
SHOP_STEPS = ("Product Viewed", "Product Added", "Checkout Started", "Order Completed")
LEAVE_SHARE = 0.25
"""How often a visitor of the shop leaves at each step."""


class Sample(NamedTuple):
    """One event and whose it is."""

    person: str
    event: dict[str, Any]


def stream(kind: str, people: int, seed: int) -> Iterator[Sample]:
    """Endless events of `people` people or tracked objects.

    Args:
        kind: shop, camera or both.
        people: how many different ones.
        seed: the same seed gives the same events but for their times.
    """
    chance = random.Random(seed)
    makers = {"shop": (_shop,), "camera": (_camera,), "both": (_shop, _camera)}[kind]
    visits: dict[int, list[Sample]] = {}
    while True:
        number = chance.randrange(people)
        visit = visits.get(number)
        if not visit:
            visit = visits[number] = list(reversed(chance.choice(makers)(chance, number)))
        person, event = visit.pop()
        yield Sample(
            person,
            {"messageId": str(uuid.UUID(int=chance.getrandbits(128), version=4)), **event, "originalTimestamp": now()},
        )


def _shop(chance: random.Random, number: int) -> list[Sample]:
    """One visit: a page, products, perhaps a log-in and an order."""
    person, user = f"visitor-{number}", f"customer-{number}"
    sku, name, price = chance.choice(PRODUCTS)
    product = {"product_id": sku, "name": name, "price": price, "currency": "EUR", "quantity": chance.randint(1, 3)}
    locale = chance.choice(("en-GB", "da-DK", "de-DE"))
    context = {
        "userAgent": "Mozilla/5.0 (X11; Linux x86_64) sternpost-samples",
        "locale": locale,
        "page": {"path": f"/p/{sku}", "title": name},
    }
    visit = [
        Sample(
            person,
            {"type": "page", "anonymousId": person, "name": name, "properties": context["page"], "context": context},
        )
    ]
    for step in SHOP_STEPS:
        if step == "Checkout Started":
            traits = {"email": f"{user}@shop.example", "plan": chance.choice(("basic", "crew"))}
            visit.append(
                Sample(
                    person,
                    {
                        "type": "identify",
                        "anonymousId": person,
                        "userId": user,
                        "context": {**context, "traits": traits},
                        "traits": traits,
                    },
                )
            )
        body: dict[str, Any] = {
            "type": "track",
            "anonymousId": person,
            "event": step,
            "properties": dict(product),
            "context": context,
        }
        if step == "Order Completed":
            body["properties"] = {
                "order_id": f"order-{chance.randrange(10**8):08d}",
                "currency": "EUR",
                "products": [product],
                "total": round(price * product["quantity"], 2),  # type: ignore[operator]  # the quantity is an int
            }
        if len(visit) > 3:
            body["userId"] = user
        visit.append(Sample(person, body))
        if chance.random() < LEAVE_SHARE:
            break
    return visit


def _camera(chance: random.Random, number: int) -> list[Sample]:
    """One object's way past a camera."""
    camera, person = chance.choice(CAMERAS), f"object-{number}"
    label = chance.choice(("person", "person", "bicycle", "vehicle"))
    context = {"device": {"id": camera, "type": "camera", "manufacturer": "sample"}, "timezone": "UTC"}
    seen = []
    for name in ("Object Entered", "Object Moved", "Object Left"):
        box = [round(chance.random(), 4) for _ in range(4)]
        seen.append(
            Sample(
                person,
                {
                    "type": "track",
                    "anonymousId": person,
                    "event": name,
                    "context": context,
                    "properties": {
                        "camera": camera,
                        "label": label,
                        "confidence": round(0.6 + 0.4 * chance.random(), 3),
                        "box": box,
                        "zone": chance.choice(("entry", "quay", "exit")),
                    },
                },
            )
        )
    return seen


def now() -> str:
    """This moment as clients write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
