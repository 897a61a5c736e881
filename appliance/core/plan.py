"""What processing hands to delivery: the events of a block for one destination, their lanes, and joins of lanes."""

from typing import NamedTuple

from appliance.core.event import Event


class Join(NamedTuple):
    """Before the event at `sequence` two lanes become one: from here on the loser's events are the winner's."""

    sequence: int
    loser: str
    winner: str


class Planned(NamedTuple):
    """One event of the log for one destination.

    `events` is empty where it is filtered, and has several parts where a transformation fans out.
    """

    sequence: int
    lane: str
    events: list[Event]


class Plan(NamedTuple):
    """A block for one destination, in sequence order."""

    joins: list[Join]
    planned: list[Planned]
