"""Who may send, how often, and whose word on the client's address counts."""

import base64

import pytest

from appliance.collect.admission import (
    Bucket,
    Proxies,
    Sources,
    client_address,
    key_of_header,
    key_of_query,
    plain_address,
)
from appliance.core.pauses import Pauses
from tests.support.collecting import source

NOW_MS = 1_900_000_000_000


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("Basic d2tfcHJvb2Y6", "wk_proof"),
        ("basic d2tfcHJvb2Y6cGFzcw==", "wk_proof"),
        ("BASIC  d2tfcHJvb2Y= ", "wk_proof"),
        ("", ""),
        ("Basic", ""),
        ("Basic ", ""),
        ("Basic Og==", ""),
        ("Bearer d2tfcHJvb2Y6", ""),
        ("Basic %%%", ""),
        ("Basic d2tfcHJvb2Y", ""),
        ("Basic " + base64.b64encode(b"\xff\xfe:").decode(), ""),
        ("Basic " + base64.b64encode("schl\u00fcssel:".encode()).decode(), ""),
    ],
)
def test_key_of_header(header: str, key: str) -> None:
    assert key_of_header(header) == key


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("writeKey=wk", "wk"),
        ("a=1&writeKey=w%6B&b", "wk"),
        ("writeKey=a&writeKey=b", "a"),
        ("", ""),
        ("writeKey=", ""),
        ("WriteKey=wk", ""),
        ("xwriteKey=wk", ""),
        ("&".join(["writeKey=wk"] * 300), ""),
    ],
)
def test_key_of_query(query: str, key: str) -> None:
    assert key_of_query(query) == key


def test_a_source_is_found_by_its_whole_key_alone() -> None:
    sources = Sources({"web": source("wk_1"), "app": source("wk_2")}, Pauses())
    found = sources.by_key("wk_2", NOW_MS)
    assert found is not None
    assert found.name == "app"
    for wrong in ("", "wk_", "wk_1 ", "wk_11", "WK_1", "wk_1\0", "\ud800"):
        assert sources.by_key(wrong, NOW_MS) is None


def test_a_reload_keeps_counters_and_a_changed_key_takes_over() -> None:
    sources = Sources({"web": source("wk_1"), "gone": source("wk_gone")}, Pauses())
    sources.by_name["web"].accepted_total = 7
    sources.apply({"web": source("wk_new"), "fresh": source("wk_fresh")})
    assert sources.by_key("wk_1", NOW_MS) is None
    assert sources.by_key("wk_gone", NOW_MS) is None
    web = sources.by_key("wk_new", NOW_MS)
    assert web is not None
    assert (web.name, web.accepted_total) == ("web", 7)


def test_a_reload_of_the_same_rate_does_not_refill_it() -> None:
    sources = Sources({"web": source("wk_1", rate_per_s=1.0)}, Pauses())
    bucket = sources.by_name["web"].bucket
    assert bucket is not None
    assert bucket.take(1) == 0
    sources.apply({"web": source("wk_1", rate_per_s=1.0)})
    assert sources.by_name["web"].bucket is bucket
    sources.apply({"web": source("wk_1", rate_per_s=50.0)})
    assert sources.by_name["web"].bucket is not bucket


def test_a_bucket_gives_a_burst_of_one_second_and_then_its_rate() -> None:
    bucket, now_ms = Bucket(10.0), 1_000_000
    assert [bucket.take(now_ms) for _ in range(11)] == [0] * 10 + [1]
    assert bucket.take(now_ms + 100) == 0
    assert bucket.take(now_ms + 100) == 1
    granted = sum(bucket.take(now_ms + 100 + step) == 0 for step in range(0, 10_000, 7))
    assert 99 <= granted <= 110


def test_a_slow_bucket_says_how_long_to_wait() -> None:
    bucket = Bucket(0.1)
    assert bucket.take(5) == 0
    assert bucket.take(6) == 10
    assert bucket.take(8_005) == 2
    assert bucket.take(10_006) == 0


@pytest.mark.parametrize(
    ("networks", "peer", "trusted"),
    [
        ([], "127.0.0.1", False),
        (["127.0.0.0/8"], "127.0.0.1", True),
        (["10.1.2.3/8"], "10.9.9.9", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["::1/128"], "127.0.0.1", False),
        (["::1/128"], "::1", True),
        (["0.0.0.0/0"], "", False),
    ],
)
def test_proxies(networks: list[str], peer: str, trusted: bool) -> None:
    assert Proxies(networks).trusts(peer) is trusted


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 , 10.0.0.1", "203.0.113.7"),
        ("203.0.113.7:8080", "203.0.113.7"),
        ("[2001:db8::1]:443, x", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("", "peer"),
        (",", "peer"),
        ("unknown", "peer"),
        ("_hidden", "peer"),
        ("999.1.1.1", "peer"),
        ("<script>", "peer"),
        ("203.0.113.7\0", "peer"),
    ],
)
def test_client_address(header: str, address: str) -> None:
    assert client_address("peer", header) == address


def test_plain_address() -> None:
    assert plain_address("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain_address("example.org") == ""
