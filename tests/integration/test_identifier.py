"""The reader of the log into the person graph, on a real log: what it keeps and what the past tells are the same."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from appliance.core.clock import SystemClock
from appliance.core.config import IdentityConfig, WalConfig
from appliance.core.event import Record
from appliance.core.plan import Join, Split
from appliance.identity.graph import Graph
from appliance.identity.rules import Rules
from appliance.process.identify import FILE, PIN, Identifier, open_identifier
from appliance.wal.log import Block, Log

Ids = tuple[str, str]
VISIT, SIGN_UP, LOG_IN = ("", "web"), ("ann", "phone"), ("ann", "web")


def record(number: int, ids: Ids) -> Record:
    user, anonymous = ids
    raw = json.dumps({"type": "track", "userId": user, "anonymousId": anonymous}).encode()
    return Record(0, "web", 1_900_000_000_000 + number, "", "track", anonymous, user, f"m{number}", "", 0, raw)


async def append(log: Log, blocks: Iterable[Iterable[Ids]], first: int = 0) -> None:
    for number, block in enumerate(blocks, first):
        await log.append([record(10 * number + at, ids) for at, ids in enumerate(block)])


@asynccontextmanager
async def a_log(folder: Path) -> AsyncIterator[Log]:
    log = Log.open(folder / "wal", WalConfig(), SystemClock())
    log.start(asyncio.get_running_loop())
    try:
        yield log
    finally:
        await log.stop()


@asynccontextmanager
async def reading(log: Log, folder: Path) -> AsyncIterator[Identifier]:
    """A graph that has read the log to its end."""
    identifier = open_identifier(log, folder / "identity", Rules(IdentityConfig()))
    identifier.start()
    try:
        async with asyncio.timeout(20):
            while identifier.lag:
                await asyncio.sleep(0.01)
        yield identifier
    finally:
        await asyncio.to_thread(identifier.stop)
        identifier.close()


def blocks_of(log: Log) -> list[Block]:
    return log.read(0, 1 << 20)


async def test_what_is_kept_for_who_is_close_behind_is_what_the_past_tells_who_is_not(tmp_path: Path) -> None:
    kiosk = [(f"u{n}", "kiosk") for n in range(5)]
    async with a_log(tmp_path) as log:
        await append(log, [[VISIT, SIGN_UP], [VISIT], [LOG_IN, VISIT], kiosk[:3], kiosk[3:], [("", "kiosk")]])
        async with reading(log, tmp_path) as identifier:
            near = [identifier.resolve(block) for block in blocks_of(log)]
            identifier.forget_cached()
            far = [identifier.resolve(block) for block in blocks_of(log)]
            assert near == far
            found = [change for resolution in near for change in resolution.changes]
            assert [type(change) for change in found] == [Join, Split], "Ann logs in; the kiosk leaves its person"
            assert found == identifier.changes(0, log.last_sequence)
        async with reading(log, tmp_path) as again:
            assert [again.resolve(block) for block in blocks_of(log)] == near, "over a restart as well"


async def test_an_edited_event_is_whose_its_ids_say_whether_or_not_its_block_is_kept(tmp_path: Path) -> None:
    async with a_log(tmp_path) as log:
        await append(log, [[("ann", "a")], [("bob", "b")], [("ann", "a")]])
        async with reading(log, tmp_path) as identifier:
            edited = record(20, ("bob", "b"))
            edited.sequence = 3
            bob, ann = identifier.resolve(blocks_of(log)[1]).lanes, identifier.resolve(blocks_of(log)[2]).lanes
            assert identifier.resolve(Block(3, 3, [edited])).lanes == bob != ann


async def test_a_graph_that_sqlite_cannot_read_is_set_aside_and_made_anew_with_the_same_people(tmp_path: Path) -> None:
    async with a_log(tmp_path) as log:
        await append(log, [[VISIT, SIGN_UP], [LOG_IN]])
        async with reading(log, tmp_path) as identifier:
            before = [identifier.resolve(block) for block in blocks_of(log)]
        file = tmp_path / "identity" / FILE
        file.write_bytes(b"no database" * 1000)
        async with reading(log, tmp_path) as identifier:
            assert [identifier.resolve(block) for block in blocks_of(log)] == before
            assert any("set aside" in words for words in identifier.faults())
            assert (Path(identifier.quarantined) / FILE).read_bytes().startswith(b"no database")


async def test_what_a_source_may_teach_is_told_once_and_holds_from_its_place_on_for_whoever_asks_later(
    tmp_path: Path,
) -> None:
    silent = Rules(IdentityConfig(), {"web": "none"})
    async with a_log(tmp_path) as log:
        await append(log, [[VISIT, SIGN_UP]])
        async with reading(log, tmp_path) as identifier:
            await identifier.tell(Rules(IdentityConfig(), {"web": "full"}), 0)
            assert log.last_sequence == 2, "those are the rules that hold already"
            await identifier.tell(silent, 0)
            await append(log, [[LOG_IN], [VISIT]], 10)
        async with reading(log, tmp_path) as identifier:
            await identifier.tell(silent, 0)
            assert log.last_sequence == 5
            await identifier.tell(Rules(IdentityConfig()), 0)
            await append(log, [[LOG_IN], [VISIT]], 20)
        async with reading(log, tmp_path) as identifier:
            lanes = [lane for block in blocks_of(log) for lane in identifier.resolve(block).lanes]
            visitor, ann, _, log_in, still, _, _, one = lanes
            assert visitor == still != log_in == ann == one
            assert [change.sequence for change in identifier.changes(0, log.last_sequence)] == [7]


@pytest.mark.parametrize("fault", [ZeroDivisionError, apsw.TooBigError, apsw.ConstraintError])
async def test_an_event_that_breaks_the_graph_is_a_person_of_its_own_and_its_neighbours_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    takes = Graph._apply

    def fragile(graph: Graph, records: list[Record]) -> list[int]:
        if any(one.message_id == "m1" for one in records):
            raise fault
        return takes(graph, records)

    monkeypatch.setattr(Graph, "_apply", fragile)
    async with a_log(tmp_path) as log:
        await append(log, [[LOG_IN, LOG_IN, LOG_IN]])
        async with reading(log, tmp_path) as identifier:
            (resolution,) = [identifier.resolve(block) for block in blocks_of(log)]
            identifier.forget_cached()
            assert identifier.resolve(blocks_of(log)[0]) == resolution
            first, broken, last = resolution.lanes
            assert first == last != broken


async def test_the_log_is_kept_until_the_graph_has_what_it_read_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pins: list[tuple[str, int]] = []
    monkeypatch.setattr(Log, "pin", lambda _, *told: pins.append(told))
    monkeypatch.setattr(Graph, "checkpoint", lambda _: None)
    async with a_log(tmp_path) as log:
        await append(log, [[VISIT, SIGN_UP], [LOG_IN]])
        async with reading(log, tmp_path) as identifier:
            assert identifier.reach == log.last_sequence == 3
            assert set(pins) == {(PIN, 0)}, "nothing is on disk for good yet"


async def test_rules_are_told_where_they_differ_from_the_last_ones_in_the_log_or_in_the_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, other = IdentityConfig(), IdentityConfig(ids_max=7)
    async with a_log(tmp_path) as log:
        await append(log, [[VISIT, SIGN_UP]])
        async with reading(log, tmp_path) as identifier:
            await identifier.tell(usual, 0)
            assert log.last_sequence == 2, "those of the graph"
        await log.append([record(50, LOG_IN)])
        identifier = open_identifier(log, tmp_path / "identity", usual)  # and it does not read
        try:
            for at, (config, told) in enumerate([(usual, 0), (other, 1), (other, 0), (usual, 1), (usual, 0)]):
                before = log.last_sequence
                await identifier.tell(config, 0)
                assert (identifier.lag > 0, log.last_sequence - before) == (True, told), at
            monkeypatch.setattr("appliance.process.identify.LAG_EVENTS", 2)
            await identifier.tell(usual, 0)
            assert log.last_sequence == before + 1, "what stands in the log is too much to look through"
        finally:
            identifier.stop()
            identifier.close()
        async with reading(log, tmp_path) as identifier:
            assert identifier.resolve(blocks_of(log)[0]).lanes
            rules = [row[0] for row in identifier.past.store().rows("SELECT json FROM rules ORDER BY version")]
            assert rules == [one.json.decode() for one in (Rules(usual), Rules(other), Rules(usual))]
