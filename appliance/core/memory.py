"""Gives memory back to the system: glibc keeps what was freed unless it is asked not to. Elsewhere it does nothing."""

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

ARENAS_MAX = 2
"""Heaps that threads spread over; by default glibc makes up to eight per core, each with holes of its own."""
_M_ARENA_MAX = -8
_MADV_DONTNEED = 4


def limit_arenas() -> None:
    """Call it before threads start."""
    _call("mallopt", _M_ARENA_MAX, ARENAS_MAX)


def release() -> None:
    """Return free pages; milliseconds."""
    _call("malloc_trim", 0)


def collect_nothing() -> None:
    """Until `collect_less`: to look for cycles in what a start builds takes as long as to build it."""
    gc.disable()


def collect_less() -> None:
    """Spare the collector of cycles what lives as long as the process; call it once everything is built.

    The deduplication window holds a million objects that are in no cycle; by default they would be looked at again
    and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    gc.enable()


def unmap(file: Path) -> None:
    """Give back the pages of a file that is mapped read-only; whoever touches one again gets it from the page cache.

    Safe while others read. Linux.
    """
    try:
        maps = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return
    for fields in (line.split(maxsplit=5) for line in maps):
        if len(fields) == 6 and fields[5] == str(file) and fields[1].startswith("r-"):
            first, last = (int(address, 16) for address in fields[0].split("-"))
            _call("madvise", ctypes.c_void_p(first), ctypes.c_size_t(last - first), _MADV_DONTNEED)


def _call(name: str, *arguments: object) -> None:
    try:
        function: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return  # Not glibc.
    function(*arguments)
