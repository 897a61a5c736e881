"""Which destinations an operator paused: a JSON list in a small file, so that a restart does not resume them."""

import asyncio
from pathlib import Path

import msgspec

from appliance.core import durable


class Pauses:
    """Lives on the delivery loop; reading is for any thread.

    Args:
        file: made at the first pause.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._names = set(_read(file))
        self._saving = asyncio.Lock()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    async def set(self, name: str, *, paused: bool) -> None:
        """Pause or resume; on disk when this returns.

        Raises:
            OSError: it holds, but not over a restart.
        """
        (self._names.add if paused else self._names.discard)(name)
        async with self._saving:
            await asyncio.to_thread(durable.replace, self._file, msgspec.json.encode(sorted(self._names)))


def _read(file: Path) -> list[str]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=list[str])
    except (OSError, msgspec.DecodeError):
        return []
