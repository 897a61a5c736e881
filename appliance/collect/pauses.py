"""Which sources an operator paused: a small file that survives a restart."""

import os
import tempfile
from pathlib import Path

import msgspec


class Pauses:
    """Names of paused sources; a name stays though its source leaves the configuration, and holds when it returns.

    Args:
        file: a JSON list of names; None: nothing is kept.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.names = frozenset(_read(file)) if file else frozenset[str]()

    def set(self, name: str, paused: bool) -> None:
        """Durable when it returns; blocking.

        Raises:
            OSError: it cannot be kept; then nothing has changed.
        """
        names = self.names | {name} if paused else self.names - {name}
        if names != self.names:
            if self._file:
                _write(self._file, sorted(names))
            self.names = names


def _read(file: Path) -> list[str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError):
        return []


def _write(file: Path, names: list[str]) -> None:
    handle, temporary = tempfile.mkstemp(dir=file.parent)
    with os.fdopen(handle, "wb") as opened:
        opened.write(msgspec.json.encode(names))
        opened.flush()
        os.fsync(opened.fileno())
    os.replace(temporary, file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
