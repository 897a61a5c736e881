"""Deduplication: which (source, messageId) were committed lately.

In memory a set of 16-byte digests, forgotten in order of arrival; on disk one row per block:

    key    first sequence of the block, u64 big-endian
    value  log clock at the commit, ms, u64 little-endian; then 16 bytes per id

The rows carry no checksum: a bit flipped in a digest forgets one id and can do no more.
The window holds at least `ids_min` ids and at least `window_ms`, whichever is more, and never more than `ids_max`.
"""

import struct
from collections import deque
from collections.abc import Iterable
from hashlib import blake2b

import lmdb

from appliance.core.event import Record

DIGEST_BYTES = 16
_TIME = struct.Struct("<Q")
_CHUNK_IDS = 4096
_CHUNK_MS = 60_000


def digests(records: list[Record]) -> list[bytes]:
    """What the window knows each record by."""
    return [blake2b(f"{r.source}\0{r.message_id}".encode(), digest_size=DIGEST_BYTES).digest() for r in records]


def digest(source: str, message_id: str) -> bytes:
    """The digest of one event."""
    return blake2b(f"{source}\0{message_id}".encode(), digest_size=DIGEST_BYTES).digest()


def pack_row(log_ms: int, ids: Iterable[bytes]) -> bytes:
    """A row's value."""
    return _TIME.pack(log_ms) + b"".join(ids)


def row_ms(value: bytes | memoryview) -> int:
    """When a row's ids were committed, on the log clock."""
    log_ms: int = _TIME.unpack_from(value)[0]
    return log_ms


def row_ids(value: bytes) -> list[bytes]:
    """A row's ids."""
    return [value[at : at + DIGEST_BYTES] for at in range(_TIME.size, len(value), DIGEST_BYTES)]


def row_count(value: bytes | memoryview) -> int:
    """How many ids a row has."""
    return (len(value) - _TIME.size) // DIGEST_BYTES


class Bounds:
    """When an id may be forgotten."""

    def __init__(self, ids_min: int, ids_max: int, window_ms: int) -> None:
        self.ids_min, self.ids_max, self.window_ms = min(ids_min, ids_max), ids_max, window_ms

    def surplus(self, count: int, oldest: int, oldest_ms: int, now_ms: int) -> bool:
        """Whether the oldest `oldest` of `count` ids, the youngest of them committed at `oldest_ms`, may go."""
        if count > self.ids_max:
            return True
        return count - oldest >= self.ids_min and now_ms - oldest_ms > self.window_ms


class Window:
    """The ids in memory; one thread's."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._ids: set[bytes] = set()
        self._chunks: deque[tuple[int, bytearray]] = deque()
        """(log clock of its first id, its ids one after the other), oldest first: 16 bytes per id, no objects."""

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, id_: bytes) -> bool:
        return id_ in self._ids

    def isdisjoint(self, ids: Iterable[bytes]) -> bool:
        """Whether none of `ids` is known."""
        return self._ids.isdisjoint(ids)

    def add(self, ids: list[bytes], now_ms: int) -> None:
        """Know these, committed at `now_ms`, and forget what the bounds allow."""
        self._ids.update(ids)
        chunks = self._chunks
        if not chunks or len(chunks[-1][1]) >= _CHUNK_IDS * DIGEST_BYTES or now_ms - chunks[-1][0] > _CHUNK_MS:
            chunks.append((now_ms, bytearray()))
        chunks[-1][1].extend(b"".join(ids))
        while len(chunks) > 1 and self._may_forget(now_ms):
            self._forget(chunks.popleft()[1])

    def _may_forget(self, now_ms: int) -> bool:
        # A chunk's last id is no younger than the next chunk's first.
        return self._bounds.surplus(len(self._ids), len(self._chunks[0][1]) // DIGEST_BYTES, self._chunks[1][0], now_ms)

    def _forget(self, chunk: bytearray) -> None:
        forgotten = bytes(chunk)
        self._ids.difference_update([forgotten[at : at + 16] for at in range(0, len(forgotten), DIGEST_BYTES)])


class SeenRows:
    """The ids on disk; the writer thread's."""

    def __init__(self, table: "lmdb._Database", bounds: Bounds) -> None:
        self._table, self._bounds = table, bounds
        self.count = 0
        """Ids in the table."""

    def load(self, txn: "lmdb.Transaction[bytes]", window: Window) -> None:
        """Fill the window from the table."""
        with txn.cursor(self._table) as cursor:
            for _, value in cursor:
                self.count += row_count(value)
                window.add(row_ids(value), row_ms(value))

    def trim(self, txn: "lmdb.Transaction[bytes]", count: int, now_ms: int, rows_max: int) -> tuple[int, bool]:
        """Drop rows that hold surplus ids, oldest first, at most `rows_max`.

        Returns:
            How many ids of `count` are left, and whether there is more to drop.
        """
        with txn.cursor(self._table) as cursor:
            there = cursor.first()
            for _ in range(rows_max):
                if not there:
                    return count, False
                value = cursor.value()
                oldest = row_count(value)
                if not self._bounds.surplus(count, oldest, row_ms(value), now_ms):
                    return count, False
                count -= oldest
                there = cursor.delete() and bool(cursor.key())
        return count, True
