"""Appends events to files, one JSON object per line, on disk before they count as delivered.

A folder fills with files named `PREFIX-TIME.jsonl`, TIME being when the file was begun (UTC). A file is continued
after a restart and followed by a new one when it reaches `rotate_bytes` or `rotate_age`, looked at when events come.

With `zstd` files are named `.jsonl.zst`; every batch is a zstd frame of its own, and `zstdcat` reads the whole file.

A batch that cannot be written is cut off again, so that a file never holds half of one. What a crash leaves of a line
or frame at the end of a file is cut off when the folder is opened next; a batch that a crash has interrupted has not
been settled, so its events come again. A file that somebody moves or deletes is
followed by a new one. Nobody else may write to these files; each is locked by the one that writes it.
"""

import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from appliance.sdk import Bytes, Config, Count, Event, Limits, Log, Retry, Seconds

LIMITS = Limits(batch="atomic", batch_events_max=1000, in_flight_max=1, timeout_s=60.0)

TAIL_BYTES = 4 * 1024 * 1024
"""After a power cut the last batch may hold pages of zeros; so much of a file's end is looked at."""
REPAIRED_FILES_MAX = 8
"""So many of the newest files are looked at on opening."""
ZSTD_LEVEL = 3
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Jsonl(Config):
    """Where the files go and when the next one is begun."""

    folder: Path
    """Where the files go; made where it is missing."""
    prefix: str = "events"
    """How file names begin: letters, digits, `-` and `_`."""
    rotate_bytes: Bytes = 64 * 1024 * 1024
    """A file that has reached this size is followed by a new one."""
    rotate_age: Seconds = 86_400.0
    """... and one that is this old; at least 1 second."""
    files_max: Count | None = None
    """The oldest files beyond this many are deleted; all are kept, if left out."""
    zstd: bool = False
    """Compress."""

    def __post_init__(self) -> None:
        """Refuse names that could leave the folder, and a new file per batch."""
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", self.prefix):
            raise ValueError("prefix must be 1 to 64 letters, digits, - and _")
        if self.rotate_age < 1:
            raise ValueError("rotate_age must be at least 1 second")


@contextmanager
def open(config: Jsonl, log: Log) -> Iterator["Files"]:
    """Cut off what a crash left half written, then go on where the last file ends."""
    files = Files(config, log)
    try:
        files.resume()
    except OSError as error:
        files.close()
        raise Retry(f"{config.folder} cannot be used: {error.strerror}") from error
    try:
        yield files
    finally:
        files.close()


def deliver(events: Sequence[Event], files: "Files") -> None:
    """Append one batch and wait for the disk."""
    files.append([event.json for event in events])


