"""Deduplication: which (source, messageId) were committed lately.

In memory 16-byte digests, forgotten in order of arrival; on disk within each block. What a block is trimmed
with while its ids are still to be known goes to the table `seen`:

    key    first sequence of the block, u64 big-endian
    value  log clock at the commit, ms, u64 little-endian; events ever committed before the block, u64; 16 bytes per id

Its rows carry no checksum: a bit flipped in a digest forgets one id and can do no more.
The window holds at least `ids_min` ids and at least `window_ms`, whichever is more, and never more than `ids_max`.
"""

import struct
from collections import deque
from hashlib import blake2b

import lmdb

from appliance.core.event import Record
from appliance.wal import block, keys
from appliance.wal.block import DIGEST_BYTES
from appliance.wal.store import Tables

_ROW = struct.Struct("<QQ")
_CHUNK_IDS = 4096
_CHUNK_MS = 60_000


def digests(records: list[Record]) -> list[bytes]:
    """What the window knows each record by: BLAKE2b of source, NUL, messageId."""
    found: list[bytes] = []
    source, begun = None, None
    for record in records:
        if record.source != source or begun is None:
            source, begun = record.source, blake2b(f"{record.source}\0".encode(), digest_size=DIGEST_BYTES)
        hasher = begun.copy()  # half the time of a new one
        hasher.update(record.message_id.encode())
        found.append(hasher.digest())
    return found


class Bounds:
    """When an id may be forgotten."""

    def __init__(self, ids_min: int, ids_max: int, window_ms: int) -> None:
        self.ids_min, self.ids_max, self.window_ms = min(ids_min, ids_max), ids_max, window_ms

    def surplus(self, newer: int, own: int, committed_ms: int, now_ms: int) -> bool:
        """Whether `own` ids, committed at `committed_ms` and followed by `newer` younger ones, may be forgotten."""
        return newer + own > self.ids_max or (newer >= self.ids_min and now_ms - committed_ms > self.window_ms)


class Window:
    """The ids in memory, those on their way to the disk among them; one thread's.

    One dictionary for both, of nothing but bytes and numbers: one look-up per id, and the cycle collector passes it by.
    """

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._owners: dict[bytes, int] = {}
        """Id -> 0 when it is committed, else the number of the append that carries it."""
        self._chunks: deque[tuple[int, bytearray]] = deque()
        """(log clock of its first id, its ids one after the other), oldest first: 16 bytes per id, no objects."""

    def __len__(self) -> int:
        return len(self._owners)

    def owner(self, id_: bytes) -> int | None:
        """0 for a committed id, the number of the append that carries it, or None for one that is not known."""
        return self._owners.get(id_)

    def claim(self, fresh: dict[bytes, int]) -> bool:
        """Know these, with their append's number, if none of them is known; else change nothing and say False."""
        if not self._owners.keys().isdisjoint(fresh):
            return False
        self._owners.update(fresh)
        return True

    def renounce(self, ids: list[bytes]) -> None:
        """The append of these failed: they are not known any more."""
        for id_ in ids:
            self._owners.pop(id_, None)

    def add(self, ids: list[bytes], now_ms: int) -> None:
        """These are committed since `now_ms`; forget older ones as the bounds allow."""
        self._owners.update(dict.fromkeys(ids, 0))
        chunks = self._chunks
        if not chunks or len(chunks[-1][1]) >= _CHUNK_IDS * DIGEST_BYTES or now_ms - chunks[-1][0] > _CHUNK_MS:
            chunks.append((now_ms, bytearray()))
        chunks[-1][1].extend(b"".join(ids))
        while len(chunks) > 1 and self._may_forget(now_ms):
            self.renounce(_split(bytes(chunks.popleft()[1])))

    def _may_forget(self, now_ms: int) -> bool:
        # A chunk's last id is no younger than the next chunk's first.
        own = len(self._chunks[0][1]) // DIGEST_BYTES
        return self._bounds.surplus(len(self._owners) - own, own, self._chunks[1][0], now_ms)


class SeenRows:
    """The ids on disk; the writer thread's."""

    def __init__(self, tables: Tables, bounds: Bounds) -> None:
        self._tables, self._bounds = tables, bounds

    def load(self, env: lmdb.Environment, window: Window, events: int, now_ms: int) -> None:
        """Fill the window: rows of trimmed blocks first, then blocks, as far back as the bounds ask; oldest first."""
        lots: list[tuple[int, bytes]] = []
        with env.begin(buffers=True) as txn:
            with txn.cursor(self._tables.blocks) as cursor:
                for value in cursor.iterprev(keys=False):
                    found = block.ids(value)
                    if found is None:
                        continue
                    log_ms, before, ids = found
                    own = len(ids) // DIGEST_BYTES
                    if self._bounds.surplus(events - before - own, own, log_ms, now_ms):
                        break
                    lots.append((log_ms, ids))
            with txn.cursor(self._tables.seen) as cursor:
                for value in cursor.iternext(keys=False):
                    lots_ms, _ = _ROW.unpack_from(value)
                    window.add(_split(bytes(value[_ROW.size :])), lots_ms)
        _add_in_chunks(window, lots)

    def keep(
        self, txn: "lmdb.Transaction[bytes]", value: bytes, fields: block.Header, events: int, now_ms: int
    ) -> None:
        """A block is trimmed: keep its ids where the window still wants them."""
        newer = events - fields.events_before - fields.events
        if not self._bounds.surplus(newer, fields.events, fields.log_ms, now_ms):
            row = _ROW.pack(fields.log_ms, fields.events_before) + block.digests(value, fields)
            txn.put(keys.number_key(fields.first_sequence), row, db=self._tables.seen)

    def trim(self, txn: "lmdb.Transaction[bytes]", events: int, now_ms: int, rows_max: int) -> tuple[int, bool]:
        """Drop rows whose ids may be forgotten, oldest first; returns how many, and whether there is more to drop."""
        with txn.cursor(self._tables.seen) as cursor:
            there = cursor.first()
            for dropped in range(rows_max):
                if not there:
                    return dropped, False
                value = cursor.value()
                log_ms, before = _ROW.unpack_from(value)
                own = (len(value) - _ROW.size) // DIGEST_BYTES
                if not self._bounds.surplus(events - before - own, own, log_ms, now_ms):
                    return dropped, False
                there = cursor.delete() and bool(cursor.key())
        return rows_max, True


def _add_in_chunks(window: Window, lots: list[tuple[int, bytes]]) -> None:
    """Add lots, given newest first: many at a time, for a million single events make a million lots."""
    while lots:
        began_ms, gathered, size = lots[-1][0], [], 0
        while lots and size < _CHUNK_IDS * DIGEST_BYTES and lots[-1][0] - began_ms <= _CHUNK_MS:
            log_ms, ids = lots.pop()
            gathered.append(ids)
            size += len(ids)
        window.add(_split(b"".join(gathered)), log_ms)


def _split(ids: bytes) -> list[bytes]:
    return [ids[at : at + DIGEST_BYTES] for at in range(0, len(ids), DIGEST_BYTES)]
