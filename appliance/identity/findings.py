"""What look-ups in the person graph answer: people, their ids and links, merges."""

from typing import NamedTuple

from appliance.identity.rules import Id


class Found(NamedTuple):
    """A person who was asked for."""

    person: str
    ids: list[Id]
    """Those of theirs that were asked for; none where the person's own id was."""


class Member(NamedTuple):
    """One id of a person."""

    id: Id
    first_ms: int
    """Received time of the first event with it."""
    last_day: int
    """Days since 1970 of the last one."""
    edges: int
    """Links that hold."""
    shared: bool
    users: int
    """Different unique ids that it was seen with."""


class Link(NamedTuple):
    """Two ids that came in one event, or that somebody said are one person's."""

    one: Id
    """The person's own."""
    other: Id
    person: str
    """The other's."""
    reason: str
    """Why it does not hold; "" where it does."""
    received_ms: int
    event_ms: int
    """The time that the event says of itself."""
    source: str
    """"" for an operator's."""
    message_id: str
    explicit: bool
    """The client itself (alias, merge) or an operator said so."""
    version: int
    """Of the rules."""


class Merge(NamedTuple):
    """Two people were found to be one."""

    name: str
    sequence: int
    """Of the event that did it, in the log of `log`."""
    log: int
    """Number of the log; the last is the present one."""
    loser: str
    winner: str
    ids: tuple[Id, Id]
    """That joined them."""
    when_ms: int
    """When that event was received; 0: the graph does not know, the log may."""
    message_id: str
    source: str
    ended: str
    """Why it does not hold any more; "" while it does."""


class Person(NamedTuple):
    """All that the graph knows of somebody."""

    person: str
    number: int
    was: list[str]
    """Ids of people who were found to be this one."""
    members: list[Member]
    """The oldest first."""
    links: list[Link]
    """Those that hold, in order."""
    left_out: list[Link]
    """Those that do not, the newest first, not more than a look-up tells."""
    left_out_count: int
    devices: list[tuple[Member, str]]
    """Shared ids that were seen with them, and the person that each is by itself."""
    merges: list[Merge]
    """Of theirs, the newest first."""
    forbidden: list[tuple[Id, Id]]
    """Ids of theirs, and those that never will be."""
