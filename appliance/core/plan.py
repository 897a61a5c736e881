"""What processing hands to delivery: the events of a block for one destination, their lanes, and how lanes change."""

from typing import NamedTuple

from appliance.core.event import Event


class Join(NamedTuple):
    """Before the event at `sequence` two lanes become one: from here on the loser's events are the winner's."""

    sequence: int
    loser: str
    winner: str


class Split(NamedTuple):
    """Before the event at `sequence` a lane becomes a person of their own again, or a new one.

    What that person did before stands in lane `former`: events of `lane` wait behind whatever of it is unsettled then.
    """

    sequence: int
    lane: str
    former: str


Change = Join | Split


class Planned(NamedTuple):
    """One event of the log for one destination.

    `events` is empty where it is filtered, and has several parts where a transformation fans out.
    """

    sequence: int
    lane: str
    events: list[Event]


class Plan(NamedTuple):
    """A block for one destination, in sequence order."""

    changes: list[Change]
    """By sequence, then in the order in which they were decided; they reach beyond the events, into gaps of the log."""
    planned: list[Planned]
