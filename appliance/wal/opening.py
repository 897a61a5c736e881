"""Opening a log: lock the folder, look before mapping, set a damaged store aside, take over what can be read."""

from pathlib import Path

import lmdb

from appliance.core.clock import Clock
from appliance.core.config import WalConfig
from appliance.core.errors import DamagedRecord
from appliance.wal import salvage, verify
from appliance.wal.clock import LogClock
from appliance.wal.folder import Folder
from appliance.wal.state import State
from appliance.wal.store import Store

_DAMAGE = (lmdb.CorruptedError, lmdb.InvalidError, lmdb.PageNotFoundError, lmdb.VersionMismatchError, DamagedRecord)


def open_state(path: Path, config: WalConfig, clock: Clock) -> tuple[State, str]:
    """The state of the log in a folder, and what was salvaged, in words ("" when nothing had to be).

    Raises:
        FolderLocked: another process holds the folder.
        SternpostError: a newer version of this program wrote the log.
        OSError: the folder cannot be used.
    """
    folder = Folder.acquire(path)
    try:
        finding = _look(folder)
        if not finding:
            try:
                return _ready(folder, config, clock), ""
            except _DAMAGE as error:
                finding = f"{error.__class__.__name__}: {error}"
        report = _start_afresh(folder, config, finding)
        return _ready(folder, config, clock), report
    except BaseException:
        folder.release()
        raise


def _look(folder: Folder) -> str:
    """What is wrong with the file, as far as it must be known before mapping it; "" for nothing."""
    if not folder.data.exists():
        return ""
    finding = verify.length_fault(folder.data)
    if not finding and not folder.left_clean and folder.rebooted:
        finding = verify.walk_in_child(folder.path)
    return finding


def _ready(folder: Folder, config: WalConfig, clock: Clock) -> State:
    store = Store.open(folder.path, config.disk_bytes_max)
    try:
        with store.env.begin() as txn:
            newest = store.newest(txn)
        state = State(folder, store, config, LogClock(clock, newest.log_ms), newest)
        state.budget.ballast = folder.put_ballast(state.budget.ballast_bytes)
        return state
    except BaseException:
        store.env.close()
        raise


def _start_afresh(folder: Folder, config: WalConfig, finding: str) -> str:
    """Set the damaged store aside and fill a new one with what can be read of it; returns a report in words."""
    aside = folder.quarantine()
    store = Store.open(folder.path, config.disk_bytes_max)
    try:
        saved = salvage.salvage(aside, store)
    finally:
        store.env.close()
    return (
        f"the log in {folder.path} was damaged ({finding}). It was moved to {aside} unchanged; a new log goes on with "
        f"what could be read: {saved}. `sternpost wal verify` tells more; keep the folder until nothing is missing."
    )
