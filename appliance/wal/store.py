"""The LMDB environment: its tables, its identity, its size.

    blocks    one block per commit (`block.py`)           seen      digests of trimmed blocks (`seen.py`)
    progress  one row per destination                     replays   one row per replay under way
    held      one row per held job, with its payload      lanes     one row per held lane: its head and its size
    joined    lanes that go on as another                 skipped   ranges a destination did not wait for
    dead      dead letters                                refused   input that never became an event
    meta      format, log_id, clock, next ids

Keys: `keys.py`. Values: a checksum in front of each (`block.py`, `rows.py`). LMDB's own sync settings stay as they
are: every relaxed one loses acknowledged events in a power cut. `lib_version=0` pins the data format to that of LMDB
0.9, which every wheel of py-lmdb reads.
"""

import os
from pathlib import Path
from typing import NamedTuple

import lmdb
import msgspec

from appliance.core.errors import SternpostError
from appliance.wal import block, keys, rows

FORMAT = 1
_STRETCH_MIN, _STRETCH_MAX = 256 << 10, 1 << 20
_NAMES = ("blocks", "seen", "progress", "replays", "held", "lanes", "joined", "skipped", "dead", "refused", "meta")
_text = msgspec.msgpack.Decoder(str)
_number = msgspec.msgpack.Decoder(int)


class Tables(NamedTuple):
    """Handles of the tables, one environment's."""

    blocks: "lmdb._Database"
    seen: "lmdb._Database"
    progress: "lmdb._Database"
    replays: "lmdb._Database"
    held: "lmdb._Database"
    lanes: "lmdb._Database"
    joined: "lmdb._Database"
    skipped: "lmdb._Database"
    dead: "lmdb._Database"
    refused: "lmdb._Database"
    meta: "lmdb._Database"


class Store:
    """An open environment of ours."""

    def __init__(self, env: lmdb.Environment, tables: Tables) -> None:
        self.env, self.tables = env, tables
        self.page_bytes = env.stat()["psize"]
        self._end_bytes = 0
        """Length of the file when it was last looked at."""

    @classmethod
    def open(cls, folder: Path, disk_bytes_max: int) -> "Store":
        """Open the environment in `folder`, creating what is missing.

        Raises:
            SternpostError: a newer version of this program wrote it.
            lmdb.Error: it is not an LMDB environment, or the system refuses.
        """
        env = lmdb.open(
            os.fspath(folder), map_size=disk_bytes_max, max_dbs=len(_NAMES), max_spare_txns=4, mode=0o600, lib_version=0
        )
        try:
            store = cls(env, Tables(*(env.open_db(name.encode()) for name in _NAMES)))
            store._check_format(folder)
        except BaseException:
            env.close()
            raise
        return store

    def _check_format(self, folder: Path) -> None:
        with self.env.begin(write=True) as txn:
            found = self.meta_number(txn, "format")
            if found == 0:
                self.set_meta(txn, "format", FORMAT)
                self.set_meta(txn, "log_id", os.urandom(8).hex())
            elif found != FORMAT:
                raise SternpostError(
                    f"the log in {folder} has format {found} and this program reads format {FORMAT}; nothing was "
                    "changed. Start it with the version that wrote it."
                )

    def log_id(self) -> str:
        """Identity of this log."""
        with self.env.begin() as txn:
            value = txn.get(b"log_id", db=self.tables.meta)
        return rows.unseal(value, _text) if value else ""

    def meta_number(self, txn: "lmdb.Transaction[bytes]", name: str) -> int:
        """A number of `meta`; 0 where it is not set."""
        value = txn.get(name.encode(), db=self.tables.meta)
        return rows.unseal(value, _number) if value else 0

    def set_meta(self, txn: "lmdb.Transaction[bytes]", name: str, value: int | str) -> None:
        """Set one value of `meta`."""
        txn.put(name.encode(), rows.seal(value), db=self.tables.meta)

    def used_bytes(self, txn: "lmdb.Transaction[bytes]") -> int:
        """Bytes of all pages in use, as the transaction sees them."""
        return sum(self.table_bytes(txn, table) for table in self.tables)

    def table_bytes(self, txn: "lmdb.Transaction[bytes]", table: "lmdb._Database") -> int:
        """Bytes of the pages of one table."""
        figures = txn.stat(table)
        return (figures["branch_pages"] + figures["leaf_pages"] + figures["overflow_pages"]) * figures["psize"]

    def file_bytes(self) -> int:
        """Bytes of the file that LMDB has ever used; it reuses pages and does not shrink."""
        return (self.env.info()["last_pgno"] + 1) * self.page_bytes

    def extend_map(self, spare_bytes: int) -> None:
        """Let the file grow so far beyond what it is; while no transaction is open."""
        self.env.set_mapsize(self.file_bytes() + spare_bytes)

    def lengthen(self) -> None:
        """Write zeros behind the last page, where less than a quarter of a stretch is left.

        A commit that lengthens the file has the file system's journal written too; into room that is there it takes a
        third less time and CPU (measured on ext4). LMDB never reads behind its last page. A disk without room is no
        failure here.
        """
        used = self.file_bytes()
        stretch = min(max(used // 2, _STRETCH_MIN), _STRETCH_MAX)
        if self._end_bytes - used >= stretch // 4 or used + stretch > self.env.info()["map_size"]:
            return
        try:
            fd = os.open(os.path.join(self.env.path(), "data.mdb"), os.O_WRONLY | os.O_CLOEXEC)
            try:
                # Page by page: in one go the kernel would keep the stretch as a few large folios, and count each as
                # written whenever one page of it is.
                page, end = bytes(self.page_bytes), max(os.fstat(fd).st_size, used)
                while end < used + stretch:
                    end += os.pwrite(fd, page, end)
                self._end_bytes = end
            finally:
                os.close(fd)
        except OSError:
            self._end_bytes = used + stretch  # not again before that much is used

    def newest(self, txn: "lmdb.Transaction[bytes]") -> "Newest":
        """Where the log goes on."""
        floor = self.meta_number(txn, "next_sequence")
        clock_ms = self.meta_number(txn, "clock_ms")
        with txn.cursor(self.tables.blocks) as cursor:
            if not cursor.last():
                return Newest(max(floor - 1, 0), 0, 0, clock_ms)
            value = cursor.value()
            fields = block.header(value)
        return Newest(
            max(floor - 1, fields.last_sequence),
            fields.position + len(value),
            fields.events_before + fields.events,
            max(clock_ms, fields.log_ms),
        )

    def oldest(self, txn: "lmdb.Transaction[bytes]") -> "block.Header | None":
        """Header of the oldest block."""
        with txn.cursor(self.tables.blocks) as cursor:
            return block.header(cursor.value()) if cursor.first() else None

    def last_id(self, txn: "lmdb.Transaction[bytes]", table: "lmdb._Database", floor: str) -> int:
        """Highest id ever given in `dead` or `refused`; `floor` names the mark kept in `meta` when the highest goes."""
        with txn.cursor(table) as cursor:
            last = keys.key_number(cursor.key()) if cursor.last() else 0
        return max(last, self.meta_number(txn, floor))


class Newest(NamedTuple):
    """End of the log."""

    sequence: int
    position: int
    events: int
    log_ms: int
