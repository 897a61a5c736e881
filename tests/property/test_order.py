"""The order machine against a naive model: any interleaving of events, outcomes, joins, splits, requeues and crashes."""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.deliver.breaker import Breaker
from appliance.deliver.cursor import Cursor
from appliance.deliver.lane import Batch, Buried, Effect, Held, Job, Joined, Lane, Parted, Settled
from appliance.deliver.order import Order, Rules
from appliance.deliver.outcome import SUCCEEDED, Result
from appliance.deliver.queues import Queues
from tests.support.people import People

RETRY, ABORT = Result(kind="retry", reason="HTTP 500"), Result(kind="abort", reason="HTTP 400")
THROTTLED = Result(kind="retry", reason="HTTP 429", after_s=0.2, throttled=True)


@dataclass
class Disk:
    """What a crash leaves: the held store, the joins it knows, the cursor, the dead."""

    held: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)
    joined: dict[str, str] = field(default_factory=dict)
    low: int = 0
    taken: int = 0
    ranges: list[tuple[int, int]] = field(default_factory=list)
    dead: list[tuple[int, str]] = field(default_factory=list)
    """Letters, as (sequence, lane): one event may have several, from its first delivery and from replays."""
    twins: bool = False
    """Whether letters of events that are still under way were requeued, so that a place may be taken already."""

    def commit(self, effects: list[Effect], cursor: Cursor) -> None:
        for effect in effects:
            match effect:
                case Held(job):
                    key = (job.lane, job.sequence)
                    there = key in self.held
                    assert effect.stored == there or (there and self.twins), f"{effect}, but the store says otherwise"
                    self.held[key] = (effect.attempts, effect.first_failed_ms, effect.not_before_ms)
                case Settled(job, stored) | Buried(job, stored):
                    if stored:
                        del self.held[job.lane, job.sequence]
                    if isinstance(effect, Buried):
                        self.dead.append((job.sequence, job.lane))
                case Joined(member, lane):
                    self.joined[member] = lane
                case Parted(members):
                    for member in members:
                        self.joined.pop(member, None)
        self.low, self.ranges, self.taken = cursor.low, cursor.ranges(), cursor.taken


