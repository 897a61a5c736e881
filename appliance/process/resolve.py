"""Whose event is it: from a block of the log to lanes, people and how lanes change. Without a graph: by ids alone."""

import hashlib
from typing import NamedTuple, Protocol

from appliance.core.event import Record
from appliance.core.plan import Change
from appliance.wal.keys import SEQUENCE_MAX
from appliance.wal.types import Block

ANONYMOUS, USER = "a:", "u:"


class Resolution(NamedTuple):
    """What a resolver says of one block."""

    lanes: list[str]
    """One per record: the ordering key at the event's own position."""
    changes: list[Change]
    """Ascending by sequence, all within the block's range, its first and last sequence included."""


class Resolver(Protocol):
    """Any thread may ask; the same answer for the same place of the log, always, however far the graph has read."""

    @property
    def reach(self) -> int:
        """The last sequence that can be resolved; nobody asks for more.

        It only grows, and always stands at the end of a block (its `last_sequence`, gaps included): blocks are applied
        whole, and a block that ends above it is not delivered.
        """

    def resolve(self, block: Block) -> Resolution:
        """Lanes and changes of a block, or of a single record of it."""

    def changes(self, after: int, upto: int) -> list[Change]:
        """Changes above `after`, up to `upto`, of a range whose events nobody needs: it is trimmed or passed over."""

    def current(self, lane: str, at: int) -> str:
        """The lane that this one has become through joins up to the sequence `at`; itself where its person goes on."""

    def knows(self, lane: str) -> bool:
        """Whether it calls somebody so. Who waits may be called as they were with another graph, or without one."""

    def person_id(self, lane: str) -> str:
        """The id by which destinations know the person of this lane, as a UUID's text."""

    @property
    def is_graph(self) -> bool:
        """Whether a person is more than one id: then events say whose they are in `context.sternpost` as well."""


class IdResolver:
    """Without a graph: the lane is the anonymousId, else the userId. Nothing ever joins.

    So a server-side event with a userId alone and the browser's events of the same person are two lanes.
    """

    @property
    def reach(self) -> int:
        """See `Resolver`; always everything."""
        return SEQUENCE_MAX

    @property
    def is_graph(self) -> bool:
        """See `Resolver`."""
        return False

    def resolve(self, block: Block) -> Resolution:
        """See `Resolver`."""
        return Resolution([lane_of(record) for record in block.records], [])

    def changes(self, after: int, upto: int) -> list[Change]:
        """See `Resolver`; there are none."""
        return []

    def current(self, lane: str, at: int) -> str:
        """See `Resolver`; itself."""
        return lane

    def knows(self, lane: str) -> bool:
        """See `Resolver`; by its form alone."""
        return lane.startswith((ANONYMOUS, USER))

    def person_id(self, lane: str) -> str:
        """See `Resolver`; a digest of the lane in the form of a UUID of version 5, so the same in every process."""
        digest = hashlib.blake2b(lane.encode("utf-8", "replace"), digest_size=16).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"


def lane_of(record: Record) -> str:
    """The ordering key without a graph; the prefix keeps an anonymousId apart from an equal userId."""
    return f"{ANONYMOUS}{record.anonymous_id}" if record.anonymous_id else f"{USER}{record.user_id}"
