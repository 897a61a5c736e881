"""Work that a damaged page may kill, done in a child process."""

import faulthandler
import os
import resource
import warnings
from collections.abc import Callable
from typing import NoReturn


def fork(work: Callable[[], int]) -> int:
    """Start `work` in a child, whose exit code is what it returns (1 if it raises); returns the child's process id.

    A fork and not a fresh interpreter: it is at hand in a frozen build too, and starts at once. Only before loops and
    threads of ours run; the child touches nothing but its own work and leaves without clean-up.

    Raises:
        OSError: no process to be had.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside somebody's thread: see above
        child = os.fork()
    if not child:
        _leave(work)
    return child


def result(child: int) -> int:
    """Wait for a child: its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _leave(work: Callable[[], int]) -> NoReturn:
    code = 1
    try:
        faulthandler.disable()  # its death is a finding, which the parent words; no trace and no core beside it
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = work()
    finally:
        os._exit(code)
