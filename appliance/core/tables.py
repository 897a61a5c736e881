"""Turns a TOML table into a struct and reports everything wrong with it, not only the first thing.

Used for the tables of `core/config.py` and for the `Config` of a plug-in.
A fault never shows a value that may be a secret.
"""

import difflib
import ipaddress
import math
import re
from collections.abc import Callable, Iterable
from datetime import date, datetime, time
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from appliance.core import logs, units
from appliance.core.errors import Fault
from appliance.core.secret import Secret

KeyPath = tuple[str | int, ...]
S = TypeVar("S", bound=msgspec.Struct)

BAD: Any = object()
"""Stands for a value that could not be converted; its faults have been reported."""


class Faults:
    """Collects what is wrong in one file.

    Args:
        file: as shown to people.
        line_of: line of a key path, 0 where unknown.
        base: folder that relative paths in the file start from.
    """

    def __init__(self, file: str, line_of: Callable[[KeyPath], int], base: Path = Path()) -> None:
        self.file, self.line_of, self.base = file, line_of, base
        self.found: list[Fault] = []

    def add(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Report one fault at a key."""
        self.found.append(Fault(self.file, self.line_of(path), shown_key(path), message, hint))


def shown_key(path: KeyPath) -> str:
    """A key path as people write it: `sources.web.route[0].match`, quoted where TOML needs it."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", step, re.ASCII)
            text += ("." if text else "") + (step if bare else msgspec.json.encode(step).decode())
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean "..."?`, or "" where nothing known comes near."""
    near = difflib.get_close_matches(word[:80].lower(), {name.lower(): name for name in known}, n=1, cutoff=0.6)
    return f'did you mean "{near[0]}"?' if near else ""


def convert_struct(table: Any, kind: type[S], path: KeyPath, faults: Faults) -> S:
    """Build `kind` from a table.

    Returns:
        The struct, or `BAD` when a fault was reported; then `faults.found` has grown.
    """
    if not isinstance(table, dict):
        faults.add(path, f"expected a table, got {shown(table)}", f"write [{shown_key(path)}]" if path else "")
        return BAD  # type: ignore[no-any-return]  # BAD is Any on purpose: the caller asks `is BAD`
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    before = len(faults.found)
    for key, value in table.items():
        if key in fields:
            values[fields[key].name] = convert(value, fields[key].type, (*path, key), faults)
        else:
            faults.add((*path, key), "unknown key", did_you_mean(key, fields) or f"known here: {', '.join(fields)}")
    for key, field in fields.items():
        if field.required and key not in table:
            faults.add((*path, key), "is missing")
    if len(faults.found) > before:
        return BAD  # type: ignore[no-any-return]
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:  # raised by a plug-in Config's own __post_init__
        faults.add(path, str(error))
        return BAD  # type: ignore[no-any-return]


def convert(value: Any, annotation: Any, path: KeyPath, faults: Faults) -> Any:
    """One value by its annotation; `BAD` when a fault was reported."""
    meta: list[msgspec.Meta] = []
    while get_origin(annotation) is Annotated:
        annotation, *extras = get_args(annotation)
        meta += [extra for extra in extras if isinstance(extra, msgspec.Meta)]
    kind = get_origin(annotation) or annotation
    if kind in (Union, UnionType):
        return _convert_union(value, annotation, meta, path, faults)
    if kind in _COLLECTIONS:
        return _COLLECTIONS[kind](value, get_args(annotation), path, faults)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return convert_struct(value, kind, path, faults)
    try:
        return _convert_plain(value, annotation, meta, path, faults)
    except (ValueError, RuntimeError) as error:  # RuntimeError: `~somebody` has no home folder
        faults.add(path, str(error))
        return BAD


def _convert_union(value: Any, annotation: Any, meta: list[msgspec.Meta], path: KeyPath, faults: Faults) -> Any:
    """The one alternative beside None, else whatever msgspec makes of several."""
    alternatives = [alternative for alternative in get_args(annotation) if alternative is not NoneType]
    if len(alternatives) == 1:
        inner = alternatives[0]
        return convert(value, Annotated[(inner, *meta)] if meta else inner, path, faults)
    return _convert_otherwise(value, annotation, path, faults)


def _convert_list(value: Any, inner: tuple[Any, ...], path: KeyPath, faults: Faults) -> Any:
    if not isinstance(value, list):
        faults.add(path, f"expected a list, got {shown(value)}")
        return BAD
    items = [convert(item, inner[0] if inner else Any, (*path, index), faults) for index, item in enumerate(value)]
    return BAD if any(item is BAD for item in items) else items


def _convert_dict(value: Any, inner: tuple[Any, ...], path: KeyPath, faults: Faults) -> Any:
    if not isinstance(value, dict):
        faults.add(path, f"expected a table of names, got {shown(value)}", f"write [{shown_key(path)}.NAME]")
        return BAD
    items = {key: convert(item, inner[1] if inner else Any, (*path, key), faults) for key, item in value.items()}
    return BAD if any(item is BAD for item in items.values()) else items


_COLLECTIONS: dict[Any, Callable[[Any, tuple[Any, ...], KeyPath, Faults], Any]] = {
    list: _convert_list,
    dict: _convert_dict,
}


def _convert_plain(value: Any, kind: Any, meta: list[msgspec.Meta], path: KeyPath, faults: Faults) -> Any:
    """A value that holds no others. Raises ValueError with the words of the fault."""
    unit = next((entry.extra["unit"] for entry in meta if entry.extra and "unit" in entry.extra), "")
    if kind is Any:
        return value
    if get_origin(kind) is Literal:
        return _literal(value, get_args(kind))
    if kind is bool:
        return _typed(value, bool, "true or false")
    if kind is int:
        return _in_range(_whole(value, unit), meta)
    if kind is float:
        return float(_in_range(_number(value, unit), meta))
    if kind is Secret:
        return _secret(value, path, faults.base)
    if kind is Path:
        return faults.base / Path(_text(value)).expanduser()
    if kind is str:
        return _checked_text(value, unit, meta)
    return _convert_otherwise(value, kind, path, faults)


def _convert_otherwise(value: Any, annotation: Any, path: KeyPath, faults: Faults) -> Any:
    """Types that only plug-ins use (unions, enums, dates, tuples): msgspec's own words."""
    try:
        return msgspec.convert(value, annotation, builtin_types=(datetime, date, time))
    except (msgspec.ValidationError, ValueError, TypeError, RecursionError) as error:
        faults.add(path, str(error))
        return BAD


def _typed(value: Any, kind: type, words: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"expected {words}, got {shown(value)}")
    return value


def _text(value: Any) -> str:
    text: str = _typed(value, str, "text")
    if "\0" in text:
        raise ValueError("must not hold U+0000")
    return text


def _whole(value: Any, unit: str) -> int:
    if unit == "bytes" and isinstance(value, str):
        return units.parse_bytes(value)
    if isinstance(value, bool) or not isinstance(value, int):
        words = 'a size such as "512 KiB" or a whole number of bytes' if unit == "bytes" else "a whole number"
        raise ValueError(f"expected {words}, got {shown(value)}")
    return value


def _number(value: Any, unit: str) -> float:
    if unit == "seconds" and isinstance(value, str):
        return units.parse_seconds(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
        words = 'a duration such as "30s" or a number of seconds' if unit == "seconds" else "a number"
        raise ValueError(f"expected {words}, got {shown(value)}")
    return value


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond any float
        return False


def _in_range(value: Any, meta: list[msgspec.Meta]) -> Any:
    for entry in meta:
        if entry.ge is not None and value < entry.ge:
            raise ValueError(f"must be at least {entry.ge:g}, got {shown(value)}")
        if entry.gt is not None and value <= entry.gt:
            raise ValueError(f"must be more than {entry.gt:g}, got {shown(value)}")
        if entry.le is not None and value > entry.le:
            raise ValueError(f"must be at most {entry.le:g}, got {shown(value)}")
        if entry.lt is not None and value >= entry.lt:
            raise ValueError(f"must be less than {entry.lt:g}, got {shown(value)}")
    return value


def _literal(value: Any, allowed: tuple[Any, ...]) -> Any:
    for choice in allowed:
        if type(choice) is type(value) and choice == value:
            return choice
    hint = did_you_mean(value, [str(choice) for choice in allowed]) if isinstance(value, str) else ""
    words = " or ".join(f'"{choice}"' for choice in allowed)
    raise ValueError(f"expected {words}, got {shown(value)}" + (f"; {hint}" if hint else ""))


def _secret(value: Any, path: KeyPath, base: Path) -> Secret:
    if not isinstance(value, str):
        raise ValueError(f"expected env:NAME or file:PATH, got {kind_of(value)}")
    is_write_key = bool(path) and path[-1] in ("write_key", "previous_write_key")
    if value.startswith("file:"):
        value = f"file:{base / Path(value[5:]).expanduser()}"
    secret = Secret.resolve(value, literal=is_write_key)
    logs.hide(secret.reveal())  # from here on no log line shows it, whatever quotes it
    if is_write_key and not re.fullmatch(r"[!-9;-~]{1,200}", secret.reveal(), re.ASCII):
        raise ValueError("a write key is 1 to 200 printable ASCII characters without spaces and colons")
    return secret


def _checked_text(value: Any, unit: str, meta: list[msgspec.Meta]) -> str:
    if unit in ("start", "moment") and isinstance(value, date):  # TOML has times of its own; a datetime is a date too
        value = value.isoformat()
    text = _text(value)
    if unit in _TEXT_CHECKS:
        _TEXT_CHECKS[unit](text)
    for entry in meta:
        if entry.pattern is not None and not re.search(entry.pattern, text):
            raise ValueError(f"{shown(text)} does not match the pattern {entry.pattern}")
        if entry.min_length is not None and len(text) < entry.min_length:
            raise ValueError(f"must have at least {entry.min_length} characters")
        if entry.max_length is not None and len(text) > entry.max_length:
            raise ValueError(f"must have at most {entry.max_length} characters")
    return text


def _check_network(text: str) -> None:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'{shown(text)} is no network; write CIDR, such as "10.0.0.0/8", or one address') from None


def _check_origin(text: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^/\s?#@]+", text):
        raise ValueError(f'{shown(text)} is no origin; write scheme and host alone, such as "https://shop.example"')


def _check_url(text: str) -> None:
    if text and not re.fullmatch(r"https?://[^/\s?#@]+(/[^\s?#]*)?", text):
        raise ValueError(f"{shown(text)} is no URL; write http:// or https:// and the host")


def _check_endpoint(text: str) -> None:
    if not re.fullmatch(r"https?://[^/\s?#@]+([/?][^\s#]*)?", text):
        raise ValueError(f"{_without_login(text)} is no address to call; write http:// or https:// and the host")


def _without_login(text: str) -> str:
    """An address as a fault may show it: what stands before an @ may be a password."""
    return shown(re.sub(r"//[^/@]*@", "//...@", text))


def _check_calling_code(text: str) -> None:
    if text and not re.fullmatch(r"[1-9][0-9]{0,2}", text, re.ASCII):
        raise ValueError(f'{shown(text)} is no calling code; write its digits alone, such as "44"')


def _check_event_path(text: str) -> None:
    if not all(text.split(".")) or re.search(r'["\\\x00-\x1f]', text):
        raise ValueError(f'{shown(text)} is no place in an event; write keys with dots, such as "context.traits.card"')


_TEXT_CHECKS: dict[str, Callable[[str], object]] = {
    "address": units.parse_address,
    "network": _check_network,
    "origin": _check_origin,
    "url": _check_url,
    "endpoint": _check_endpoint,
    "start": units.parse_start,
    "moment": units.parse_moment,
    "calling_code": _check_calling_code,
    "event_path": _check_event_path,
}


_KINDS: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


def kind_of(value: Any) -> str:
    """The TOML word for a value's type."""
    return _KINDS.get(type(value), "a date or time")


def shown(value: Any) -> str:
    """A value in a fault's message: short, quoted, never a whole table."""
    if isinstance(value, list | dict):
        return kind_of(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and abs(value) >= 1 << 80:
        return "a number beyond all bounds"
    text = value if isinstance(value, str) else str(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text
