"""Dead letters and refused input: two tables of numbered rows, each with a budget of its own.

Rows are [log clock when stored, ms; the letter or the input]. Ids are never given twice. Browser keys are public, so
junk is refused into its own table and can never push out a dead letter.
"""

from typing import Any, TypeVar

import lmdb
import msgspec

from appliance.core.errors import DamagedRecord
from appliance.core.event import Refused
from appliance.wal import keys, rows
from appliance.wal.store import Store
from appliance.wal.types import Audit, DeadFilter, DeadLetter, Pile, RefusedInput

T = TypeVar("T")
_EVICT_ROWS_MAX = 1000
_NEVER_MS = 1 << 62
_letter = msgspec.msgpack.Decoder(tuple[int, DeadLetter])
_input = msgspec.msgpack.Decoder(tuple[int, RefusedInput])
_stored = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])


class Shelf:
    """One numbered table with its budget; the writer thread's, but for the reading functions below."""

    def __init__(self, store: Store, table: "lmdb._Database", name: str, bytes_max: int, age_max_ms: int) -> None:
        self._store, self._table, self._name = store, table, name
        self._bytes_max, self._age_max_ms = bytes_max, age_max_ms

    def put(
        self, txn: "lmdb.Transaction[bytes]", items: list[Any], now_ms: int, audits: list[Audit], *, grow: bool = True
    ) -> list[int]:
        """Give each item (with an `id` field) its id and keep it; evict the oldest where the budget is spent.

        Args:
            grow: False: older ones make room for these, whatever the budget.
        """
        before = self._bytes(txn)
        first = last = self._store.last_id(txn, self._table, f"{self._name}_last_id")
        for item in items:
            last += 1
            item.id = last
            txn.put(keys.number_key(last), rows.seal((now_ms, item)), db=self._table, append=True)
        if not grow and self._bytes(txn) > before:
            self._evict(txn, lambda _: self._bytes(txn) > before, audits, "the log's budget", last=first)
        if self._bytes(txn) > self._bytes_max:
            self._evict(txn, lambda _: self._bytes(txn) > self._bytes_max, audits, "budget")
        return [item.id for item in items]

    def take(self, txn: "lmdb.Transaction[bytes]", ids: list[int], decoder: "msgspec.msgpack.Decoder[T]") -> list[T]:
        """Remove rows and return those that were there."""
        mark = f"{self._name}_last_id"
        last = self._store.last_id(txn, self._table, mark)
        taken: list[T] = []
        for id_ in ids:
            value = txn.pop(keys.number_key(id_), db=self._table)
            if value is not None:
                taken.append(rows.unseal(value, decoder))
        if taken and last in ids:
            self._store.set_meta(txn, mark, last)
        return taken

    def drop(self, txn: "lmdb.Transaction[bytes]", ids: list[int]) -> int:
        """Remove rows, unread; returns how many were there."""
        mark = f"{self._name}_last_id"
        last = self._store.last_id(txn, self._table, mark)
        if last in ids:
            self._store.set_meta(txn, mark, last)
        return sum(txn.delete(keys.number_key(id_), db=self._table) for id_ in ids)

    def expire(self, txn: "lmdb.Transaction[bytes]", now_ms: int, audits: list[Audit]) -> int | None:
        """Evict rows past their age; returns when the oldest that is left is due, None for an empty table."""
        with txn.cursor(self._table) as cursor:
            if not cursor.first():
                return None
            if _stored_ms(cursor.value()) + self._age_max_ms <= now_ms:
                self._evict(txn, lambda value: _stored_ms(value) + self._age_max_ms <= now_ms, audits, "age")
            return _stored_ms(cursor.value()) + self._age_max_ms if cursor.first() else None

    def pile(self, txn: "lmdb.Transaction[bytes]") -> Pile:
        """The table's size."""
        return Pile(txn.stat(self._table)["entries"], self._bytes(txn), self._bytes_max)

    def _bytes(self, txn: "lmdb.Transaction[bytes]") -> int:
        return self._store.table_bytes(txn, self._table)

    def _evict(
        self, txn: "lmdb.Transaction[bytes]", surplus: Any, audits: list[Audit], why: str, last: int = keys.SEQUENCE_MAX
    ) -> None:
        """Remove rows with ids up to `last`, oldest first, while `surplus` says so of a row's value."""
        count = size = first = id_ = 0
        with txn.cursor(self._table) as cursor:
            there = cursor.first()
            while there and count < _EVICT_ROWS_MAX and keys.key_number(cursor.key()) <= last:
                if not surplus(cursor.value()):
                    break
                id_ = keys.key_number(cursor.key())
                first, size, count = first or id_, size + len(cursor.value()), count + 1
                there = cursor.delete() and bool(cursor.key())
            if count and not there:
                self._store.set_meta(txn, f"{self._name}_last_id", id_)
        if count:
            audits.append(Audit(f"{self._name}_evicted", count, size, f"{why}: ids {first} to {id_}"))


