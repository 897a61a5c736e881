"""What came of one call of a plug-in: one result per event, in order."""

from typing import Literal

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one event. Frozen, so that one result can stand for many events."""

    kind: Literal["succeeded", "retry", "abort"]
    reason: str = ""
    """For people; "" when it succeeded. Holds no secret of the destination's configuration."""
    sample: str = ""
    """The request's and the reply's beginnings, without secrets, at most 4 KiB."""
    after_s: float | None = None
    """The target asked to be left alone so long, 0 to 3600."""
    throttled: bool = False
    """Slows the destination, counts towards no limit; always true where `after_s` is given."""
    fault: bool = False
    """The plug-in is to blame; show it as a bug."""
    connection: bool = False
    """No connection came about: surely not delivered."""


class Outcome(msgspec.Struct, frozen=True):
    """The results of one call: as many as there were events, in their order."""

    results: list[Result]


SUCCEEDED = Result(kind="succeeded")
