"""The log's folder: who owns it, how it was left, its ballast, and what was set aside.

    data.mdb, lock.mdb   LMDB's
    owner                locked by the process that owns the folder; JSON: pid, boot_id, clean
    ballast              real bytes, given back when the disk itself is full
    quarantine-N         damaged stores, never deleted by us

How the log was left stands in `owner` and not in the store, because it must be known before the store is mapped.
"""

import fcntl
import os
from pathlib import Path

import msgspec

from appliance.core.durable import sync_folder
from appliance.core.errors import FolderLocked

_OWNER_BYTES = 512
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Owner(msgspec.Struct):
    """Content of the owner file."""

    pid: int
    boot_id: str
    clean: bool


class Folder:
    """A locked folder; `release` gives it back."""

    def __init__(self, path: Path, fd: int, previous: Owner | None) -> None:
        self.path, self._fd = path, fd
        self.left_clean = previous is not None and previous.clean
        """Whether the last owner stopped cleanly."""
        self.rebooted = previous is None or previous.boot_id != boot_id()
        """Whether the machine was restarted since; true where it cannot be known."""

    @classmethod
    def acquire(cls, path: Path) -> "Folder":
        """Create the folder where needed, lock it and mark it as not cleanly left.

        Raises:
            FolderLocked: another process owns it; the text names that process.
        """
        path.mkdir(parents=True, exist_ok=True)
        fd = os.open(path / "owner", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        previous = _read_owner(fd)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            holder = f"process {previous.pid}" if previous else "another process"
            raise FolderLocked(
                f"the log in {path} belongs to {holder}, which is running; nothing was touched. "
                "Stop it, or use another data folder."
            ) from None
        folder = cls(path, fd, previous)
        folder._mark(clean=False)
        return folder

    def mark_clean(self) -> None:
        """Say that the store was closed in order."""
        self._mark(clean=True)

    def release(self) -> None:
        """Give the lock back; a second time is no harm."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    @property
    def data(self) -> Path:
        """LMDB's file."""
        return self.path / "data.mdb"

    def free_bytes(self) -> int:
        """What the file system still gives to a process like this one."""
        figures = os.statvfs(self.path)
        return figures.f_bavail * figures.f_frsize

    def put_ballast(self, size: int) -> bool:
        """Reserve `size` bytes on the disk; False where they are not to be had."""
        path = self.path / "ballast"
        if size <= 0:
            return True
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size != size:
                    os.ftruncate(fd, 0)
                    os.posix_fallocate(fd, 0, size)
            finally:
                os.close(fd)
        except OSError:
            self.drop_ballast()
            return False
        return True

    def drop_ballast(self) -> bool:
        """Give the ballast back to the file system; False when there was none."""
        try:
            os.truncate(self.path / "ballast", 0)
            os.unlink(self.path / "ballast")
        except FileNotFoundError:
            return False
        return True

    def quarantine(self) -> Path:
        """Move the store aside, into a new folder next to it; returns that folder."""
        number = 1 + max((_number(path) for path in self.path.glob("quarantine-*")), default=0)
        aside = self.path / f"quarantine-{number}"
        aside.mkdir()
        for name in ("data.mdb", "lock.mdb"):
            if (self.path / name).exists():
                os.rename(self.path / name, aside / name)
        sync_folder(aside)
        sync_folder(self.path)
        return aside

    def quarantined(self) -> str:
        """The latest store set aside; "" when there is none."""
        return str(max(self.path.glob("quarantine-*"), key=_number, default=""))

    def _mark(self, *, clean: bool) -> None:
        text = msgspec.json.encode(Owner(os.getpid(), boot_id(), clean))
        os.pwrite(self._fd, text.ljust(_OWNER_BYTES), 0)  # always the same bytes of the file: works on a full disk too
        os.fsync(self._fd)


def boot_id() -> str:
    """Differs after each start of the machine; "" where the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _read_owner(fd: int) -> Owner | None:
    try:
        return msgspec.json.decode(os.pread(fd, _OWNER_BYTES, 0).rstrip(), type=Owner)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _number(path: Path) -> int:
    digits = path.name.removeprefix("quarantine-")
    return int(digits) if digits.isdigit() else 0