class Files:
    """The files of one destination. `append` may be called by several threads, one after the other gets through."""

    def __init__(self, config: Jsonl, log: Log) -> None:
        self._config, self._log = config, log
        self._suffix = ".jsonl.zst" if config.zstd else ".jsonl"
        self._names = re.compile(rf"{config.prefix}-(\d{{8}}T\d{{6}}\.\d{{3}})Z{re.escape(self._suffix)}")
        self._lock = threading.Lock()
        self._closed = False
        self._file = -1
        self._path = Path()
        self._size = 0
        self._begun_s = 0.0

    def resume(self) -> None:
        """Open the newest file that is nobody's and has room; mend every one at hand before."""
        self._config.folder.mkdir(parents=True, exist_ok=True)
        for path in reversed(self._all()[-REPAIRED_FILES_MAX:]):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            if not _locked(file):
                os.close(file)
                continue
            size = self._mended(file, path)
            age_s = max(0.0, (datetime.now(UTC) - self._time_of(path)).total_seconds())
            if self._file < 0 and size < self._config.rotate_bytes and age_s < self._config.rotate_age:
                self._file, self._path, self._size = file, path, size
                self._begun_s = time.monotonic() - age_s
            else:
                os.close(file)

    def append(self, events: Sequence[bytes]) -> None:
        """Write events as lines, all or none, and wait until they are on disk.

        Raises:
            Retry: they are not; what was written of them has been cut off again.
        """
        block = b"".join([one_line(event) for event in events])
        if self._config.zstd:
            block = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(block)
        with self._lock:
            if self._closed:
                raise Retry("the destination is closing")
            try:
                self._make_room()
                _write(self._file, block, self._size)
                os.fsync(self._file)
            except OSError as error:
                self._give_up()
                raise Retry(f"cannot write to {self._config.folder}: {error.strerror}") from error
            self._size += len(block)

    def close(self) -> None:
        """Write no more. Waits for a batch that is being written: its file must not be closed under it."""
        with self._lock:
            self._closed = True
            self._let_go()

    def _let_go(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1

    def _make_room(self) -> None:
        """See to it that the present file is still there and has room; else begin the next."""
        if self._file >= 0 and not _same(self._file, self._path):
            self._log.warning("file_replaced", file=str(self._path), reason="it was moved or deleted")
            self._let_go()
        full = self._size >= self._config.rotate_bytes
        if self._file >= 0 and (full or time.monotonic() - self._begun_s >= self._config.rotate_age):
            self._let_go()
        if self._file < 0:
            self._begin()

    def _begin(self) -> None:
        self._config.folder.mkdir(parents=True, exist_ok=True)
        files = self._all()
        moment = datetime.now(UTC)
        if files:
            moment = max(moment, self._time_of(files[-1]) + timedelta(milliseconds=1))
        while True:
            stamp = moment.strftime("%Y%m%dT%H%M%S.") + f"{moment.microsecond // 1000:03d}"
            path = self._config.folder / f"{self._config.prefix}-{stamp}Z{self._suffix}"
            try:
                file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                break
            except FileExistsError:
                moment += timedelta(milliseconds=1)
        _locked(file)
        self._file, self._path, self._size, self._begun_s = file, path, 0, time.monotonic()
        _sync_folder(self._config.folder)
        self._forget_oldest([*files, path])

    def _forget_oldest(self, files: list[Path]) -> None:
        for path in files[: -self._config.files_max] if self._config.files_max else []:
            path.unlink(missing_ok=True)

    def _give_up(self) -> None:
        """Cut off what was written of a batch, and write no more to this file: its disk has failed once.

        One that holds nothing goes: there may be many tries, and empty files would push out full ones (`files_max`).
        """
        if self._file >= 0:
            try:
                os.ftruncate(self._file, self._size)
                if not self._size and _same(self._file, self._path):
                    self._path.unlink()
            except OSError as error:
                self._log.error("file_not_cut", file=str(self._path), bytes=self._size, error=str(error))
            self._let_go()

    def _all(self) -> list[Path]:
        return sorted(path for path in self._config.folder.iterdir() if self._names.fullmatch(path.name))

    def _time_of(self, path: Path) -> datetime:
        found = self._names.fullmatch(path.name)
        try:
            return datetime.fromisoformat(found[1] + "Z" if found else "")
        except ValueError:  # the 31st of February, by somebody's hand
            return datetime.fromtimestamp(0, UTC)

    def _mended(self, file: int, path: Path) -> int:
        """Cut the end of a file that is no whole batch; returns its size."""
        size = os.fstat(file).st_size
        with os.fdopen(os.dup(file), "rb") as opened:
            end = whole_frames_end(opened, size) if self._config.zstd else whole_lines_end(opened, size)
        if end < size:
            self._set_aside(file, path, end, size)
            os.ftruncate(file, end)
            os.fsync(file)
            self._log.warning("torn_end_cut", file=str(path), bytes=size - end, kept="the events come again")
        return end

    def _set_aside(self, file: int, path: Path, end: int, size: int) -> None:
        """Keep what is cut, where it is more than one torn line or frame: then the disk has damaged the file."""
        cut = os.pread(file, size - end, end)
        if (_ZSTD_MAGIC in cut[4:]) if self._config.zstd else (b"\n" in cut):
            path.with_name(path.name + ".torn").write_bytes(cut)


def one_line(event: bytes) -> bytes:
    """An event as a line. A line break in valid JSON stands between tokens only, where a space means the same."""
    if b"\n" in event or b"\r" in event:
        event = event.replace(b"\n", b" ").replace(b"\r", b" ")
    return event + b"\n"


def whole_lines_end(opened: BinaryIO, size: int) -> int:
    """Where the last whole line ends; within the last TAIL_BYTES, also where the first line ends that is no object."""
    start = max(0, size - TAIL_BYTES)
    opened.seek(start)
    tail = opened.read(size - start)
    at = 0 if start == 0 else tail.find(b"\n") + 1
    if at == 0 and start > 0:
        return size  # one line larger than all we look at: leave it to a person
    while (newline := tail.find(b"\n", at)) >= 0:
        line = tail[at:newline]
        if not line.startswith(b"{") or not line.endswith(b"}") or b"\0" in line:
            break
        at = newline + 1
    return start + at


def whole_frames_end(opened: BinaryIO, size: int) -> int:
    """Where the last whole zstd frame ends whose content is sound.

    Source: RFC 8878, section 3.1.1 (frame and block headers).
    """
    ends = [0]
    while (end := _frame_end(opened, ends[-1], size)) is not None:
        ends.append(end)
    while len(ends) > 1 and not _sound(opened, ends[-2], ends[-1]):
        ends.pop()
    return ends[-1]


def _frame_end(opened: BinaryIO, at: int, size: int) -> int | None:
    """Where the frame that begins at `at` ends; None where there is no whole one."""
    opened.seek(at)
    head = opened.read(5)
    if len(head) < 5 or head[:4] != _ZSTD_MAGIC:
        return None
    flags = head[4]
    single, content_flag = bool(flags & 0x20), flags >> 6
    content_size = (1 if single else 0, 2, 4, 8)[content_flag]
    at += 5 + (0 if single else 1) + (0, 1, 2, 4)[flags & 3] + content_size
    while True:
        opened.seek(at)
        raw = opened.read(3)
        if len(raw) < 3:
            return None
        block = int.from_bytes(raw, "little")
        kind, length = block >> 1 & 3, block >> 3
        if kind == 3:
            return None
        at += 3 + (1 if kind == 1 else length)
        if block & 1:
            at += 4 if flags & 4 else 0
            return at if at <= size else None


def _sound(opened: BinaryIO, start: int, end: int) -> bool:
    """Whether a frame can be read, checksum included."""
    opened.seek(start)
    try:
        with zstandard.ZstdDecompressor().stream_reader(opened.read(end - start)) as reader:
            while reader.read(1 << 20):
                pass
    except zstandard.ZstdError:
        return False
    return True


def _write(file: int, block: bytes, at: int) -> None:
    view: Any = memoryview(block)
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


def _locked(file: int) -> bool:
    """Lock the file for as long as it is open; False where somebody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except OSError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
