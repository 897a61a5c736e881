"""Which delivery may go out next, and what its outcome means: the order rules of one destination. Pure.

No I/O, no clock, no randomness of its own. The worker tells it what came from the log (`offer`), from the held store
(`loaded`) and from the destination (`settle`); it answers with batches (`take`) and with `effects`, which the worker
makes durable, in order, before anything that follows from them.

The promises, for every interleaving of these calls (property-tested against a naive model):

- at most one unsettled delivery per lane; a joined lane goes on once all its members' deliveries are settled;
- first arrivals of a lane are in (sequence, part) order;
- every job offered ends in exactly one `Settled` or `Buried`, or stands in the held store.

A lane's jobs in memory (`ready`) always stand before those only in the store. Whenever that would break (a failure, a
requeue, a join with a held lane), everything goes to the store and comes back from there in order.
"""

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from appliance.deliver.breaker import Breaker
from appliance.deliver.lane import (
    Batch,
    Buried,
    Effect,
    Held,
    Job,
    Joined,
    Lane,
    Parted,
    Settled,
)
from appliance.deliver.outcome import Result

BATCH_ATTEMPTS = 2
"""A batch of several events is sent this often as it is before it is bisected."""


@dataclass(slots=True, frozen=True)
class Rules:
    """The limits of one destination. Times are milliseconds of the log clock."""

    in_flight_max: int
    lane_ready_max: int
    """Jobs of one lane in memory; beyond it they wait in the held store."""
    attempts_max: int
    age_max_ms: int
    delay_ms: Callable[[int], int]
    """Attempts so far to the wait before the next one."""
    many_per_lane: bool = False
    """Atomic batches: many events of a lane in order, which succeed or fail together."""
    batch_events_max: int = 1
    batch_bytes_max: int = 1 << 20
    rate_per_s: float | None = None


