"""Kill -9 while people are merged and split: graph, log and destination agree afterwards, about every single event."""

import os
import random
import time
import urllib.error
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.core.config import IdentityConfig
from appliance.core.event import Record
from appliance.identity.rules import Rules
from appliance.process.identify import FILE
from appliance.wal.offline import reading
from tests.crash.lives import SABOTAGE, hook, killed_under_load
from tests.support.appliance import WRITE_KEY, Appliance
from tests.support.customers import Customers
from tests.support.graph_checks import sound_file
from tests.support.judge import Ledger, drained
from tests.support.people_judge import Faults, all_records, judge_people
from tests.support.sink import Plan, Sink

pytestmark = pytest.mark.crash
KILLS = max(6, int(os.environ.get("STERNPOST_KILLS", "0")) // 10)


def undo_one(appliance: Appliance, draw: random.Random) -> None:
    """An operator undoes one of the newest merges, if it is not gone meanwhile."""
    merges = [merge["merge"] for merge in appliance.admin("/v1/people/merges")["merges"] if merge["holds"]]
    if merges:
        with suppress(urllib.error.HTTPError):
            appliance.admin("/v1/people/undo", {"merge": draw.choice(merges)})


def load_and_kill(appliance: Appliance, sink: Sink, seed: int, kills: int) -> Ledger:
    """Customers during all kills; returns what they sent, with the process stopped and everything delivered.

    In some lives the destination is down, so that it lags behind the graph; before some the graph is lost, so that it
    lags behind the destination.
    """
    ledger, draw = Ledger(), random.Random(seed)

    def begin(run: int, dies: bool) -> None:
        appliance.config["destinations"] = {"hook": hook(sink, run)}
        if dies and draw.random() < 0.3:
            for file in (appliance.data / "identity").glob(f"{FILE}*"):
                file.unlink()
        down = dies and draw.random() < 0.3
        sink.set_plan(Plan(seed=run, error=1.0) if down else Plan(seed=run, error=0.1, reset=0.02))

    def live() -> None:
        appliance.start()
        time.sleep(draw.uniform(0.2, 1.0))
        if draw.random() < 0.7:
            undo_one(appliance, draw)
        time.sleep(draw.uniform(0.0, 0.5))

    clients = [
        Customers(f"c{n}", appliance.url, WRITE_KEY, ledger, random.Random(f"{seed}:{n}"), batch_max=n % 3 * 4 + 1)
        for n in range(6)
    ]
    killed_under_load(appliance, clients, kills, begin, live)
    sink.set_plan(Plan())
    sink.wait(drained(ledger.acknowledged), timeout_s=60.0 + kills)
    appliance.stop()
    return ledger


def log_of(appliance: Appliance) -> tuple[list[Record], str, Path]:
    """Everything in its log, the log's id, and the file of its graph."""
    with reading(appliance.data / "wal") as log:
        return all_records(log), log.figures()["log_id"], appliance.data / "identity" / "people.sqlite"


def judged(appliance: Appliance, sink: Sink, scratch: Path) -> tuple[Faults, str]:
    """The faults, and figures of what was judged."""
    records, log_id, graph = log_of(appliance)
    rules = Rules(IdentityConfig())
    faults = judge_people(records, log_id, graph, sink.arrivals(), rules, scratch / "anew.sqlite")
    return faults, f"{len(records)} events, {len(sink.arrivals())} arrivals, {faults}"


@pytest.mark.timeout(180 + 8 * KILLS)
def test_kill_9_during_merges_leaves_every_event_with_its_person(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
    tmp_path: Path,
) -> None:
    sink, appliance = make_sink(bodies=True), make_appliance()
    ledger = load_and_kill(appliance, sink, seed, KILLS)
    faults, figures = judged(appliance, sink, tmp_path)
    again = len(sink.arrivals()) - len({arrival.message_id for arrival in sink.arrivals()})
    records, log_id, graph = log_of(appliance)
    acts = sum(not record.source for record in records)
    figure(f"seed {seed}, {KILLS} kills, {figures}, {again} again, {acts} acts, {sound_file(graph, log_id)}")
    assert len(ledger.acknowledged) > 50 * KILLS, "hardly any load: the test would prove nothing"
    assert again > KILLS, "hardly anything was delivered again: the test would prove nothing"
    assert faults.clean, str(faults)


CONVICTED_OF: dict[str, Callable[[Faults], int]] = {
    "unwaited_graph": lambda faults: len(faults.wrong),
    "renamed_people": lambda faults: len(faults.changed),
    "forgotten_ids": lambda faults: len(faults.homeless),
    "reordered_minting": lambda faults: len(faults.otherwise),
    "untold_joins": lambda faults: len(faults.overtaking),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "mode", CONVICTED_OF if "STERNPOST_KILLS" in os.environ else ["unwaited_graph", "renamed_people", "untold_joins"]
)
def test_the_same_harness_convicts_a_sabotaged_graph(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
    tmp_path: Path,
    mode: str,
) -> None:
    sink, appliance = make_sink(bodies=True), make_appliance(command=[*SABOTAGE, mode])
    load_and_kill(appliance, sink, seed, 1 if mode == "unwaited_graph" else 3)
    faults, figures = judged(appliance, sink, tmp_path)
    figure(f"seed {seed}, {figures}")
    assert CONVICTED_OF[mode](faults), str(faults)
