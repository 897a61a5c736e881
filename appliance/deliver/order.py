"""Which delivery may go out next, and what its outcome means: the order rules of one destination. Pure.

No I/O, no clock, no randomness of its own. The worker tells it what came from the log (`queues.offer`), from the held
store (`queues.loaded`) and from the destination (`settle`); it answers with batches (`take`) and with `effects`,
which the worker makes durable, in order, before anything that follows from them.

The promises, for every interleaving of these calls (property-tested against a naive model):

- at most one unsettled delivery per lane; a joined lane goes on once all its members' deliveries are settled;
- first arrivals of a lane are in (sequence, part) order;
- every job offered ends in exactly one `Settled` or `Buried`, or stands in the held store.

Which job of a lane is next is the business of `queues`; whether anybody may go out at all, that of `breaker`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from appliance.deliver.breaker import Breaker
from appliance.deliver.lane import Batch, Buried, Effect, Job, Lane, Settled
from appliance.deliver.outcome import Result
from appliance.deliver.queues import Queues

BATCH_ATTEMPTS = 2
"""A batch of several events is sent this often as it is before it is bisected."""
SICK_KINDS_MAX = 100
"""Kinds of failed probes that are told apart."""
LOOK_AGAIN_MS = 250
"""Between two looks for an event of a kind that has not failed."""


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
        self.queues = Queues(rules.lane_ready_max, many_per_lane=rules.many_per_lane)
        self.in_flight = 0
        """Batches out or waiting to be sent again."""
        self.not_before_ms = 0
        """The destination asked for a pause until then."""
        self._paced_ms = 0.0
        self._again: list[Batch] = []
        self._probe_fresh = True
        self._sick_kinds: set[str] = set()
        """Kinds of events that probes failed with."""
        self._looked_ms = 0

    def effects(self) -> list[Effect]:
        """What was decided since the last time, in order."""
        effects, self.queues.effects = self.queues.effects, []
        return effects

    # What goes out -------------------------------------------------------------------------------------------

    def take(self, now_ms: int, events_max: int) -> Batch | None:
        """The next batch to deliver, of at most `events_max` events, or None: nothing may go out now."""
        if now_ms < self.not_before_ms or now_ms < int(self._paced_ms) or events_max < 1:
            return None
        if not self.breaker.closed:
            return self._take_probe(now_ms)
        for index, batch in enumerate(self._again):
            if batch.not_before_ms <= now_ms:
                self._pace(batch, now_ms)
                return self._again.pop(index)
        if self.in_flight >= self.rules.in_flight_max:
            return None
        self.queues.wake_due(now_ms)
        jobs = self.queues.gather(min(events_max, self.rules.batch_events_max), self.rules.batch_bytes_max)
        return self._send(Batch(jobs), now_ms) if jobs else None

    def next_wake_ms(self) -> int | None:
        """When `take` or `wanted` may have something though nothing new came in; None: not by waiting."""
        times = [batch.not_before_ms for batch in self._again]
        if (due_ms := self.queues.next_due_ms) is not None:
            times.append(due_ms)
        if not self.breaker.closed and not self.breaker.probing and self.queues.lanes:
            times = [min(self.breaker.next_probe_ms, self._next_look_ms)]
        elif self.queues.runnable and self.in_flight < self.rules.in_flight_max:
            times.append(0)
        return max(min(times), self.not_before_ms, int(self._paced_ms)) if times else None

    def wants_fresh(self, now_ms: int) -> bool:
        """Whether the breaker is about to look for somebody to probe with."""
        return not self.breaker.probing and now_ms >= self._next_look_ms

    @property
    def _next_look_ms(self) -> int:
        return max(self.breaker.next_new_kind_ms, self._looked_ms + LOOK_AGAIN_MS)

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
                self._sick_kinds.clear()
                self.queues.hasten(lambda: now_ms + self.rules.delay_ms(1))
            self._next_piece(batch, now_ms)

    def _settle_one(self, batch: Batch, job: Job, result: Result, now_ms: int) -> None:
        lane = self.queues.lane_of(job.lane)
        if result.throttled:
            self.not_before_ms = max(self.not_before_ms, now_ms + _pause_ms(result))
            self.queues.back(lane, [job])
        elif result.kind == "succeeded":
            lane.uncounted = 0
            self.queues.done(lane, job, Settled(job, job.stored))
            self.breaker.succeeded()
        elif result.kind == "abort" and self.breaker.aborted(lane.name, result.reason, now_ms, probe=batch.probe):
            job.attempts += 1
            self.queues.done(lane, job, Buried(job, job.stored, result.reason, result.sample))
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
            if batch.probe and len(self._sick_kinds) < SICK_KINDS_MAX:
                self._sick_kinds.add(job.kind)
        job.error = result.reason
        if counted and (given_up := self._given_up(job, now_ms)):
            reason = f"{given_up}; last: {result.reason}"
            self.queues.done(lane, job, Buried(job, job.stored, reason, result.sample))
            return
        jobs = [job]
        for piece in reversed(batch.rest):
            mine = [other for other in piece if self.queues.lane_of(other.lane) is lane]
            jobs += mine
            piece[:] = [other for other in piece if other not in mine]
        self.queues.hold(lane, jobs, now_ms + self.rules.delay_ms(max(job.attempts, 1)))

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
            by_lane.setdefault(self.queues.lane_of(job.lane).name, []).append(job)
        for name, mine in by_lane.items():
            self.queues.back(self.queues.lanes[name], mine)

    # Slots and probes ----------------------------------------------------------------------------------------

    def _send(self, batch: Batch, now_ms: int) -> Batch:
        self.in_flight += 1
        self._pace(batch, now_ms)
        return batch

    def _pace(self, batch: Batch, now_ms: int) -> None:
        if self.rules.rate_per_s:
            self._paced_ms = max(self._paced_ms, now_ms) + len(batch.jobs) * 1000 / self.rules.rate_per_s

    def _take_probe(self, now_ms: int) -> Batch | None:
        """Different people in turn: of a kind that has not failed, else who has not, or whose probe is longest ago."""
        self._call_off()
        if not (self.breaker.may_probe(now_ms) or self.wants_fresh(now_ms)):
            return None
        fresh = self.queues.fresh(self._sick_kinds)
        new_kind = fresh is not None and fresh.ready[0].kind not in self._sick_kinds
        self._looked_ms = now_ms
        if not self.breaker.may_probe(now_ms, new_kind=new_kind):
            return None
        lane = fresh if fresh and (new_kind or self._probe_fresh) else self.queues.next_in_turn()
        if lane is None:
            return None
        if not lane.ready:
            self.queues.want(lane)
            return None
        self.breaker.probing = True
        self._probe_fresh = not self._probe_fresh
        self.queues.last_in_turn(lane)
        return self._send(Batch([self.queues.take_one(lane)], probe=True), now_ms)

    def _call_off(self) -> None:
        """Batches that wait to be sent again give their jobs back while the breaker is not closed."""
        waiting, self._again = self._again, []
        for batch in waiting:
            jobs, batch.jobs = batch.jobs, []
            self._dissolve(batch, jobs)


def _alike(first: Result, other: Result) -> bool:
    return first.kind == other.kind and first.reason == other.reason and first.throttled == other.throttled


def _pause_ms(result: Result) -> int:
    return max(50, int(min(result.after_s or 1.0, 3600.0) * 1000))
