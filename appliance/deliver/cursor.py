"""How far one destination has come in the log: a low watermark and what is settled above it. Pure."""


class Cursor:
    """Which events of the log are settled for one destination.

    Events must be `opened` in ascending order. `low`: every event up to it is settled. What stands between `low` and
    `read` is either open here, or settled and thus in `ranges()`.
    """

    def __init__(
        self,
        low: int = 0,
        ranges: list[tuple[int, int]] | None = None,
        parts: dict[int, list[int]] | None = None,
        taken: int = 0,
    ) -> None:
        self.read = low
        """The last sequence taken from the log."""
        self._restored = list(ranges or [])
        self._until = max(self._restored[-1][1] if self._restored else low, taken)
        self._restored_parts = dict(parts or {})
        self._open: dict[int, set[int]] = {}
        self._parts_done: dict[int, list[int]] = {}

    @property
    def unsettled(self) -> int:
        """Events taken from the log and not settled."""
        return len(self._open)

    @property
    def recovering(self) -> bool:
        """Whether the log still holds events that a former process took: older than what stands in the held store."""
        return self.read < self._until

    @property
    def taken(self) -> int:
        """The last sequence that this process or a former one took; nothing in the held store is newer."""
        return max(self.read, self._until)

    @property
    def low(self) -> int:
        """Every event up to this sequence is settled."""
        return next(iter(self._open)) - 1 if self._open else self.read

    def settled_before(self, sequence: int) -> bool:
        """Whether a former process settled this event already. Ask in ascending order."""
        while self._restored and self._restored[0][1] < sequence:
            self._restored.pop(0)
        return bool(self._restored) and self._restored[0][0] <= sequence

    def parts_before(self, sequence: int) -> list[int]:
        """Parts of this event that a former process settled."""
        return self._restored_parts.pop(sequence, [])

    def opened(self, sequence: int, parts: set[int], done: list[int] | None = None) -> None:
        """These parts of the next event are to be delivered; `done` ones were settled by a former process."""
        self.read = sequence
        self._open[sequence] = parts
        if done:
            self._parts_done[sequence] = list(done)

    def passed(self, sequence: int) -> None:
        """Everything up to here was taken and what was not opened is settled: filtered, or a gap."""
        self.read = max(self.read, sequence)

    def settle(self, sequence: int, part: int) -> None:
        """This part is settled: delivered, or at home in the held store or among the dead letters."""
        parts = self._open.get(sequence)
        if parts is None:
            return
        parts.discard(part)
        if parts:
            self._parts_done.setdefault(sequence, []).append(part)
        else:
            del self._open[sequence]
            self._parts_done.pop(sequence, None)

    def ranges(self) -> list[tuple[int, int]]:
        """Inclusive ranges settled above `low`, ascending; what a former process settled ahead of `read` included."""
        found: list[tuple[int, int]] = []
        after = self.low + 1
        for sequence in self._open:
            if sequence > after:
                found.append((after, sequence - 1))
            after = sequence + 1
        if after <= self.read:
            found.append((after, self.read))
        return found + [(max(first, self.read + 1), last) for first, last in self._restored if last > self.read]

    def parts(self) -> dict[int, list[int]]:
        """Settled parts of events that have others open."""
        return {**self._restored_parts, **{sequence: list(parts) for sequence, parts in self._parts_done.items()}}
