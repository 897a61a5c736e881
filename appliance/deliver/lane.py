"""What the order machine moves: jobs, the lanes they wait in, and the effects that must be made durable. Pure."""

from collections import deque
from dataclasses import dataclass, field

from appliance.core.event import Event, event_name


class Job:
    """One event, or one part of it, for one destination.

    `lane` is the lane the event was resolved to; a join may since have put it into another. `stored` says that it
    stands in the held store (its durable home), else it still stands in the log.
    """

    __slots__ = (
        "_kind",
        "attempts",
        "error",
        "event",
        "first_failed_ms",
        "lane",
        "part",
        "sequence",
        "size",
        "stored",
    )

    def __init__(
        self,
        lane: str,
        sequence: int,
        part: int,
        event: Event | None,
        size: int,
        *,
        stored: bool = False,
        attempts: int = 0,
        first_failed_ms: int = 0,
        error: str = "",
    ) -> None:
        self.lane, self.sequence, self.part, self.event, self.size = lane, sequence, part, event, size
        self.stored, self.attempts, self.first_failed_ms, self.error = stored, attempts, first_failed_ms, error
        self._kind: str | None = None

    @property
    def kind(self) -> str:
        """Type and name of its event: a destination may refuse one kind and take the others."""
        if self._kind is None:
            self._kind = f"{self.event.type} {event_name(self.event.json)}" if self.event else ""
        return self._kind

    @property
    def position(self) -> tuple[int, int]:
        """Its place in the person's order."""
        return self.sequence, self.part

    def __repr__(self) -> str:
        return f"Job({self.lane}, {self.sequence}.{self.part}{', stored' if self.stored else ''})"


class Lane:
    """The queue of one person. Invariant: every job in `ready` stands before every job that is `behind`."""

    __slots__ = (
        "behind",
        "in_flight",
        "load_wanted",
        "members",
        "name",
        "not_before_ms",
        "queued",
        "ready",
        "stored",
        "timer_ms",
        "uncounted",
        "version",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.members: dict[str, bool] = {name: True}
        """Lanes joined into this one, and those that split off and wait for it, itself included.

        True where the held store knows it: all of them, while anything of this lane is stored.
        """
        self.ready: deque[Job] = deque()
        self.stored = 0
        """Jobs in the held store, those in `ready` or in flight included."""
        self.behind = 0
        """Jobs that stand in the held store only; while there are any, newer jobs go there too."""
        self.in_flight = 0
        self.not_before_ms = 0
        """When the head may be tried again; 0: at once."""
        self.timer_ms = 0
        self.uncounted = 0
        """Probes of this lane that failed while the breaker was open."""
        self.queued = False
        self.load_wanted = False
        self.version = 0
        """Changes whenever a load under way would be out of date."""

    @property
    def empty(self) -> bool:
        """Whether nothing of this lane waits or is out."""
        return not (self.ready or self.stored or self.in_flight)


@dataclass(slots=True)
class Batch:
    """One call of the plug-in; it keeps its slot until every job in it is settled or back in its lane."""

    jobs: list[Job]
    """What to deliver now, in sequence order."""
    rest: list[list[Job]] = field(default_factory=list)
    """Later pieces of a bisected batch; the last one is next."""
    attempts: int = 0
    probe: bool = False
    not_before_ms: int = 0


@dataclass(slots=True, frozen=True)
class Settled:
    """A job reached its destination."""

    job: Job
    stored: bool


@dataclass(slots=True, frozen=True)
class Held:
    """A job moves from the log into the held store (or is written there anew, with one more attempt)."""

    job: Job
    stored: bool
    attempts: int
    first_failed_ms: int
    not_before_ms: int
    error: str


@dataclass(slots=True, frozen=True)
class Buried:
    """A job becomes a dead letter."""

    job: Job
    stored: bool
    reason: str
    sample: str
    stage: str = "deliver"


@dataclass(slots=True, frozen=True)
class Joined:
    """From now on the jobs of `member` are part of `lane`, of which something is held."""

    member: str
    lane: str


@dataclass(slots=True, frozen=True)
class Parted:
    """These members hold nothing any more; their join may be forgotten."""

    members: tuple[str, ...]


@dataclass(slots=True, frozen=True)
class Skipped:
    """A range of the log that cannot be read is passed."""

    first: int
    last: int
    reason: str


Effect = Settled | Held | Buried | Joined | Parted | Skipped
