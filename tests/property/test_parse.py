"""The parser on anything: it never raises, keeps every byte, and both of its ways say the same."""

import json
import re
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.collect import parse, repair
from appliance.collect.parse import Envelope, Limits, Parsed
from appliance.core.event import MESSAGE_ID_SET, REPAIRED, TYPE_SET, Record
from appliance.core.id_text import clean_id
from tests.support.json_drawn import OBJECTS, TEXT, VALUES, decoded, quoted

ENVELOPE = Envelope("web", 1_795_000_000_000, "192.0.2.7", "2026-11-21T00:00:00.000Z")
LIMITS = Limits(2_000, 16)
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@st.composite
def events(draw: st.DrawFn) -> str:
    """The text of an event that must be taken, with anything beside its header."""
    members = {
        "type": json.dumps(draw(st.sampled_from(list(parse.TYPES)))),
        draw(st.sampled_from(["anonymousId", "userId"])): quoted(f"u{draw(st.integers(0, 9))}", draw(st.booleans())),
        **draw(st.dictionaries(st.sampled_from(["properties", "context", "traits", "event", "x"]), VALUES, max_size=3)),
    }
    if draw(st.booleans()):
        members["messageId"] = json.dumps(draw(st.uuids()).hex)
    order = draw(st.permutations(list(members)))
    space = draw(st.sampled_from(["", " ", "\n "]))
    return "{" + space + f",{space}".join(f'"{key}":{space}{members[key]}' for key in order) + space + "}"


def batch(texts: list[str]) -> bytes:
    return ('{"batch":[' + ",".join(texts) + "]}").encode()


def comparable(records: list[Record]) -> list[Any]:
    """Records without the messageIds that were made for them."""
    return [
        [field for index, field in enumerate(_fields(record)) if index != 7 or not record.flags & MESSAGE_ID_SET]
        for record in records
    ]


def _fields(record: Record) -> list[Any]:
    return [getattr(record, name) for name in record.__struct_fields__]


def is_json(raw: bytes) -> bool:
    try:
        decoded(raw)
    except (ValueError, RecursionError):
        return False
    return True


@given(st.lists(events(), min_size=1, max_size=6))
def test_a_batch_keeps_every_event_byte_for_byte(texts: list[str]) -> None:
    parsed = parse.parse_batch(batch(texts), ENVELOPE, Limits(1 << 20, 64))
    assert parsed is not None
    assert [record.raw.decode() for record in parsed.records] == texts
    assert (parsed.refused, parsed.refused_count, parsed.repaired_count) == ([], 0, 0)
    for record, text in zip(parsed.records, texts, strict=True):
        members = json.loads(text, parse_int=str)
        assert record.type == members["type"]
        assert record.user_id == members.get("userId", "")
        assert record.anonymous_id == members.get("anonymousId", "")
        assert record.message_id == members.get("messageId") or UUID.fullmatch(record.message_id)
        assert bool(record.flags & MESSAGE_ID_SET) == ("messageId" not in members)
        assert (record.source, record.received_ms, record.client) == ENVELOPE[:3]


@given(st.lists(events(), max_size=4), st.lists(events(), max_size=4))
def test_two_batches_are_one(first: list[str], second: list[str]) -> None:
    def records(texts: list[str]) -> list[Record]:
        parsed = parse.parse_batch(batch(texts), ENVELOPE, LIMITS)
        assert parsed is not None
        return parsed.records

    assert comparable(records(first + second)) == comparable(records(first) + records(second))


@given(st.lists(st.one_of(events(), OBJECTS, VALUES), min_size=1, max_size=5))
def test_the_short_way_and_the_long_way_say_the_same(texts: list[str]) -> None:
    raws = [text.encode() for text in texts]
    body = batch(texts)
    short = parse._take_plain(raws, ENVELOPE, LIMITS) if parse._is_plain(body) else None
    long = parse.take([(raw, 0) for raw in raws], ENVELOPE, LIMITS)
    if short is not None:
        assert short.refused_count == long.refused_count == 0
        assert comparable(short.records) == comparable(long.records)
    both = parse.parse_batch(body, ENVELOPE, LIMITS)
    assert both is not None
    assert comparable(both.records) == comparable(long.records)
    assert both.refused == long.refused


@given(events(), st.sampled_from(list(parse.TYPES)))
def test_a_single_event_is_a_batch_of_one_but_for_its_type(text: str, route_type: str) -> None:
    single = parse.parse_event(text.encode(), route_type, ENVELOPE, LIMITS)
    one = parse.parse_batch(batch([text]), ENVELOPE, LIMITS)
    assert single is not None
    assert one is not None
    assert single.refused == one.refused
    for record in single.records:
        assert record.type == route_type
        assert bool(record.flags & TYPE_SET) == (json.loads(text, parse_int=str)["type"] != route_type)


@given(st.one_of(events(), OBJECTS, VALUES))
@example('{"a":"\\ud83d"}')
@example('{"a":"\\ude00\\ud83d"}')
def test_strict_is_what_the_standard_says(text: str) -> None:
    assert parse.is_strict(text.encode()) == is_json(text.encode())


