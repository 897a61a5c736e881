"""`destinations show`, laid out: every figure in words, nothing as a raw structure."""

from typing import Any

import pytest

from appliance.cli.destination_text import facts

ONE: dict[str, Any] = {
    "name": "crm", "plugin": "webhook", "sources": ["web", "app"], "state": "running", "next_step": "", "sequence_low": 12_345,
    "lag_events": 0, "oldest_undelivered_age_ms": 0, "held_people": 0, "held_events": 0, "in_flight": 0,
    "delivered_total": 1_234, "failed_total": 3, "aborted_total": 1, "filtered_total": 0, "latency_p50_ms": 1.25,
    "latency_p95_ms": 20.0, "last_error": "", "last_error_ms": 0, "load": None, "breaker": {"state": "closed"}, "hung": 0,
    "delivered_per_s": 0.5, "failed_5m": 0,
}  # fmt: skip
OPEN = {
    "state": "open",
    "cause": "20 people failed",
    "opened_ms": 1_900_000_000_000,
    "next_probe_ms": 1_900_000_005_000,
}


@pytest.mark.parametrize(
    ("changed", "name", "words"),
    [
        ({}, "delivered", "1,234 since the start, 0.5 per second now"),
        ({}, "sources", "web, app"),
        ({}, "breaker", "closed: everybody is tried"),
        ({"breaker": {}}, "breaker", None),
        (
            {"breaker": OPEN},
            "breaker",
            "open since 2030-03-17T17:46:40.000Z: 20 people failed; the next probe at 2030-03-17T17:46:45.000Z",
        ),
        ({}, "held", None),
        ({"held_people": 1, "held_events": 2, "lag_events": 5}, "held", "2 events of 1 person"),
        ({"held_people": 1, "held_events": 2, "lag_events": 5}, "waiting", "7 events"),
        ({"lag_events": 1, "oldest_undelivered_age_ms": 90_000}, "waiting", "1 event, the oldest 90 s"),
        ({"last_error": "no\x1b[31m", "last_error_ms": 0}, "last error", "no\\x1b[31m"),
        ({"hung": 1}, "hung", "1 call of the plug-in that cannot be stopped"),
        ({"next_step": "mend it"}, "next", "mend it"),
    ],
)
def test_facts(changed: dict[str, Any], name: str, words: str | None) -> None:
    assert dict(facts({**ONE, **changed})).get(name) == words
