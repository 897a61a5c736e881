"""Pure rules of the plug-in side, over any input: waits, masks, cuts, partials, options by type."""

import base64
from urllib.parse import quote

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.deliver.sample import MASK, Exchange, Masker, cut
from appliance.sdk import AFTER_S_MAX, Reply, Retry, Secret, capped_s, seconds_of

HEADER = st.text(st.characters(max_codepoint=255), max_size=60)
DATES = st.sampled_from(
    ["Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 99999 07:28:00 +9999", "Mon, 0 Jan 0000 00:00:00", "1 2 3"]
)


@given(HEADER | DATES | st.floats().map(str) | st.integers().map(str), HEADER | DATES)
def test_any_retry_after_is_a_bounded_wait_or_none(retry_after: str, date: str) -> None:
    wait_s = seconds_of(retry_after, date)
    assert wait_s is None or 0 <= wait_s <= AFTER_S_MAX


@given(st.integers(0, 3600))
def test_whole_seconds_are_taken_as_they_are(seconds: int) -> None:
    assert seconds_of(str(seconds)) == seconds
    assert Reply(503, {"Retry-After": f" {seconds} "}, b"").retry_after_s == seconds


@given(st.floats())
def test_any_wait_of_a_plugin_is_bounded(wait_s: float) -> None:
    assert 0 <= capped_s(wait_s) <= AFTER_S_MAX
    assert Retry("x", after_s=wait_s).throttled


class Keys(msgspec.Struct):
    one: Secret
    more: dict[str, list[Secret]]


@given(st.text(min_size=4, max_size=40), st.text(min_size=4, max_size=40), st.text(), st.text())
def test_no_secret_survives_masking_in_any_usual_form(one: str, two: str, before: str, after: str) -> None:
    try:
        forms = [
            form
            for secret in (one, two)
            for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode())
        ]
    except UnicodeEncodeError:
        return
    masker = Masker(Keys(one=Secret(one), more={"a": [Secret(two)]}))
    for form in forms:
        masked = masker.mask(f"{before}{form}{after}")
        assert MASK in masked
        assert one not in masked.replace(MASK, "") or one in before + after or two in before + after


@given(st.text(), st.integers(0, 50))
def test_cutting_never_exceeds_and_never_breaks_a_character(text: str, bytes_max: int) -> None:
    whole = text.encode("utf-8", "replace")
    short = cut(text, bytes_max).encode()
    assert len(short) <= bytes_max and whole.startswith(short)
    assert len(short) == len(whole) or bytes_max - len(short) < 4


@given(st.binary(max_size=9000), st.binary(max_size=9000), st.integers(100, 599), st.dictionaries(HEADER, HEADER))
def test_any_exchange_has_a_sample_within_4_kib(
    sent: bytes, answered: bytes, status: int, headers: dict[str, str]
) -> None:
    exchange = Exchange("POST", "http://127.0.0.1:1/a", headers, sent)
    assert len(exchange.text().encode()) <= 4096
    exchange.reply = Reply(status, headers, answered)
    text = exchange.text()
    assert len(text.encode()) <= 4096 and f"HTTP/1.1 {status}" in text


def test_a_secret_of_odd_bytes_is_masked_too() -> None:
    odd = b"s3cr3t\xff".decode("utf-8", "surrogateescape")
    assert Masker(Keys(one=Secret(odd), more={})).mask(f"a {odd} b") == f"a {MASK} b"
