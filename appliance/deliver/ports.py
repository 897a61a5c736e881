"""What delivery needs of processing, as a protocol; `app` hands in what fits."""

from collections.abc import Callable, Mapping
from typing import Protocol

from appliance.core.event import Event, Record
from appliance.core.plan import Change, Plan
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
