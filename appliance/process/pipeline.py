"""From a block of the log to the events of one destination: identity, enrichment, route.

The parts that are the same for every destination (lanes, enriched JSON) are worked out once per block and shared.
Plan, consent, suppression and transformations take their places in `plan`, between identity and route.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from threading import Lock
from typing import NamedTuple

from appliance.core.enrich import enrich
from appliance.core.event import Event, Record
from appliance.core.plan import Change, Plan, Planned
from appliance.process.resolve import Resolver
from appliance.process.route import matches, route
from appliance.wal.types import Block

CRITERIA = ("type", "event", "user", "from_ms", "to_ms")
Subscribe = Callable[[Callable[[], None]], Callable[[], None]]
"""Takes whom to wake, returns what ends the waking."""


class _Shared(NamedTuple):
    """What all destinations have in common of one block."""

    block: Block
    lanes: list[str]
    changes: list[Change]
    events: list[Event]
    size: int


class Pipeline:
    """Pure but for its cache, which every thread may use.

    Args:
        grown: has its argument called, on any thread, whenever `reach` or the log below it has grown, and returns what
            ends that: without a graph it is the log's own `subscribe`.
    """

    def __init__(self, resolver: Resolver, cache_bytes_max: int, grown: Subscribe) -> None:
        self._resolver, self._cache_bytes_max = resolver, cache_bytes_max
        self.subscribe = grown
        self._cache: OrderedDict[int, _Shared] = OrderedDict()
        self._cached_bytes = 0
        self._lock = Lock()

    def plan(self, block: Block, after: int, goes: Callable[[Record], bool], *, replayed: bool = False) -> Plan:
        """The events of `block` above `after`, and whether each goes to the destination that `goes` speaks for.

        Its changes are those of the range (`after`, `block.last_sequence`], a gap before the block included.
        """
        shared = self._share(block)
        gap = self.changes(after, block.first_sequence - 1) if block.first_sequence > after + 1 else []
        planned = [
            Planned(record.sequence, lane, [self._copy(event) if replayed else event] if goes(record) else [])
            for record, lane, event in zip(block.records, shared.lanes, shared.events, strict=True)
            if record.sequence > after
        ]
        return Plan([*gap, *(change for change in shared.changes if change.sequence > after)], planned)

    @property
    def reach(self) -> int:
        """The last sequence that can be planned, always at the end of a block."""
        return self._resolver.reach

    def changes(self, after: int, upto: int) -> list[Change]:
        """How lanes change above `after`, up to `upto`, where the events of that range are not wanted."""
        return self._resolver.changes(after, upto)

    def current(self, lane: str, at: int) -> str:
        """The lane whose events this one's are, by all joins up to the sequence `at`."""
        return self._resolver.current(lane, at)

    def knows(self, lane: str) -> bool:
        """Whether somebody is called so now: lanes that were held before may be called as people were then."""
        return self._resolver.knows(lane)

    def lanes_of(self, event: Event, at: int) -> list[str]:
        """The lanes whose events must not overtake a held one, by what stands in it.

        Args:
            at: as far as the log was taken: whoever has the event's ids by then is among them.
        """
        own = self._lane_at(event, event.sequence)
        return list(dict.fromkeys([own, self.current(own, at), self._lane_at(event, at)]))

    def _lane_at(self, event: Event, sequence: int) -> str:
        """Whose the event would be at this place of the log, which may not hold it any more."""
        ids = event.anonymous_id, event.user_id, event.message_id
        record = Record(sequence, event.source, event.received_ms, "", event.type, *ids, "", 0, event.json)
        return self._resolver.resolve(Block(sequence, sequence, [record])).lanes[0]

    def goes(
        self, sources: list[str] | None, names: frozenset[str], criteria: Mapping[str, str] | None = None
    ) -> Callable[[Record], bool]:
        """The predicate of one destination.

        Args:
            sources: names of the sources delivered there; None: all.
            names: how an event's `integrations` may call it, in lower case.
            criteria: a replay's filter: any of `type`, `event`, `user`, `from_ms` and `to_ms`.
        """
        usual = route(sources, names)
        wanted = {key: value for key, value in (criteria or {}).items() if key in CRITERIA and value}
        if not wanted:
            return usual
        return lambda record: usual(record) and matches(record, **wanted)

    def event(self, record: Record) -> tuple[str, Event]:
        """The lane and the event of one record on its own, as it would be delivered now."""
        shared = self._work_out(Block(record.sequence, record.sequence, [record]))
        return shared.lanes[0], shared.events[0]

    def bare(self, record: Record) -> Event:
        """The event of one record without its person, whom a warehouse joins by itself."""
        return _enriched(record, "", False)

    def forget_cached(self) -> None:
        """Drop what was worked out; it is worked out again when somebody asks. Any thread."""
        with self._lock:
            self._cache.clear()
            self._cached_bytes = 0

    def _share(self, block: Block) -> _Shared:
        with self._lock:
            shared = self._cache.get(block.first_sequence)
            if shared is not None and shared.block is block:
                self._cache.move_to_end(block.first_sequence)
                return shared
        shared = self._work_out(block)
        with self._lock:
            self._drop(block.first_sequence)
            self._cache[block.first_sequence] = shared
            self._cached_bytes += shared.size
            while self._cached_bytes > self._cache_bytes_max and len(self._cache) > 1:
                self._drop(next(iter(self._cache)))
        return shared

    def _drop(self, first_sequence: int) -> None:
        old = self._cache.pop(first_sequence, None)
        if old is not None:
            self._cached_bytes -= old.size

    def _work_out(self, block: Block) -> _Shared:
        lanes, changes = self._resolver.resolve(block)
        events = [self._event(record, lane) for record, lane in zip(block.records, lanes, strict=True)]
        return _Shared(block, lanes, changes, events, sum(2 * len(record.raw) + 500 for record in block.records))

    def _event(self, record: Record, lane: str) -> Event:
        return _enriched(record, self._resolver.person_id(lane), self._resolver.is_graph)

    @staticmethod
    def _copy(event: Event) -> Event:
        """The same event, marked as replayed."""
        return Event(
            sequence=event.sequence,
            part=event.part,
            source=event.source,
            type=event.type,
            message_id=event.message_id,
            anonymous_id=event.anonymous_id,
            user_id=event.user_id,
            person_id=event.person_id,
            received_ms=event.received_ms,
            build=lambda: event.json,
            replayed=True,
        )


def _enriched(record: Record, person_id: str, from_graph: bool) -> Event:
    return Event(
        sequence=record.sequence,
        part=0,
        source=record.source,
        type=record.type,
        message_id=record.message_id,
        anonymous_id=record.anonymous_id,
        user_id=record.user_id,
        person_id=person_id,
        received_ms=record.received_ms,
        build=lambda: enrich(record, person_id, from_graph=from_graph),
    )
