"""Clients whose events bring people together: visitors on the web and on phones, log-ins, kiosks, bad aliases."""

import random
from typing import Any

from tests.support.judge import Key, Ledger
from tests.support.load import Client


class Customers(Client):
    """Sends the events of its own customers, several of them at a time; see `Client`.

    A customer comes to the web and to a phone, signs up on the phone, logs in on the web (two people become one), and
    uses one of few kiosks, with or without a log-in. Some customers are joined to the one before by an alias.
    """

    KIOSKS, AT_ONCE = 3, 6

    def __init__(
        self, name: str, url: str, write_key: str, ledger: Ledger, draw: random.Random, **arguments: Any
    ) -> None:
        super().__init__(name, url, write_key, ledger, draw, **arguments)
        self.count = self.sent = 0
        self.active: list[list[dict[str, Any]]] = []

    def event(self) -> tuple[dict[str, Any], Key]:
        """The next event of one of the customers who are there now."""
        while len(self.active) < self.AT_ONCE:
            self.count += 1
            self.active.append(self.visit(self.count))
        customer = self.draw.choice(self.active)
        event = customer.pop(0)
        if not customer:
            self.active.remove(customer)
        self.sent += 1
        event |= {"messageId": f"{self.name}:{self.sent}", "properties": {"n": self.sent}}
        key = (event.get("anonymousId") or event.get("userId") or "", self.sent)
        self.ledger.note(key, event["messageId"])
        return event, key

    def visit(self, number: int) -> list[dict[str, Any]]:
        """All that one customer does, in order."""
        user, web, phone = (f"{self.name}-{kind}{number}" for kind in ("user", "web", "phone"))
        device = {"device": {"id": f"{phone}-device"}}
        kiosk = {"device": {"id": f"{self.name}-kiosk{self.draw.randrange(self.KIOSKS)}"}}
        events: list[dict[str, Any]] = [
            {"type": "page", "anonymousId": web},
            {"type": "track", "anonymousId": web, "event": "Viewed"},
            {"type": "track", "anonymousId": phone, "event": "Opened", "context": device},
            {
                "type": "identify",
                "anonymousId": phone,
                "userId": user,
                "context": device | {"traits": {"email": f"{user}@x.io"}},
            },
            {"type": "track", "anonymousId": web, "userId": user, "event": "Logged In"},
            {"type": "track", "userId": user, "event": "Ordered"},
            {"type": "track", "userId": user, "event": "Paid", "context": kiosk},
            {"type": "track", "anonymousId": f"{web}-kiosk", "event": "Idle", "context": kiosk},
        ]
        if self.draw.random() < 0.2:
            events.append({"type": "alias", "userId": user, "previousId": f"{self.name}-user{max(1, number - 1)}"})
        return [*events, {"type": "track", "anonymousId": web, "event": "Left"}]
