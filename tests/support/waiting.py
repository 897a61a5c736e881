"""Waits for something that a real process does in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], what: str = "", timeout_s: float = 30.0, every_s: float = 0.05) -> T:
    """Look again and again until the answer is true, and return it; fails with `what` after `timeout_s`."""
    return until_enough(look, bool, what, timeout_s, every_s)


def until_enough(
    look: Callable[[], T], enough: Callable[[T], object], what: str = "", timeout_s: float = 30.0, every_s: float = 0.05
) -> T:
    """Look again and again until the answer is enough, and return it; fails with it, and `what`, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not enough(found := look()):
        assert time.monotonic() < deadline, f"after {timeout_s} s {what}: {found!r}"
        time.sleep(every_s)
    return found
