"""Kill -9 at moments that are rare under plain load: while held queues drain, dead letters are made or requeued, a pause."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterable

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Key, Ledger, drained, judge
from tests.support.load import make_event
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

pytestmark = pytest.mark.crash
IN_FLIGHT, UNSAVED = 8, 8


def send(appliance: Appliance, ledger: Ledger, keys: Iterable[Key], draw: random.Random) -> None:
    """One batch, in order, acknowledged."""
    pairs = list(keys)
    for key in pairs:
        ledger.note(key, f"{key[0]}:{key[1]}")
    with Wire(appliance.port, WRITE_KEY) as wire:
        batch = [make_event(*key, draw, message_id=f"{key[0]}:{key[1]}") for key in pairs]
        assert wire.post("/v1/batch", {"batch": batch}).status == 200
    ledger.acknowledge(pairs)


def start(appliance: Appliance, sink: Sink) -> None:
    """The next life; its number stands in the sink's address."""
    url = f"{sink.url}?run={appliance.starts}"
    appliance.config["destinations"] = {"hook": webhook(url, in_flight_max=IN_FLIGHT, unsaved_max=UNSAVED)}
    appliance.start()


def dead(appliance: Appliance) -> Counter[str]:
    """How often each messageId is a dead letter."""
    found: Counter[str] = Counter()
    after = 0
    while True:
        page = appliance.admin(f"/v1/dead?limit=1000&after={after}")
        found.update(letter["message_id"] for letter in page["dead"])
        if not (after := page["after"]):
            return found


def test_killed_while_held_queues_drain(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink, appliance, ledger, draw = make_sink(Plan(error=1.0)), make_appliance(), Ledger(), random.Random(seed)
    start(appliance, sink)
    for n in range(100):
        send(appliance, ledger, [(f"p{person}", n) for person in range(12)], draw)
    sink.wait(lambda arrivals: len(arrivals) > 20, timeout_s=10)
    sink.set_plan(Plan(seed=seed, error=0.05, delay_s=0.01))
    for n in range(100, 110):
        time.sleep(draw.uniform(0.0, 0.5))
        send(appliance, ledger, [(f"p{person}", n) for person in range(12)], draw)
        time.sleep(draw.uniform(0.0, 0.5))
        appliance.kill()
        start(appliance, sink)
    sink.wait(drained(ledger.acknowledged), timeout_s=60)
    time.sleep(0.5)
    verdict = judge(ledger.entries, sink.arrivals())
    figure(f"seed {seed}, 10 kills, {len(ledger.entries)} events, {verdict}")
    assert verdict.clean, str(verdict)
    assert max(verdict.duplicates.values(), default=0) <= IN_FLIGHT + UNSAVED, str(verdict)


def test_killed_while_dead_letters_are_made_each_is_made_once(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    draw = random.Random(seed)
    keys = [(f"p{person}", n) for n in range(60) for person in range(30)]
    poison = {f"{person}:{n}" for person, n in draw.sample(keys, 300)}
    sink, appliance, ledger = (
        make_sink(Plan(fail_ids=dict.fromkeys(poison, 400), delay_s=0.005)),
        make_appliance(),
        Ledger(),
    )
    start(appliance, sink)
    send(appliance, ledger, keys, draw)
    for _ in range(10):
        time.sleep(draw.uniform(0.05, 0.5))
        appliance.kill()
        start(appliance, sink)
    good = {key for key in keys if f"{key[0]}:{key[1]}" not in poison}
    sink.wait(drained(good), timeout_s=60)
    deadline = time.monotonic() + 10
    while (letters := dead(appliance)).keys() != poison and time.monotonic() < deadline:
        time.sleep(0.2)
    verdict = judge(ledger.entries, sink.arrivals())
    figure(f"seed {seed}, 10 kills, {letters.total()} dead letters of {len(poison)} poison events, {verdict}")
    assert letters == dict.fromkeys(poison, 1)
    assert {f"{person}:{n}" for person, n in verdict.lost} == poison
    assert not (verdict.inversions or verdict.repeated), str(verdict)


def test_killed_while_dead_letters_are_requeued_none_is_lost(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
) -> None:
    sink, appliance, ledger, draw = make_sink(Plan(status=400)), make_appliance(), Ledger(), random.Random(seed)
    start(appliance, sink)
    keys = [(f"p{person}", n) for n in range(40) for person in range(15)]
    send(appliance, ledger, keys, draw)
    deadline = time.monotonic() + 20
    while len(dead(appliance)) < len(keys) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert len(dead(appliance)) == len(keys)
    sink.set_plan(Plan(delay_s=0.01))
    for _ in range(6):
        done = appliance.sternpost("dead", "requeue", "age:>0s", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        time.sleep(draw.uniform(0.0, 0.4))
        appliance.kill()
        start(appliance, sink)
    sink.wait(drained(keys), timeout_s=60)
    time.sleep(0.5)
    assert not dead(appliance)
    verdict = judge(ledger.entries, [arrival for arrival in sink.arrivals() if arrival.accepted])
    assert verdict.clean, str(verdict)
    assert max(verdict.duplicates.values(), default=0) <= IN_FLIGHT + UNSAVED, str(verdict)


def test_a_pause_survives_a_kill(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
) -> None:
    sink, appliance, ledger, draw = make_sink(), make_appliance(), Ledger(), random.Random(seed)
    start(appliance, sink)
    send(appliance, ledger, [("p", 0)], draw)
    sink.wait(drained([("p", 0)]))
    appliance.admin("/v1/destinations/hook/pause", {})
    send(appliance, ledger, [("p", n) for n in range(1, 50)], draw)
    appliance.kill()
    start(appliance, sink)
    time.sleep(1.0)
    assert len({arrival.n for arrival in sink.arrivals()}) == 1, "it delivers though it was paused"
    appliance.admin("/v1/destinations/hook/resume", {})
    sink.wait(drained(ledger.acknowledged), timeout_s=15)
    assert judge(ledger.entries, sink.arrivals()).clean
