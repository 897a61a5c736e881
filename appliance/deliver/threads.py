"""A few daemon threads for the calls of one blocking plug-in; unlike a ThreadPoolExecutor, a hung one ends with us."""

import queue
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from typing import Any

_Job = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...]]


class Stopped(Exception):
    """The function raised what is meant for an interpreter, a generator or a future, and would confuse ours."""


class Threads:
    """At most `count` threads, started when first needed. The caller sees to it that no more calls run at once.

    Args:
        name: of the threads, as debuggers and stack dumps show them.
        count: most threads.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name, self._count = name, count
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = threading.Semaphore(0)

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Run the function in a thread. Whatever it raises is in the future, SystemExit and its like as `Stopped`."""
        future: Future[Any] = Future()
        self._jobs.put((future, function, arguments))
        if not self._idle.acquire(blocking=False) and len(self._threads) < self._count:
            thread = threading.Thread(target=self._work, name=f"{self._name}-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def close(self) -> None:
        """Threads end after their present call; nobody waits for them."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, function, arguments = job
            if future.set_running_or_notify_cancel():
                try:
                    returned = function(*arguments)
                except (StopIteration, CancelledError) as error:  # asyncio's futures cannot carry them
                    future.set_exception(_stopped(error))
                except Exception as error:
                    future.set_exception(error)
                except BaseException as error:
                    future.set_exception(_stopped(error))
                else:
                    future.set_result(returned)
            del job, future, function, arguments  # Nothing of an event stays alive while the thread waits.
            self._idle.release()


def _stopped(error: BaseException) -> Stopped:
    stopped = Stopped(f"{type(error).__name__}: {error}")
    stopped.__cause__ = error
    return stopped
