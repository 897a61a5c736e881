"""The contract's rules on bodies and events, row by row."""

import json
import tracemalloc
from typing import Any

import pytest

from appliance.collect import parse, repair
from appliance.collect.parse import Envelope, Limits, Parsed
from appliance.core.event import MESSAGE_ID_SET, REPAIRED, TYPE_SET, Record

ENVELOPE = Envelope("web", 1_795_000_000_000, "192.0.2.7", "2026-11-21T00:00:00.000Z")
LIMITS = Limits(512 * 1024, 64)
GOOD = {"type": "track", "userId": "u", "messageId": "m"}


def single(body: bytes | dict[str, Any], route_type: str = "track", limits: Limits = LIMITS) -> Parsed:
    """What becomes of one event, by whichever parser can read it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse.parse_event(raw, route_type, ENVELOPE, limits) or repair.parse_event(raw, route_type, ENVELOPE, limits)


def many(body: bytes | list[Any], limits: Limits = LIMITS) -> Parsed:
    raw = body if isinstance(body, bytes) else json.dumps({"batch": body}).encode()
    return parse.parse_batch(raw, ENVELOPE, limits) or repair.parse_batch(raw, ENVELOPE, limits)


def only(parsed: Parsed) -> Record:
    assert (len(parsed.records), parsed.refused_count) == (1, 0), parsed
    return parsed.records[0]


def reasons(parsed: Parsed) -> list[str]:
    return [refusal.words for refusal, _ in parsed.refused]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "invalid json"),
        (b" \n", "invalid json"),
        (b"{", "invalid json"),
        (b"<html>", "invalid json"),
        (b"{'a':1}", "invalid json"),
        (b'{"userId":"u"}{"userId":"u"}', "invalid json"),
        (b'{"userId":"u",}', "invalid json"),
        (b'{"userId":"\xff"}', "invalid json"),
        (b'{"userId":"\xed\xa0\x80"}', "invalid json"),
        (b'{"userId":"a\nb"}', "invalid json"),
        (b'{"userId":01}', "invalid json"),
        (b"[" * 10_000 + b"]" * 10_000, "invalid json"),
        (b"[" * 1_000_000, "invalid json"),
        (b'{"userId":"u","a":' + b"[" * 64 + b"]" * 64 + b"}", "invalid json"),
        (b"nan", "invalid json"),
        (json.dumps({"userId": "u"}).encode("utf-16"), "invalid json"),
        (b"[]", "event is not a valid rudder event"),
        (b"5", "event is not a valid rudder event"),
        (b"null", "event is not a valid rudder event"),
        (b'"x"', "event is not a valid rudder event"),
        (b"NaN", "event is not a valid rudder event"),
        (b"{}", "request neither has anonymousId nor userId"),
        (b'{"userId":"","anonymousId":null}', "request neither has anonymousId nor userId"),
        (b'{"userId":" \\u200b","anonymousId":"\\u0000"}', "request neither has anonymousId nor userId"),
        (b'{"userId":{"a":1},"anonymousId":[1]}', "request neither has anonymousId nor userId"),
        (b'{"userId":true}', "request neither has anonymousId nor userId"),
        (b'{"userId":"u","x":"' + b"x" * 600_000 + b'"}', "request size exceeds max limit"),
    ],
)
def test_single_events_that_are_refused(body: bytes, words: str) -> None:
    parsed = single(body)
    assert (parsed.records, reasons(parsed), parsed.is_whole) == ([], [words], True)
    assert parsed.refused[0][1] == body.strip(), "its bytes are kept"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "empty batch payload"),
        (b'{"batch":[]}', "empty batch payload"),
        (b'{"batch":null}', "empty batch payload"),
        (b'{"batch":"x"}', "empty batch payload"),
        (b'{"batch":{}}', "empty batch payload"),
        (b"[]", "event is not a valid rudder event"),
        (b"5", "event is not a valid rudder event"),
        (b"", "invalid json"),
        (b'{"batch":[{"userId":"u"}]', "invalid json"),
        (b'{"batch":[{"userId":}]}', "invalid json"),
        (b'{"batch":5,}', "invalid json"),
        (b'{"batch":[NaN,{"a":}]}', "invalid json"),
        (b'{"batch":[{"userId":"\xff"}]}', "invalid json"),
        (b'{"batch":[{"userId":"u"}],"x":[[}', "invalid json"),
        (b"[1,2", "invalid json"),
        (b'{"batch":[{"a":NaN}],"sentAt":nil}', "invalid json"),
        (b'{"batch":[NaN]}x', "invalid json"),
        (b'{"batch":NaN}', "empty batch payload"),
    ],
)
def test_batches_that_are_refused_whole(body: bytes, words: str) -> None:
    parsed = many(body)
    assert (parsed.records, reasons(parsed), parsed.is_whole) == ([], [words], True)
    assert parsed.refused[0][1] == body


def test_a_batch_keeps_the_good_and_refuses_the_bad_with_reasons() -> None:
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    bad = {
        "event is not a valid rudder event": [
            5,
            None,
            [1],
            "x",
            {**GOOD, "type": "purchase"},
            {"userId": "u"},
            {**GOOD, "type": 5},
            {**GOOD, "type": "Track"},
            {**GOOD, "type": None},
        ],
        "request neither has anonymousId nor userId": [{"type": "track"}, {**GOOD, "userId": {}}],
        "invalid json": [{**GOOD, "x": deep}],
        "request size exceeds max limit": [{**GOOD, "x": "x" * 600_000}],
    }
    for words, items in bad.items():
        for item in items:
            parsed = many([{**GOOD, "messageId": "before"}, item, {**GOOD, "messageId": "after"}])
            assert [record.message_id for record in parsed.records] == ["before", "after"]
            assert (reasons(parsed), parsed.is_whole) == ([words], False)
            assert json.loads(parsed.refused[0][1]) == item


def test_an_event_that_no_decoder_can_nest_costs_only_itself() -> None:
    deep = b'{"type":"track","userId":"u","a":' + b'{"a":[' * 10_000 + b"]}" * 10_000 + b"}"
    parsed = many(b'{"batch":[{"type":"track","userId":"u"},' + deep + b',{"type":"page","userId":"u","v":NaN}]}')
    assert [record.type for record in parsed.records] == ["track", "page"]
    assert parsed.refused == [(parse.TOO_DEEP, deep)]
    assert (parsed.repaired_count, parsed.is_whole) == (1, False)


@pytest.mark.parametrize(
    ("field", "sent", "key"),
    [
        ("userId", b'"u-1"', "u-1"),
        ("userId", b'" u-1\\t"', "u-1"),
        ("userId", b"5", "5"),
        ("userId", b"7.0", "7"),
        ("userId", b"7.5", "7.5"),
        ("userId", b"12345678901234567890123", "12345678901234567890123"),
        ("userId", b"-3", "-3"),
        ("userId", b"1e3", "1000"),
        ("userId", b"1e400", "1e400"),
        ("userId", b"0", "0"),
        ("userId", b'"\\u200bu\\ufeff"', "u"),
        ("userId", '"ü\u200d☃"'.encode(), "ü☃"),
        ("userId", b'"a\\u0000b"', "ab"),
        ("anonymousId", b'"a b"', "a b"),
        ("anonymousId", b"9007199254740993", "9007199254740993"),
        ("userId", b"7" * 1_000, "7" * 1_000),
    ],
)
def test_ids_become_keys_and_stay_as_sent(field: str, sent: bytes, key: str) -> None:
    raw = b'{"type":"track","messageId":"m","' + field.encode() + b'":' + sent + b"}"
    for record in (only(single(raw)), only(many(b'{"batch":[' + raw + b"]}"))):
        assert (record.user_id or record.anonymous_id, record.raw, record.flags) == (key, raw, 0)


@pytest.mark.parametrize(
    ("sent", "message_id"),
    [
        (b'"m-1"', "m-1"),
        (b'" m-1 "', "m-1"),
        (b"5", "5"),
        (b"null", ""),
        (b'""', ""),
        (b'"  "', ""),
        (b"{}", ""),
        (b"[1]", ""),
        (b"false", ""),
    ],
)
def test_message_ids(sent: bytes, message_id: str) -> None:
    raw = b'{"type":"track","userId":"u","messageId":' + sent + b"}"
    for record in (only(single(raw)), only(many(b'{"batch":[' + raw + b"]}"))):
        assert record.message_id == message_id if message_id else len(record.message_id) == 36
        assert bool(record.flags & MESSAGE_ID_SET) == (sent != b'"m-1"')


@pytest.mark.parametrize(
    ("sent", "is_set"),
    [(b'"page"', False), (b'"track"', True), (b'"Page"', True), (b"5", True), (b"null", True), (b"{}", True)],
)
def test_the_route_decides_the_type(sent: bytes, is_set: bool) -> None:
    record = only(single(b'{"userId":"u","messageId":"m","type":' + sent + b"}", "page"))
    assert (record.type, bool(record.flags & TYPE_SET)) == ("page", is_set)


def test_keys_of_properties_and_duplicate_keys_confuse_nobody() -> None:
    raw = b'{"type":"page","properties":{"type":"x","messageId":1,"batch":[],"":{"userId":"no"}},"userId":"first","type":"track","userId":"u"}'
    record = only(many(b'{"batch":[' + raw + b"]}"))
    assert (record.type, record.user_id, record.raw) == ("track", "u", raw)


@pytest.mark.parametrize(
    ("batch_sent_at", "expected"),
    [
        (b'"2026-01-01T00:00:00Z"', "2026-01-01T00:00:00Z"),
        (b"null", ENVELOPE.sent_at),
        (b"5", ENVELOPE.sent_at),
        (b'""', ENVELOPE.sent_at),
    ],
)
def test_sent_at_of_the_batch_wins_over_the_header(batch_sent_at: bytes, expected: str) -> None:
    for value in (b"1", b"NaN"):
        event = b'{"type":"track","userId":"u","v":' + value + b"}"
        assert only(many(b'{"sentAt":' + batch_sent_at + b',"batch":[' + event + b"]}")).sent_at == expected


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b'{"userId":"u","v":NaN}', b'{"userId":"u","v":null}'),
        (b'{"userId":"u","v":[-Infinity,Infinity]}', b'{"userId":"u","v":[null,null]}'),
        (b'\xef\xbb\xbf{"userId":"u"}', b'{"userId":"u"}'),
        (b'{"userId":"u\\ud83d"}', b'{"userId":"u\\ufffd"}'),
        (b'{"userId":"u","v":' + b"7" * 4301 + b',"w":NaN}', b'{"userId":"u","v":' + b"7" * 4301 + b',"w":null}'),
        (b'{"userId":"u","\\uD83D":"NaN"}', b'{"userId":"u","\\ufffd":"NaN"}'),
    ],
)
def test_repairs(sent: bytes, kept: bytes) -> None:
    parsed = single(sent)
    assert (only(parsed).raw, only(parsed).flags & REPAIRED, parsed.repaired_count) == (kept, REPAIRED, 1)


@pytest.mark.parametrize(
    "sent",
    [
        b'{"userId":"u","v":' + b"7" * 4301 + b"}",
        b'{"userId":"u","v":1e400}',
        b'{"userId":"u","v":"a\\u0000b"}',
        b'{"userId":"u","v":-0.0}',
        b'{"userId":"u","v":{"a":1,"a":2}}',
        b'{"userId":"u","v":' + b"[" * 63 + b"]" * 63 + b"}",
        '{"userId":"u","v":"é\\u00e9\U0001f600\\ud83d\\ude00"}'.encode(),
        b'{"userId":"u","v":"NaN"}',
        b'{"userId" : "u" ,\n"v":[ ]}',
        b'{"userId":"u","v":"\x7f"}',
        b'{"userId":"u","v":"[[[[' + b"{" * 100 + b'"}',
    ],
)
def test_kept_as_it_is(sent: bytes) -> None:
    parsed = single(sent)
    assert (only(parsed).raw, only(parsed).flags & REPAIRED, parsed.repaired_count) == (sent, 0, 0)


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"writeKey":"k","batch":[]}', "k"),
        (b'{"writeKey":"k","userId":"u"}', "k"),
        (b'{"batch":[{"writeKey":"k"},{"writeKey":"l"}]}', "k"),
        (b'{"writeKey":null}', ""),
        (b'{"writeKey":5}', ""),
        (b"{}", ""),
        (b"", ""),
        (b"[", ""),
        (b"\xff", ""),
        (b'{"batch":[5]}', ""),
        (b'{"batch":5}', ""),
        (b'{"batch":[[{"writeKey":"k"}]]}', ""),
        (b'{"writeKey":"k"', ""),
        (b'{"writeKey":"\xff"}', ""),
    ],
)
def test_write_key_of_a_body(body: bytes, key: str) -> None:
    assert parse.write_key(body) == key


@pytest.mark.parametrize(
    ("element", "count"),
    [
        (b"0", 1_900_000),
        (b"[]", 300_000),
        (b'""', parse.EVENTS_MAX),
        (b'{"type":"track"}', parse.EVENTS_MAX),
        (b'{"type":"track","userId":"u"}', parse.EVENTS_MAX),
        (b'{"type":"track","userId":"u"}', parse.EVENTS_MAX + 1),
        (b'{"userId":NaN}', 20_000),
    ],
)
def test_a_body_full_of_tiny_elements_costs_little_memory(element: bytes, count: int) -> None:
    body = b'{"batch":[' + b",".join([element] * count) + b"]}"
    tracemalloc.start()
    try:
        parsed = many(body)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 50 << 20, f"{peak >> 20} MiB"
    if count > parse.EVENTS_MAX:
        assert parsed.refused == [(parse.TOO_MANY, body)]
    else:
        assert len(parsed.records) + parsed.refused_count == count
        assert len(parsed.refused) <= parse.REFUSALS_KEPT_MAX


def test_what_takes_long_is_left_to_the_second_parser() -> None:
    """A few KB of brackets cost milliseconds: not on the event loop, and with the same outcome."""
    heavy = b'{"type":"track","userId":"u","messageId":"m","v":[' + b",".join([b'{"a":[]}'] * 5_000) + b"]}"
    assert parse.parse_event(heavy, "track", ENVELOPE, LIMITS) is None
    assert parse.parse_batch(b'{"batch":[' + heavy + b"]}", ENVELOPE, LIMITS) is None
    assert parse.parse_event(heavy, "track", ENVELOPE, Limits(512 * 1024, 20_000)) is not None
    for parsed in (single(heavy), many(b'{"batch":[' + heavy + b"]}")):
        assert (only(parsed).raw, only(parsed).flags, parsed.repaired_count) == (heavy, 0, 0)
