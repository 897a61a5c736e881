"""The judge itself: what it must reject. Without these, a green client test would prove nothing."""

import gzip
import json

import pytest

from tests.integration.clients import judge
from tests.integration.clients.recorder import Exchange, Message

RAW = (
    '{"messageId": "m1", "anonymousId": "a", "type": "track", "originalTimestamp": "2026-11-21T10:00:00.000Z",'
    ' "properties": {"big": 123456789012345678901, "e": 1e-7, "": null, "s": "\\u00e9"}, "context": {"locale": "x"}}'
)
ENRICHMENT = (
    ', "receivedAt":"2026-11-21T10:00:01.500Z","request_ip":"127.0.0.1","rudderId":"p",'
    '"timestamp":"2026-11-21T10:00:00.500Z"}'
)
DELIVERED = (
    RAW.replace('{"locale": "x"}', '{"locale": "x","ip":"127.0.0.1","sternpost":{"personId":"p"}}')[:-1] + ENRICHMENT
)


def exchange(*raw: str, asked: int, answered: int) -> Exchange:
    body = gzip.compress(f'{{"batch": [{", ".join(raw)}], "sentAt": "2026-11-21T10:00:01.000Z"}}'.encode())
    request = Message("POST /v1/batch?x=1 HTTP/1.1", {"content-encoding": "gzip"}, body)
    return Exchange(request, asked, Message("HTTP/1.1 200 OK", {}), answered)


def named(*ids: str) -> list[str]:
    return [json.dumps({"messageId": name, "anonymousId": "a"}) for name in ids]


def test_the_same_event_with_its_enrichment_passes() -> None:
    [event] = judge.sent_events([exchange(RAW, asked=0, answered=1)])
    judge.assert_unchanged(event, DELIVERED)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("123456789012345678901", "123456789012345680000"),
        ("1e-7", "1E-7"),
        ("\\u00e9", "é"),
        ('"": null, ', ""),
        ('"locale": "x"', '"locale": "y"'),
        ('"timestamp":"2026-11-21T10:00:00.500Z"', '"timestamp":"2026-11-21T10:00:00.000Z"'),
        ('"messageId": "m1", "anonymousId": "a"', '"anonymousId": "a", "messageId": "m1"'),
        ('"ip":"127.0.0.1"', '"ip":"10.0.0.1"'),
        ('"personId":"p"', '"personId":"q"'),
        ('"request_ip"', '"surprise":1,"request_ip"'),
    ],
)
def test_any_change_is_found(old: str, new: str) -> None:
    assert old in DELIVERED
    [event] = judge.sent_events([exchange(RAW, asked=0, answered=1)])
    with pytest.raises(AssertionError):
        judge.assert_unchanged(event, DELIVERED.replace(old, new, 1))


@pytest.mark.parametrize(
    ("order", "good"),
    [
        ("abcd", True),
        ("acbd", True),
        ("bacd", False),
        ("abdc", False),
        ("cabd", True),
        ("dabc", False),
    ],
)
def test_order_is_that_of_batches_and_of_answers(order: str, good: bool) -> None:
    """`a, b` is one batch; `c` overlaps with it; `d` was asked after both were answered."""
    sent = judge.sent_events(
        [
            exchange(*named("a", "b"), asked=0, answered=2),
            exchange(*named("c"), asked=1, answered=3),
            exchange(*named("d"), asked=4, answered=5),
        ]
    )
    if good:
        judge.assert_in_order(sent, list(order))
    else:
        with pytest.raises(AssertionError):
            judge.assert_in_order(sent, list(order))


def test_an_event_sent_again_counts_where_it_was_sent_first() -> None:
    again = [exchange(*named("a"), asked=0, answered=1), exchange(*named("a", "b"), asked=2, answered=3)]
    assert [event.message_id for event in judge.sent_events(again)] == ["a", "b"]
