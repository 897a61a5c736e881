"""The interleavings that break careless designs, each on the real process."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

import aiohttp
import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Ledger, delays_s, drained, judge
from tests.support.load import make_event, percentile
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire, basic

SOON = {"retry": {"delay_min": "50ms", "delay_max": "300ms", "attempts_max": 6}}


class Sender:
    """Sends numbered events one after the other on one connection and keeps the ledger."""

    def __init__(self, appliance: Appliance, seed: int = 0) -> None:
        self.appliance, self.draw, self.ledger = appliance, random.Random(seed), Ledger()

    def send(self, pairs: Iterable[tuple[str, int]], name: str = "Viewed") -> None:
        """One batch; an event is known as `person:n`, its order among the person's is `n`."""
        keys = list(pairs)
        batch = [make_event(person, n, self.draw, message_id=f"{person}:{n}", name=name) for person, n in keys]
        for key in keys:
            self.ledger.note(key, f"{key[0]}:{key[1]}")
        with Wire(self.appliance.port, WRITE_KEY) as wire:
            reply = wire.post("/v1/batch", {"batch": batch})
        assert (reply.status, reply.text.strip().lower()) == (200, "ok"), reply
        self.ledger.acknowledge(keys)


def dead_ids(appliance: Appliance) -> list[str]:
    """The messageIds of all dead letters."""
    return sorted(letter["message_id"] for letter in appliance.json("dead", "list", "--limit", "1000")["dead"])


