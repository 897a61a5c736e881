"""What delivery needs of processing, as a protocol; `app` hands in what fits."""

from collections.abc import Callable, Mapping
from typing import Protocol

from appliance.core.event import Event, Record
from appliance.core.plan import Plan
from appliance.wal.log import Block


class Pipeline(Protocol):
    """Between the log and a destination; any thread, and the same answer for the same block, always."""

    def plan(self, block: Block, after: int, goes: Callable[[Record], bool], *, replayed: bool = False) -> Plan:
        """The events of `block` above `after`, and whether each goes to the destination that `goes` speaks for."""
        ...

    def goes(
        self, sources: list[str] | None, names: frozenset[str], criteria: Mapping[str, str] | None = None
    ) -> Callable[[Record], bool]:
        """The predicate of one destination, or of a replay with `criteria`."""
        ...

    def event(self, record: Record) -> tuple[str, Event]:
        """The lane and the event of one record on its own, as it would be delivered now."""
        ...
