"""Whose event is it: from a block of the log to lanes, people and joins. The identity graph will stand behind this."""

import hashlib
from typing import NamedTuple, Protocol

from appliance.core.event import Record
from appliance.core.plan import Join
from appliance.wal.types import Block


class Resolution(NamedTuple):
    """What a resolver says of one block."""

    lanes: list[str]
    """One per record: the ordering key at the event's own position."""
    joins: list[Join]
    """Ascending by sequence, all within the block's range."""


class Resolver(Protocol):
    """Asked once per block and cached; the same answer for the same block, always."""

    def resolve(self, block: Block) -> Resolution:
        """Lanes and joins of a block."""

    def person_id(self, lane: str) -> str:
        """The id by which destinations know the person of this lane, as a UUID's text."""


class IdResolver:
    """Without a graph: the lane is the anonymousId, else the userId. Nothing ever joins.

    So a server-side event with a userId alone and the browser's events of the same person are two lanes.
    """

    def resolve(self, block: Block) -> Resolution:
        """See `Resolver`."""
        return Resolution([lane_of(record) for record in block.records], [])

    def person_id(self, lane: str) -> str:
        """See `Resolver`; a digest of the lane in the form of a UUID of version 5, so the same in every process."""
        digest = hashlib.blake2b(lane.encode("utf-8", "replace"), digest_size=16).hexdigest()
        return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"


def lane_of(record: Record) -> str:
    """The ordering key without a graph; the prefix keeps an anonymousId apart from an equal userId."""
    return f"a:{record.anonymous_id}" if record.anonymous_id else f"u:{record.user_id}"
