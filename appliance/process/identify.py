"""Reads the log into the person graph, ahead of every destination, and answers whose event is whose.

One thread owns the graph. What it finds for a block is kept for the destinations close behind; who reads later asks
the graph for the past, which gives the same answer.
"""

import asyncio
import threading
import time
import uuid
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import apsw
import msgspec

from appliance.core import logs
from appliance.core.event import Record
from appliance.core.metrics import Reading
from appliance.core.plan import Change, Join, Split
from appliance.identity import changed, stitch
from appliance.identity.acts import Act, Outcome, act_of, record_of
from appliance.identity.graph import Graph, Resolved
from appliance.identity.past import Past
from appliance.identity.rules import Rules
from appliance.process.resolve import Resolution
from appliance.wal.log import Block, DamagedBlock, Log

FILE = "people.sqlite"
PIN = "identity"
READ_BYTES = 1 << 20
CHECKPOINT_S = 1.0
"""What is committed reaches the disk for good, and the log may be trimmed behind it, at most so long afterwards."""
AGAIN_S = 1.0
TURN_S = 0.02
"""Under load the graph turns at most once in so long: each turn has a cost of its own."""
ACT_TIMEOUT_S = 10.0
STOP_S = 5.0
LAG_EVENTS = 50_000
"""Further behind than this is worth a word."""
EVENTS_KEPT_MAX = 50_000
_OF_AN_EVENT = (apsw.ConstraintError, apsw.MismatchError, apsw.RangeError, apsw.SQLError, apsw.TooBigError)
_LOG = logs.logger("identity")


