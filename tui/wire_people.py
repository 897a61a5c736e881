"""What the admin API says of the person graph, as the console reads it; see `wire.py`."""

import msgspec


class Id(msgspec.Struct):
    """One id; the value is empty where the token may not see it."""

    type: str = ""
    value: str = ""


class Member(Id):
    """One id of a person; of a shared one that was seen with them, also who it is by itself."""

    first_seen_ms: int = 0
    last_seen: str = ""
    edges: int = 0
    shared: bool = False
    unique_ids: int = 0
    person: str = ""


class Link(msgspec.Struct):
    """Two ids that were seen together and are not joined by that."""

    id: Id = msgspec.field(default_factory=Id)
    other: Id = msgspec.field(default_factory=Id)
    reason: str = ""


class Merge(msgspec.Struct):
    """Two people who were found to be one."""

    merge: str = ""
    when_ms: int = 0
    loser: str = ""
    winner: str = ""
    ids: list[Id] = []
    message_id: str = ""
    source: str = ""
    holds: bool = True
    ended: str = ""


class PersonDetail(msgspec.Struct):
    """All that the graph knows of somebody."""

    person: str = ""
    was: list[str] = []
    members: list[Member] = []
    left_out: list[Link] = []
    left_out_total: int = 0
    devices: list[Member] = []
    merges: list[Merge] = []


class Group(msgspec.Struct):
    """One of the people that there would be."""

    ids: list[Id] = []


class Parting(msgspec.Struct):
    """Who would be parted from whom."""

    people: list[Group] = []
