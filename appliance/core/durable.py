"""Small files that are replaced as a whole and outlive a power cut: the old content or the new one, never a part."""

import contextlib
import os
import tempfile
from pathlib import Path


def replace(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file, on disk when this returns; the file is its owner's alone (0600).

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    rename(beside(path, content), path)


def beside(path: Path, content: bytes, suffix: str = "") -> Path:
    """A new file with this content in the same folder, on disk; `rename` puts it in its place.

    Raises:
        OSError: it cannot be written; nothing is left of it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=suffix)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
    except BaseException:
        os.unlink(name)
        raise
    return Path(name)


def rename(temporary: Path, path: Path) -> None:
    """Put a file made by `beside` in its place, on disk when this returns.

    Raises:
        OSError: it cannot be; the old file stays, and nothing is left of the new one.
    """
    try:
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make what was created, renamed or removed in a folder outlive a power cut.

    Raises:
        OSError: the folder cannot be written out.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