def requeue_all(appliance: Appliance) -> None:
    """Every dead letter is on its way again."""
    done = appliance.sternpost("dead", "requeue", "age:>0s", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr


def state(appliance: Appliance, destination: str = "hook") -> str:
    found = [row["state"] for row in appliance.json("status")["destinations"] if row["name"] == destination]
    assert found, "the destination is not listed"
    return str(found[0])


def until_state(appliance: Appliance, wanted: set[str], timeout_s: float = 20.0) -> str:
    deadline = time.monotonic() + timeout_s
    while (now := state(appliance)) not in wanted:
        assert time.monotonic() < deadline, f"state is {now}, not one of {wanted}"
        time.sleep(0.1)
    return now


# -- a duplicate of an event that is not committed yet, while the process is killed --


async def _race(url: str, bodies: list[bytes], copies: int, kill: Callable[[], None], answers: int) -> list[int]:
    """Post every body `copies` times at once and kill after so many answers; returns per body how many were answered."""
    counts, seen = [0] * len(bodies), 0
    async with aiohttp.ClientSession(headers=basic(WRITE_KEY), connector=aiohttp.TCPConnector(limit=0)) as session:

        async def once(index: int) -> None:
            nonlocal seen
            try:
                async with session.post(url, data=bodies[index]) as reply:
                    assert reply.status == 200
            except aiohttp.ClientError:
                return
            counts[index] += 1
            seen += 1
            if seen == answers:
                kill()

        await asyncio.gather(*(once(index) for index in range(len(bodies)) for _ in range(copies)))
    return counts


def test_a_duplicate_of_an_uncommitted_event_while_the_process_is_killed(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink, appliance, draw, ledger = make_sink(), make_appliance(), random.Random(seed), Ledger()
    answered = torn = 0

    def start() -> None:
        address = f"{sink.url}?run={appliance.starts}"
        appliance.config["destinations"] = {"hook": webhook(address, in_flight_max=8, unsaved_max=8)}
        appliance.start()

    for round_number in range(15):
        start()
        keys = [(f"r{round_number}-{number}", 1) for number in range(20)]
        bodies = [json.dumps(make_event(*key, draw, message_id=f"{key[0]}:1")).encode() for key in keys]
        for key in keys:
            ledger.note(key, f"{key[0]}:1")
        counts = asyncio.run(_race(appliance.url + "/v1/track", bodies, 4, appliance.kill, draw.randint(1, 70)))
        ledger.acknowledge(key for key, count in zip(keys, counts, strict=True) if count)
        answered += sum(counts)
        torn += 0 < sum(counts) < 4 * len(keys)
        start()
        for key, body in zip(keys, bodies, strict=True):
            with Wire(appliance.port, WRITE_KEY) as wire:
                assert wire.post("/v1/track", body).status == 200
            ledger.acknowledge([key])
        appliance.stop()
    start()
    sink.wait(drained(ledger.acknowledged), timeout_s=30)
    time.sleep(0.5)
    verdict = judge(ledger.entries, sink.arrivals())
    figure(
        f"seed {seed}, {len(ledger.entries)} ids sent 5 times, {answered} answers before a kill, {torn} of 15 kills "
        f"between two answers, {verdict}"
    )
    assert torn, "no kill fell among the answers: the test would prove nothing"
    assert verdict.clean, str(verdict)
    assert max(verdict.duplicates.values(), default=0) <= 16, str(verdict)


# -- a poison event --


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("kind", ["single", "batch", "relay"])
def test_a_poison_event_dies_alone(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    kind: str,
    status: int,
) -> None:
    poison = {"p3:4": status, "p7:0": status}
    sink = make_sink(Plan(fail_ids=poison))
    appliance = make_appliance()
    relay = {"plugin": "relay", "url": sink.url.removesuffix("/events"), "write_key": WRITE_KEY}
    hook = {"single": webhook(sink.url), "batch": webhook(sink.url, body="array"), "relay": webhook("") | relay}[kind]
    appliance.config["destinations"] = {"hook": hook | SOON}
    appliance.start()
    sender = Sender(appliance)
    sender.send((f"p{person}", n) for n in range(5) for person in range(10))
    good = {f"p{person}:{n}" for n in range(5) for person in range(10)} - poison.keys()
    sink.wait_accepted(good, timeout_s=30)
    deadline = time.monotonic() + 20
    while dead_ids(appliance) != sorted(poison) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert dead_ids(appliance) == sorted(poison)
    verdict = judge(sender.ledger.entries, sink.arrivals())
    assert {f"{person}:{n}" for person, n in verdict.lost} == poison.keys()
    assert not (verdict.inversions or verdict.repeated or verdict.strangers), str(verdict)
    if kind != "single":
        assert max(sum(a.request == r for a in sink.arrivals()) for r in {a.request for a in sink.arrivals()}) > 1


# -- a destination that fails for one event type only --


@pytest.mark.parametrize("others", ["at once", "later"])
def test_a_destination_that_fails_for_one_type_only_keeps_serving_the_rest(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    figure: Callable[[str], None],
    others: str,
) -> None:
    sink = make_sink(Plan(fail_events={"Refund": 500}))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    sender = Sender(appliance)
    sick, well = [f"sick{number}" for number in range(30)], [f"well{number}" for number in range(60)]
    sender.send(((person, 1) for person in sick), name="Refund")
    sender.send((person, 2) for person in sick)
    if others == "later":
        until_state(appliance, {"open"})
    began = time.monotonic()
    for n in range(3):
        sender.send((person, n) for person in well)
    sink.wait_accepted({f"{person}:{n}" for person in well for n in range(3)}, timeout_s=60)
    figure(f"30 people fail, the other 60 were served within {time.monotonic() - began:.1f} s")
    assert not dead_ids(appliance)
    assert not {a.person for a in sink.accepted()} & set(sick), "nobody overtakes an own event"
    sink.set_plan(Plan())
    sink.wait(drained(sender.ledger.acknowledged), timeout_s=60)
    verdict = judge(sender.ledger.entries, sink.arrivals())
    assert verdict.clean, str(verdict)
    until_state(appliance, {"running"})


# -- a token revoked --


def test_a_revoked_token_buries_no_more_than_the_threshold(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    sender = Sender(appliance)
    people = [f"p{number}" for number in range(300)]
    sender.send((person, 0) for person in people)
    sink.wait(drained(sender.ledger.acknowledged))
    sink.set_plan(Plan(status=401))
    for n in (1, 2):
        sender.send((person, n) for person in people)
    until_state(appliance, {"misconfigured"})
    time.sleep(3.0)
    sender.send((person, 3) for person in people)
    time.sleep(1.0)
    dead = dead_ids(appliance)
    figure(f"{len(dead)} dead letters at 401 for all")
    assert 0 < len(dead) <= 20
    appliance.kill()
    appliance.start()
    time.sleep(3.0)
    assert len(dead_ids(appliance)) <= 40, "each life may learn it once"
    sink.set_plan(Plan())
    sink.wait_accepted({f"{p}:{n}" for p in people for n in range(4)} - set(dead_ids(appliance)), timeout_s=60)
    until_state(appliance, {"running", "degraded"})
    verdict = judge(sender.ledger.entries, sink.arrivals())
    assert {f"{person}:{n}" for person, n in verdict.lost} == set(dead_ids(appliance))
    assert not (verdict.inversions or verdict.repeated), str(verdict)
    requeue_all(appliance)
    sink.wait(drained(sender.ledger.acknowledged), timeout_s=30)


# -- one slow hot person beside a thousand others --


def test_a_slow_hot_person_costs_a_thousand_others_nothing(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink(Plan(slow_people={"hot": 0.25}))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url, in_flight_max=8, read_ahead_max=400)}})
    appliance.start()
    medians = []
    for hot in (False, True):
        sender = Sender(appliance, seed)
        for step in range(30):
            batch = [(f"{hot}-p{number}", step) for number in range(step % 10, 1000, 25)]
            sender.send(([("hot", step * 50 + number) for number in range(50)] if hot else []) + batch)
            time.sleep(0.15)
        calm = {key: entry for key, entry in sender.ledger.entries.items() if key[0] != "hot"}
        sink.wait(drained(calm), timeout_s=20)
        delays = list(delays_s(calm, sink.arrivals()).values())
        medians.append((percentile(delays, 0.5), percentile(delays, 0.95), max(delays)))
        figure(
            f"hot: {hot}; others' 200 to arrival p50 {medians[-1][0] * 1e3:.0f} ms, p95 {medians[-1][1] * 1e3:.0f} ms, "
            f"max {medians[-1][2] * 1e3:.0f} ms"
        )
    assert not dead_ids(appliance)
    hot_order = [arrival.n for arrival in sink.arrivals() if arrival.person == "hot"]
    assert len(hot_order) < 1000, "the hot person was not slow: the test would prove nothing"
    sink.set_plan(Plan())
    sink.wait(drained(sender.ledger.acknowledged), timeout_s=60)
    verdict = judge(sender.ledger.entries, [a for a in sink.arrivals() if not a.person.startswith("False")])
    assert verdict.clean, str(verdict)
    assert medians[1][1] < medians[0][1] * 3 + 0.2
    assert medians[1][2] < 2.0