class World:
    """One destination's worker without its I/O, driven by chance."""

    def __init__(self, rng: random.Random, log: People, *, atomic: bool, batch: int, fail: float, people: int) -> None:
        self.rng, self.log, self.disk, self.now, self.fail = rng, log, Disk(), 1_000, fail
        self.rules = Rules(
            in_flight_max=rng.randint(1, 4),
            lane_ready_max=rng.choice([2, 3, 8]),
            attempts_max=rng.choice([2, 4, 50]),
            age_max_ms=10_000_000,
            delay_ms=lambda attempts: rng.randint(0, 50 << min(attempts, 4)),
            many_per_lane=atomic,
            batch_events_max=batch,
        )
        self.people = people
        self.arrived: dict[int, int] = {}
        self.ended: set[int] = set()
        self.requeuing: set[tuple[str, int]] | None = None
        """Places that a requeue under way has written and the order machine was not told of yet."""
        self.worst_again = 0
        self.start()

    def start(self) -> None:
        self.cursor = Cursor(self.disk.low, self.disk.ranges, taken=self.disk.taken)
        self.order = Order(self.rules, Breaker(self.people, 60_000, 10, 100))
        by_lane: dict[str, list[int]] = {}
        for (lane, _), row in sorted(self.disk.held.items()):
            by_lane.setdefault(lane, []).append(row[2])
        self.order.queues.restore([(lane, len(t), t[0]) for lane, t in by_lane.items()], dict(self.disk.joined))
        for lane in by_lane:
            self.order.queues.joined(lane, self.log.current(lane, self.cursor.read))
        self.pending: list[Effect] = []
        self.requeuing = None
        self.out: list[Batch] = []
        self.loads: list[tuple[Lane, int]] = []
        self.recover()

    def recover(self) -> None:
        if not self.cursor.recovering:
            self.order.queues.recovered()

    def commit(self) -> None:
        self.drain_effects()
        self.disk.commit(self.pending, self.cursor)
        self.pending = []

    def drain_effects(self) -> None:
        effects = self.order.effects()
        for effect in effects:
            if isinstance(effect, Held | Settled | Buried) and not effect.stored:
                self.cursor.settle(effect.job.sequence, 0)
            if isinstance(effect, Settled | Buried):
                self.ended.add(effect.job.sequence)
        self.pending += effects

    def read(self) -> None:
        if self.cursor.read >= len(self.log.lanes) or self.cursor.unsettled > 20:
            return
        sequence = self.cursor.read + 1
        for change in self.log.changes.get(sequence, []):
            self.order.queues.apply(change)
        if self.cursor.settled_before(sequence):
            self.cursor.passed(sequence)
            self.recover()
            return
        self.cursor.opened(sequence, {0})
        self.order.queues.offer(Job(self.log.lanes[sequence - 1], sequence, 0, None, 100))
        self.recover()
        self.drain_effects()

    def take(self) -> None:
        """Both rules; only a batch that is sent again may meet a lane that was joined to one of its own meanwhile."""
        batch = self.order.take(self.now, 8)
        if batch is None:
            return
        busy = {self.person(job) for other in self.out for job in other.jobs + [j for p in other.rest for j in p]}
        for index, job in enumerate(batch.jobs):
            again = job.sequence in self.arrived and len(self.order.queues.lanes[self.person(job)].members) > 1
            assert again or self.person(job) not in busy, f"two deliveries at once: {job}"
            before = {other.sequence for other in batch.jobs[:index]}
            missing = self.log.earlier_of(job.sequence) - self.ended - before
            assert not missing or job.sequence in self.arrived, f"{job} overtakes {sorted(missing)}"
            self.arrived[job.sequence] = self.arrived.get(job.sequence, 0) + 1
        self.out.append(batch)

    def person(self, job: Job) -> str:
        return self.order.queues.member_of.get(job.lane, job.lane)

    def settle(self) -> None:
        if not self.out:
            return
        batch = self.out.pop(self.rng.randrange(len(self.out)))
        if self.rules.many_per_lane or len(batch.jobs) == 1 or self.rng.random() < 0.3:
            results = [self.outcome(batch.jobs)] * len(batch.jobs)
        else:
            results = [self.outcome([job]) for job in batch.jobs]
        self.order.settle(batch, results, self.now)
        self.drain_effects()

    def outcome(self, jobs: list[Job]) -> Result:
        if any(job.sequence % 17 == 0 for job in jobs):
            return ABORT
        if self.rng.random() >= self.fail:
            return SUCCEEDED
        return self.rng.choice([RETRY, RETRY, RETRY, THROTTLED, ABORT])

    def want(self) -> None:
        self.loads += [(lane, lane.version) for lane in self.order.queues.wanted(self.now, 4)]
        if self.loads and self.requeuing is None and self.rng.random() < 0.7:
            lane, version = self.loads.pop(0)
            self.commit()
            rows = sorted((seq, member) for member, seq in self.disk.held if member in lane.members)
            jobs = []
            for sequence, member in rows[: self.rng.randint(1, 4)]:
                attempts, first, _ = self.disk.held[member, sequence]
                jobs.append(Job(member, sequence, 0, None, 100, stored=True, attempts=attempts, first_failed_ms=first))
            self.order.queues.loaded(lane, version, jobs)

    def crash(self) -> None:
        self.start()

    def replayed(self) -> None:
        """A replay gave up an event that is under way here, or has not come yet: one more letter of it."""
        sequence = self.rng.randint(1, min(len(self.log.lanes), self.cursor.read + 3))
        self.disk.dead.append((sequence, self.log.lanes[sequence - 1]))
        self.disk.twins = True

    def requeue(self) -> None:
        """First the store changes; what goes on before the order machine learns of it is up to chance."""
        if self.requeuing is not None:
            self.requeued()
        elif self.disk.dead:
            letters = [self.rng.choice(self.disk.dead) for _ in range(self.rng.randint(1, 3))]
            self.commit()
            self.disk.dead = [letter for letter in self.disk.dead if letter not in letters]
            self.requeuing = {(lane, sequence) for sequence, lane in letters if sequence <= self.cursor.taken}
            self.disk.held.update(dict.fromkeys(self.requeuing, (0, 0, 0)))
            self.disk.taken = max([self.disk.taken, *(sequence for _, sequence in self.requeuing)])

    def requeued(self) -> None:
        places, self.requeuing = self.requeuing or set(), None
        gone = {(e.job.lane, e.job.sequence) for e in self.pending if isinstance(e, Settled | Buried) and e.stored}
        if not self.log.splits:  # Who split off while there was nothing to wait for does not wait for it now either.
            self.ended -= {sequence for lane, sequence in places & self.disk.held.keys() - gone}
        for lane, count in Counter(lane for lane, _ in sorted(places)).items():
            self.order.queues.requeued(lane, count, self.now)
            self.order.queues.joined(lane, self.log.current(lane, self.cursor.read))
        self.drain_effects()

    def run(self, steps: int, *, crash: float, requeue: float, replayed: float = 0.0) -> None:
        for _ in range(steps):
            chance = self.rng.random()
            if chance < crash:
                self.crash()
            elif chance < crash + requeue:
                self.requeue()
            elif chance < crash + requeue + replayed:
                self.replayed()
            self.check()
            self.now += self.rng.choice([0, 0, 1, 20])
            self.rng.choice(
                [self.read, self.read, self.take, self.take, self.settle, self.settle, self.want, self.commit]
            )()

    def check(self) -> None:
        queues = self.order.queues
        assert all(lane.behind >= 0 and lane.stored >= lane.behind for lane in queues.lanes.values()), queues.lanes
        assert queues.stored == sum(lane.stored for lane in queues.lanes.values())
        assert queues.ready == sum(len(lane.ready) for lane in queues.lanes.values())
        assert all(all(lane.members.values()) for lane in queues.lanes.values() if lane.stored), (
            "a crash would part them"
        )
        members = {each: lane.name for lane in queues.lanes.values() for each in lane.members if each != lane.name}
        assert queues.member_of == members
        assert queues.lanes.keys().isdisjoint(members)

    def finish(self) -> None:
        self.fail = 0.0
        if self.requeuing is not None:
            self.requeued()
        for turn in range(40_000):
            if turn % 1000 == 999:
                self.order.breaker.succeeded()  # Somebody else's event got through; here there may be nobody else.
            self.read()
            self.take()
            self.settle()
            self.want()
            self.commit()
            wake = self.order.next_wake_ms()
            self.now = max(self.now + 1, min(wake or 0, self.now + 1_000))
            waits = self.cursor.unsettled or self.disk.held or self.out or self.order.queues.lanes
            if self.cursor.read == len(self.log.lanes) and not (waits or self.disk.joined):
                break
        everything = set(range(1, len(self.log.lanes) + 1))
        assert self.ended == everything, f"never ended: {sorted(everything - self.ended)}, {self.order.queues.lanes}"
        assert not self.disk.joined, "joins of empty lanes are forgotten"
        assert not self.order.queues.lanes
        assert (
            self.order.in_flight,
            self.order.queues.in_flight_jobs,
            self.order.queues.ready,
            self.order.queues.stored,
        ) == (0, 0, 0, 0)


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    events=st.integers(1, 80),
    people=st.integers(1, 8),
    atomic=st.booleans(),
    batch=st.sampled_from([1, 2, 5]),
    fail=st.sampled_from([0.0, 0.2, 0.6]),
    crash=st.sampled_from([0.0, 0.02]),
    join_share=st.sampled_from([0.0, 0.0, 0.1]),
    split_share=st.sampled_from([0.0, 0.0, 0.1]),
    breaker=st.sampled_from([2, 20]),
)
def test_first_arrivals_are_in_order_and_everything_ends(
    seed: int,
    events: int,
    people: int,
    atomic: bool,
    batch: int,
    fail: float,
    crash: float,
    join_share: float,
    split_share: float,
    breaker: int,
) -> None:
    rng = random.Random(seed)
    log = People.draw(rng, events, people, join_share, split_share)
    world = World(rng, log, atomic=atomic, batch=batch, fail=fail, people=breaker)
    world.run(events * 12, crash=crash, requeue=0.0)
    world.finish()


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    events=st.integers(10, 80),
    people=st.integers(1, 4),
    crash=st.sampled_from([0.0, 0.02]),
    join_share=st.sampled_from([0.0, 0.1]),
)
def test_a_requeued_event_goes_before_newer_ones_that_wait(
    seed: int, events: int, people: int, crash: float, join_share: float
) -> None:
    rng = random.Random(seed)
    world = World(rng, People.draw(rng, events, people, join_share), atomic=False, batch=1, fail=0.4, people=20)
    world.run(events * 12, crash=crash, requeue=0.02)
    world.finish()


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    events=st.integers(5, 80),
    people=st.integers(1, 6),
    atomic=st.booleans(),
    batch=st.sampled_from([1, 2, 5]),
    crash=st.sampled_from([0.0, 0.02]),
    join_share=st.sampled_from([0.0, 0.1]),
    split_share=st.sampled_from([0.0, 0.1]),
    breaker=st.sampled_from([2, 20]),
)
def test_letters_of_one_event_are_requeued_into_one_place_while_people_are_joined(
    seed: int,
    events: int,
    people: int,
    atomic: bool,
    batch: int,
    crash: float,
    join_share: float,
    split_share: float,
    breaker: int,
) -> None:
    rng = random.Random(seed)
    log = People.draw(rng, events, people, join_share, split_share)
    world = World(rng, log, atomic=atomic, batch=batch, fail=0.4, people=breaker)
    world.run(events * 12, crash=crash, requeue=0.04, replayed=0.04)
    world.finish()


def test_the_judge_sees_an_overtaking_event() -> None:
    """Negative control: a machine that lets a lane go on while its head waits must be caught."""

    class Careless(Queues):
        def offer(self, job: Job) -> None:
            job.lane = f"{job.lane}/{job.sequence % 2}"
            super().offer(job)

    rng = random.Random(7)
    log = People.draw(rng, 60, 2, 0.0)
    world = World(rng, log, atomic=False, batch=1, fail=0.5, people=20)
    world.order.queues = Careless(3, many_per_lane=False)
    with pytest.raises(AssertionError, match="overtakes"):
        world.run(2_000, crash=0.0, requeue=0.0)
