"""Does what was asked for once, however often it is asked: the first answer is kept under the client's key.

Kept in memory, so a restart forgets; the count that destructive actions expect guards what comes after it.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from appliance.core.clock import Clock

KEYS_MAX = 1_000
KEPT_MS = 24 * 3600 * 1000
KEY_CHARACTERS_MAX = 128


class Answer(NamedTuple):
    """What an action answered."""

    status: int
    body: bytes
    content_type: str = "application/json"


class KeyReused(Exception):
    """This key was sent with another request before; nothing was done."""


class _Kept:
    """One key: the request it came with, and its answer once that is there."""

    __slots__ = ("answer", "asked_ms", "fingerprint")

    def __init__(self, fingerprint: bytes, asked_ms: int, answer: "asyncio.Task[Answer]") -> None:
        self.fingerprint, self.asked_ms, self.answer = fingerprint, asked_ms, answer


class Once:
    """The keys of one process; lives on one loop.

    Args:
        keys_max: the oldest answers beyond it are forgotten; what still runs never is.
    """

    def __init__(self, clock: Clock, keys_max: int = KEYS_MAX) -> None:
        self._clock, self._keys_max = clock, keys_max
        self._kept: OrderedDict[tuple[object, str], _Kept] = OrderedDict()

    async def run(
        self, scope: object, key: str, request: bytes, action: Callable[[], Awaitable[Answer]]
    ) -> tuple[Answer, bool]:
        """The answer to this request, and whether it is an earlier one's.

        The action goes on though the client that asked goes away: whoever repeats the request gets its answer. An
        answer that says that nothing was tried (400, 408) is not kept, and neither is a bug.

        Args:
            scope: within which keys are told apart: whoever holds the token.
            request: all that makes one request the same as another.

        Raises:
            KeyReused: the key came with another request before.
        """
        self._forget_old()
        fingerprint = hashlib.blake2b(request, digest_size=16).digest()
        place = (scope, key)
        kept = self._kept.get(place)
        if kept is not None:
            if kept.fingerprint != fingerprint:
                raise KeyReused
            return await asyncio.shield(kept.answer), True
        task = asyncio.get_running_loop().create_task(_answered(action))
        kept = self._kept[place] = _Kept(fingerprint, self._clock.monotonic_ms(), task)
        task.add_done_callback(lambda done: self._done(place, kept))
        return await asyncio.shield(task), False

    def _done(self, place: tuple[object, str], kept: _Kept) -> None:
        failed = kept.answer.cancelled() or kept.answer.exception() is not None
        if (failed or kept.answer.result().status in (400, 408)) and self._kept.get(place) is kept:
            del self._kept[place]

    def _forget_old(self) -> None:
        oldest_ms = self._clock.monotonic_ms() - KEPT_MS
        done = [place for place, kept in self._kept.items() if kept.answer.done()]
        surplus = len(self._kept) + 1 - self._keys_max
        for index, place in enumerate(done):
            if index < surplus or self._kept[place].asked_ms < oldest_ms:
                del self._kept[place]


async def _answered(action: Callable[[], Awaitable[Answer]]) -> Answer:
    return await action()


def is_key(text: str) -> bool:
    """Whether a header value can be a key: 1 to 128 printable ASCII characters."""
    return 0 < len(text) <= KEY_CHARACTERS_MAX and text.isascii() and text.isprintable()
