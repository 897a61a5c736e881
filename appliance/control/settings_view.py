"""The configuration key by key: what it is, where that stands, what it would be otherwise. Secrets never show. Pure.

Keys are taken from the structs of `core/config.py` and from the plug-ins' own, so that none can be forgotten.
"""

import inspect
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args
from urllib.parse import urlsplit, urlunsplit

import msgspec

from appliance.control.replies import Change, SettingView
from appliance.core import config as declared
from appliance.core import logs
from appliance.core.config import Config
from appliance.core.secret import Secret, names_a_secret
from appliance.core.settings import Loaded
from appliance.core.tables import KeyPath, shown_key
from appliance.deliver.plugin_docs import field_docs
from appliance.deliver.plugins import Plugin

MASK = "***"
RESTART = ("collect", "control", "wal", "outbound")
"""Tables that take effect at the next start, but for ..."""
NO_RESTART = ("control", "tokens")
"""... this one."""
KEY_RESTART = ("identity", "enabled")
"""A key that does, in a table that is re-loaded."""


class _Key(NamedTuple):
    """One key with its value as it is; never leaves this module."""

    path: KeyPath
    value: Any
    default: Any
    doc: str
    secret: bool


def settings(loaded: Loaded, plugins: Mapping[str, Plugin], under: KeyPath = ()) -> list[SettingView]:
    """Every key, in the order of the declarations.

    Args:
        plugins: by name, as far as they are known; options of others are shown masked.
        under: only what begins with this path.
    """
    return [_view(key, loaded) for key in _keys(loaded.config, plugins) if key.path[: len(under)] == under]


def changes(running: Loaded, file: Loaded, plugins: Mapping[str, Plugin]) -> list[Change]:
    """What a re-load would bring; a key that is there on one side only has null on the other."""
    old = {key.path: key for key in _keys(running.config, plugins)}
    new = {key.path: key for key in _keys(file.config, plugins)}
    return [
        Change(
            key=shown_key(path),
            running=_shown(old[path]) if path in old else None,
            file=_shown(new[path]) if path in new else None,
            restart=_needs_restart(path),
        )
        for path in dict.fromkeys([*old, *new])
        if path not in old or path not in new or old[path].value != new[path].value
    ]


def _keys(config: Config, plugins: Mapping[str, Plugin]) -> Iterator[_Key]:
    for key in _of_struct(config, (), _core_docs()):
        if key.path[0] == "destinations" and key.path[2] == "options":
            yield from _options(key, plugins.get(config.destinations[str(key.path[1])].plugin))
        else:
            yield key


def _of_struct(table: msgspec.Struct, path: KeyPath, docs: Mapping[str, Mapping[str, str]]) -> Iterator[_Key]:
    words = docs.get(type(table).__name__, {})
    for field in msgspec.structs.fields(table):
        value, where = getattr(table, field.name), (*path, field.encode_name)
        if isinstance(value, msgspec.Struct):
            yield from _of_struct(value, where, docs)
        elif _is_named_tables(field.type):
            for name, inner in value.items():
                yield from _of_struct(inner, (*where, name), docs)
        else:
            yield _Key(where, value, _default(field), words.get(field.name, ""), _names(field.type, Secret))


def _options(key: _Key, plugin: Plugin | None) -> Iterator[_Key]:
    """A plug-in's own keys, those that are left out too; every one is a secret where the plug-in is not known."""
    given, path = dict(key.value), key.path[:-1]
    if plugin is not None:
        words = _plugin_docs(plugin.path, plugin.config_type.__name__)
        for field in msgspec.structs.fields(plugin.config_type):
            default = _default(field)
            value = given.pop(field.encode_name, default)
            yield _Key(
                (*path, field.encode_name), value, default, words.get(field.name, ""), _names(field.type, Secret)
            )
    for name, value in given.items():
        yield _Key((*path, name), value, None, "", True)


def _view(key: _Key, loaded: Loaded) -> SettingView:
    line = loaded.origins.get(key.path, 0)
    generated = loaded.generated and key.path[0] in ("sources", "destinations")
    given = key.value != key.default
    origin: Literal["file", "default", "generated"] = (
        "file" if line else "generated" if generated and given else "default"
    )
    return SettingView(
        key=shown_key(key.path),
        value=_shown(key),
        default=_plain(key.default, key.secret, ""),
        doc=key.doc,
        origin=origin,
        file=loaded.file if line else "",
        line=line,
        restart=_needs_restart(key.path),
    )


def _shown(key: _Key) -> Any:
    return _plain(key.value, key.secret, str(key.path[-1]))


def _plain(value: Any, secret: bool, name: str) -> Any:
    """A value as JSON can carry it, with nothing in it that opens a door."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(inner, secret, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, secret, name) for inner in value]
    if secret or isinstance(value, Secret) or names_a_secret(name):
        return MASK if value != "" else ""
    if isinstance(value, int | float):
        return value
    if isinstance(value, msgspec.Struct):
        return {key: _plain(getattr(value, key), secret, key) for key in value.__struct_fields__}
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return logs.masked(_without_login(str(value)))


def _without_login(text: str) -> str:
    """An address without the password, and without the values of its query, which may be keys."""
    try:
        parts = urlsplit(text) if "://" in text else None
    except ValueError:
        return MASK
    if parts is None:
        return text
    host = f"{MASK}@{parts.netloc.rpartition('@')[2]}" if "@" in parts.netloc else parts.netloc
    pairs = (pair.partition("=") for pair in parts.query.split("&") if pair)
    query = "&".join(f"{name}={MASK}" if value else name for name, _, value in pairs)
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else None


def _needs_restart(path: KeyPath) -> bool:
    return path == KEY_RESTART or (path[0] in RESTART and path[:2] != NO_RESTART)


def _is_named_tables(annotation: Any) -> bool:
    """Whether it is a table of tables of ours, such as [sources.NAME]."""
    return any(isinstance(part, type) and issubclass(part, msgspec.Struct) for part in get_args(annotation)[1:2])


def _names(annotation: Any, kind: type) -> bool:
    return annotation is kind or any(_names(part, kind) for part in get_args(annotation))


@cache
def _core_docs() -> dict[str, dict[str, str]]:
    source = inspect.getsource(declared)
    return {name: field_docs(source, name) for name, kind in vars(declared).items() if isinstance(kind, type)}


@cache
def _plugin_docs(path: Path, class_name: str) -> dict[str, str]:
    try:
        return field_docs(path.read_text(encoding="utf-8"), class_name)
    except (OSError, SyntaxError, ValueError):
        return {}
