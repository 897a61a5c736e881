"""Reading: short transactions that copy stored bytes out, decoded blocks shared through one cache.

A read transaction pins every page freed after it began, so none lives longer than one copy and none crosses an await.
The checksum is verified each time a block comes from the store; a block from the cache was verified when it entered.
"""

import threading
from collections import OrderedDict

import lmdb

from appliance.core.errors import DamagedRecord
from appliance.wal import block, keys
from appliance.wal.store import Store
from appliance.wal.types import Backlog, Block, DamagedBlock, Found

_RECORD_OVERHEAD_BYTES = 600
"""What a decoded record takes beside its raw bytes."""


class Cache:
    """Decoded blocks by first sequence, least recently used out first, bounded by bytes; any thread."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max, self._bytes = bytes_max, 0
        self._blocks: OrderedDict[int, tuple[Block, int]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, first: int) -> Block | None:
        """The block that begins at `first`, if it is here."""
        with self._lock:
            entry = self._blocks.get(first)
            if entry is None:
                return None
            self._blocks.move_to_end(first)
            return entry[0]

    def put(self, found: Block, raw_bytes: int) -> None:
        """Keep a block; one bigger than the whole cache is passed over."""
        size = raw_bytes + _RECORD_OVERHEAD_BYTES * len(found.records)
        if size > self._bytes_max:
            return
        with self._lock:
            replaced = self._blocks.pop(found.first_sequence, None)
            self._bytes += size - (replaced[1] if replaced else 0)
            self._blocks[found.first_sequence] = (found, size)
            while self._bytes > self._bytes_max:
                self._bytes -= self._blocks.popitem(last=False)[1][1]

    def clear(self) -> None:
        """Forget all blocks."""
        with self._lock:
            self._blocks.clear()
            self._bytes = 0


class _Stored:
    """One block as copied out: either from the cache or as bytes."""

    __slots__ = ("cached", "first", "last", "value")

    def __init__(self, first: int, last: int, cached: Block | None, value: bytes) -> None:
        self.first, self.last, self.cached, self.value = first, last, cached, value


class Reader:
    """Committed events, from any thread."""

    def __init__(self, store: Store, cache: Cache) -> None:
        self._store, self._cache = store, cache

    def read(self, after: int, bytes_max: int) -> list[Block]:
        """Blocks with events after `after`, about `bytes_max` bytes of records, at least one where there is one.

        Raises:
            DamagedBlock: the next block cannot be read.
        """
        blocks: list[Block] = []
        if after >= keys.SEQUENCE_MAX:
            return blocks
        for stored in self._copy(after, bytes_max):
            try:
                blocks.append(stored.cached or self._decode(stored))
            except DamagedRecord as error:
                if blocks:
                    break
                raise DamagedBlock(str(error), stored.first, stored.last) from None
        return blocks

    def _copy(self, after: int, bytes_max: int) -> list[_Stored]:
        copied: list[_Stored] = []
        size = 0
        with self._store.env.begin(buffers=True) as txn, txn.cursor(self._store.tables.blocks) as cursor:
            there = _seek(cursor, after)
            while there and (size < bytes_max or not copied):
                first, value = _first(cursor), cursor.value()
                if copied:
                    copied[-1].last = copied[-1].last or first - 1
                fields = _header(value)
                cached, last = self._cache.get(first), fields.last_sequence if fields else 0
                copied.append(_Stored(first, last, cached, b"" if cached else bytes(value)))
                size += fields.raw_bytes if fields else len(value)
                there = cursor.next()
            if copied and not copied[-1].last:
                copied[-1].last = _first(cursor) - 1 if there else keys.SEQUENCE_MAX
        return copied

    def _decode(self, stored: _Stored) -> Block:
        fields, records = block.decode(stored.value)
        found = Block(stored.first, fields.last_sequence, records)
        self._cache.put(found, fields.raw_bytes)
        return found

    def backlog(self, low: int, end_events: int, end_position: int, now_ms: int) -> Backlog:
        """What lies above `low` in a log that has ever had so many events and bytes."""
        with self._store.env.begin(buffers=True) as txn, txn.cursor(self._store.tables.blocks) as cursor:
            fields = _header(cursor.value()) if _seek(cursor, low) else None
            first = _first(cursor) if fields else 0
        if fields is None:
            return Backlog(0, 0, 0)
        events = max(end_events - fields.events_before - max(low + 1 - first, 0), 0)
        return Backlog(events, max(end_position - fields.position, 0), max(now_ms - fields.log_ms, 0))

    def sequence_at(self, received_ms: int, last: int) -> int:
        """First sequence of the first block that ends at or after a wall time; `last` + 1 when there is none."""
        with self._store.env.begin(buffers=True) as txn, txn.cursor(self._store.tables.blocks) as cursor:
            if not cursor.first():
                return last + 1
            low, high = _first(cursor), last + 1
            while low < high:  # all that ends before `low` is older; the block at or behind `high` is not
                middle = (low + high) // 2
                _seek(cursor, middle - 1)
                first, fields = _first(cursor), _header(cursor.value())
                if fields is None or fields.last_received_ms < received_ms:
                    low = max(fields.last_sequence if fields else first, middle) + 1
                else:
                    high = min(first, middle)
            return _first(cursor) if low <= last and _seek(cursor, low - 1) else last + 1

    def find(self, message_id: str, source: str | None, limit: int) -> list[Found]:
        """Events with a messageId, newest first."""
        found: list[Found] = []
        before = keys.SEQUENCE_MAX
        while len(found) < limit:
            stored = self._previous(before)
            if stored is None:
                break
            before, value = stored
            found += [one for one in _matches(value, message_id) if source in (None, one.record.source)]
        return found[:limit]

    def _previous(self, before: int) -> tuple[int, bytes] | None:
        with self._store.env.begin() as txn, txn.cursor(self._store.tables.blocks) as cursor:
            if not (cursor.prev() if cursor.set_range(keys.number_key(before)) else cursor.last()):
                return None
            return keys.key_number(cursor.key()), cursor.value()


def _matches(value: bytes, message_id: str) -> list[Found]:
    try:
        if message_id.encode("utf-8", "surrogatepass") not in block.records_bytes(value)[1]:
            return []
        records = block.decode(value)[1]
    except DamagedRecord:
        return []
    return [Found(record.sequence, record) for record in reversed(records) if record.message_id == message_id]


def _first(cursor: "lmdb.Cursor[memoryview]") -> int:
    return keys.key_number(bytes(cursor.key()))


def _seek(cursor: "lmdb.Cursor[memoryview]", after: int) -> bool:
    """Move to the first block with a sequence above `after`: one that begins there, or one before that reaches over."""
    there = cursor.set_range(keys.number_key(after + 1))
    if there and (_first(cursor) == after + 1 or not cursor.prev()):
        return bool(cursor.set_range(keys.number_key(after + 1)))
    if not there and not cursor.last():
        return False
    fields = _header(cursor.value())
    if fields is None or fields.last_sequence > after:  # one that cannot be read may reach over
        return True
    return bool(cursor.next())


def _header(value: memoryview) -> block.Header | None:
    try:
        return block.header(value)
    except DamagedRecord:
        return None
