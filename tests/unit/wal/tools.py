"""What the log's tests share: records, a clock set by hand, a log that is always stopped."""

import asyncio
import shutil
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from appliance.core.config import WalConfig
from appliance.core.event import Record
from appliance.wal import keys
from appliance.wal.log import DeadLetter, HeldJob, Log, Transaction
from appliance.wal.store import Store

T = TypeVar("T")
MIB = 1 << 20
SMALL = WalConfig(disk_bytes_max=16 * MIB, ballast_bytes=MIB, cache_bytes_max=MIB, retention=0.0)


class HandClock:
    """Wall and monotonic time, moved by the test."""

    def __init__(self, wall_ms: int = 1_700_000_000_000) -> None:
        self.wall, self.monotonic = wall_ms, 5_000

    def wall_ms(self) -> int:
        return self.wall

    def monotonic_ms(self) -> int:
        return self.monotonic

    def advance(self, ms: int) -> None:
        """Time passes."""
        self.wall += ms
        self.monotonic += ms


def config(**changes: Any) -> WalConfig:
    """A small log's configuration with some keys changed."""
    return msgspec.structs.replace(SMALL, **changes)


def record(
    name: str, *, source: str = "web", person: str = "anna", raw: bytes = b'{"type":"track"}', at: int = 0
) -> Record:
    """A record whose messageId is `name`."""
    return Record(0, source, at or 1_700_000_000_000, "127.0.0.1", "track", person, "", name, "", 0, raw)


def job(
    sequence: int,
    *,
    lane: str = "anna",
    part: int = 0,
    destination: str = "crm",
    attempts: int = 0,
    event: bytes = b"{}",
    error: str = "",
) -> HeldJob:
    """A held job."""
    return HeldJob(destination, lane, sequence, part, attempts, 70 * attempts, 10 if attempts else 0, 5, error, event)


def letter(
    sequence: int,
    *,
    destination: str = "crm",
    lane: str = "anna",
    kind: str = "404",
    reason: str = "gone",
    event: bytes = b"{}",
) -> DeadLetter:
    """A dead letter."""
    return DeadLetter(0, destination, lane, sequence, 0, "deliver", reason, kind, "HTTP 404", 1, 10, 0, event, b"")


@asynccontextmanager
async def opened(folder: Path, settings: WalConfig = SMALL, clock: Any = None) -> AsyncIterator[Log]:
    """A started log, stopped in the end."""
    log = Log.open(folder, settings, clock or HandClock())
    log.start(asyncio.get_running_loop())
    try:
        yield log
    finally:
        await log.stop()


async def write(log: Log, change: Callable[[Transaction], T], *, soon: bool = False) -> T:
    """A change, awaited."""
    return await asyncio.wrap_future(log.write(change, soon=soon))


def sequences(log: Log, after: int = 0) -> list[int]:
    """Every committed sequence above `after`, read as a destination reads."""
    found: list[int] = []
    while blocks := log.read(after):
        for block in blocks:
            found += [each.sequence for each in block.records if each.sequence > after]
            after = block.last_sequence
    return found


def ids(log: Log, after: int = 0) -> list[str]:
    """Every committed messageId above `after`, in order."""
    found: list[str] = []
    while blocks := log.read(after):
        for block in blocks:
            found += [each.message_id for each in block.records if each.sequence > after]
            after = block.last_sequence
    return found


def copy_of(folder: Path, target: Path) -> Path:
    """The folder as a kill would leave it: the files of a log that still runs, copied."""
    target.mkdir(parents=True)
    for path in folder.iterdir():
        if path.is_file() and path.name not in ("lock.mdb", "ballast"):
            shutil.copyfile(path, target / path.name)
    return target


def as_after_reboot(folder: Path) -> None:
    """Make the folder look as if the machine had gone down with the log running."""
    (folder / "owner").write_bytes(b'{"pid":1,"boot_id":"another boot","clean":false}'.ljust(512))


def spoil(data: Path, needle: bytes, nth: int = 0) -> None:
    """Flip a bit behind the `nth` place where `needle` stands in a file."""
    content = bytearray(data.read_bytes())
    at = -1
    for _ in range(nth + 1):
        at = content.index(needle, at + 1)
    content[at + len(needle) + 90] ^= 0x10
    data.write_bytes(content)


def spoil_block(folder: Path, sequence: int) -> None:
    """Flip a bit in the last byte of the block that begins there, the tree around it left whole. Nobody else is at it."""
    store = Store.open(folder, WalConfig().disk_bytes_max)
    with store.env.begin(write=True, db=store.tables.blocks) as txn:
        value = bytearray(txn.get(keys.number_key(sequence)) or b"")
        value[-1] ^= 0x10
        txn.put(keys.number_key(sequence), bytes(value))
    store.env.close()


def root_page(data: Path) -> int:
    """Number of the root page of the main tree. Source: LMDB 0.9, struct MDB_meta and MDB_db."""
    content = data.read_bytes()[:8192]
    metas = [struct.unpack_from("=Q", content, page + 16 + 24 + 96 + 8)[0] for page in (0, 4096)]
    newest = 0 if metas[0] > metas[1] else 4096
    root: int = struct.unpack_from("=Q", content, newest + 16 + 24 + 48 + 40)[0]
    return root
