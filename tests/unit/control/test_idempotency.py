"""Once, however often it is asked: the same answer, another request, at the same time, too old, too many."""

import asyncio

import pytest

from appliance.control.idempotency import KEPT_MS, Answer, KeyReused, Once, is_key


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_000

    def wall_ms(self) -> int:
        return self.now_ms

    def monotonic_ms(self) -> int:
        return self.now_ms


class Deed:
    """Counts how often it is done; waits for `go` where it must."""

    def __init__(self, status: int = 200) -> None:
        self.count, self.status, self.go = 0, status, asyncio.Event()
        self.go.set()

    async def __call__(self) -> Answer:
        self.count += 1
        done = self.count
        await self.go.wait()
        if self.status == 500:
            raise RuntimeError("a bug")
        return Answer(self.status, b"%d" % done)


async def test_the_second_time_gets_the_first_answer() -> None:
    once, deed = Once(Clock()), Deed()
    assert await once.run("ada", "k", b"purge", deed) == (Answer(200, b"1"), False)
    assert await once.run("ada", "k", b"purge", deed) == (Answer(200, b"1"), True)
    assert deed.count == 1


async def test_another_request_under_the_same_key_is_refused_and_other_holders_have_keys_of_their_own() -> None:
    once, deed = Once(Clock()), Deed()
    await once.run("ada", "k", b"purge 1", deed)
    with pytest.raises(KeyReused):
        await once.run("ada", "k", b"purge 2", deed)
    assert await once.run("bob", "k", b"purge 2", deed) == (Answer(200, b"2"), False)


async def test_repeats_wait_for_the_first_though_that_client_goes_away() -> None:
    once, deed = Once(Clock()), Deed()
    deed.go.clear()
    first = asyncio.create_task(once.run("ada", "k", b"purge", deed))
    await asyncio.sleep(0)
    repeats = [asyncio.create_task(once.run("ada", "k", b"purge", deed)) for _ in range(5)]
    await asyncio.sleep(0)
    first.cancel()
    deed.go.set()
    assert await asyncio.gather(*repeats) == [(Answer(200, b"1"), True)] * 5
    assert deed.count == 1


@pytest.mark.parametrize(
    ("status", "kept"), [(200, True), (409, True), (404, True), (403, True), (400, False), (408, False)]
)
async def test_only_an_answer_that_says_nothing_was_tried_is_not_kept(status: int, kept: bool) -> None:
    once, deed = Once(Clock()), Deed(status)
    await once.run("ada", "k", b"purge", deed)
    await asyncio.sleep(0)
    assert (await once.run("ada", "k", b"purge", deed))[1] is kept
    assert deed.count == (1 if kept else 2)


async def test_a_bug_is_not_kept() -> None:
    once, deed = Once(Clock()), Deed(500)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            await once.run("ada", "k", b"purge", deed)
        await asyncio.sleep(0)
    assert deed.count == 2


async def test_old_answers_and_too_many_are_forgotten_but_never_what_runs() -> None:
    clock = Clock()
    once, deed, slow = Once(clock, keys_max=3), Deed(), Deed()
    slow.go.clear()
    running = asyncio.create_task(once.run("ada", "slow", b"", slow))
    await asyncio.sleep(0)
    for number in range(5):
        await once.run("ada", f"k{number}", b"", deed)
    assert (await once.run("ada", "k4", b"", deed))[1] is True
    assert (await once.run("ada", "k0", b"", deed))[1] is False
    clock.now_ms += KEPT_MS + 1
    assert (await once.run("ada", "k4", b"", deed))[1] is False
    repeat = asyncio.create_task(once.run("ada", "slow", b"", slow))
    await asyncio.sleep(0)
    slow.go.set()
    assert (await running)[0] == (await repeat)[0] and slow.count == 1


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("a", True), ("x" * 128, True), ("a b~!", True), ("", False), ("x" * 129, False), ("ü", False), ("a\n", False)],
)
def test_what_can_be_a_key(text: str, is_one: bool) -> None:
    assert is_key(text) is is_one


async def test_an_answer_is_kept_for_a_day_though_there_is_room_for_more() -> None:
    clock = Clock()
    once, deed = Once(clock), Deed()
    await once.run("ada", "k", b"", deed)
    clock.now_ms += 24 * 3600 * 1000
    assert (await once.run("ada", "k", b"", deed))[1] is True
    clock.now_ms += 1
    assert (await once.run("ada", "k", b"", deed))[1] is False
    assert deed.count == 2
