"""Held jobs, one queue per (destination, lane), in (sequence, part) order.

`held` has the jobs with their payload. `lanes` has one row per lane, [destination, HeldHead]: the head without its
payload and the size of the lane, so that a start reads as many rows as there are lanes, however much they hold.
"""

from collections.abc import Iterable

import lmdb
import msgspec

from appliance.wal import keys, rows
from appliance.wal.progress import drop_prefix
from appliance.wal.store import Tables
from appliance.wal.types import HeldHead, HeldJob

_job = msgspec.msgpack.Decoder(HeldJob)
_lane = msgspec.msgpack.Decoder(tuple[str, HeldHead])


def hold(txn: "lmdb.Transaction[bytes]", tables: Tables, jobs: list[HeldJob]) -> dict[str, tuple[int, int]]:
    """Put jobs into their lanes; one that is there already is replaced. Returns how each destination's size changed."""
    changed = _Lanes(txn, tables)
    for job in jobs:
        lane = keys.pair_key(job.destination, job.lane)
        head = changed.get(lane, job.destination) or _head(job)
        key, value = keys.job_key(lane, job.sequence, job.part), rows.seal(job)
        replaced = txn.get(key, db=tables.held)
        txn.put(key, value, db=tables.held)
        if (job.sequence, job.part) <= (head.sequence, head.part):
            _become_head(head, job)
        changed.resize(lane, job.destination, head, 0 if replaced else 1, len(value) - len(replaced or b""))
    return changed.save()


def update(txn: "lmdb.Transaction[bytes]", tables: Tables, jobs: list[HeldJob]) -> dict[str, tuple[int, int]]:
    """Replace jobs that are held; pass over the others. Returns how each destination's size changed."""
    there = [job for job in jobs if txn.get(_key(job), db=tables.held) is not None]
    return hold(txn, tables, there)


def release(
    txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str, jobs: Iterable[tuple[str, int, int]]
) -> dict[str, tuple[int, int]]:
    """Take jobs, by (lane, sequence, part), out of their lanes; pass over absent ones."""
    changed = _Lanes(txn, tables)
    for name, sequence, part in jobs:
        lane = keys.pair_key(destination, name)
        head = changed.get(lane, destination)
        value = txn.pop(keys.job_key(lane, sequence, part), db=tables.held)
        if head is not None and value is not None:
            changed.resize(lane, destination, head, -1, -len(value))
            if (sequence, part) == (head.sequence, head.part):
                changed.headless.add(lane)
    return changed.save()


def purge(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str) -> int:
    """Drop all that a destination holds; returns how many jobs."""
    owner = keys.text_key(destination)
    drop_prefix(txn, tables.lanes, owner)
    return drop_prefix(txn, tables.held, owner)


def heads(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str) -> list[HeldHead]:
    """The head of every held lane of a destination."""
    found: list[HeldHead] = []
    owner = keys.text_key(destination)
    with txn.cursor(tables.lanes) as cursor:
        if cursor.set_range(owner):
            for key, value in cursor:
                if not key.startswith(owner):
                    break
                found.append(rows.unseal(value, _lane)[1])
    return found


def head(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str, lane: str) -> HeldHead | None:
    """The head of one held lane."""
    value = txn.get(keys.pair_key(destination, lane), db=tables.lanes)
    return rows.unseal(value, _lane)[1] if value is not None else None


def sizes(txn: "lmdb.Transaction[bytes]", tables: Tables) -> dict[str, tuple[int, int]]:
    """Destination -> (jobs, bytes)."""
    totals: dict[str, tuple[int, int]] = {}
    with txn.cursor(tables.lanes) as cursor:
        for _, value in cursor:
            destination, head = rows.unseal(value, _lane)
            count, size = totals.get(destination, (0, 0))
            totals[destination] = (count + head.count, size + head.bytes)
    return totals


def jobs(
    txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str, lane: str, limit: int, after: tuple[int, int]
) -> list[HeldJob]:
    """A lane's first jobs behind a position."""
    found: list[HeldJob] = []
    prefix = keys.pair_key(destination, lane)
    sequence, part = after
    with txn.cursor(tables.held) as cursor:
        there = cursor.set_range(keys.job_key(prefix, sequence, part + 1))
        while there and len(found) < limit and cursor.key().startswith(prefix):
            found.append(rows.unseal(cursor.value(), _job))
            there = cursor.next()
    return found


class _Lanes:
    """Lane rows touched by one change: read once, written once."""

    def __init__(self, txn: "lmdb.Transaction[bytes]", tables: Tables) -> None:
        self._txn, self._tables, self._table = txn, tables, tables.lanes
        self._heads: dict[bytes, tuple[str, HeldHead]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self.headless: set[bytes] = set()
        """Lanes whose head was released: the first job left becomes the head when all is released."""

    def get(self, lane: bytes, destination: str) -> HeldHead | None:
        """The lane's row, as changed so far; None for a lane that holds nothing."""
        if lane not in self._heads:
            value = self._txn.get(lane, db=self._table)
            if value is None:
                return None
            self._heads[lane] = (destination, rows.unseal(value, _lane)[1])
        head = self._heads[lane][1]
        return head if head.count else None

    def resize(self, lane: bytes, destination: str, head: HeldHead, count: int, size: int) -> None:
        """Add `count` jobs and `size` bytes to the lane."""
        head.count += count
        head.bytes += size
        self._heads[lane] = (destination, head)
        total_count, total_size = self._sizes.get(destination, (0, 0))
        self._sizes[destination] = (total_count + count, total_size + size)

    def save(self) -> dict[str, tuple[int, int]]:
        """Write the rows; returns the change of each destination's size."""
        for lane, (destination, head) in self._heads.items():
            if head.count:
                if lane in self.headless:
                    _promote(self._txn, self._tables, lane, head)
                self._txn.put(lane, rows.seal((destination, head)), db=self._table)
            else:
                self._txn.delete(lane, db=self._table)
        return self._sizes


def _head(job: HeldJob) -> HeldHead:
    head = HeldHead(job.lane, job.sequence, job.part, 0, 0, 0, "", 0, 0)
    _become_head(head, job)
    return head


def _become_head(head: HeldHead, job: HeldJob) -> None:
    head.sequence, head.part, head.attempts = job.sequence, job.part, job.attempts
    head.next_try_ms, head.first_failed_ms, head.error = job.next_try_ms, job.first_failed_ms, job.error


def _promote(txn: "lmdb.Transaction[bytes]", tables: Tables, lane: bytes, head: HeldHead) -> None:
    """Make the lane's first remaining job its head."""
    with txn.cursor(tables.held) as cursor:
        if cursor.set_range(lane) and cursor.key().startswith(lane):
            _become_head(head, rows.unseal(cursor.value(), _job))


def _key(job: HeldJob) -> bytes:
    return keys.job_key(keys.pair_key(job.destination, job.lane), job.sequence, job.part)
