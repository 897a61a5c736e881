"""Gives memory back to the system: glibc keeps what was freed unless it is asked not to. Elsewhere it does nothing."""

import ctypes
from collections.abc import Callable
from typing import Any

ARENAS_MAX = 2
"""Heaps that threads spread over; by default glibc makes up to eight per core, each with holes of its own."""
_M_ARENA_MAX = -8


def limit_arenas() -> None:
    """Call it before threads start."""
    _call("mallopt", _M_ARENA_MAX, ARENAS_MAX)


def release() -> None:
    """Return free pages; milliseconds."""
    _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> None:
    try:
        function: Callable[..., Any] = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError):
        return  # Not glibc.
    function(*arguments)
