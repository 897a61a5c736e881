"""Options that a plug-in can be tried with: what is required gets a plausible value, addresses point at our server."""

import re
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from appliance.sdk import Config, Secret

_ADDRESS_NAME = re.compile(r"(?:.*_)?(?:url|uri|endpoint|address)", re.IGNORECASE)
_SCALARS: dict[Any, Any] = {str: "conformance", int: 1, float: 1.0, bool: False}


def sample_options(kind: type[Config], url: str, folder: Path, given: dict[str, Any]) -> dict[str, Any]:
    """A table for this Config.

    Args:
        kind: the plug-in's Config.
        url: for every key that holds an address, given ones included: nothing leaves this machine.
        folder: for files; a secret is written there too.
        given: what the operator says, beside addresses.
    """
    options = dict(given)
    for field in msgspec.structs.fields(kind):
        key = field.encode_name
        if is_address(key, field.type) and (field.required or key in given or _ADDRESS_NAME.fullmatch(key)):
            options[key] = url
        elif field.required and key not in options:
            options[key] = sample_value(field.type, url, folder)
    return options


def address_keys(kind: type[Config]) -> list[str]:
    """The keys that hold an address to call."""
    return [field.encode_name for field in msgspec.structs.fields(kind) if is_address(field.encode_name, field.type)]


def is_address(key: str, annotation: Any) -> bool:
    """Whether this key holds an address: its type is `Url`, or it is text and named like one."""
    plain, meta = _plain(annotation)
    units = {entry.extra.get("unit") for entry in meta if entry.extra}
    return bool(units & {"endpoint", "url"}) or (plain is str and _ADDRESS_NAME.fullmatch(key) is not None)


def sample_value(annotation: Any, url: str, folder: Path) -> Any:
    """Any valid value of a type; None where none comes to mind."""
    plain, meta = _plain(annotation)
    kind = get_origin(plain) or plain
    if any(entry.extra and entry.extra.get("unit") == "endpoint" for entry in meta):
        return url
    if kind is Literal:
        return get_args(plain)[0]
    if kind is Secret:
        secret = folder / "secret"
        secret.write_text("conformance-secret")
        return f"file:{secret}"
    if kind is Path:
        return str(folder / "files")
    if kind in _SCALARS:
        least = [bound for entry in meta for bound in (entry.ge, entry.gt and entry.gt + 1) if bound]
        return kind(least[0]) if least else _SCALARS[kind]
    if kind in (list, dict):
        return kind()
    if isinstance(kind, type) and issubclass(kind, Config):
        return sample_options(kind, url, folder, {})
    return None


def _plain(annotation: Any) -> tuple[Any, list[msgspec.Meta]]:
    """A type without Annotated and without None, and the Metas it was annotated with."""
    meta: list[msgspec.Meta] = []
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *extras = get_args(annotation)
            meta += [extra for extra in extras if isinstance(extra, msgspec.Meta)]
        elif get_origin(annotation) in (Union, UnionType):
            others = [one for one in get_args(annotation) if one is not NoneType]
            annotation = others[0]
        else:
            return annotation, meta
