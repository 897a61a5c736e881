"""Take over what can be read of a damaged store: blocks by `carve`, the small tables through LMDB.

Rows of the small tables change in place, so old copies of them must not come back: they are walked through LMDB, from
both ends, in children that a damaged page may kill.
"""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lmdb
import msgspec

from appliance.core.errors import DamagedRecord
from appliance.wal import block, carve, child, held, keys, progress, rows, seen
from appliance.wal.store import Store
from appliance.wal.types import HeldJob

_WALKED = ("progress", "replays", "joined", "skipped", "dead", "refused", "seen", "meta", "held")
"""All but `blocks`, which are carved, and `lanes`, which follow from `held`."""
_FRAME = struct.Struct("<II")
_BATCH = 64
_GAP = 1 << 20
"""Sequences left out after a salvage: the damaged log may have given more than can be seen."""
_job = msgspec.msgpack.Decoder(HeldJob)


class Salvaged(NamedTuple):
    """What was taken over."""

    events: int
    rows: int
    cut_short: list[str]
    """Tables whose walk a damaged page ended: rows of them may be missing."""

    def __str__(self) -> str:
        text = f"{self.events} events and {self.rows} rows (cursors, held jobs, dead letters, ids seen)"
        return text + (f"; incomplete: {', '.join(self.cut_short)}" if self.cut_short else "")


def salvage(aside: Path, store: Store) -> Salvaged:
    """Fill a new store with what can be read of the one in `aside`, which is not changed."""
    taken, cut_short = 0, []
    for name in _WALKED:
        count, complete = _take_table(aside, store, name)
        taken += count
        if not complete:
            cut_short.append(name)
    try:
        events = _take_blocks(aside / "data.mdb", store)
    except lmdb.Error as error:
        events = 0
        cut_short.append(f"blocks ({error})")
    return Salvaged(events, taken, cut_short)


def _take_blocks(data: Path, store: Store) -> int:
    """Put the blocks into the store; returns how many events they hold."""
    found = carve.carve(data)
    events = position = before = 0
    with data.open("rb") as file:
        for start in range(0, len(found.kept), _BATCH):
            with store.env.begin(write=True) as txn:
                for place in found.kept[start : start + _BATCH]:
                    value = carve.read(file.fileno(), place)
                    txn.put(keys.number_key(place.first_sequence), value, db=store.tables.blocks)
                    fields = block.header(value)
                    events, position = events + fields.events, fields.position + len(value)
                    before = fields.events_before + fields.events
        with store.env.begin(write=True) as txn:
            lows = [one.low for one in progress.all_progress(txn, store.tables).values()]
            last = found.kept[-1].last_sequence if found.kept else 0
            sequence = max([last, store.meta_number(txn, "next_sequence"), *lows]) + _GAP
            for place in found.surplus:
                header, records = block.decode(carve.read(file.fileno(), place))
                for record in records:
                    sequence += 1
                    record.sequence = sequence
                value, _ = block.encode(records, seen.digests(records), header.log_ms, position, before)
                txn.put(keys.number_key(records[0].sequence), value, db=store.tables.blocks)
                events, position, before = events + len(records), position + len(value), before + len(records)
            store.set_meta(txn, "next_sequence", sequence + 1)
    return events


def _take_table(aside: Path, store: Store, name: str) -> tuple[int, bool]:
    """Rows taken over, and whether the walk saw the whole table."""
    taken = 0
    table: lmdb._Database = getattr(store.tables, name)
    for backwards in (False, True):
        with store.env.begin(write=True) as txn:

            def take(key: bytes, value: bytes, txn: "lmdb.Transaction[bytes]" = txn) -> int:
                if name != "seen" and zlib.crc32(value[4:]) != int.from_bytes(value[:4], "little"):
                    return 0
                if name == "held" and txn.get(key, db=table) is None:
                    held.hold(txn, store.tables, [rows.unseal(value, _job)])
                    return 1
                return txn.put(key, value, db=table, overwrite=False)

            count, complete = _walk_table(aside, name, backwards, take)
        taken += count
        if complete:
            return taken, True
    return taken, False


def _walk_table(aside: Path, name: str, backwards: bool, take: Callable[[bytes, bytes], int]) -> tuple[int, bool]:
    """Have a child read a table; returns how many rows were taken, and whether it lived to the end."""
    reading, writing = os.pipe()
    reader = child.fork(lambda: _send(aside, name, backwards, writing))
    os.close(writing)
    taken = 0
    with os.fdopen(reading, "rb") as pipe:
        while len(frame := pipe.read(_FRAME.size)) == _FRAME.size:
            key_bytes, value_bytes = _FRAME.unpack(frame)
            key, value = pipe.read(key_bytes), pipe.read(value_bytes)
            if len(value) < value_bytes:
                break
            try:
                taken += take(key, value)
            except DamagedRecord:
                continue
    return taken, child.result(reader) == 0


def _send(aside: Path, name: str, backwards: bool, writing: int) -> int:
    with os.fdopen(writing, "wb") as pipe:
        env = lmdb.open(os.fspath(aside), readonly=True, lock=False, max_dbs=16, lib_version=0)
        table = env.open_db(name.encode(), create=False)
        with env.begin(db=table) as txn, txn.cursor() as cursor:
            for key, value in cursor.iterprev() if backwards else cursor.iternext():
                pipe.write(_FRAME.pack(len(key), len(value)) + key + value)
                pipe.flush()
    return 0
