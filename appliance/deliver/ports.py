"""What delivery needs of processing and of the mapping for warehouses, as protocols; `app` hands in what fits.

And what all destinations have in common, whether they deliver events one by one or load them as tables.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from appliance.core.config import DestinationConfig
from appliance.core.event import Event, Record
from appliance.core.loads import Staged, Table
from appliance.core.plan import Change, Plan
from appliance.deliver.figures import DestinationStatus
from appliance.deliver.outcome import Result
from appliance.deliver.stream import Stream
from appliance.wal.log import Block


class Pipeline(Protocol):
    """Between the log and a destination; any thread, and the same answer for the same block, always."""

    @property
    def reach(self) -> int:
        """The last sequence that can be planned, always at the end of a block."""
        ...

    def subscribe(self, wake: Callable[[], None], /) -> Callable[[], None]:
        """Have `wake` called, on any thread, when there is more to plan; returns what ends it."""
        ...

    def plan(self, block: Block, after: int, goes: Callable[[Record], bool], *, replayed: bool = False) -> Plan:
        """The events of `block` above `after`, and whether each goes to the destination that `goes` speaks for.

        Its changes are those of the range (`after`, `block.last_sequence`], a gap before the block included.
        """
        ...

    def changes(self, after: int, upto: int) -> list[Change]:
        """How lanes change above `after`, up to `upto`, where the events of that range are not wanted."""
        ...

    def current(self, lane: str, at: int) -> str:
        """The lane whose events this one's are, by all joins up to the sequence `at`."""
        ...

    def knows(self, lane: str) -> bool:
        """Whether somebody is called so now: lanes that were held before may be called as people were then."""
        ...

    def lanes_of(self, event: Event, at: int) -> list[str]:
        """The lanes whose events must not overtake a held one, by what stands in it, up to the sequence `at`."""
        ...

    def goes(
        self, sources: list[str] | None, names: frozenset[str], criteria: Mapping[str, str] | None = None
    ) -> Callable[[Record], bool]:
        """The predicate of one destination, or of a replay with `criteria`."""
        ...

    def event(self, record: Record) -> tuple[str, Event]:
        """The lane and the event of one record on its own, as it would be delivered now."""
        ...

    def bare(self, record: Record) -> Event:
        """The event of one record without its person, whom a warehouse joins by itself."""
        ...


class Stage(Protocol):
    """Makes tables of the events of one warehouse; one call at a time, on any thread."""

    def __call__(self, events: Sequence[Event], known: Mapping[str, Mapping[str, str]], loaded_at: str, /) -> Staged:
        """The rows of these events.

        Args:
            known: the warehouse's tables: table -> column -> type in our words.
            loaded_at: becomes `uuid_ts`.
        """
        ...

    def people(self, ids: Sequence[tuple[str, str, str]], loaded_at: str, /) -> Table:
        """(type, value, person) of ids as rows, and a view that any id is looked up in."""
        ...


class People(Protocol):
    """Who is who, in pieces; any thread."""

    @property
    def graph_id(self) -> str:
        """What tells the changes of this graph from those of another."""
        ...

    @property
    def last_changed(self) -> int:
        """The number of the last change; 0: there was none."""
        ...

    def changed(self, after: int, most: int, /) -> tuple[list[tuple[str, str, str]], int]:
        """The next changes: (type, value, person) of each id that they touch, and where to go on."""
        ...


class Stages(Protocol):
    """Makes a stage."""

    def __call__(self, destination: str, dialect: str, config: DestinationConfig, /) -> Stage:
        """For one warehouse."""
        ...


class Station(Protocol):
    """A destination or a replay at work, on the delivery loop; `status` and what is read may be used from elsewhere."""

    stream: Stream
    config: DestinationConfig
    paused: bool

    @property
    def goes(self) -> Callable[[Record], bool]:
        """Whether a record goes there."""
        ...

    @property
    def low(self) -> int:
        """Everything up to here is settled."""
        ...

    @property
    def taken(self) -> int:
        """The last sequence that was taken from the log."""
        ...

    @property
    def end(self) -> int:
        """The last sequence that may be taken now."""
        ...

    @property
    def waits(self) -> bool:
        """Whether there are events that were not taken yet, and may be."""
        ...

    def wake(self) -> None:
        """Something may have changed."""
        ...

    async def stop(self, timeout_s: float, /) -> None:
        """Begin nothing new, let calls end for at most `timeout_s`, close the plug-in."""
        ...

    def resume(self) -> None:
        """Go on after a pause."""
        ...

    def hasten(self, now_ms: int, /) -> int:
        """Try now what waits for a next try; returns how many people that is."""
        ...

    async def block_loads(self) -> None:
        """Until `requeued`, nothing is read from the held store, whose content changes from outside."""
        ...

    def requeued(self, lanes: Mapping[str, int], /) -> None:
        """So many jobs were put into these lanes of the held store from outside."""
        ...

    def skip_to(self, sequence: int, /) -> tuple[int, int]:
        """Give up everything up to `sequence` that was not taken; returns first and last."""
        ...

    async def test(self, event: Event, /) -> Result:
        """Try the destination."""
        ...

    def executing(self, sequence: int, /) -> int:
        """The attempt under way at this event; 0: none."""
        ...

    def status(self) -> DestinationStatus:
        """Its figures at this moment."""
        ...
