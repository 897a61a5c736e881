"""The rules of each type of id: the defaults, what the configuration changes of them, how a value is judged.

Pure. Types: those of `core.config.ID_TYPES`, others that are configured, and for all others one set of defaults.
"""

import math
from functools import lru_cache

import msgspec

from appliance.core.config import DAY_S, IdentityConfig, IdTypeConfig
from appliance.core.id_text import clean_id
from appliance.identity import normalise
from appliance.identity.normalise import LeftOut

DEFAULTS = {
    "user_id": IdTypeConfig(normalise="trim", most=10, unique=True, priority=10, window=0.0),
    "email": IdTypeConfig(normalise="email", most=5, unique=False, priority=20, window=0.0),
    "phone": IdTypeConfig(normalise="phone", most=5, unique=False, priority=30, window=0.0),
    "device_id": IdTypeConfig(normalise="trim", most=20, unique=False, priority=50, window=0.0),
    "anonymous_id": IdTypeConfig(normalise="trim", most=100, unique=False, priority=60, window=0.0),
}
EXTERNAL = IdTypeConfig(normalise="trim", most=5, unique=False, priority=40, window=0.0)
_BLOCKED = {"device_id": ("9774d56d682e549c", "02:00:00:00:00:00")}
"""By type, beside `normalise.NOBODY`: what a faulty Android and every iPhone gave as their own."""

REMEMBERED_MAX = 4_096
"""So many values of a type are remembered with their spelling: SDKs send the traits of a session with every event."""


def filled(config: IdentityConfig) -> IdentityConfig:
    """The same rules with nothing left to defaults: every type of ours has its table, and every key its value."""
    ids = {name: _overlay(config.ids.get(name, IdTypeConfig()), default) for name, default in DEFAULTS.items()}
    ids |= {name: _overlay(table, EXTERNAL) for name, table in config.ids.items() if name not in ids}
    return msgspec.structs.replace(
        config, ids={name: ids[name] for name in (*DEFAULTS, *sorted(set(ids) - set(DEFAULTS)))}
    )


def _overlay(table: IdTypeConfig, default: IdTypeConfig) -> IdTypeConfig:
    missing = {key: getattr(default, key) for key in table.__struct_fields__ if getattr(table, key) is None}
    return msgspec.structs.replace(table, **missing, blocked=sorted(set(table.blocked)))


class TypeRules:
    """The rules of one type, ready for use."""

    __slots__ = ("_blocked", "_normalise", "_trims", "enabled", "most", "priority", "unique", "window_days")

    def __init__(self, name: str, table: IdTypeConfig, phone_country: str) -> None:
        assert table.normalise and table.priority is not None  # `filled` has seen to that
        self.enabled, self.unique, self.priority = table.enabled, bool(table.unique), table.priority
        self.most = table.most or None
        self.window_days = math.ceil(table.window / DAY_S) if table.window else None
        self._trims = table.normalise == "trim"
        self._normalise = lru_cache(REMEMBERED_MAX)(normalise.normaliser(table.normalise, phone_country))
        self._blocked = set(normalise.NOBODY)
        for value in (*_BLOCKED.get(name, ()), *table.blocked):
            try:
                self._blocked.add(self._normalise(value).lower())
            except LeftOut:
                continue  # No event can bring it: it would be left out for this reason.

    def value_of(self, text: str) -> str:
        """The one spelling of a value; "" where it is empty. Raises `LeftOut` where it is no id."""
        value = clean_id(text)
        if len(value) > normalise.BYTES_MAX:
            raise LeftOut(normalise.IS_LONG)
        if self._is_blocked(value):
            raise LeftOut(normalise.IS_BLOCKED)
        if not self._trims:
            value = self._normalise(value)
            if self._is_blocked(value):
                raise LeftOut(normalise.IS_BLOCKED)
        if not value.isascii():
            _check_size(value)
        return value

    def _is_blocked(self, value: str) -> bool:
        return value.lower() in self._blocked or (not value.strip(normalise.ZEROS) and value != "")


def _check_size(value: str) -> None:
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise LeftOut(normalise.IS_NO_TEXT) from None
    if size > normalise.BYTES_MAX:
        raise LeftOut(normalise.IS_LONG)
