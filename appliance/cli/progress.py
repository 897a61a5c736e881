"""Bars on a terminal's stderr for work that takes long, and looking on while the process works."""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
LOOK_S = 0.25
LOOK_SHARE = 5
"""Between two looks at least so many times what a look took: watching must not slow what is watched."""


def wanted(args: argparse.Namespace) -> bool:
    """Whether to draw: for people at a terminal, never beside JSON."""
    return not args.json and sys.stderr.isatty()


@contextmanager
def bar(words: str, total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar while the block runs; yields what is to be called with how much is done.

    Args:
        total: 0 where nobody knows: the bar goes to and fro.
    """
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(words), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total or None)
        yield lambda done: progress.update(task, completed=min(done, total) if total else done)


def watched(work: Callable[[], T], look: Callable[[], None]) -> T:
    """The value of `work`, or what it raises; meanwhile `look` is called again and again.

    Ctrl-C leaves at once: the process that was asked goes on with the work.
    """
    running = _Running(work)
    running.start()
    wait_s = LOOK_S
    while not running.ended.wait(wait_s):
        began = time.monotonic()
        look()
        wait_s = max(LOOK_S, LOOK_SHARE * (time.monotonic() - began))
    return running.value()


class _Running(threading.Thread, Generic[T]):
    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(daemon=True)
        self._work = work
        self._values: list[T] = []
        self._error: BaseException | None = None
        self.ended = threading.Event()

    def run(self) -> None:
        try:
            self._values.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self.ended.set()

    def value(self) -> T:
        if self._error is not None:
            raise self._error
        return self._values[0]