def open_identifier(log: Log, folder: Path, rules: Rules) -> "Identifier":
    """The graph in `folder`; one that SQLite cannot read is set aside, and a new one begins with the log.

    Args:
        rules: those of the configuration; a graph that is there has its own until it is told.

    Raises:
        SternpostError: a newer version of this program wrote the graph.
        apsw.Error, OSError: the file cannot be used.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / FILE
    try:
        return Identifier(log, path, rules)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        aside = folder / f"damaged-{time.time_ns() // 1_000_000}"
        aside.mkdir()
        for part in folder.glob(f"{FILE}*"):
            part.rename(aside / part.name)
        identifier = Identifier(log, path, rules)
        identifier.quarantined = str(aside)
        _LOG.error("graph_quarantined", error=str(error), kept=str(aside), advice="people are found anew from the log")
        return identifier


class Identifier:
    """A resolver (`process/resolve.py`) with the graph behind it; any thread.

    Raises:
        SternpostError: a newer version of this program wrote the graph.
        apsw.Error: SQLite cannot use the file.
    """

    def __init__(self, log: Log, path: Path, rules: Rules) -> None:
        self._log = log
        self._graph = Graph(path, rules, log.log_id, log.last_sequence)
        self._graph_id = changed.graph_id(self._graph.store)
        self.past = Past(path, log.log_id)
        self.names = self._graph.names
        self._reach = self._graph.cursor
        log.pin(PIN, self._graph.safe)
        self._kept: OrderedDict[int, tuple[tuple[int, int, int], Resolution]] = OrderedDict()
        self._kept_events = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._forgetting = False
        self._thread = threading.Thread(target=self._run, name="identity", daemon=True)
        self._subscribers: tuple[Callable[[], None], ...] = ()
        self._unsubscribe: Callable[[], None] = lambda: None
        self._checkpoint_s = 0.0
        self.trouble = self.quarantined = ""
        """Why it does not go on, in words; "" while it does. Where a damaged graph was set aside; "" where none was."""

    # Life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to read."""
        self._unsubscribe = self._log.subscribe(self._wake.set)
        self._thread.start()

    async def tell(self, rules: Rules, now_ms: int) -> None:
        """Have these rules hold from the log's end on, where they are others than before; on the collector's loop.

        Where the graph is too far behind to look through all that it has yet to read, they are told in any case: an
        entry with the rules in force changes nothing.

        Raises:
            Overloaded, LogFailed: the log does not take them; the former rules stay.
        """
        if rules.json != await asyncio.to_thread(self._rules_at_end):
            act = Act(rules=msgspec.Raw(rules.json))
            await self._log.append([record_of(act, str(uuid.uuid4()), now_ms)])

    def _rules_at_end(self) -> bytes | None:
        """The rules that hold once the graph has read the log, which nobody else adds rules to; None: unknown."""
        # The cursor first: what the graph comes by meanwhile is found in the log again.
        at, found = self._graph.cursor, self._graph.rules_json
        if self._log.last_sequence - at > LAG_EVENTS:
            return None
        while True:
            try:
                blocks = self._log.read(at, READ_BYTES)
            except DamagedBlock as damage:  # The graph leaves it out as well.
                at = damage.last_sequence
                continue
            if not blocks:
                return found
            for record in (record for block in blocks for record in block.records if record.sequence > at):
                if (act := act_of(record)) is not None and act.rules:
                    with suppress(msgspec.DecodeError):  # These the graph refuses.
                        found = Rules.from_json(bytes(act.rules)).json
            at = blocks[-1].last_sequence

    def faults(self) -> list[str]:
        """What needs a person, in words; any thread."""
        words = [self.trouble] if self.trouble else []
        if self.quarantined:
            words.append(f"identity: a damaged graph was set aside in {self.quarantined}; people were found anew")
        if (lag := self.lag) > LAG_EVENTS:
            words.append(f"identity: the person graph is {lag:,} events behind; destinations wait for it")
        return words

    def stop(self) -> None:
        """Finish what is under way; blocking. The past can be asked until `close`."""
        self._unsubscribe()
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)
        if self._thread.is_alive():
            _LOG.error("graph_left_behind", after_s=STOP_S, kept="what it has committed; it reads on at the next start")
        else:
            self._graph.close()

    def close(self) -> None:
        """Nobody asks any more."""
        self.past.close()

    # What destinations ask -----------------------------------------------------------------------------------

    @property
    def reach(self) -> int:
        """Last sequence that can be resolved: the end of a block, or of the log."""
        return self._reach

    @property
    def lag(self) -> int:
        """Sequences of the log that the graph has not come to."""
        return max(0, self._log.last_sequence - self._reach)

    def readings(self) -> Iterator[Reading]:
        """Figures for Prometheus."""
        yield Reading("identity_lag_events", "Events of the log that the person graph has not come to.", self.lag)
        yield Reading(
            "identity_stalled_state", "1 while the person graph cannot go on, else 0.", float(bool(self.trouble))
        )

    @property
    def is_graph(self) -> bool:
        """See `Resolver`."""
        return True

    def subscribe(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called, on the graph's thread, whenever `reach` has grown; returns what ends it."""
        self._subscribers = (*self._subscribers, wake)

        def end() -> None:
            self._subscribers = tuple(other for other in self._subscribers if other is not wake)

        return end

    def resolve(self, block: Block) -> Resolution:
        """See `Resolver`."""
        with self._lock:
            kept = self._kept.get(block.first_sequence)
        if kept is not None and kept[0] == _mark(block):
            return kept[1]
        people = self.past.people(block.records)
        after = block.first_sequence - 1
        return Resolution(self._texts(people), self.changes(after, block.last_sequence))

    def changes(self, after: int, upto: int) -> list[Change]:
        """See `Resolver`."""
        return self._named(self.past.changes(after, upto))

    def person_id(self, lane: str) -> str:
        """See `Resolver`: a lane is a person."""
        return lane

    def current(self, lane: str, at: int) -> str:
        """See `Resolver`."""
        number = self.names.number(lane)
        return lane if number is None else self.names.text(self.past.root(number, at))

    def knows(self, lane: str) -> bool:
        """See `Resolver`. A name tells of which log it is; whether this graph has such a person, only its rows do."""
        number = self.names.number(lane)
        return number is not None and self.past.knows(number)

    # What warehouses ask ---------------------------------------------------------------------------------------

    @property
    def graph_id(self) -> str:
        """What tells this graph's changes from those of another; any thread."""
        return self._graph_id

    @property
    def last_changed(self) -> int:
        """The number of the last change of who is who; any thread."""
        return changed.last(self.past.store())

    def changed(self, after: int, most: int) -> tuple[list[tuple[str, str, str]], int]:
        """The next changes of who is who, with (type, value, person) of each id, and where to go on; any thread."""
        return changed.changed(self.past.store(), after, most)

    # What operators do ---------------------------------------------------------------------------------------

    async def act(self, act: Act, now_ms: int) -> Outcome:
        """Put an act into the log and wait for what comes of it; on the collector's loop only.

        Raises:
            Overloaded, LogFailed: the log does not take it; nothing was changed.
            TimeoutError: it stands in the log and will be done, but not within the time.
        """
        record = record_of(act, str(uuid.uuid4()), now_ms)
        loop, grown = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            loop.call_soon_threadsafe(grown.set)

        end = self.subscribe(wake)
        try:
            await self._log.append([record])
            async with asyncio.timeout(ACT_TIMEOUT_S):
                while self.reach < record.sequence:
                    grown.clear()
                    await grown.wait()
        finally:
            end()
        return await asyncio.to_thread(self.past.outcome, record.sequence)

    def forget_cached(self) -> None:
        """Drop what is in memory; it is read again when somebody asks. Any thread."""
        with self._lock:
            self._kept.clear()
            self._kept_events = 0
        self._forgetting = True
        self._wake.set()

    # The thread ----------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            started_s = time.monotonic()
            try:
                busy = self._turn()
                self.trouble = ""
            except Exception as error:
                # A fault of SQLite or of the disk, or one of ours: destinations wait until it is gone.
                self.trouble = f"identity: the person graph does not go on: {str(error) or type(error).__name__}"
                _LOG.exception("graph_stalled", kept="the events, in the log", again_in_s=AGAIN_S)
                self._wake.wait(AGAIN_S)
                continue
            if not busy:
                self._wake.wait(CHECKPOINT_S if self._graph.safe < self._graph.cursor else None)
            elif (early_s := started_s + TURN_S - time.monotonic()) > 0:
                self._stopping.wait(early_s)

    def _turn(self) -> bool:
        graph = self._graph
        if self._forgetting:
            self._forgetting = False
            graph.forget_cached()
        last = self._log.last_sequence
        try:
            blocks = self._log.read(graph.cursor, READ_BYTES)
        except DamagedBlock as damage:
            _LOG.error("block_skipped", error=str(damage), first=damage.first_sequence, last=damage.last_sequence)
            graph.apply([], damage.last_sequence)
            self._publish(damage.last_sequence)
            return True
        if blocks:
            self._apply(blocks)
        elif graph.cursor < last:  # What stood there is gone.
            graph.apply([], last)
            self._publish(last)
        self._checkpoint()
        return bool(blocks)

    def _apply(self, blocks: list[Block]) -> None:
        """All of them in one transaction; what the first holds of before the cursor is known already."""
        graph, after, upto = self._graph, self._graph.cursor, blocks[-1].last_sequence
        records = [record for block in blocks for record in block.records if record.sequence > after]
        try:
            resolved = graph.apply(records, upto)
        except Exception as error:
            if not _is_of_an_event(error):
                raise
            resolved = self._one_by_one(records, upto)
        lanes, changes = self._texts(resolved.people), deque(self._named(resolved.changes))
        at = 0
        for block in blocks:
            mine = []
            while changes and changes[0].sequence <= block.last_sequence:
                mine.append(changes.popleft())
            if block.records[0].sequence > after:
                self._keep(block, Resolution(lanes[at : at + len(block.records)], mine))
                at += len(block.records)
            else:
                at += sum(record.sequence > after for record in block.records)
        self._publish(upto)

    def _one_by_one(self, records: list[Record], upto: int) -> Resolved:
        """One event does what none should: it is told apart from the others, and is a person of its own."""
        people: list[int] = []
        changes: list[stitch.Change] = []
        for record in records:
            try:
                one = self._graph.apply([record], record.sequence)
            except Exception as error:
                if not _is_of_an_event(error):
                    raise
                _LOG.exception("event_not_stitched", sequence=record.sequence, kept="the event, as a person of its own")
                one = self._graph.pass_over(record)
            people += one.people
            changes += one.changes
        self._graph.apply([], upto)
        return Resolved(people, changes)

    def _publish(self, reach: int) -> None:
        self._reach = reach
        for wake in self._subscribers:
            wake()

    def _checkpoint(self) -> None:
        graph, now_s = self._graph, time.monotonic()
        if graph.safe == graph.cursor or now_s - self._checkpoint_s < CHECKPOINT_S:
            return
        self._checkpoint_s = now_s
        graph.checkpoint()
        self._log.pin(PIN, graph.safe)

    def _keep(self, block: Block, resolution: Resolution) -> None:
        with self._lock:
            self._kept[block.first_sequence] = (_mark(block), resolution)
            self._kept_events += len(block.records)
            while self._kept_events > EVENTS_KEPT_MAX and len(self._kept) > 1:
                self._kept_events -= self._kept.popitem(last=False)[1][0][1]

    def _texts(self, people: list[int]) -> list[str]:
        text = self.names.text
        return [text(number) for number in people]

    def _named(self, changes: list[stitch.Change]) -> list[Change]:
        text = self.names.text
        return [(Split if each.split else Join)(each.sequence, text(each.lane), text(each.other)) for each in changes]


def _mark(block: Block) -> tuple[int, int, int]:
    """Tells a block from another that begins at the same place: of one that was read anew, or of one event, edited."""
    return block.last_sequence, len(block.records), hash(block.records[0].raw)


def _is_of_an_event(error: Exception) -> bool:
    """Whether an event may be to blame, so that the others can do without it; a fault of the disk is none's."""
    return not isinstance(error, apsw.Error) or isinstance(error, _OF_AN_EVENT)
