"""A bound plug-in: what its exceptions, silences and hangs become."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.deliver.instance import Instance
from tests.support.receiver import bound, event

HEAD = '''"""A plug-in."""
import asyncio, sys, threading, time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from appliance.sdk import Abort, Config, Event, Http, Limits, Log, Partial, Retry, Secret
'''


def plugin(folder: Path, body: str, *, batch: str = "", blocking: bool = False, extra: str = "") -> Path:
    path = folder / "mine.py"
    limits = (
        f"LIMITS = Limits(batch='{batch}', in_flight_max=2, timeout_s=0.3)\n"
        if batch
        else ("LIMITS = Limits(in_flight_max=2, timeout_s=0.3)\n")
    )
    first = "events: Sequence[Event]" if batch else "event: Event"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    path.write_text(f"{HEAD}{limits}{extra}\n{'' if blocking else 'async '}def deliver({first}) -> None:\n{lines}")
    return path


async def outcome(path: Path, count: int = 1, **arguments: Any) -> Any:
    async with bound(path, **arguments) as instance:
        return await instance.call([event(number + 1) for number in range(count)])


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize(
    ("body", "kind", "reason", "flags"),
    [
        ("pass", "succeeded", "", {}),
        ("raise Retry('busy')", "retry", "busy", {"throttled": False, "after_s": None}),
        ("raise Retry('slow down', after_s=5)", "retry", "slow down", {"throttled": True, "after_s": 5.0}),
        ("raise Retry('never', after_s=1e9)", "retry", "never", {"after_s": 3600.0}),
        ("raise Retry('past', after_s=-5)", "retry", "past", {"after_s": 0.0}),
        ("raise Retry('nan', after_s=float('nan'))", "retry", "nan", {"after_s": 3600.0}),
        ("raise Retry('busy', throttled=True)", "retry", "busy", {"throttled": True, "after_s": None}),
        ("raise Retry('gone', connection=True)", "retry", "gone", {"connection": True}),
        ("raise Abort('no such list')", "abort", "no such list", {}),
        ("raise Abort('')", "abort", "no reason given", {}),
        ("raise ValueError('x' * 9000)", "retry", "the plug-in failed: ValueError: xxx", {"fault": True}),
        ("{}['key']", "retry", "the plug-in failed: KeyError: 'key' (mine.py line", {"fault": True}),
        ("sys.exit(1)", "retry", "SystemExit: 1", {"fault": True}),
        ("raise asyncio.CancelledError", "retry", "CancelledError", {"fault": True}),
        ("raise StopIteration", "retry", "StopIteration", {"fault": True}),
        ("raise GeneratorExit", "retry", "GeneratorExit", {"fault": True}),
        ("import concurrent.futures as f; raise f.CancelledError", "retry", "CancelledError", {"fault": True}),
        ("raise TimeoutError", "retry", "the plug-in failed: TimeoutError", {"fault": True}),
        ("return Retry('busy')", "retry", "the plug-in returned Retry; it must raise it", {"fault": True}),
        ("return True", "retry", "the plug-in returned bool; it must return nothing", {"fault": True}),
        ("raise Partial({0: Abort('x')})", "retry", "only independent batches may", {"fault": True}),
    ],
)
async def test_what_a_plugin_does_becomes_a_result(
    tmp_path: Path, blocking: bool, body: str, kind: str, reason: str, flags: dict[str, Any]
) -> None:
    (result,) = (await outcome(plugin(tmp_path, body, blocking=blocking))).results
    assert result.kind == kind
    assert reason in result.reason and len(result.reason) <= 500
    for name, value in {"fault": False, **flags}.items():
        assert getattr(result, name) == value


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_batch_has_one_result_per_event(tmp_path: Path, blocking: bool) -> None:
    path = plugin(
        tmp_path, "raise Partial({1: Abort('bad'), 2: Retry('later')})", batch="independent", blocking=blocking
    )
    results = (await outcome(path, 4)).results
    assert [(result.kind, result.reason) for result in results] == [
        ("succeeded", ""),
        ("abort", "bad"),
        ("retry", "later"),
        ("succeeded", ""),
    ]
    path = plugin(tmp_path, "raise Abort('all')", batch="atomic", blocking=blocking)
    assert [result.kind for result in (await outcome(path, 3)).results] == ["abort"] * 3


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        ("Partial({7: Abort('x')})", "with index 7, and the batch has 3 events"),
        ("Partial({-1: Abort('x')})", "with index -1"),
        ("Partial({'a': Abort('x')})", "with index 'a'"),
        ("Partial({0: ValueError('x')})", "with a ValueError, which is neither"),
    ],
)
async def test_a_wrong_partial_settles_nothing(tmp_path: Path, raised: str, words: str) -> None:
    results = (await outcome(plugin(tmp_path, f"raise {raised}", batch="independent"), 3)).results
    assert all(result.kind == "retry" and result.fault and words in result.reason for result in results)


async def test_an_async_call_ends_at_its_time_limit(tmp_path: Path) -> None:
    started = time.monotonic()
    (result,) = (await outcome(plugin(tmp_path, "await asyncio.sleep(30)"))).results
    assert 0.25 < time.monotonic() - started < 2
    assert (result.kind, result.reason, result.fault) == ("retry", "no answer within 0.3 s", False)


async def test_swallowing_the_time_limit_is_a_fault_and_never_a_success(tmp_path: Path) -> None:
    body = "try:\n    await asyncio.sleep(30)\nexcept BaseException:\n    pass"
    (result,) = (await outcome(plugin(tmp_path, body))).results
    assert result.kind == "retry" and result.fault and "CancelledError" in result.reason


async def test_our_own_cancellation_passes_through(tmp_path: Path) -> None:
    async with bound(plugin(tmp_path, "await asyncio.sleep(30)"), host={"timeout": 30.0}) as instance:
        task = asyncio.create_task(instance.call([event()]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# Blocking plug-ins ----------------------------------------------------------------------------------------------

GATED = "started.append(event.sequence)\nassert gate.wait(20)\ndone.append(event.sequence)"
GATE = "gate, started, done = threading.Event(), [], []\n"


def module_of(instance: Instance) -> dict[str, Any]:
    return instance.plugin.deliver.call.__globals__


async def until(condition: Any) -> None:
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came about")


async def test_a_hung_call_keeps_its_place_and_its_event_is_not_sent_again(tmp_path: Path) -> None:
    async with bound(plugin(tmp_path, GATED, blocking=True, extra=GATE)) as instance:
        mine = module_of(instance)
        (first,) = (await instance.call([event(1)])).results
        assert (first.kind, first.reason, first.fault) == ("retry", "no answer within 0.3 s", False)
        assert instance.hung == 1
        (again,) = (await instance.call([event(1)])).results
        assert again.kind == "retry" and again.fault and "has not ended" in again.reason
        assert mine["started"] == [1]
        await instance.call([event(2)])
        assert instance.hung == 2
        started = time.monotonic()
        (third,) = (await instance.call([event(3)])).results
        assert third.kind == "retry" and "all 2 calls of the plug-in hang" in third.reason
        assert time.monotonic() - started < 0.2
        assert mine["started"] == [1, 2]
        mine["gate"].set()
        await until(lambda: instance.hung == 0)
        assert [(await instance.call([event(number)])).results[0].kind for number in (1, 2, 3)] == ["succeeded"] * 3
        assert mine["started"] == [1, 2, 3], "what had been delivered late was not sent again"


async def test_a_hung_call_that_fails_late_is_tried_again(tmp_path: Path) -> None:
    body = "started.append(event.sequence)\nif len(started) == 1:\n    gate.wait(20)\n    raise Retry('late failure')"
    async with bound(plugin(tmp_path, body, blocking=True, extra=GATE)) as instance:
        await instance.call([event(1)])
        module_of(instance)["gate"].set()
        await until(lambda: instance.hung == 0)
        assert (await instance.call([event(1)])).results[0].kind == "succeeded"
        assert module_of(instance)["started"] == [1, 1]


async def test_a_hung_batch_that_ended_counts_event_by_event(tmp_path: Path) -> None:
    body = "started.append([e.sequence for e in events])\ngate.wait(20)"
    async with bound(plugin(tmp_path, body, batch="atomic", blocking=True, extra=GATE)) as instance:
        await instance.call([event(1), event(2)])
        module_of(instance)["gate"].set()
        await until(lambda: instance.hung == 0)
        results = (await instance.call([event(1), event(3)])).results
        assert [result.kind for result in results] == ["succeeded", "succeeded"]
        assert (await instance.call([event(2)])).results[0].kind == "succeeded"
        assert module_of(instance)["started"] == [[1, 2], [3]]


async def test_blocking_calls_never_exceed_their_places(tmp_path: Path) -> None:
    extra = "now, most, lock = 0, 0, threading.Lock()\n"
    body = "global now, most\nwith lock:\n    now += 1\n    most = max(most, now)\ntime.sleep(0.02)\nwith lock:\n    now -= 1"
    async with bound(plugin(tmp_path, body, blocking=True, extra=extra), host={"timeout": 10.0}) as instance:
        outcomes = await asyncio.gather(*[instance.call([event(number)]) for number in range(1, 21)])
        assert all(each.results[0].kind == "succeeded" for each in outcomes)
        assert module_of(instance)["most"] == 2


async def test_a_cancelled_blocking_call_is_not_doubled_either(tmp_path: Path) -> None:
    async with bound(plugin(tmp_path, GATED, blocking=True, extra=GATE), host={"timeout": 30.0}) as instance:
        task = asyncio.create_task(instance.call([event(1)]))
        await until(lambda: module_of(instance)["started"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert instance.hung == 1
        assert "has not ended" in (await instance.call([event(1)])).results[0].reason
        module_of(instance)["gate"].set()
        await until(lambda: instance.hung == 0)


async def test_threads_of_a_plugin_do_not_keep_the_process(tmp_path: Path) -> None:
    async with bound(plugin(tmp_path, GATED, blocking=True, extra=GATE)) as instance:
        await instance.call([event(1)])
        mine = [thread for thread in threading.enumerate() if thread.name.startswith("plugin-crm")]
        assert mine and all(thread.daemon for thread in mine)
        module_of(instance)["gate"].set()
    for thread in mine:
        thread.join(5)
        assert not thread.is_alive()


# open, close, check ---------------------------------------------------------------------------------------------

OPEN = {
    False: "@contextmanager\ndef open() -> Iterator[str]:\n    {before}\n    log.append('open')\n    yield 'thing'\n    log.append('close')\n",
    True: "@asynccontextmanager\nasync def open() -> AsyncIterator[str]:\n    {before}\n    log.append('open')\n    yield 'thing'\n    log.append('close')\n",
}


def with_open(folder: Path, asynchronous: bool, before: str = "pass", check: str = "") -> Path:
    path = folder / "mine.py"
    kind = "async " if asynchronous else ""
    path.write_text(
        f"{HEAD}LIMITS = Limits(in_flight_max=2, timeout_s=0.3)\nlog, tries = [], []\n"
        f"{OPEN[asynchronous].format(before=before)}{check}\n"
        f"{kind}def deliver(event: Event, thing: str) -> None:\n    log.append(thing)\n"
    )
    return path


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_open_is_entered_once_and_left_at_the_end(tmp_path: Path, asynchronous: bool) -> None:
    async with bound(with_open(tmp_path, asynchronous)) as instance:
        await asyncio.gather(*[instance.call([event(number)]) for number in (1, 2, 3)])
        assert (await instance.open()).kind == "succeeded"
        log = module_of(instance)["log"]
        assert log == ["open", "thing", "thing", "thing"]
    assert log[-1] == "close"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_cannot_be_opened_yet_is_tried_again_with_the_next_call(tmp_path: Path, asynchronous: bool) -> None:
    before = "tries.append(1)\n    if len(tries) == 1: raise Retry('not there yet')\n    if len(tries) == 2: 1 / 0"
    async with bound(with_open(tmp_path, asynchronous, before)) as instance:
        assert (await instance.open()).reason == "not there yet"
        (broken,) = (await instance.call([event(1)])).results
        assert broken.kind == "retry" and broken.fault and "ZeroDivisionError" in broken.reason
        assert (await instance.call([event(1)])).results[0].kind == "succeeded"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_an_opening_that_takes_too_long_is_waited_for_not_repeated(tmp_path: Path, asynchronous: bool) -> None:
    before = f"tries.append(1)\n    {'await asyncio' if asynchronous else 'time'}.sleep(0.7)"
    async with bound(with_open(tmp_path, asynchronous, before)) as instance:
        assert (await instance.open()).reason == "did not open within 0.3 s"
        await until(lambda: "open" in module_of(instance)["log"])
        assert (await instance.call([event(1)])).results[0].kind == "succeeded"
        assert module_of(instance)["tries"] == [1]


async def test_closing_never_raises_and_never_hangs(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        f"{HEAD}@asynccontextmanager\nasync def open() -> AsyncIterator[str]:\n    yield ''\n    await asyncio.sleep(60)\n"
        "async def deliver(event: Event, thing: str) -> None: ...\n"
    )
    started = time.monotonic()
    async with bound(path) as instance:
        await instance.open()
        await instance.close(0.2)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        ("", "succeeded"),
        ("def check() -> None: ...", "succeeded"),
        ("def check() -> None: raise Abort('no key')", "abort"),
        ("async def check(thing: str, http: Http) -> None: raise Retry(thing)", "retry"),
    ],
)
async def test_check_asks_the_plugin(tmp_path: Path, check: str, kind: str) -> None:
    async with bound(with_open(tmp_path, True, check=check)) as instance:
        (result,) = (await instance.check()).results
        assert (result.kind, result.fault) == (kind, False)


async def test_secrets_never_reach_reasons_or_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_KEY", "hunter2/secret")
    path = tmp_path / "mine.py"
    path.write_text(
        f"{HEAD}class C(Config):\n    keys: dict[str, Secret]\n"
        "async def deliver(event: Event, config: C) -> None:\n    key = config.keys['a'].reveal()\n"
        "    if event.sequence == 1: raise Abort(f'bad key {key}', sample=f'you sent {key} and hunter2%2Fsecret')\n"
        "    raise ValueError(key)\n"
    )
    async with bound(path, {"keys": {"a": "env:CRM_KEY"}}) as instance:
        for number in (1, 2):
            (result,) = (await instance.call([event(number)])).results
            assert "hunter2" not in result.reason + result.sample
            assert "***" in result.reason
