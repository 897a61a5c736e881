"""The bodies of the admin API that are about people and the person graph.

Without the right to see payloads, values of ids are "", but those of userIds and anonymousIds, as in all lists.
"""

from typing import Annotated, Literal

import msgspec

from appliance.control.replies import RecordView
from appliance.control.views import HeldView

Type = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Value = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]

# What comes in -------------------------------------------------------------------------------------------------


class AskedId(msgspec.Struct):
    """One id, spelt in any way."""

    type: Type
    """user_id, anonymous_id, email, phone, device_id, or an external id's type."""
    value: Value


class Undo(msgspec.Struct):
    """Which merge is undone."""

    merge: Name
    """Its name, such as `17`."""


class Pair(msgspec.Struct):
    """Two ids."""

    a: AskedId
    b: AskedId


# What goes out -------------------------------------------------------------------------------------------------


class IdView(msgspec.Struct):
    """One id as the graph keeps it."""

    type: str
    value: str


class QueueView(msgspec.Struct, kw_only=True):
    """How a person stands at one destination."""

    destination: str
    state: Literal["held", "waiting", "clear"]
    """held: behind a failed event; waiting: not delivered yet, as far as the looked at events show."""
    events: int
    """Held ones, or of those that were looked at the ones that wait."""
    head: HeldView | None
    """The first held event."""


class PartedView(msgspec.Struct):
    """An operator parted somebody from another, with whom they were one person."""

    person: str
    """The other one."""
    merge: str
    """That was undone; "" where two ids were forbidden to be one person's."""
    when_ms: int
    """0: not known."""
    by: str
    """Token and user who asked for it, as in the audit trail; "" where it is not known."""


class PersonView(msgspec.Struct, kw_only=True):
    """A person; without the person graph, one ordering key with the ids that came with it."""

    person: str
    """Their id. With the graph as destinations see it, else an ordering key."""
    ids: dict[str, list[str]]
    """anonymousId, userId and, with the graph, other types by their names; at most 20 of each. Without the right to see
    payloads, these two alone."""
    ids_total: int = 0
    """0 without the graph."""
    matches: list[IdView] = []
    """What of theirs was asked for; none where their own id was."""
    parted: PartedView | None = None
    """The last time that it happened to them, if they are two people still; none without the graph."""
    queues: list[QueueView]
    events: list[RecordView]
    """The newest, newest first."""


class People(msgspec.Struct, kw_only=True):
    people: list[PersonView]
    scanned_events: int
    complete: bool
    """Whether everything that the log still holds was looked at."""


class MemberView(IdView, kw_only=True):
    """An id of a person."""

    first_seen_ms: int
    last_seen: str
    """A day."""
    edges: int
    """Links to other ids of the person."""
    shared: bool
    """It was seen with too many people: it attributes, and joins nobody."""
    unique_ids: int
    """Different unique ids, userIds as a rule, that it was seen with."""


class DeviceView(MemberView, kw_only=True):
    """A shared id that was seen with a person."""

    person: str
    """Who it is by itself."""


class LinkView(msgspec.Struct, kw_only=True):
    """Two ids that were seen together and are not joined by that."""

    id: IdView
    """The person's own."""
    other: IdView
    other_person: str
    reason: str
    received_ms: int
    event_ms: int
    """The time that the event says of itself."""
    source: str
    message_id: str
    explicit: bool
    """An alias, a merge or an operator asked for it."""


class MergeView(msgspec.Struct, kw_only=True):
    """Two people who were found to be one."""

    merge: str
    """Its name, which an undo takes."""
    when_ms: int
    """Received time of the event that did it; 0: not known any more."""
    loser: str
    winner: str
    ids: list[IdView]
    """The two by which they were joined."""
    message_id: str
    source: str
    """Empty for an operator's."""
    holds: bool
    ended: str
    """Why it does not hold any more."""


class Merges(msgspec.Struct):
    """A page of merges, the newest first."""

    merges: list[MergeView]
    after: str
    """Where the next page begins; "" at the end."""


class PairView(msgspec.Struct):
    """Two ids that will never be one person's."""

    a: IdView
    b: IdView


class PersonDetail(msgspec.Struct, kw_only=True):
    """All that the person graph knows of somebody."""

    person: str
    was: list[str]
    """Ids of people who were found to be this one; they lead here."""
    members: list[MemberView]
    left_out: list[LinkView]
    """The newest 1,000."""
    left_out_total: int
    devices: list[DeviceView]
    """Shared ids that were seen with them."""
    merges: list[MergeView]
    """The newest first, those that do not hold any more too."""
    forbidden: list[PairView]
    """Ids of theirs (`a`), and those that never will be (`b`)."""


class GroupView(msgspec.Struct):
    """One of the people that there would be."""

    ids: list[IdView]


class Parting(msgspec.Struct):
    """What an undo or a forbid would do."""

    people: list[GroupView]
    """The largest first; one alone: nobody would be parted."""


class IdentityDone(msgspec.Struct):
    """What came of an act."""

    done: str
    """In words."""
    changed: bool
    people: list[str]
    """Who the ids of the act belong to now."""
