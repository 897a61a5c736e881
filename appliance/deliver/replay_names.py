"""Names of replays, `crm#1`, `crm#2`, ...: one that was given is never given again, over a restart neither."""

from collections.abc import Collection
from pathlib import Path

import msgspec

from appliance.core import durable, logs

_LOG = logs.logger("deliver")


class ReplayNames:
    """Gives names; one caller at a time.

    Args:
        file: JSON object of destination -> the last number given; made at the first replay.
    """

    def __init__(self, file: Path) -> None:
        self._file, self._last = file, _read(file)

    def take(self, destination: str, under_way: Collection[str]) -> str:
        """The next name, on disk as given when this returns; blocking.

        Args:
            under_way: names of replays under way, in case the file was lost.

        Raises:
            OSError: it cannot be kept; no name was given.
        """
        used = [int(name.rpartition("#")[2]) for name in under_way if name.rpartition("#")[0] == destination]
        number = max([self._last.get(destination, 0), *used]) + 1
        last = {**self._last, destination: number}
        durable.replace(self._file, msgspec.json.encode(last))
        self._last = last
        return f"{destination}#{number}"


def _read(file: Path) -> dict[str, int]:
    try:
        return msgspec.json.decode(file.read_bytes(), type=dict[str, int])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        _LOG.error("replay_names_dropped", file=str(file), error=str(error), kept="replays under way keep their names")
        return {}
