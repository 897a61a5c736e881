"""Sample events: repeatable, valid, and in an order that makes sense per person."""

import json
from collections import defaultdict
from itertools import islice, pairwise
from typing import Any

import pytest

from appliance.cli import samples


def events(kind: str, count: int, people: int = 5, seed: int = 1) -> list[samples.Sample]:
    return list(islice(samples.stream(kind, people, seed), count))


@pytest.mark.parametrize("kind", ["shop", "camera", "both"])
def test_a_seed_repeats_itself_but_for_the_times(kind: str) -> None:
    def timeless(seed: int) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in one.event.items() if key != "originalTimestamp"}
            for one in events(kind, 200, seed=seed)
        ]

    assert timeless(7) == timeless(7) and timeless(7) != timeless(8)


@pytest.mark.parametrize("kind", ["shop", "camera", "both"])
def test_every_event_is_one_that_a_collector_takes(kind: str) -> None:
    sent = events(kind, 1_000)
    assert len({one.event["messageId"] for one in sent}) == 1_000
    for one in sent:
        assert one.event["type"] in ("page", "track", "identify") and one.event["anonymousId"] == one.person
        assert one.event["type"] != "track" or one.event["event"]
        assert len(json.dumps(one.event)) < 4_000
    assert len({one.person for one in sent}) <= 10


def test_a_visit_goes_from_page_to_order_and_logs_in_before_it_pays() -> None:
    visits: dict[str, list[str]] = defaultdict(list)
    for one in events("shop", 5_000, people=50):
        visits[one.person].append(one.event.get("event") or one.event["type"])
        if one.event.get("event") == "Order Completed":
            assert one.event["userId"] == one.person.replace("visitor", "customer")
            total = one.event["properties"]["total"]
            product = one.event["properties"]["products"][0]
            assert total == pytest.approx(product["price"] * product["quantity"], abs=0.01)
    order = ["page", "Product Viewed", "Product Added", "identify", "Checkout Started", "Order Completed"]
    for steps in visits.values():
        for before, after in pairwise(steps):
            assert after == "page" or order.index(after) == order.index(before) + 1
