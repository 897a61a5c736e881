"""What a change may do to the log's tables, in one write transaction with the events beside it."""

from appliance.wal.types import DeadLetter, HeldJob, Progress, ReplayCursor, Skip


class Transaction:
    """Valid inside a `change` given to `Log.write`, nowhere else."""

    def save_progress(self, destination: str, progress: Progress) -> None:
        """Keep where a destination stands."""
        raise NotImplementedError

    def hold(self, jobs: list[HeldJob]) -> None:
        """Put jobs into their lanes.

        Raises:
            Overloaded: the disk budget has no room for held jobs; nothing of this change is kept.
        """
        raise NotImplementedError

    def update_held(self, jobs: list[HeldJob]) -> None:
        """Keep new attempts, next try, error (and event) of held jobs; one that is not held any more is passed over."""
        raise NotImplementedError

    def release(self, destination: str, keys: list[tuple[str, int, int]]) -> None:
        """Take settled jobs, by (lane, sequence, part), out of their lanes; absent ones are passed over."""
        raise NotImplementedError

    def purge_held(self, destination: str) -> int:
        """Drop everything that a destination holds; returns how many jobs."""
        raise NotImplementedError

    def bury(self, letters: list[DeadLetter]) -> list[int]:
        """Keep dead letters; returns their ids. The oldest are evicted, and audited, when the budget is spent."""
        raise NotImplementedError

    def exhume(self, ids: list[int]) -> list[DeadLetter]:
        """Take dead letters out; absent ids are passed over."""
        raise NotImplementedError

    def purge_dead(self, ids: list[int]) -> int:
        """Drop dead letters; returns how many there were."""
        raise NotImplementedError

    def purge_refused(self, ids: list[int]) -> int:
        """Drop refused input; returns how many there were."""
        raise NotImplementedError

    def save_joined(self, destination: str, member: str, lane: str) -> None:
        """Remember that lane `member` goes on as `lane`."""
        raise NotImplementedError

    def drop_joined(self, destination: str, members: list[str]) -> None:
        """Forget joins."""
        raise NotImplementedError

    def save_replay(self, name: str, cursor: ReplayCursor) -> None:
        """Keep a replay's position; it holds back trimming above `cursor.low`."""
        raise NotImplementedError

    def drop_replay(self, name: str) -> None:
        """End a replay."""
        raise NotImplementedError

    def save_skip(self, skip: Skip) -> None:
        """Record a range that a destination skipped."""
        raise NotImplementedError

    def forget(self, destination: str) -> None:
        """Drop all that the log knows of a destination: progress, held jobs, joins, skips, replays. Dead letters stay."""
        raise NotImplementedError
