"""Which blocks go: those that all have read and retention no longer keeps, and more of them where space runs out.

A block may go once its last sequence is at or below every cursor (active destinations, replays). Delivered blocks
stay for `retention`, unless the budget is nearly spent: then a replay's wish yields to new events. Undelivered blocks
go only under `on_full = "drop_oldest"`, counted and audited. The newest block always stays: the log goes on from it.
"""

from collections.abc import Callable
from typing import NamedTuple

import lmdb

from appliance.core.errors import DamagedRecord
from appliance.wal import block, keys
from appliance.wal.store import Store
from appliance.wal.types import Audit

_BLOCKS_MAX = 64
"""Blocks per transaction: each may cost a read from a cold disk, and events wait behind it."""
_BLOCKS_MAX_PRESSED = 2048
_PAGES_MAX = 400
"""Pages per transaction: LMDB writes the list of freed pages in one piece, and for up to 500 that is a single page. A
longer list needs pages side by side, which a full file may not have: then even a delete finds no room (seen)."""


KeepIds = Callable[[bytes, block.Header], None]


class Wanted(NamedTuple):
    """What a trim is after."""

    limit: int
    """Blocks up to this sequence are delivered."""
    expired_ms: int
    """Delivered blocks committed before this, on the log clock, go."""
    need_bytes: int
    """Delivered blocks go until this much is free, however young."""
    drop: bool
    """... and undelivered ones after them."""


class Trimmed(NamedTuple):
    """What a trim did."""

    blocks: int
    bytes: int
    more: bool
    """There is more to delete; the bound of one transaction was reached."""
    oldest_ms: int | None
    """Commit time of the oldest block left, where that block is delivered: it is next; None otherwise."""


def trim(
    txn: "lmdb.Transaction[bytes]", store: Store, wanted: Wanted, keep_ids: KeepIds, audits: list[Audit]
) -> Trimmed:
    """Delete the blocks that may go, oldest first; `keep_ids` sees each before it goes."""
    bound = _BLOCKS_MAX_PRESSED if wanted.need_bytes > 0 else _BLOCKS_MAX
    count = size = dropped = dropped_bytes = first_dropped = last_dropped = 0
    with txn.cursor(store.tables.blocks) as cursor:
        newest = keys.key_number(cursor.key()) if cursor.last() else 0
        there = cursor.first()
        while there:
            first = keys.key_number(cursor.key())
            value = cursor.value()
            fields = _header(value, first)
            delivered = fields.last_sequence <= wanted.limit
            pressed = size < wanted.need_bytes
            goes = (delivered and (pressed or fields.log_ms <= wanted.expired_ms)) or (pressed and wanted.drop)
            if first == newest or not goes or count >= bound or size >= _PAGES_MAX * store.page_bytes:
                break
            if not delivered:
                first_dropped, last_dropped = first_dropped or first, fields.last_sequence
                dropped, dropped_bytes = dropped + fields.events, dropped_bytes + len(value)
            keep_ids(value, fields)
            count, size = count + 1, size + page_bytes(len(value), store.page_bytes)
            there = cursor.delete() and bool(cursor.key())
        else:
            return Trimmed(count, size, False, None)
        if dropped:
            detail = f"the disk budget is spent: undelivered events {first_dropped} to {last_dropped} at most"
            audits.append(Audit("events_dropped", dropped, dropped_bytes, detail))
        return Trimmed(count, size, goes and first != newest, fields.log_ms if delivered and first != newest else None)


def page_bytes(value_bytes: int, page: int) -> int:
    """About what a value takes in the file: whole pages from half a page on."""
    return -(-(value_bytes + 16) // page) * page if value_bytes > page // 2 else value_bytes + 24


def _header(value: bytes, first: int) -> block.Header:
    try:
        return block.header(value)
    except DamagedRecord:
        # A damaged block goes with its neighbours: as if it were empty and committed long ago.
        return block.Header(block.MAGIC, 0, 0, 0, 0, 0, first, first, 0, 0, 0, 0, 0)