class Order:
    """The order machine of one destination."""

    def __init__(self, rules: Rules, breaker: Breaker) -> None:
        self.rules, self.breaker = rules, breaker
        self.effects: list[Effect] = []
        self.lanes: dict[str, Lane] = {}
        self.in_flight = 0
        """Batches out or waiting to be sent again."""
        self.in_flight_jobs = 0
        self.stored = 0
        """Jobs in the held store."""
        self.ready = 0
        """Jobs in memory that wait."""
        self.not_before_ms = 0
        """The destination asked for a pause until then."""
        self._runnable: deque[Lane] = deque()
        self._timers: list[tuple[int, str]] = []
        self._again: list[Batch] = []
        self._load_wanted: dict[str, Lane] = {}
        self._member_of: dict[str, str] = {}
        self._probe_fresh = True
        self._recovering = False

    # What comes in -------------------------------------------------------------------------------------------

    def restore(self, heads: Iterable[tuple[str, int, int]], joined: dict[str, str]) -> None:
        """Take over the held store at start: (lane, jobs, next try) of every held lane, and its joins.

        Nothing of it goes out before `recovered`: the log may hold older events of the same people, unsettled.
        """
        self._recovering = True
        for member, name in joined.items():
            self._lane(name).members[member] = True
            self._member_of[member] = name
        for member, count, next_try_ms in heads:
            lane = self._lane(member)
            lane.stored += count
            lane.behind += count
            self.stored += count
            lane.not_before_ms = max(lane.not_before_ms, next_try_ms)
        for lane in list(self.lanes.values()):
            self._schedule(lane)

    def recovered(self) -> None:
        """What the former process had taken from the log has been offered again, joins included."""
        self._recovering = False

    def offer(self, job: Job) -> None:
        """The next job of the log, in sequence order."""
        lane = self._lane(job.lane)
        if lane.behind or len(lane.ready) >= self.rules.lane_ready_max:
            self._store(lane, job)
        else:
            lane.ready.append(job)
            self.ready += 1
        self._schedule(lane)

    def joined(self, member: str, name: str) -> None:
        """From here on the events of `member` belong to lane `name`: both queues become one, merged by sequence."""
        member, name = self._member_of.get(member, member), self._member_of.get(name, name)
        old = self.lanes.pop(member, None) if member != name else None
        if old is None:
            return
        lane = self._lane(name)
        both = sorted([*lane.ready, *old.ready], key=lambda job: job.position)
        lane.ready = deque(both)
        lane.stored += old.stored
        lane.behind += old.behind
        lane.in_flight += old.in_flight
        lane.not_before_ms = max(lane.not_before_ms, old.not_before_ms)
        lane.uncounted += old.uncounted
        self._retire(old)
        for each, known in old.members.items():
            lane.members[each] = False
            self._member_of[each] = name
            if known and old.stored:
                self._remember_member(lane, each)
            elif known and each != old.name:
                self.effects.append(Parted((each,)))
        if lane.behind:
            self._all_to_store(lane)
        lane.version += 1
        self._schedule(lane)

    def requeued(self, name: str, count: int, now_ms: int) -> None:
        """`count` jobs of this lane were put into the held store from outside, at their original sequences."""
        lane = self._lane(name)
        lane.stored += count
        lane.behind += count
        self.stored += count
        lane.not_before_ms = now_ms
        if name != lane.name:
            self._remember_member(lane, name)
        self._all_to_store(lane)
        self._schedule(lane)

    def wanted(self, now_ms: int, limit: int) -> list[Lane]:
        """Lanes whose next jobs must be read from the held store; answer each with `loaded`."""
        self._wake(now_ms)
        lanes = [] if self._recovering else list(self._load_wanted.values())[:limit]
        for lane in lanes:
            del self._load_wanted[lane.name]
        return lanes

    def loaded(self, lane: Lane, version: int, jobs: Sequence[Job]) -> None:
        """The first stored jobs of `lane` in order, as read when it had this `version`."""
        lane.load_wanted = False
        if lane.version == version and not lane.ready and not lane.in_flight:
            lane.ready.extend(jobs)
            lane.behind -= len(jobs)
            self.ready += len(jobs)
        if self.lanes.get(lane.name) is lane:
            self._schedule(lane)

    # What goes out -------------------------------------------------------------------------------------------

    def take(self, now_ms: int, events_max: int) -> Batch | None:
        """The next batch to deliver, of at most `events_max` events, or None: nothing may go out now."""
        if now_ms < self.not_before_ms or events_max < 1:
            return None
        if not self.breaker.closed:
            return self._take_probe(now_ms)
        for index, batch in enumerate(self._again):
            if batch.not_before_ms <= now_ms:
                self._pace(batch, now_ms)
                return self._again.pop(index)
        if self.in_flight >= self.rules.in_flight_max:
            return None
        self._wake(now_ms)
        jobs = self._gather(min(events_max, self.rules.batch_events_max))
        return self._send(Batch(jobs), now_ms) if jobs else None

    def next_wake_ms(self) -> int | None:
        """When `take` or `wanted` may have something though nothing new came in; None: not by waiting."""
        times = [batch.not_before_ms for batch in self._again]
        if self._timers:
            times.append(self._timers[0][0])
        if not self.breaker.closed and not self.breaker.probing and self.lanes:
            times = [self.breaker.next_probe_ms]
        elif self._runnable and self.in_flight < self.rules.in_flight_max:
            times.append(0)
        return max(min(times), self.not_before_ms) if times else None

    @property
    def wants_fresh(self) -> bool:
        """Whether the breaker needs people who have not failed yet, to probe with."""
        return not self._runnable

    # What came of it -----------------------------------------------------------------------------------------

    def settle(self, batch: Batch, results: Sequence[Result], now_ms: int) -> None:
        """What became of each job of `batch.jobs`. Effects stand in `effects` afterwards."""
        assert len(results) == len(batch.jobs)
        jobs, batch.jobs = batch.jobs, []
        first = results[0]
        if first.throttled and all(result.throttled for result in results):
            self._throttled(batch, jobs, first, now_ms)
        elif len(jobs) > 1 and first.kind != "succeeded" and all(_alike(first, result) for result in results):
            self._bisect(batch, jobs, first, now_ms)
        else:
            was_closed = self.breaker.closed
            for job, result in zip(jobs, results, strict=True):
                self._settle_one(batch, job, result, now_ms)
            if self.breaker.closed and not was_closed:
                self._reopen_lanes(now_ms)
            self._next_piece(batch, now_ms)

    def _settle_one(self, batch: Batch, job: Job, result: Result, now_ms: int) -> None:
        lane = self._lane(job.lane)
        if result.throttled:
            self.not_before_ms = max(self.not_before_ms, now_ms + _pause_ms(result))
            self._back(lane, [job])
        elif result.kind == "succeeded":
            lane.uncounted = 0
            self._done(lane, job, Settled(job, job.stored))
            self.breaker.succeeded()
        elif result.kind == "abort" and self.breaker.aborted(lane.name, result.reason, now_ms, probe=batch.probe):
            self._done(lane, job, Buried(job, job.stored, result.reason, result.sample))
        else:
            self._failed(batch, lane, job, result, now_ms)

    def _failed(self, batch: Batch, lane: Lane, job: Job, result: Result, now_ms: int) -> None:
        counted = self.breaker.closed
        if result.kind == "retry":
            self.breaker.failed(lane.name, result.reason, now_ms, probe=batch.probe)
        if counted:
            job.attempts += 1 + lane.uncounted
            lane.uncounted = 0
            job.first_failed_ms = job.first_failed_ms or now_ms
        else:
            lane.uncounted += 1
        job.error = result.reason
        if counted and (given_up := self._given_up(job, now_ms)):
            return self._done(lane, job, Buried(job, job.stored, f"{given_up}; last: {result.reason}", result.sample))
        lane.not_before_ms = now_ms + self.rules.delay_ms(max(job.attempts, 1))
        self._out_of_flight(lane, 1)
        self._store(lane, job, lane.not_before_ms)
        for piece in batch.rest:
            for later in [other for other in piece if self._lane(other.lane) is lane]:
                piece.remove(later)
                self._out_of_flight(lane, 1)
                self._store(lane, later)
        self._all_to_store(lane)
        self._schedule(lane)

    def _given_up(self, job: Job, now_ms: int) -> str:
        if job.attempts >= self.rules.attempts_max:
            return f"gave up after {job.attempts} attempts (attempts_max)"
        if now_ms - job.first_failed_ms >= self.rules.age_max_ms:
            return f"gave up {(now_ms - job.first_failed_ms) // 1000} s after the first failure (age_max)"
        return ""

    def _throttled(self, batch: Batch, jobs: list[Job], result: Result, now_ms: int) -> None:
        self.not_before_ms = max(self.not_before_ms, now_ms + _pause_ms(result))
        if batch.probe:
            self.breaker.probe_left_undecided(self.not_before_ms)
        self._dissolve(batch, jobs)

    def _bisect(self, batch: Batch, jobs: list[Job], result: Result, now_ms: int) -> None:
        batch.attempts += 1
        if result.kind == "retry" and batch.attempts < BATCH_ATTEMPTS:
            batch.jobs, batch.not_before_ms = jobs, now_ms + self.rules.delay_ms(batch.attempts)
            self._resend(batch)
            return
        middle = len(jobs) // 2
        batch.rest += [jobs[middle:], jobs[:middle]]
        self._next_piece(batch, now_ms)

    def _next_piece(self, batch: Batch, now_ms: int) -> None:
        """Send what a bisected batch still has to send, or free its slot."""
        while batch.rest and not batch.rest[-1]:
            batch.rest.pop()
        if batch.rest and self.breaker.closed:
            batch.jobs, batch.not_before_ms = batch.rest.pop(), now_ms
            self._resend(batch)
        else:
            self._dissolve(batch, [])

    def _resend(self, batch: Batch) -> None:
        if self.breaker.closed:
            self._again.append(batch)
        else:
            jobs, batch.jobs = batch.jobs, []
            self._dissolve(batch, jobs)

    def _dissolve(self, batch: Batch, jobs: list[Job]) -> None:
        """Free the slot; what it still holds goes back to the front of its lanes, no attempt counted."""
        self.in_flight -= 1
        left = sorted([*jobs, *(job for piece in batch.rest for job in piece)], key=lambda job: job.position)
        batch.rest = []
        by_lane: dict[str, list[Job]] = {}
        for job in left:
            by_lane.setdefault(self._lane(job.lane).name, []).append(job)
        for name, mine in by_lane.items():
            self._back(self.lanes[name], mine)

    def _reopen_lanes(self, now_ms: int) -> None:
        """The breaker closed: whoever waited for it may try again, spread over the first wait."""
        for lane in self.lanes.values():
            if lane.stored and lane.not_before_ms > now_ms:
                lane.not_before_ms = now_ms + self.rules.delay_ms(1)
                self._arm(lane)

    # Lanes ---------------------------------------------------------------------------------------------------

    def _gather(self, events_max: int) -> list[Job]:
        jobs: list[Job] = []
        size = 0
        while self._runnable and len(jobs) < events_max:
            lane = self._runnable[0]
            if not lane.ready or lane.in_flight or self.lanes.get(lane.name) is not lane:
                self._drop_stale()
                continue
            most = events_max - len(jobs) if self.rules.many_per_lane else 1
            taken = 0
            while lane.ready and taken < most and (not jobs or size + lane.ready[0].size <= self.rules.batch_bytes_max):
                job = lane.ready.popleft()
                jobs.append(job)
                size += job.size
                taken += 1
            if not taken:
                break
            self._runnable.popleft().queued = False
            lane.in_flight += taken
            self.ready -= taken
        if self.rules.many_per_lane:
            jobs.sort(key=lambda job: job.position)
        return jobs

    def _send(self, batch: Batch, now_ms: int) -> Batch:
        self.in_flight += 1
        self.in_flight_jobs += len(batch.jobs)
        self._pace(batch, now_ms)
        return batch

    def _pace(self, batch: Batch, now_ms: int) -> None:
        if self.rules.rate_per_s:
            pace = self.rules.rate_per_s
            self.not_before_ms = max(self.not_before_ms, now_ms) + int(len(batch.jobs) * 1000 / pace)

    def _take_probe(self, now_ms: int) -> Batch | None:
        self._call_off()
        if not self.breaker.may_probe(now_ms):
            return None
        lane = self._probe_lane()
        if lane is None:
            return None
        if not lane.ready:
            self._want(lane)
            return None
        self.breaker.probing = True
        self._probe_fresh = not self._probe_fresh
        self.lanes[lane.name] = self.lanes.pop(lane.name)
        lane.in_flight += 1
        self.ready -= 1
        return self._send(Batch([lane.ready.popleft()], probe=True), now_ms)

    def _call_off(self) -> None:
        """Batches that wait to be sent again give their jobs back while the breaker is not closed."""
        waiting, self._again = self._again, []
        for batch in waiting:
            jobs, batch.jobs = batch.jobs, []
            self._dissolve(batch, jobs)

    def _probe_lane(self) -> Lane | None:
        """Different people in turn: one who has not failed yet, then the one whose last probe is longest ago."""
        while self._runnable and (self._runnable[0].in_flight or not self._runnable[0].ready):
            self._drop_stale()
        if self._probe_fresh and self._runnable:
            return self._runnable[0]
        idle = (lane for lane in self.lanes.values() if not lane.in_flight and (lane.ready or lane.stored))
        return next(idle, None)

    def _drop_stale(self) -> None:
        """The first runnable lane is not: its jobs went out, to the store, or into another lane."""
        lane = self._runnable.popleft()
        lane.queued = False
        if self.lanes.get(lane.name) is lane:
            self._schedule(lane)

    def _lane(self, name: str) -> Lane:
        name = self._member_of.get(name, name)
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name)
        return lane

    def _schedule(self, lane: Lane) -> None:
        """Put the lane where its next job will be found, or forget it when it is empty."""
        if lane.empty:
            self._forget(lane)
        elif lane.in_flight or lane.queued:
            return
        elif lane.stored and lane.not_before_ms:
            self._arm(lane)
        elif lane.ready:
            lane.queued = True
            self._runnable.append(lane)
        else:
            self._want(lane)

    def _wake(self, now_ms: int) -> None:
        while self._timers and self._timers[0][0] <= now_ms:
            due_ms, name = heapq.heappop(self._timers)
            lane = self.lanes.get(name)
            if lane is not None and lane.timer_ms == due_ms:
                lane.timer_ms = 0
                if lane.not_before_ms <= now_ms:
                    lane.not_before_ms = 0
                self._schedule(lane)

    def _arm(self, lane: Lane) -> None:
        if lane.timer_ms != lane.not_before_ms:
            lane.timer_ms = lane.not_before_ms
            heapq.heappush(self._timers, (lane.timer_ms, lane.name))

    def _want(self, lane: Lane) -> None:
        if not lane.load_wanted:
            lane.load_wanted = True
            self._load_wanted[lane.name] = lane

    def _forget(self, lane: Lane) -> None:
        if self.lanes.get(lane.name) is lane:
            del self.lanes[lane.name]
        if saved := tuple(each for each, known in lane.members.items() if known and each != lane.name):
            self.effects.append(Parted(saved))
        for each in lane.members:
            if self._member_of.get(each) == lane.name:
                del self._member_of[each]
        self._retire(lane)

    def _retire(self, lane: Lane) -> None:
        lane.version += 1
        lane.ready = deque()
        self._load_wanted.pop(lane.name, None)

    def _store(self, lane: Lane, job: Job, not_before_ms: int = 0) -> None:
        if job.lane != lane.name:
            self._remember_member(lane, job.lane)
        self.effects.append(
            Held(job, job.stored, job.attempts, job.first_failed_ms, not_before_ms, job.error)
        )
        if not job.stored:
            lane.stored += 1
            self.stored += 1
            job.stored = True
        lane.behind += 1

    def _all_to_store(self, lane: Lane) -> None:
        """Empty `ready`: what stands in the log goes to the store, what stands in the store needs no second home."""
        self.ready -= len(lane.ready)
        waiting, lane.ready = lane.ready, deque()
        for job in waiting:
            if job.stored:
                lane.behind += 1
            else:
                self._store(lane, job)
        lane.version += 1

    def _back(self, lane: Lane, jobs: list[Job]) -> None:
        """Undelivered jobs return to the front of their lane."""
        self._out_of_flight(lane, len(jobs))
        if lane.ready and jobs[-1].position > lane.ready[0].position:
            lane.ready = deque(sorted([*jobs, *lane.ready], key=lambda job: job.position))
        else:
            lane.ready.extendleft(reversed(jobs))
        self.ready += len(jobs)
        if lane.in_flight or lane.behind:
            self._all_to_store(lane)
        self._schedule(lane)

    def _done(self, lane: Lane, job: Job, effect: Effect) -> None:
        self._out_of_flight(lane, 1)
        self.effects.append(effect)
        if job.stored:
            lane.stored -= 1
            self.stored -= 1
        self._schedule(lane)

    def _out_of_flight(self, lane: Lane, count: int) -> None:
        lane.in_flight -= count
        self.in_flight_jobs -= count

    def _remember_member(self, lane: Lane, member: str) -> None:
        if not lane.members.get(member):
            lane.members[member] = True
            self.effects.append(Joined(member, lane.name))


def _alike(first: Result, other: Result) -> bool:
    return first.kind == other.kind and first.reason == other.reason and first.throttled == other.throttled


def _pause_ms(result: Result) -> int:
    return max(50, int(min(result.after_s or 1.0, 3600.0) * 1000))