def letters(
    txn: "lmdb.Transaction[bytes]", store: Store, criteria: DeadFilter, after_id: int, limit: int
) -> list[DeadLetter]:
    """Dead letters above `after_id` that match."""
    found: list[DeadLetter] = []
    with txn.cursor(store.tables.dead) as cursor:
        there = cursor.set_range(keys.number_key(after_id + 1))
        while there and len(found) < limit:
            letter = _read(cursor.key(), cursor.value())
            if _matches(letter, criteria):
                found.append(letter)
            there = cursor.next()
    return found


def letter(txn: "lmdb.Transaction[bytes]", store: Store, letter_id: int) -> DeadLetter | None:
    """One dead letter."""
    key = keys.number_key(letter_id)
    value = txn.get(key, db=store.tables.dead)
    return _read(key, value) if value else None


def exhume(txn: "lmdb.Transaction[bytes]", shelf: Shelf, ids: list[int]) -> list[DeadLetter]:
    """Take dead letters out."""
    return [found for _, found in shelf.take(txn, ids, _letter)]


def inputs(txn: "lmdb.Transaction[bytes]", store: Store, after_id: int, limit: int) -> list[RefusedInput]:
    """Refused input above `after_id`."""
    found: list[RefusedInput] = []
    with txn.cursor(store.tables.refused) as cursor:
        there = cursor.set_range(keys.number_key(after_id + 1))
        while there and len(found) < limit:
            try:
                found.append(rows.unseal(cursor.value(), _input)[1])
            except DamagedRecord as error:
                id_ = keys.key_number(cursor.key())
                found.append(RefusedInput(id_, Refused("", 0, "", f"damaged on disk: {error}", cursor.value())))
            there = cursor.next()
    return found


def as_inputs(refused: list[Refused]) -> list[RefusedInput]:
    """Refused input, not numbered yet."""
    return [RefusedInput(0, one) for one in refused]


def _matches(found: DeadLetter, criteria: DeadFilter) -> bool:
    return (
        criteria.destination in ("", found.destination)
        and criteria.lane in ("", found.lane)
        and criteria.stage in ("", found.stage)
        and criteria.kind in ("", found.kind)
        and criteria.reason in found.reason
    )


def _read(key: bytes, value: bytes) -> DeadLetter:
    """The letter of a row; a damaged one is shown as what it is, so that one bad row hides no other."""
    try:
        return rows.unseal(value, _letter)[1]
    except DamagedRecord as error:
        return DeadLetter(keys.key_number(key), "", "", 0, 0, "damaged", str(error), "damaged", "", 0, 0, 0, b"", b"")


def _stored_ms(value: bytes) -> int:
    try:
        return rows.unseal(value, _stored)[0]
    except DamagedRecord:
        return _NEVER_MS  # does not age; only the budget evicts it
