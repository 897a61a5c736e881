"""A graph that is lost and made anew from the log comes to the same people: what operators did holds in it as well."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from appliance.core.config import IdentityConfig
from appliance.identity.graph import Graph
from appliance.identity.lookup import Lookup
from appliance.identity.rules import Id, Rules
from appliance.process.identify import FILE
from tests.integration.test_people import ANN, BAD_ALIAS, BOB, person, send
from tests.support.appliance import Appliance
from tests.support.room import Room, running
from tests.support.waiting import until

ANN_ID, BOB_ID = Id("user_id", "ann"), Id("user_id", "bob")
PAIR = {"a": {"type": "user_id", "value": "ann"}, "b": {"type": "user_id", "value": "bob"}}
APART = [{"a": {"type": "anonymous_id", "value": "a1"}, "b": {"type": "email", "value": "bob@example.com"}}]
ALIAS = [{**BAD_ALIAS, "messageId": f"alias{n}"} for n in range(4)]
IDS = [ANN_ID, BOB_ID, *(Id(*one.split(":")) for one in ("anonymous_id:a1", "anonymous_id:b1"))]
IDS += [Id("email", f"{name}@example.com") for name in ("ann", "bob")]


async def collect(room: Room, *events: dict[str, Any]) -> None:
    for number, event in enumerate(events):
        await room.collect({"type": "track", "messageId": f"{room.log.last_sequence}.{number}", **event})
    await room.settled()


async def undo(room: Room, ids: Iterable[Id] = (ANN_ID, BOB_ID)) -> None:
    merges = (await room.get("/v1/people/merges"))["merges"]
    (name,) = [one["merge"] for one in merges if {(id["type"], id["value"]) for id in one["ids"]} == set(ids)]
    await room.post("/v1/people/undo", {"merge": name})


async def undone(room: Room) -> None:
    await collect(room, ALIAS[0])
    await undo(room)
    await collect(room, ALIAS[1])


async def forbidden(room: Room) -> None:
    await collect(room, ALIAS[0])
    await room.post("/v1/people/forbid", APART[0])
    await collect(room, ALIAS[1])


async def allowed(room: Room) -> None:
    await undone(room)
    await room.post("/v1/people/allow", PAIR)
    await collect(room, ALIAS[2])


async def accepted(room: Room) -> None:
    await suggested(room)
    await room.post("/v1/people/accept", {"number": 1})


async def rejected(room: Room) -> None:
    await suggested(room)
    await room.post("/v1/people/reject", {"number": 1})


async def suggested(room: Room) -> None:
    one = {"a": ANN_ID, "b": BOB_ID, "probability": 0.99, "weight": 7.0, "why": []}
    await room.post("/v1/people/suggestions", {"first": True, "pairs": [one]})


async def accepted_and_undone(room: Room) -> None:
    await accepted(room)
    await undo(room)
    await collect(room, ALIAS[1])


def people(room: Room) -> tuple[list[str], set[frozenset[Id]]]:
    """Who has each of the ids, by name, and which of them are one person's."""
    assert room.identifier is not None
    lookup = Lookup(room.identifier.past)
    found = [lookup.find(one.value, one.type)[0].person for one in IDS]
    return found, {frozenset(one for one, who in zip(IDS, found, strict=True) if who == each) for each in found}


async def decided(room: Room) -> list[tuple[str, str]]:
    """What came of every act, and where each suggestion stands."""
    assert room.identifier is not None
    acts = [row[0] for row in room.identifier.past.store().rows("SELECT outcome ->> 'done' FROM acts ORDER BY place")]
    pages = [await room.get("/v1/people/suggestions", state=state) for state in ("open", "accepted", "rejected")]
    return [*(("", done) for done in acts), *((one["state"], "") for page in pages for one in page["suggestions"])]


@pytest.mark.parametrize("logs", [1, 2], ids=["of its first log", "that had read another log before"])
@pytest.mark.parametrize("acted", [undone, forbidden, allowed, accepted, rejected, accepted_and_undone])
async def test_what_operators_did_holds_in_a_graph_that_is_made_anew(
    tmp_path: Path, acted: Callable[[Room], Any], logs: int
) -> None:
    folder = tmp_path / "data" / "identity"
    if logs == 2:
        folder.mkdir(parents=True)
        Graph(folder / FILE, Rules(IdentityConfig()), "another log", 0).close()
    async with running(tmp_path, graph=True) as room:
        await collect(room, ANN, BOB)
        await acted(room)
        names, groups = people(room)
        said = await decided(room)
        assert len(groups) == (1 if acted in (allowed, accepted) else 2)
    shutil.rmtree(folder)
    async with running(tmp_path, graph=True) as room:
        await room.settled()
        assert people(room)[1] == groups
        assert await decided(room) == said
        if logs == 1:
            assert people(room)[0] == names, "they keep their ids as well"
        if acted is not rejected:  # which keeps them from the list, not from an alias
            await collect(room, ALIAS[3])
            assert people(room)[1] == groups, "and what it is told later comes to the same"


@pytest.mark.parametrize("lost_log", [False, True], ids=["", "after the log was lost once"])
def test_an_undo_outlives_the_graph(make_appliance: Callable[..., Appliance], lost_log: bool) -> None:
    appliance = make_appliance()
    appliance.start()
    if lost_log:
        send(appliance, ANN, {"userId": "zed"})
        appliance.stop()
        shutil.rmtree(appliance.data / "wal")
        appliance.start()
    send(appliance, ANN, BOB, {**BAD_ALIAS, "messageId": "the bad one"}, {"userId": "last"})
    until(lambda: person(appliance, "user_id:ann") == person(appliance, "bob"))
    (merge,) = appliance.json("people", "merges")["merges"]
    assert appliance.json("people", "undo", merge["merge"], "--yes")["changed"]
    before = {wanted: person(appliance, wanted) for wanted in ("user_id:ann", "bob", "a1", "b1")}
    appliance.stop()
    for file in (appliance.data / "identity").glob(f"{FILE}*"):
        file.unlink()
    appliance.start()
    until(lambda: appliance.admin("/v1/people?id=last&events=0")["people"])
    after = {wanted: person(appliance, wanted) for wanted in before}
    assert after["user_id:ann"] == after["a1"] != after["bob"] == after["b1"]
    if not lost_log:
        assert after == before
