"""The bodies of the admin API that are about people who may be one."""

from typing import Annotated, Literal

import msgspec

from appliance.control.people.replies import IdView

Number = Annotated[int, msgspec.Meta(ge=1, le=(1 << 63) - 1)]


class Decision(msgspec.Struct):
    """Which suggestion is decided."""

    number: Number
    """As the list names it; it is never given to another pair."""


class SuggestedPerson(msgspec.Struct):
    """One of two people who may be one."""

    id: IdView
    """The id by which they were suggested."""
    person: str
    """Who has this id now."""


class SuggestionView(msgspec.Struct, kw_only=True):
    """Two people who may be one."""

    number: int
    state: Literal["open", "accepted", "rejected", "replaced"]
    """replaced: the newest search did not find it again."""
    probability: float
    weight: float
    """Evidence in bits: ten more is a thousand times likelier."""
    a: SuggestedPerson
    b: SuggestedPerson
    why: list[str]
    """Trait by trait, what weighs most first; empty without the right to see payloads."""
    made_ms: int
    """When it was found last."""


class Suggestions(msgspec.Struct):
    """A page of suggestions, the likeliest first."""

    suggestions: list[SuggestionView]
    after: int
    """Where the next page begins; 0 at the end."""
    total: int
    """In this state, those too that have nothing left to decide."""


class SuggestionsTaken(msgspec.Struct):
    """What was put on the list."""

    taken: int
    done: str
    """In words, with what was left out and why."""
