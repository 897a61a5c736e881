"""Does this event go to that destination: its sources, the event's own `integrations`, a replay's filter. Pure."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from appliance.core.event import Record, event_name


class _Selecting(msgspec.Struct):
    """What an event says of destinations."""

    integrations: dict[str, Any] | None = None


_SELECTING = msgspec.json.Decoder(_Selecting)
_EVERYWHERE = b'"integrations":{"All":true}'


def selects(raw: bytes, names: frozenset[str]) -> bool:
    """Whether the event's `integrations` allow a destination known by these names (lower case).

    `{"All": bool, "<Destination>": bool | {...}}`: the destination's own entry wins over `All`, which is true when
    absent. What is not of this shape allows.

    Source: contract/http.md, Delivery.
    """
    if b'"integrations"' not in raw or _EVERYWHERE in raw:
        return True
    try:
        chosen = _SELECTING.decode(raw).integrations or {}
    except msgspec.DecodeError:
        return True
    for name, wanted in chosen.items():
        if name.lower() in names:
            return wanted is not False
    return chosen.get("All") is not False


def route(sources: list[str] | None, names: frozenset[str]) -> Callable[[Record], bool]:
    """The predicate of one destination: True where the event goes there.

    Entries of our own (a source without a name) go nowhere.
    """
    chosen = frozenset(sources) if sources is not None else None
    return lambda record: (
        (record.source in chosen if chosen is not None else record.source != "") and selects(record.raw, names)
    )


def matches(
    record: Record, *, type: str = "", event: str = "", user: str = "", from_ms: str = "", to_ms: str = ""
) -> bool:
    """Whether an event fits a filter; an empty field fits all.

    Args:
        type: track, identify, ...
        event: its name; `*` stands for anything.
        user: userId or anonymousId.
        from_ms: received then or later; wall time in digits, as a replay keeps it.
        to_ms: received before that.
    """
    if (from_ms and record.received_ms < int(from_ms)) or (to_ms and record.received_ms >= int(to_ms)):
        return False
    if (type and record.type != type) or (user and user not in (record.user_id, record.anonymous_id)):
        return False
    return not event or fnmatchcase(event_name(record.raw), event)
