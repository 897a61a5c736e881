"""Where each destination stands, what it skipped, which lanes it joined; replays' positions.

Each row names its owner, since keys hold digests only: [destination, Progress], [name, ReplayCursor], [member, lane],
Skip.
"""

from typing import Any, TypeVar

import lmdb
import msgspec

from appliance.wal import keys, rows
from appliance.wal.store import Tables
from appliance.wal.types import Progress, ReplayCursor, Skip

T = TypeVar("T")
_progress = msgspec.msgpack.Decoder(tuple[str, Progress])
_replay = msgspec.msgpack.Decoder(tuple[str, ReplayCursor])
_joined = msgspec.msgpack.Decoder(tuple[str, str])
_skip = msgspec.msgpack.Decoder(Skip)


def save_progress(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str, progress: Progress) -> None:
    """Keep where a destination stands."""
    txn.put(keys.text_key(destination), rows.seal((destination, progress)), db=tables.progress)


def load_progress(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str) -> Progress | None:
    """Where a destination stands."""
    value = txn.get(keys.text_key(destination), db=tables.progress)
    return rows.unseal(value, _progress)[1] if value else None


def all_progress(txn: "lmdb.Transaction[bytes]", tables: Tables) -> dict[str, Progress]:
    """Every destination that the log knows."""
    return dict(_all(txn, tables.progress, _progress))


def save_replay(txn: "lmdb.Transaction[bytes]", tables: Tables, name: str, cursor: ReplayCursor) -> None:
    """Keep a replay's position."""
    txn.put(keys.text_key(name), rows.seal((name, cursor)), db=tables.replays)


def drop_replay(txn: "lmdb.Transaction[bytes]", tables: Tables, name: str) -> None:
    """End a replay."""
    txn.delete(keys.text_key(name), db=tables.replays)


def all_replays(txn: "lmdb.Transaction[bytes]", tables: Tables) -> dict[str, ReplayCursor]:
    """Replays under way."""
    return dict(_all(txn, tables.replays, _replay))


def save_joined(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str, member: str, lane: str) -> None:
    """Remember that a lane goes on as another."""
    txn.put(keys.pair_key(destination, member), rows.seal((member, lane)), db=tables.joined)


def drop_joined(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str, members: list[str]) -> None:
    """Forget joins."""
    for member in members:
        txn.delete(keys.pair_key(destination, member), db=tables.joined)


def all_joined(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str) -> dict[str, str]:
    """Member lane -> lane."""
    return dict(_all(txn, tables.joined, _joined, keys.text_key(destination)))


def joined_to(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str, member: str) -> str:
    """The lane that a member goes on as; "" where it is none."""
    value = txn.get(keys.pair_key(destination, member), db=tables.joined)
    return rows.unseal(value, _joined)[1] if value else ""


def save_skip(txn: "lmdb.Transaction[bytes]", tables: Tables, skip: Skip) -> None:
    """Record a skipped range."""
    txn.put(keys.skip_key(skip.destination, skip.first_sequence), rows.seal(skip), db=tables.skipped)


def all_skips(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str) -> list[Skip]:
    """Skipped ranges, ascending."""
    return _all(txn, tables.skipped, _skip, keys.text_key(destination))


def forget(txn: "lmdb.Transaction[bytes]", tables: Tables, destination: str) -> list[str]:
    """Drop the progress, joins and skips of a destination; returns its replays, which are still to be dropped."""
    owner = keys.text_key(destination)
    txn.delete(owner, db=tables.progress)
    for table in (tables.joined, tables.skipped):
        drop_prefix(txn, table, owner)
    return [name for name, cursor in all_replays(txn, tables).items() if cursor.destination == destination]


def drop_prefix(txn: "lmdb.Transaction[bytes]", table: "lmdb._Database", prefix: bytes) -> int:
    """Delete every row whose key begins with `prefix`; returns how many."""
    count = 0
    with txn.cursor(table) as cursor:
        there = cursor.set_range(prefix)
        while there and cursor.key().startswith(prefix):
            there = cursor.delete()
            count += 1
    return count


def _all(
    txn: "lmdb.Transaction[bytes]", table: "lmdb._Database", decoder: "msgspec.msgpack.Decoder[T]", prefix: bytes = b""
) -> list[T]:
    found: list[Any] = []
    with txn.cursor(table) as cursor:
        if cursor.set_range(prefix) if prefix else cursor.first():
            for key, value in cursor:
                if not key.startswith(prefix):
                    break
                found.append(rows.unseal(value, decoder))
    return found
