"""The client: waiting with jitter, what is stale, errors in words, tails, and rates of counters."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.fake_api import TOKEN, FakeApi
from tui import wire
from tui.client import DELAY_MAX_S, ApiError, Client, Freshness, Unreachable, delay_s
from tui.series import Many, Series


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_delays_have_full_jitter_and_a_limit(failures: int, drawn: float) -> None:
    assert 0 <= delay_s(failures, drawn) <= DELAY_MAX_S
    assert delay_s(failures, 0.0) == 0.0


def test_delays_grow() -> None:
    assert [delay_s(failures, 1.0) for failures in range(7)] == [0.5, 1, 2, 4, 8, 15, 15]


def test_freshness() -> None:
    freshness = Freshness(draw=lambda: 1.0)
    assert freshness.stale(0.0) and freshness.age_s(0.0) is None and freshness.may_try(0.0)
    freshness.answered(10.0)
    assert not freshness.stale(12.9) and freshness.stale(13.1) and freshness.age_s(12.0) == 2.0
    freshness.failed(11.0, "refused")
    assert freshness.failing and not freshness.may_try(11.4) and freshness.may_try(11.5)
    freshness.failed(11.5, "refused")
    assert not freshness.may_try(12.4) and freshness.may_try(12.5)
    freshness.answered(12.5)
    assert not freshness.failing and freshness.may_try(12.5) and freshness.why == ""


async def test_errors_in_words(api: FakeApi) -> None:
    async with api.running() as url:
        client = Client(url, TOKEN)
        try:
            with pytest.raises(ApiError) as refused:
                await client.get("/v1/dead/999", wire.Dead)
            assert (refused.value.status, refused.value.refusal.code) == (404, "not_found")
            assert refused.value.words() == "there is no such thing\nlook again"
            with pytest.raises(Unreachable, match="the answer is not what this console reads"):
                await client.get("/v1/audit", list[int])
        finally:
            await client.close()
    with pytest.raises(Unreachable, match="being left"):
        await client.get("/v1/overview", wire.Overview)
    gone = Client(url, TOKEN)
    with pytest.raises(Unreachable, match="annot connect|refused"):
        await gone.get("/v1/overview", wire.Overview)
    await gone.close()


async def test_missing_fields_have_defaults_and_unknown_ones_are_passed_over(api: FakeApi) -> None:
    api.destinations = [{"name": "bare"}]
    async with api.running() as url:
        client = Client(url, TOKEN)
        overview = await client.get("/v1/overview", wire.Overview)
        await client.close()
    assert overview.destinations[0].delivered_per_s is None and overview.destinations[0].breaker.state == "closed"


async def test_a_tail_comes_frame_by_frame_and_ends_when_left(api: FakeApi) -> None:
    async with api.running() as url:
        client = Client(url, TOKEN)
        names = []
        async for frame in client.frames("/v1/tail", point="collected", query=""):
            names.append(frame.name)
            if frame.name == "sampled":
                break
        await client.close()
        assert names == ["collected"] * 6 + ["sampled"]
        assert api.asked == ["/v1/tail?point=collected"]
        deadline = time.monotonic() + 10
        while api.tail_open and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        assert api.tail_open == 0


def test_a_series_turns_counters_into_rates() -> None:
    series = Series()
    for now_s, total in ((0, 100), (1, 150), (3, 250), (3, 260), (4, 10), (5, 20)):
        series.look(now_s, total)
    assert list(series.rates) == [50, 50, 0, 10]
    assert series.rate == 27.5 and series.within(300) == 10, "a restart begins anew"


def test_series_of_names_that_are_gone_go_too() -> None:
    many = Many()
    many.look(0, {"a": 1, "b": 1})
    many.look(1, {"a": 5})
    assert many.of("a").rate == 4 and many.of("b").rate == 0
    assert many.of("never").within(5) == 0
