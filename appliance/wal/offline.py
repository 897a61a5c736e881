"""Looking into a log's folder without owning it: nothing in it is changed, a process that runs on it is not disturbed.

The store is opened read-only with LMDB's own locks, so that pages a reader still sees are not reused; transactions stay
short. A damaged page kills the process that maps it: check `verify.length_fault` first, or do it in a child.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb

from appliance.core.errors import DamagedRecord, SternpostError
from appliance.wal import block, held, keys, progress, verify
from appliance.wal.reader import Cache, Reader
from appliance.wal.store import Store, Tables
from appliance.wal.types import Block

CACHE_BYTES = 1 << 20
BLOCKS_AT_ONCE = 64


class StoppedLog:
    """The reading side of a log that nobody here runs."""

    def __init__(self, store: Store) -> None:
        self._store, self._reader = store, Reader(store, Cache(CACHE_BYTES))
        with store.env.begin() as txn:
            self._last_sequence = store.newest(txn).sequence

    def read(self, after: int, bytes_max: int = 256 * 1024) -> list[Block]:
        """As `Log.read`."""
        return self._reader.read(after, bytes_max)

    def sequence_at(self, received_ms: int) -> int:
        """As `Log.sequence_at`."""
        return self._reader.sequence_at(received_ms, self._last_sequence)

    def figures(self) -> dict[str, Any]:
        """What `LogStats` says, as far as it stands on disk, and where each destination is."""
        store = self._store
        with store.env.begin() as txn, txn.cursor(store.tables.blocks) as cursor:
            oldest = block.header(cursor.value()) if cursor.first() else None
            newest = block.header(cursor.value()) if cursor.last() else None
            piles = {
                name: {"count": txn.stat(table)["entries"], "bytes": store.table_bytes(txn, table)}
                for name, table in (
                    ("held", store.tables.held),
                    ("dead", store.tables.dead),
                    ("refused", store.tables.refused),
                )
            }
            lows = {name: found.low for name, found in progress.all_progress(txn, store.tables).items()}
            held_by = held.sizes(txn, store.tables)
            return {
                "log_id": store.log_id(),
                "state": "not running",
                "bytes": store.used_bytes(txn),
                "file_bytes": store.file_bytes(),
                "first_sequence": oldest.first_sequence if oldest else 0,
                "last_sequence": self._last_sequence,
                "oldest_received_ms": oldest.first_received_ms if oldest else 0,
                "newest_received_ms": newest.last_received_ms if newest else 0,
                "blocks": txn.stat(store.tables.blocks)["entries"],
                "block_bytes": store.table_bytes(txn, store.tables.blocks),
                **piles,
                "destinations": {
                    name: {"low": low, "held": held_by.get(name, (0, 0))[0]} for name, low in lows.items()
                },
            }

    def damaged_blocks(self) -> Iterator[str]:
        """One line per block that does not match its checksum, a few blocks per transaction."""
        store = self._store
        at: bytes | None = b""
        while at is not None:
            batch: list[tuple[bytes, bytes]] = []
            with store.env.begin() as txn, txn.cursor(store.tables.blocks) as cursor:
                there = cursor.set_range(at) if at else cursor.first()
                while there and len(batch) < BLOCKS_AT_ONCE:
                    batch.append((cursor.key(), cursor.value()))
                    there = cursor.next()
                following = cursor.key() if there else None
            for key, value in batch:
                try:
                    block.decode(value)
                except DamagedRecord as error:
                    yield f"block {keys.key_number(key)}: {error}"
            at = following


@contextmanager
def unowned(folder: Path) -> Iterator[bool]:
    """Whether no process runs on the log in `folder`; if so, none can start on it before the block ends."""
    try:
        fd = os.open(folder / "owner", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(fd)


@contextmanager
def reading(folder: Path) -> Iterator[StoppedLog]:
    """The log in `folder`, read-only.

    Raises:
        SternpostError: there is none, or it cannot be read.
        DamagedRecord: its file is damaged at first sight.
    """
    data = folder / "data.mdb"
    if not data.is_file():
        raise SternpostError(f"there is no log in {folder}")
    if fault := verify.length_fault(data):
        raise DamagedRecord(f"the log in {folder} is damaged: {fault}")
    try:
        env = lmdb.open(os.fspath(folder), readonly=True, create=False, max_dbs=len(Tables._fields), lib_version=0)
    except lmdb.Error as error:
        raise SternpostError(f"the log in {folder} cannot be opened: {error}") from None
    try:
        yield StoppedLog(Store(env, Tables(*(env.open_db(name.encode(), create=False) for name in Tables._fields))))
    except lmdb.Error as error:
        raise SternpostError(f"the log in {folder} cannot be read: {error}") from None
    finally:
        env.close()
