"""What a change may do to the log's tables, in one write transaction with the events beside it."""

import lmdb

from appliance.core.errors import Overloaded
from appliance.core.event import Refused
from appliance.wal import dead, held, progress
from appliance.wal.clock import LogClock
from appliance.wal.dead import Shelf
from appliance.wal.store import Store
from appliance.wal.types import Audit, DeadLetter, HeldJob, Progress, ReplayCursor, Skip

_RESERVE_MAX = 0.8
"""Share of the part kept free of events up to which held jobs and dead letters are taken; deletes need the rest."""
_DEAD_GROW_MAX = 0.1
"""Beyond this share dead letters push out their oldest: whoever aborts much must not stop for want of room."""


class Effects:
    """What a transaction changes in the writer's memory, once it is committed."""

    def __init__(self) -> None:
        self.lows: dict[str, int | None] = {}
        """Destination -> new low; None: forgotten."""
        self.replay_lows: dict[str, int | None] = {}
        self.held: dict[str, tuple[int, int]] = {}
        """Destination -> change of (jobs, bytes)."""
        self.purged: set[str] = set()
        """Destinations whose held jobs were dropped before `held` was counted."""
        self.audits: list[Audit] = []


class Desk:
    """What a transaction works with: the store, the shelves of dead letters and refused input, the clock."""

    def __init__(self, store: Store, dead_shelf: Shelf, refused_shelf: Shelf, clock: LogClock) -> None:
        self.store, self.dead, self.refused, self.clock = store, dead_shelf, refused_shelf, clock


class Transaction:
    """Valid inside a `change` given to `Log.write`, nowhere else."""

    def __init__(self, txn: "lmdb.Transaction[bytes]", desk: Desk, effects: Effects, used: float) -> None:
        """`used`: share of the part of the disk budget that is kept free of events, 0 (all free) to 1."""
        self._txn, self._desk, self._effects, self._used = txn, desk, effects, used
        self._tables = desk.store.tables

    def save_progress(self, destination: str, progress_: Progress) -> None:
        """Keep where a destination stands."""
        progress.save_progress(self._txn, self._tables, destination, progress_)
        self._effects.lows[destination] = progress_.low

    def took(self, destination: str, sequence: int) -> None:
        """Remember that a destination took the log up to here at least; what it has not settled of it may be held."""
        known = progress.load_progress(self._txn, self._tables, destination)
        if known is not None and known.read < sequence:
            known.read = sequence
            self.save_progress(destination, known)

    def hold(self, jobs: list[HeldJob]) -> None:
        """Put jobs into their lanes; one that is there already is replaced.

        Raises:
            Overloaded: the disk budget has no room for held jobs; nothing of this change is kept.
        """
        if self._used > _RESERVE_MAX:
            raise Overloaded("the log's disk budget is spent; nothing more can be held", 10)
        self._resized(held.hold(self._txn, self._tables, jobs))

    def update_held(self, jobs: list[HeldJob]) -> None:
        """Keep new attempts, next try, error (and event) of held jobs; one that is not held any more is passed over."""
        self._resized(held.update(self._txn, self._tables, jobs))

    def release(self, destination: str, keys: list[tuple[str, int, int]]) -> None:
        """Take settled jobs, by (lane, sequence, part), out of their lanes; absent ones are passed over."""
        self._resized(held.release(self._txn, self._tables, destination, keys))

    def purge_held(self, destination: str) -> int:
        """Drop everything that a destination holds; returns how many jobs."""
        self._effects.held.pop(destination, None)
        self._effects.purged.add(destination)
        return held.purge(self._txn, self._tables, destination)

    def bury(self, letters: list[DeadLetter]) -> list[int]:
        """Keep dead letters; returns their ids.

        The oldest are evicted, and audited, when their budget is spent, or when the log's is and they would grow.

        Raises:
            Overloaded: the disk budget has no room even for these; nothing of this change is kept.
        """
        if self._used > _RESERVE_MAX:
            raise Overloaded("the log's disk budget is spent; not even dead letters fit", 10)
        for letter in letters:
            letter.buried_ms = letter.buried_ms or self._desk.clock.wall_ms()
        return self._desk.dead.put(
            self._txn, letters, self._desk.clock.now_ms(), self._effects.audits, grow=self._used <= _DEAD_GROW_MAX
        )

    def exhume(self, ids: list[int]) -> list[DeadLetter]:
        """Take dead letters out; absent ids are passed over."""
        return dead.exhume(self._txn, self._desk.dead, ids)

    def purge_dead(self, ids: list[int]) -> int:
        """Drop dead letters; returns how many there were."""
        return self._desk.dead.drop(self._txn, ids)

    def refuse(self, refused: list[Refused]) -> list[int]:
        """Keep refused input; returns the ids. The oldest are evicted when their budget is spent."""
        return self._desk.refused.put(
            self._txn, dead.as_inputs(refused), self._desk.clock.now_ms(), self._effects.audits
        )

    def purge_refused(self, ids: list[int]) -> int:
        """Drop refused input; returns how many there were."""
        return self._desk.refused.drop(self._txn, ids)

    def save_joined(self, destination: str, member: str, lane: str) -> None:
        """Remember that lane `member` goes on as `lane`."""
        progress.save_joined(self._txn, self._tables, destination, member, lane)

    def drop_joined(self, destination: str, members: list[str]) -> None:
        """Forget joins."""
        progress.drop_joined(self._txn, self._tables, destination, members)

    def save_replay(self, name: str, cursor: ReplayCursor) -> None:
        """Keep a replay's position; it holds back trimming above `cursor.low`."""
        progress.save_replay(self._txn, self._tables, name, cursor)
        self._effects.replay_lows[name] = cursor.low

    def drop_replay(self, name: str, reason: str = "") -> None:
        """End a replay: its position, held jobs and joins go; its dead letters stay. With a `reason` it is audited."""
        if reason:
            self._effects.audits.append(Audit("replay_ended", 1, 0, f"{name}: {reason}"))
        progress.forget(self._txn, self._tables, name)
        progress.drop_replay(self._txn, self._tables, name)
        self.purge_held(name)
        self._effects.replay_lows[name] = None

    def save_skip(self, skip: Skip) -> None:
        """Record a range that a destination skipped."""
        progress.save_skip(self._txn, self._tables, skip)

    def forget(self, destination: str) -> None:
        """Drop a destination's progress, held jobs, joins, skips and replays; its dead letters stay."""
        for name in progress.forget(self._txn, self._tables, destination):
            self.drop_replay(name, f"destination {destination} was forgotten")
        self.purge_held(destination)
        self._effects.lows[destination] = None

    def _resized(self, sizes: dict[str, tuple[int, int]]) -> None:
        for destination, (count, size) in sizes.items():
            before_count, before_size = self._effects.held.get(destination, (0, 0))
            self._effects.held[destination] = (before_count + count, before_size + size)
