"""Enrichment adds what the contract says and changes nothing else, byte for byte."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.core import json_text
from appliance.core.enrich import enrich
from appliance.core.event import MESSAGE_ID_SET, TYPE_SET, Record
from tests.support.json_drawn import KEYS, VALUES, decoded, quoted

RECEIVED_MS = 1_795_000_000_123
RECEIVED = "2026-11-18T11:06:40.123Z"
OURS = (
    "type",
    "messageId",
    "receivedAt",
    "request_ip",
    "rudderId",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "context",
)
TIMES = st.one_of(
    st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)).map(lambda moment: json.dumps(moment.isoformat() + "Z")),
    st.sampled_from(
        [
            '"2026-11-21T12:00:00.000Z"',
            '"yesterday"',
            "null",
            "5",
            "{}",
            '""',
            '"2026-11-21"',
            '"\\u0032026-11-21T00:00:00Z"',
            '"2026-11-21T12:00:00.5+02:00"',
            '"0001-01-01T00:00:00Z"',
            '"9999-12-31T23:59:59.999Z"',
            '"99999-01-01T00:00:00Z"',
        ]
    ),
)


@st.composite
def objects(draw: st.DrawFn) -> str:
    """An object with some of our keys in it, at any place, perhaps twice or written as escapes."""
    pairs = draw(st.lists(st.tuples(KEYS, VALUES), max_size=4))
    for key in draw(st.lists(st.sampled_from(OURS), max_size=6)):
        value = (
            TIMES if key in ("timestamp", "originalTimestamp", "sentAt") else _context() if key == "context" else VALUES
        )
        pairs.append((quoted(key, draw(st.integers(0, 9)) == 0), draw(value)))
    space = draw(st.sampled_from(["", " ", "\n"]))
    return (
        "{"
        + space
        + f",{space}".join(f"{key}:{space}{value}" for key, value in draw(st.permutations(pairs)))
        + space
        + "}"
    )


def _context() -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(st.one_of(KEYS, st.just('"ip"')), VALUES), max_size=3)
    return st.one_of(
        st.just("{ }"), VALUES, pairs.map(lambda drawn: "{" + ",".join(f"{key}:{value}" for key, value in drawn) + "}")
    )


def record(raw: str, flags: int = 0, sent_at: str = "") -> Record:
    return Record(1, "web", RECEIVED_MS, "192.0.2.7", "track", "a", "u", "m-1", sent_at, flags, raw.encode())


def members(raw: bytes) -> list[tuple[str, bytes]]:
    return [(json.loads(key), value) for key, value in json_text.members(raw)]


@given(objects(), st.sampled_from([0, TYPE_SET, MESSAGE_ID_SET, TYPE_SET | MESSAGE_ID_SET]), st.booleans())
@example('{"context":{"context":{}},"x":"context"}', 0, False)
@example('{"\\u0063ontext":{"a":1},"properties":{"context":{"a":1}}}', 0, True)
@example('{"x":{"timestamp":null},"timestamp":null}', 0, False)
def test_only_our_keys_change(raw: str, flags: int, from_graph: bool) -> None:
    before, out = members(raw.encode()), enrich(record(raw, flags), "p-1", from_graph=from_graph)
    after = members(out)
    values = dict(after)
    decoded(out)
    assert [pair for pair in after if pair[0] not in OURS] == [pair for pair in before if pair[0] not in OURS]
    assert _unique([key for key, _ in before]) == [
        key for key in _unique([key for key, _ in after]) if key in dict(before)
    ]
    assert values["receivedAt"] == f'"{RECEIVED}"'.encode()
    assert values["request_ip"] == b'"192.0.2.7"'
    assert values["rudderId"] == b'"p-1"'
    assert {key for key, _ in after} - {key for key, _ in before} <= set(OURS)
    for key, flag, value in (("type", TYPE_SET, b'"track"'), ("messageId", MESSAGE_ID_SET, b'"m-1"')):
        assert values.get(key) == (value if flags & flag else dict(before).get(key))
    _check_context(dict(before).get("context"), values["context"], from_graph)
    _check_times({key: json.loads(value, parse_int=str) for key, value in before}, values)


def _unique(keys: list[str]) -> list[str]:
    return list(dict.fromkeys(keys))


def _check_context(before: bytes | None, after: bytes, from_graph: bool) -> None:
    if before not in (None, b"null") and before[:1] != b"{":
        assert after == before
        return
    old, new = members(before or b"{}") if before != b"null" else [], members(after)
    kept = [pair for pair in new if pair[0] not in ("ip", "sternpost")]
    assert kept == [pair for pair in old if pair[0] not in ("ip", "sternpost")]
    assert dict(new)["ip"] == dict(old).get("ip", b'"192.0.2.7"')
    assert dict(new).get("sternpost") == (b'{"personId":"p-1"}' if from_graph else dict(old).get("sternpost"))


def _check_times(before: dict[str, Any], after: dict[str, bytes]) -> None:
    received = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=RECEIVED_MS)
    for key in ("originalTimestamp", "sentAt"):
        if before.get(key) is None:
            assert after[key] == f'"{RECEIVED}"'.encode()
        else:
            assert json.loads(after[key], parse_int=str) == before[key]
    sent, original = _moment(before.get("sentAt")) or received, _moment(before.get("originalTimestamp")) or received
    try:
        expected = _moment(before.get("timestamp")) or received - (sent - original)
    except OverflowError:
        expected = received
    found = json.loads(after["timestamp"])
    assert len(found) == 24, found
    assert abs(datetime.fromisoformat(found) - expected) < timedelta(milliseconds=2)


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


SENT, BEGAN = '"sentAt":"2026-11-18T11:06:00.000Z"', '"originalTimestamp":"2026-11-18T11:05:00.000Z"'


@pytest.mark.parametrize(
    ("raw", "batch_sent_at", "timestamp", "sent_at"),
    [
        ("{" + BEGAN + "," + SENT + "}", "", "2026-11-18T11:05:40.123Z", "2026-11-18T11:06:00.000Z"),
        ("{" + BEGAN + "}", "2026-11-18T11:06:30.000Z", "2026-11-18T11:05:10.123Z", "2026-11-18T11:06:30.000Z"),
        (
            "{" + BEGAN + "," + SENT + "}",
            "2020-01-01T00:00:00Z",
            "2026-11-18T11:05:40.123Z",
            "2026-11-18T11:06:00.000Z",
        ),
        ("{" + SENT + "}", "", "2026-11-18T11:07:20.246Z", "2026-11-18T11:06:00.000Z"),
        ("{" + BEGAN + "}", "", "2026-11-18T11:05:00.000Z", RECEIVED),
        ("{}", "soon", RECEIVED, RECEIVED),
        ('{"timestamp":"2026-11-01T00:00:00+01:00"}', "", "2026-10-31T23:00:00.000Z", RECEIVED),
        ('{"timestamp":"2026-11-01T00:00:00.123456Z",' + BEGAN + "}", "", "2026-11-01T00:00:00.123Z", RECEIVED),
        ('{"timestamp":"2026-11-01T00:00:00.500Z"}', "", "2026-11-01T00:00:00.500Z", RECEIVED),
        ('{"timestamp":"soon"}', "", RECEIVED, RECEIVED),
    ],
)
def test_times(raw: str, batch_sent_at: str, timestamp: str, sent_at: str) -> None:
    event = json.loads(enrich(record(raw, sent_at=batch_sent_at), ""))
    assert (event["timestamp"], event["sentAt"]) == (timestamp, sent_at)
    assert "rudderId" not in event


def test_new_keys_stand_at_the_end_and_old_ones_keep_their_place() -> None:
    raw = '{ "rudderId" : 5, "userId":"u", "big":12345678901234567890, "context" : { "a" : "\\u00e9" }, "n":null }'
    assert enrich(record(raw), "p").decode() == (
        '{ "rudderId" : "p", "userId":"u", "big":12345678901234567890, "context" : { "a" : "\\u00e9" ,"ip":"192.0.2.7"}, "n":null '
        f',"receivedAt":"{RECEIVED}","originalTimestamp":"{RECEIVED}","sentAt":"{RECEIVED}","timestamp":"{RECEIVED}"'
        ',"request_ip":"192.0.2.7"}'
    )


def test_enriching_twice_changes_nothing_more() -> None:
    once = enrich(record('{"userId":"u","properties":{"timestamp":"x","context":{}}}'), "p", from_graph=True)
    assert enrich(record(once.decode()), "p", from_graph=True) == once
