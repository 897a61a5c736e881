"""Who is held is called otherwise now, or the graph has yet to come by: their later events wait for them all the same."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.core.config import IdentityConfig
from appliance.core.event import pack_event
from appliance.core.plan import Join
from appliance.identity.graph import Graph as PersonGraph
from appliance.identity.rules import Rules
from appliance.process.identify import FILE
from appliance.wal.log import HeldJob, Transaction
from tests.integration.test_people import send
from tests.integration.test_people_joined import ALWAYS, Destination, taken
from tests.support.appliance import Appliance, webhook
from tests.support.people import Graph, People
from tests.support.room import Room, running
from tests.support.sink import Plan, Sink
from tests.support.waiting import until

Ids = Mapping[str, str]
A1, ANN = {"anonymousId": "a1"}, {"userId": "ann"}
BOTH: Ids = {**A1, **ANN}
KIOSK: list[Ids] = [{"anonymousId": "kiosk", "userId": f"u{n}"} for n in range(5)]
USERS: list[Ids] = [{"userId": f"u{n}"} for n in range(5)]


async def collect(room: Room, first: int, people: Sequence[Ids]) -> None:
    """Events m1, m2, ... of these people."""
    for number, ids in enumerate(people, first):
        await room.collect({"messageId": f"m{number}", "event": "E", **ids})
    await room.settled()


@asynccontextmanager
async def life(folder: Path, destination: Destination, how: str) -> AsyncIterator[Room]:
    """A life of the process without a graph, with one, or with one that is made anew and calls people otherwise."""
    identity = folder / "data" / "identity"
    if how == "numbered otherwise":
        identity.mkdir(parents=True)
        PersonGraph(identity / FILE, Rules(IdentityConfig()), "another log", 0).close()
    elif how == "made anew":
        shutil.rmtree(identity)
    async with running(folder, destination.config, graph=how != "without") as room:
        await room.settled()
        yield room


LIVES = [
    ("without", "with", [A1, A1], [A1]),
    ("without", "with", [A1, BOTH], [ANN]),
    ("without", "with", KIOSK, USERS),
    ("without", "with", [A1, A1, A1, *[A1] * 150, BOTH], [ANN]),
    ("with", "without", [A1, A1], [A1]),
    ("numbered otherwise", "made anew", [A1, BOTH], [ANN]),
    ("numbered otherwise", "made anew", [ANN, *KIOSK], USERS),
]


@pytest.mark.parametrize(("before", "after", "held", "later"), LIVES)
async def test_whoever_is_held_is_not_overtaken_by_themselves_under_another_name(
    tmp_path: Path, before: str, after: str, held: Sequence[Ids], later: Sequence[Ids]
) -> None:
    destination = Destination(tmp_path)
    count, fails = len(held), range(1, len(held) + 1)
    destination.fail(dict.fromkeys(fails, ALWAYS))
    async with life(tmp_path, destination, before) as room:
        await collect(room, 1, held)
        await destination.until(lambda notes: notes.count((1, False)) > 2)
        await room.until("/v1/destinations", lambda found: found["destinations"][0]["held_events"] == count)
    last = count + len(later) + 1
    for how, fresh in ((after, [*later, {"userId": "somebody else"}]), (after.replace("made anew", "with"), [])):
        async with life(tmp_path, destination, how) as room:
            await collect(room, count + 1, fresh)
            tried = len(destination.notes())
            await destination.until(lambda notes, tried=tried: last in taken(notes) and len(notes) > tried + 3)
            assert taken(destination.notes()) == {last}, "they overtook themselves"
            if not fresh:  # a later start knows it as well, and then the destination is well again
                destination.fail({})
                await room.dispatcher.drain("notes")
                notes = await destination.until(lambda notes: len(taken(notes)) == last)
    first_taken = [sequence for sequence, took in notes if took]
    for number, ids in enumerate(later, count + 1):
        earlier = [at for at, one in enumerate(held, 1) if ids.items() & one.items()]
        assert all(first_taken.index(one) < first_taken.index(number) for one in earlier), first_taken


async def test_a_requeued_letter_of_another_time_is_not_overtaken(tmp_path: Path) -> None:
    """The log has its event no more, so it goes back into the lane that it came from."""
    destination = Destination(tmp_path, attempts_max=1)
    destination.fail({1: ALWAYS})
    async with life(tmp_path, destination, "without") as room:
        await collect(room, 1, [A1])
        await room.until("/v1/dead", lambda found: found["dead"])
        (letter,) = room.log.dead_letters()
        letter.record = b""

        def without_record(transaction: Transaction) -> None:
            transaction.exhume([letter.id])
            transaction.bury([letter])

        await asyncio.wrap_future(room.log.write(without_record))
    destination = Destination(tmp_path)
    destination.fail({1: ALWAYS})
    async with life(tmp_path, destination, "with") as room:
        (letter,) = room.log.dead_letters()
        await room.post("/v1/dead/requeue", {"ids": [letter.id], "expect": 1})
        await destination.until(lambda notes: notes.count((1, False)) > 2)
        await collect(room, 2, [A1, {"userId": "somebody else"}])
        await destination.until(lambda notes: 3 in taken(notes) and len(notes) > 8)
        assert 2 not in taken(destination.notes())
        destination.fail({})
        await room.dispatcher.drain("notes")
        notes = await destination.until(lambda notes: len(taken(notes)) == 3)
    assert [sequence for sequence, took in notes if took] == [3, 1, 2]


async def test_a_lane_is_joined_when_the_graph_has_come_to_where_the_destination_was(tmp_path: Path) -> None:
    """After a power cut or a quarantine it reads again what the destination has had long ago."""
    people = People(["loser", "winner", "winner"], {2: [Join(2, "loser", "winner")]})
    destination = Destination(tmp_path)
    async with running(tmp_path, destination.config, Graph(people)) as room:
        await collect(room, 1, [A1, A1])
        await destination.until(lambda notes: len(taken(notes)) == 2)
        (block, *_) = room.log.read(0)
        lane, event = room.dispatcher._pipeline.event(block.records[0])
    destination = Destination(tmp_path)
    destination.fail({1: ALWAYS})
    graph = Graph(people, reach=0)
    async with running(tmp_path, destination.config, graph) as room:
        job = HeldJob("notes", lane, 1, 0, 0, 0, 0, 0, "requeued", pack_event(event))
        await asyncio.wrap_future(room.log.write(lambda transaction: transaction.hold([job])))
    async with running(tmp_path, destination.config, graph) as room:
        await collect(room, 3, [A1])
        await asyncio.sleep(0.3)
        assert len(destination.notes()) == 2, "nobody knows yet for whom it must wait"
        (shown,) = (await room.get("/v1/destinations"))["destinations"]
        assert shown["held_events"] == 1
        graph.reach = 3
        room.wake()
        await destination.until(lambda notes: notes.count((1, False)) > 3)
        assert 3 not in taken(destination.notes()), "the winner's event overtook the loser's"
        destination.fail({})
        notes = await destination.until(lambda notes: 3 in taken(notes))
    assert [sequence for sequence, took in notes if took] == [1, 2, 1, 3]


async def test_after_an_undo_both_are_shown_the_queue_that_they_wait_for(tmp_path: Path) -> None:
    destination = Destination(tmp_path)
    destination.fail({1: ALWAYS})
    async with life(tmp_path, destination, "with") as room:
        alias = {"type": "alias", "userId": "ann", "previousId": "bob"}
        await collect(room, 1, [ANN, {"userId": "bob"}])
        await room.until("/v1/destinations", lambda found: found["destinations"][0]["delivered_total"] == 1)
        await collect(room, 3, [alias])
        await room.until("/v1/destinations", lambda found: found["destinations"][0]["held_events"] == 2)
        await room.post("/v1/people/undo", {"merge": "3"})
        await collect(room, 4, [{"userId": "bob"}])
        await room.until("/v1/destinations", lambda found: found["destinations"][0]["held_events"] == 3)
        for wanted, events in (("ann", 2), ("bob", 3)):
            (found,) = (await room.get("/v1/people", id=wanted))["people"]
            (queue,) = found["queues"]
            assert (queue["state"], queue["events"]) == ("held", events), wanted
        destination.fail({})
        await room.dispatcher.drain("notes")
        notes = await destination.until(lambda notes: len(taken(notes)) == 4)
    assert [sequence for sequence, took in notes if took] == [2, 1, 3, 4]


@pytest.mark.parametrize("change", ["the graph is switched on", "the graph and its log's number are lost"])
def test_on_the_real_process_nobody_overtakes_themselves(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink], change: str
) -> None:
    sink = make_sink(Plan(fail_events={"Stuck": 503}))
    retry = {"delay_min": "10ms", "delay_max": "50ms", "attempts_max": 1_000_000}
    tables: dict[str, Any] = {"destinations": {"crm": webhook(sink.url, retry=retry)}}
    switched_on = change == "the graph is switched on"
    appliance = make_appliance({**tables, "identity": {"enabled": not switched_on}})
    appliance.start()
    if not switched_on:
        appliance.stop()
        shutil.rmtree(appliance.data / "wal")
        appliance.start()
    send(appliance, {**A1, "event": "Stuck", "messageId": "first"}, {**BOTH, "messageId": "second"})
    until(lambda: appliance.admin("/v1/destinations")["destinations"][0]["held_events"] == 2)
    appliance.stop()
    if switched_on:
        appliance.config["identity"] = {"enabled": True}
    else:
        shutil.rmtree(appliance.data / "identity")
    appliance.start()
    send(appliance, {**ANN, "messageId": "third"}, {"userId": "zed", "messageId": "of another"})
    sink.wait_accepted({"of another"})
    until(lambda: appliance.admin("/v1/destinations")["destinations"][0]["held_events"] == 3)
    assert {arrival.message_id for arrival in sink.accepted()} == {"of another"}
    (shown,) = appliance.json("people", "find", "user_id:ann")["people"]
    assert (shown["queues"][0]["state"], shown["queues"][0]["events"]) == ("held", 3)
    sink.set_plan(Plan())
    sink.wait_accepted({"first", "second", "third"})
    assert [arrival.message_id for arrival in sink.accepted()] == ["of another", "first", "second", "third"]
