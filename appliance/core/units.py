"""Sizes, durations and addresses as people write them."""

import ipaddress
import re
from datetime import datetime

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", re.ASCII)
_BYTES = {
    "": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
}  # fmt: skip
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?", re.ASCII)


def parse_bytes(text: str) -> int:
    """A size: `"4 GiB"`, `"512 KiB"`, `"10 MB"`, `"1000"`; KiB is 1024, KB is 1000.

    Raises:
        ValueError: when it is none; the text says how to write one.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2].lower() not in _BYTES or len(found[1]) > 20:
        raise ValueError(f'{_shown(text)} is no size; write "512 KiB", "4 GiB" or a number of bytes')
    return round(float(found[1]) * _BYTES[found[2].lower()])


def parse_seconds(text: str) -> float:
    """A duration in seconds: `"500ms"`, `"30s"`, `"15m"`, `"24h"`, `"3d"`, `"1h 30m"`.

    Raises:
        ValueError: when it is none; the text says how to write one.
    """
    parts = list(_DURATION.finditer(text))
    if not parts or len(text) > 64 or _DURATION.sub("", text).strip():
        raise ValueError(f'{_shown(text)} is no duration; write "500ms", "30s", "24h", "3d" or a number of seconds')
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `"127.0.0.1:8080"`, `"[::1]:8080"`, `"localhost:8080"`; port 0 lets the system choose.

    Raises:
        ValueError: when it is none; the text says how to write one.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or int(port) > 65_535:
        raise ValueError(f'{_shown(text)} is no address; write HOST:PORT, such as "127.0.0.1:8080"')
    if host.startswith("[") and host.endswith("]"):
        return str(_ip(host[1:-1], text, version=6)), int(port)
    if ":" in host:
        raise ValueError(f'{_shown(text)}: an IPv6 address stands in brackets, such as "[::1]:8080"')
    if re.fullmatch(r"[\d.]+", host, re.ASCII):
        return str(_ip(host, text, version=4)), int(port)
    if not _HOST.fullmatch(host):
        raise ValueError(f'{_shown(text)} has no usable host; write HOST:PORT, such as "127.0.0.1:8080"')
    return host, int(port)


def parse_start(text: str) -> datetime | None:
    """Where a new destination begins: an RFC 3339 time with its offset, or None for the words `now` and `oldest`.

    Raises:
        ValueError: when it is none of them.
    """
    if text in ("now", "oldest"):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f'{_shown(text)} is no start; write "now", "oldest" or a time such as "2030-01-31T12:00:00Z"')
    return moment


def parse_moment(text: str) -> datetime | None:
    """An RFC 3339 time with its offset; None for "".

    Raises:
        ValueError: when it is neither.
    """
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(f'{_shown(text)} is no time; write one such as "2030-01-31T12:00:00Z"')
    return moment


def _ip(host: str, text: str, version: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or address.version != version:
        raise ValueError(f"{_shown(text)}: {_shown(host)} is no IPv{version} address")
    return address


def _shown(text: str) -> str:
    return f'"{text if len(text) <= 60 else text[:57] + "..."}"'
