"""The disk budget: who may still write what, and how much should be trimmed first.

    0 ................ soft ....... high ............... budget
    events, everything | delivered  | held jobs and dead  | nothing; LMDB's map ends here
                       | blocks go, | letters up to a     |
                       | however    | part of it,         |
                       | young      | progress and        |
                       |            | deletes up to it    |

A budget may have been made smaller than what is there. No events are taken until it has drained; held jobs and dead
letters get room above what is there, since without any the destinations that could drain it would stand still.

The disk itself may be full before the budget is. Then the ballast is given back, events are refused, and deletes free
pages inside the file; events are taken again when the ballast fits again, or when the file holds that much free room
of its own.
"""

from typing import Literal

from appliance.core.config import WalConfig
from appliance.core.errors import Overloaded

_SOFT_SHARE = 0.05
_OUTGROWN_BYTES = 16 << 20
"""Room above a log that is larger than its budget, where the budget's own reserve is less."""


class Budget:
    """Room on the disk, as of the last transaction; the writer thread's, its `refusal` any thread's."""

    def __init__(self, config: WalConfig, used_bytes: int) -> None:
        self.bytes_max = config.disk_bytes_max
        self.high_bytes = int(config.disk_bytes_max * config.high_water)
        self._soft_bytes = int(config.disk_bytes_max * max(config.high_water - _SOFT_SHARE, 0.0))
        self.ballast_bytes = min(config.ballast_bytes, config.disk_bytes_max // 16)
        self.drop_oldest = config.on_full == "drop_oldest"
        self.used_bytes = used_bytes
        self._reserve_from = used_bytes if used_bytes > self.bytes_max else self.high_bytes
        """Where the room begins that is kept free of events."""
        self.ballast = True
        self.disk_full = False
        self._wanted_bytes = 0
        """Size of the group that found no room."""

    def state(self) -> Literal["running", "full", "disk_full"]:
        """In the operator's words."""
        if self.disk_full:
            return "disk_full"
        return "full" if self._is_full() else "running"

    def refusal(self) -> Overloaded | None:
        """Why events are not taken at present; None when they are."""
        if self.disk_full:
            return Overloaded("the disk is full; nothing was kept", 10)
        if self._is_full():
            return Overloaded("the log's disk budget is spent; nothing was kept", 10)
        return None

    def fits(self, used_bytes: int, group_bytes: int) -> bool:
        """Whether a group may be added to a log of that size."""
        return used_bytes + group_bytes <= self.high_bytes

    def found_no_room(self, group_bytes: int) -> None:
        """A group was refused by the budget (or by LMDB's map, whose room may be in pieces)."""
        self._wanted_bytes = max(group_bytes, 1)

    @property
    def outgrown(self) -> bool:
        """Whether the log is larger than its budget, which was made smaller."""
        return self._reserve_from > self.high_bytes

    @property
    def reserve_bytes(self) -> int:
        """Room for held jobs, dead letters and deletes, kept free of events."""
        return max(self.bytes_max - self.high_bytes, _OUTGROWN_BYTES if self.outgrown else 1)

    def committed(self, used_bytes: int) -> None:
        """The size after a transaction."""
        self.used_bytes = used_bytes
        self._reserve_from = max(min(self._reserve_from, used_bytes), self.high_bytes)
        if used_bytes + self._wanted_bytes <= self._soft_bytes:
            self._wanted_bytes = 0

    def reserve_used(self) -> float:
        """Share of the room kept free of events that is taken, 0 to 1."""
        return min(max((self.used_bytes - self._reserve_from) / self.reserve_bytes, 0.0), 1.0)

    def need_bytes(self, group_bytes: int, file_bytes: int) -> int:
        """How much a trim should free before a group of that size."""
        wanted = max(group_bytes, self._wanted_bytes)
        need = self.used_bytes + wanted - self._soft_bytes
        if self.disk_full:
            need = max(need, 2 * self.ballast_bytes + wanted - (file_bytes - self.used_bytes))
        return max(need, 0)

    def room_inside(self, file_bytes: int) -> bool:
        """Whether the file itself has room to go on without the disk."""
        return file_bytes - self.used_bytes > self.ballast_bytes + self._wanted_bytes

    def _is_full(self) -> bool:
        if self._wanted_bytes:
            return not self.drop_oldest
        return self.used_bytes >= self.high_bytes and not self.drop_oldest