@settings(max_examples=300)
@given(st.one_of(events().map(str.encode), OBJECTS.map(str.encode)), st.data())
def test_broken_text_is_found_by_the_first_parser(raw: bytes, data: st.DataObject) -> None:
    """Nothing that is no JSON may ever stand in a record: destinations could not read it."""
    broken = _mutated(raw, data)
    assert parse.is_strict(broken) == is_json(broken)


@settings(max_examples=300)
@given(
    st.one_of(st.binary(max_size=200), st.lists(events(), max_size=3).map(batch), events().map(str.encode)), st.data()
)
def test_whatever_comes_there_is_an_outcome(body: bytes, data: st.DataObject) -> None:
    body = _mutated(body, data)
    outcomes: list[Parsed | None] = [
        parse.parse_event(body, "track", ENVELOPE, LIMITS),
        parse.parse_batch(body, ENVELOPE, LIMITS),
        repair.parse_event(body, "track", ENVELOPE, LIMITS),
        repair.parse_batch(body, ENVELOPE, LIMITS),
    ]
    for parsed in outcomes:
        if parsed is None:
            continue
        assert parsed.records or parsed.refused
        assert parsed.refused_count >= len(parsed.refused)
        for refusal, _ in parsed.refused:
            assert (refusal.status, refusal.words) in {
                (400, "invalid json"),
                (400, "event is not a valid rudder event"),
                (400, "empty batch payload"),
                (400, "request neither has anonymousId nor userId"),
                (413, "request size exceeds max limit"),
            }
        for record in parsed.records:
            assert is_json(record.raw)
            assert record.raw[:1] + record.raw[-1:] == b"{}"
            assert record.anonymous_id or record.user_id
            assert record.message_id.strip()
            assert record.type in parse.TYPES
            "".join((record.anonymous_id, record.user_id, record.message_id, record.sent_at)).encode()
    assert isinstance(parse.write_key(body), str)


def _mutated(raw: bytes, data: st.DataObject) -> bytes:
    changed = bytearray(raw)
    pieces = st.sampled_from(
        [
            b"{",
            b"}",
            b"[",
            b"]",
            b'"',
            b",",
            b":",
            b"\\",
            b"NaN",
            b"-Infinity",
            b"\\ud83d",
            b"\xff",
            b"\xed\xa0\x80",
            b"\x00",
            b"\n",
            b"1",
            b"null",
            b"[" * 2000,
            b"\xef\xbb\xbf",
            b"\\u0000",
        ]
    )
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(pieces)
    return bytes(changed)


@given(st.one_of(events(), OBJECTS, VALUES))
def test_strict_text_needs_no_repair(text: str) -> None:
    assert repair.repaired(text.encode()) == text.encode()


@given(
    st.lists(
        st.sampled_from(
            [
                "NaN",
                "Infinity",
                "-Infinity",
                '"NaN"',
                '"a\\ud83d"',
                '"\\ude00\\ud83d\\ude00"',
                '"\\\\ud83d"',
                '"\\"NaN"',
                "1",
                '"Infinity, NaN"',
                "7" * 4301,
            ]
        ),
        min_size=1,
        max_size=6,
    ),
    TEXT,
)
def test_repair_changes_only_what_is_broken(values: list[str], name: str) -> None:
    key = json.dumps(name)
    body = ('{"type":"track","userId":"u","properties":{' + key + ":[" + ",".join(values) + "]}}").encode()
    mended = {
        "NaN": "null",
        "Infinity": "null",
        "-Infinity": "null",
        '"a\\ud83d"': '"a\\ufffd"',
        '"\\ude00\\ud83d\\ude00"': '"\\ufffd\\ud83d\\ude00"',
    }
    expected = body
    if any(value in mended for value in values):
        expected = (
            '{"type":"track","userId":"u","properties":{'
            + key
            + ":["
            + ",".join(mended.get(value, value) for value in values)
            + "]}}"
        ).encode()
        assert parse.parse_event(body, "track", ENVELOPE, Limits(1 << 20, 64)) is None
    single = repair.parse_event(body, "track", ENVELOPE, Limits(1 << 20, 64))
    assert [record.raw for record in single.records] == [expected]
    beside = '{"type":"page","userId":"v","x":[1, 2]}'
    many = repair.parse_batch(b'{"batch":[' + beside.encode() + b"," + body + b"]}", ENVELOPE, Limits(1 << 20, 64))
    assert [record.raw for record in many.records] == [beside.encode(), expected]
    assert [record.flags & REPAIRED for record in many.records] == [0, REPAIRED if expected != body else 0]
    assert many.repaired_count == (expected != body)


@given(st.text(max_size=20))
def test_ids_are_clean(text: str) -> None:
    cleaned = clean_id(text)
    assert cleaned == cleaned.strip() == clean_id(cleaned)
    assert not set(cleaned) & set("\u200b\ufeff\u2060\u00ad\u0000\u200e\u3164\ufe0f\u2028")
    if text.isalnum() and text.isascii():
        assert cleaned == text
