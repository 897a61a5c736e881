"""What an operator paused: names in a small file, so that a restart does not resume them."""

import threading
from pathlib import Path

import msgspec

from appliance.core import durable, logs

_LOG = logs.logger("core")


class Pauses:
    """Names of paused things; a name stays though its thing leaves the configuration, and holds when it returns.

    Args:
        file: a JSON list of names, made at the first pause; None: nothing is kept.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file, self._saving = file, threading.Lock()
        self._names = frozenset(_read(file)) if file else frozenset[str]()

    def __contains__(self, name: str) -> bool:
        """Any thread."""
        return name in self._names

    def set(self, name: str, paused: bool) -> None:
        """Pause or resume; on disk when this returns. Any thread, blocking.

        Raises:
            OSError: it cannot be kept; nothing has changed.
        """
        with self._saving:
            names = self._names | {name} if paused else self._names - {name}
            if names == self._names:
                return
            if self._file:
                durable.replace(self._file, msgspec.json.encode(sorted(names)))
            self._names = names


def _read(file: Path) -> list[str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except FileNotFoundError:
        return []
    except (OSError, msgspec.DecodeError) as error:
        _LOG.error("pauses_dropped", file=str(file), error=str(error), advice="pause again what is to stay paused")
        return []
