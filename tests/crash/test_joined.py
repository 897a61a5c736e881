"""Kill -9 while people are joined and split: the order per person, by who was who at each event's own place in the log."""

import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.crash.joined import PAIRS, changes_between, lane_at
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Ledger, drained, judge
from tests.support.load import make_event
from tests.support.people import People
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

pytestmark = pytest.mark.crash
JOINED = (sys.executable, str(Path(__file__).with_name("joined.py")))
KILLS, EVENTS, IN_FLIGHT, UNSAVED = 15, 60, 6, 8


def test_killed_while_people_are_joined_and_split(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink, appliance, ledger, draw = make_sink(), make_appliance(command=JOINED), Ledger(), random.Random(seed)
    appliance.config["identity"] = {
        "enabled": False
    }  # Who is who is told by `joined.py`, and nothing else is in the log.
    people: list[str] = []

    def start() -> None:
        url = f"{sink.url}?run={appliance.starts}"
        appliance.config["destinations"] = {"hook": webhook(url, in_flight_max=IN_FLIGHT, unsaved_max=UNSAVED)}
        appliance.start()

    def send() -> None:
        """One event after the other, so that the number of each is its sequence."""
        with Wire(appliance.port, WRITE_KEY) as wire:
            for _ in range(EVENTS):
                people.append(f"p{draw.randrange(2 * PAIRS)}")
                key = (people[-1], len(people))
                ledger.note(key, f"m{key[1]}")
                assert wire.post("/v1/track", make_event(*key, draw, message_id=f"m{key[1]}")).status == 200
                ledger.acknowledge([key])

    for life in range(KILLS):
        sink.set_plan(Plan(seed=seed + life, error=1.0 if life % 4 == 1 else 0.1, delay_s=0.01))
        start()
        send()
        time.sleep(draw.uniform(0.0, 0.8))
        appliance.kill()
    sink.set_plan(Plan())
    start()
    sink.wait(drained(ledger.acknowledged), timeout_s=60)
    time.sleep(0.5)
    assert appliance.admin("/v1/overview")["log"]["last_sequence"] == len(people)
    lanes = [lane_at(person, sequence) for sequence, person in enumerate(people, 1)]
    graph = People(lanes, {place: changes_between(place - 1, place) for place in range(1, len(people) + 1)})
    overtaken = graph.overtaken((arrival.n, arrival.accepted) for arrival in sink.arrivals())
    verdict = judge(ledger.entries, sink.arrivals())
    figure(f"seed {seed}, {KILLS} kills, {len(people)} events, {len(overtaken)} overtaken, {verdict}")
    assert overtaken == []
    assert verdict.clean, str(verdict)
    assert max(verdict.duplicates.values(), default=0) <= IN_FLIGHT + UNSAVED, str(verdict)