# -- requeue while newer events wait --


def test_a_requeued_event_goes_before_the_newer_ones_that_wait(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink(Plan(fail_ids={"p:5": 400, "p:6": 500}))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    sender = Sender(appliance)
    sender.send(("p", n) for n in range(1, 9))
    sink.wait(lambda arrivals: sum(a.message_id == "p:6" for a in arrivals) >= 2, timeout_s=10)
    assert dead_ids(appliance) == ["p:5"]
    requeue_all(appliance)
    time.sleep(1.0)
    sink.set_plan(Plan())
    sink.wait(lambda arrivals: sum(a.accepted for a in arrivals) >= 7, timeout_s=15)
    assert [a.n for a in sink.accepted() if a.n != 5] == [1, 2, 3, 4, 6, 7, 8]
    assert dead_ids(appliance) == ["p:5"], "it was refused again, before the newer ones"
    requeue_all(appliance)
    sink.wait(drained(sender.ledger.acknowledged), timeout_s=15)
    assert not dead_ids(appliance)


def test_a_requeued_event_that_works_again_is_delivered_first(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink(Plan(fail_ids={"p:5": 400, "p:6": 500}))
    slow = {"retry": {"delay_min": "1500ms", "delay_max": "2s"}}
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url) | slow}})
    appliance.start()
    sender = Sender(appliance)
    sender.send(("p", n) for n in range(1, 9))
    sink.wait(lambda arrivals: any(a.message_id == "p:6" for a in arrivals), timeout_s=10)
    sink.set_plan(Plan(fail_ids={"p:6": 500}))
    requeue_all(appliance)
    sink.wait_accepted({"p:5"}, timeout_s=10)
    assert [a.n for a in sink.accepted()] == [1, 2, 3, 4, 5]
    sink.set_plan(Plan())
    sink.wait(drained(sender.ledger.acknowledged), timeout_s=15)
    assert [a.n for a in sink.accepted()] == [1, 2, 3, 4, 5, 6, 7, 8]


# -- the shape of what the commands print, so that the tests above cannot pass on nothing --


def test_the_commands_these_proofs_read_say_what_is_expected(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
) -> None:
    sink = make_sink(Plan(status=404))
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url)}})
    appliance.start()
    assert state(appliance) == "running"
    Sender(appliance).send([("p", 1)])
    sink.wait(bool)
    deadline = time.monotonic() + 5
    while not dead_ids(appliance) and time.monotonic() < deadline:
        time.sleep(0.1)
    letter: dict[str, Any] = appliance.json("dead", "list")["dead"][0]
    assert (letter["message_id"], letter["destination"]) == ("p:1", "hook")
