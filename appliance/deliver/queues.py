"""The queues of one destination: a lane per person, in memory while it flows, in the held store once it waits. Pure.

A lane's jobs in memory (`ready`) always stand before those only in the store. Whenever that would break (a failure, a
requeue, a join with a held lane), everything goes to the store and comes back from there in order.
"""

import heapq
from collections import deque
from collections.abc import Callable, Container, Iterable, Sequence

from appliance.core.plan import Change, Join
from appliance.deliver.lane import Effect, Held, Job, Joined, Lane, Parted


class Queues:
    """Lanes and where each one's next job is to be found; `effects` collects what must be made durable.

    Args:
        lane_ready_max: jobs of one lane in memory; beyond it they wait in the held store.
        many_per_lane: whether one call may take several jobs of a lane.
    """

    def __init__(self, lane_ready_max: int, *, many_per_lane: bool) -> None:
        self._lane_ready_max, self._many_per_lane = lane_ready_max, many_per_lane
        self.effects: list[Effect] = []
        self.lanes: dict[str, Lane] = {}
        self.member_of: dict[str, str] = {}
        """Lane -> the lane it is part of, since they were joined, or since it split off and that one is not empty."""
        self.runnable: deque[Lane] = deque()
        """Lanes whose first job is in memory and may go out; some may be stale."""
        self.in_flight_jobs = 0
        self.stored = 0
        """Jobs in the held store."""
        self.ready = 0
        """Jobs in memory that wait."""
        self._timers: list[tuple[int, str]] = []
        self._load_wanted: dict[str, Lane] = {}
        self._recovering = False

    @property
    def next_due_ms(self) -> int | None:
        """When the next held lane may be tried again."""
        return self._timers[0][0] if self._timers else None

    # What comes in -------------------------------------------------------------------------------------------

    def restore(self, heads: Iterable[tuple[str, int, int]], joined: dict[str, str]) -> None:
        """Take over the held store at start: (lane, jobs, next try) of every held lane, and its joins.

        Nothing of it goes out before `recovered`: the log may hold older events of the same people, unsettled.
        """
        self._recovering = True
        for member, name in joined.items():
            self.lane_of(name).members[member] = True
            self.member_of[member] = name
        for member, count, next_try_ms in heads:
            lane = self.lane_of(member)
            lane.stored += count
            lane.behind += count
            self.stored += count
            lane.not_before_ms = max(lane.not_before_ms, next_try_ms)
        for lane in list(self.lanes.values()):
            self.schedule(lane)

    def recovered(self) -> None:
        """What the former process had taken from the log has been offered again, joins included."""
        self._recovering = False

    def offer(self, job: Job) -> None:
        """The next job of the log, in sequence order."""
        lane = self.lane_of(job.lane)
        if lane.behind or len(lane.ready) >= self._lane_ready_max:
            self.store(lane, job)
        else:
            lane.ready.append(job)
            self.ready += 1
        self.schedule(lane)

    def apply(self, change: Change) -> None:
        """The log has come to where lanes join or split; before the event at its sequence is offered."""
        if isinstance(change, Join):
            self.joined(change.loser, change.winner)
        else:
            self.split(change.lane, change.former)

    def joined(self, member: str, name: str) -> None:
        """From here on the events of `member` belong to lane `name`: both queues become one, merged by sequence."""
        member, name = self.member_of.get(member, member), self.member_of.get(name, name)
        old = self.lanes.pop(member, None) if member != name else None
        if old is None:
            return
        lane = self.lane_of(name)
        both = sorted([*lane.ready, *old.ready], key=lambda job: job.position)
        lane.ready = deque(both)
        lane.stored += old.stored
        lane.behind += old.behind
        lane.in_flight += old.in_flight
        lane.not_before_ms = max(lane.not_before_ms, old.not_before_ms)
        lane.uncounted += old.uncounted
        self._retire(old)
        for each in old.members:
            lane.members[each] = False
            self.member_of[each] = name
        saved = tuple(each for each, known in old.members.items() if known and each != old.name)
        if lane.stored:
            self._remember_members(lane)
        elif saved:
            self.effects.append(Parted(saved))
        if lane.behind:
            self.all_to_store(lane)
        lane.version += 1
        self.schedule(lane)

    def split(self, name: str, former: str) -> None:
        """From here on `name` is somebody of their own, whose earlier events are `former`'s and go out first.

        Until nothing of that lane is unsettled, `name` is a member of it. Where it has a queue of its own already, both
        become one for so long: more order than there must be, and never less.
        """
        lane = self.lanes.get(self.member_of.get(former, former))
        if lane is None or lane.empty:
            return
        if self.member_of.get(name, name) in self.lanes:
            self.joined(name, former)
            return
        lane.members[name] = False
        self.member_of[name] = lane.name
        if lane.stored:
            self._remember_members(lane)

    def requeued(self, name: str, count: int, now_ms: int) -> None:
        """`count` jobs of this lane were put into the held store from outside, at their original sequences.

        Which lane takes its events now may not be known here: a join of a lane in which nothing waits is forgotten.
        """
        lane = self.lane_of(name)
        lane.stored += count
        lane.behind += count
        self.stored += count
        lane.not_before_ms = now_ms
        self._remember_members(lane)
        self.all_to_store(lane)
        self.schedule(lane)

    def spill(self) -> None:
        """Everything that waits in memory goes to the held store: its place in the log is about to be given up."""
        for lane in list(self.lanes.values()):
            if lane.ready:
                self.all_to_store(lane)
                self.schedule(lane)

    def wanted(self, now_ms: int, limit: int) -> list[Lane]:
        """Lanes whose next jobs must be read from the held store; answer each with `loaded`."""
        self.wake_due(now_ms)
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
            if not jobs:
                # The store was read after every write of ours: what we thought is behind is not there (two dead
                # letters of one event were requeued into one place).
                lane.stored -= lane.behind
                self.stored -= lane.behind
                lane.behind = 0
        if self.lanes.get(lane.name) is lane:
            self.schedule(lane)

    # What the order machine does with it ----------------------------------------------------------------------

    def gather(self, events_max: int, bytes_max: int) -> list[Job]:
        """Jobs for one call, one per lane or, with `many_per_lane`, as many as there are; they are in flight now."""
        jobs: list[Job] = []
        size = 0
        while self.runnable and len(jobs) < events_max:
            lane = self.runnable[0]
            if not lane.ready or lane.in_flight or self.lanes.get(lane.name) is not lane:
                self.drop_stale()
                continue
            most = events_max - len(jobs) if self._many_per_lane else 1
            taken = 0
            while lane.ready and taken < most and (not jobs or size + lane.ready[0].size <= bytes_max):
                job = lane.ready.popleft()
                jobs.append(job)
                size += job.size
                taken += 1
            if not taken:
                break
            self.runnable.popleft().queued = False
            lane.in_flight += taken
            self.ready -= taken
            self.in_flight_jobs += taken
        if self._many_per_lane:
            jobs.sort(key=lambda job: job.position)
        return jobs

    def take_one(self, lane: Lane) -> Job:
        """The first job of this lane; it is in flight now."""
        lane.in_flight += 1
        self.ready -= 1
        self.in_flight_jobs += 1
        return lane.ready.popleft()

    def fresh(self, kinds: Container[str]) -> Lane | None:
        """A lane that may go out now, if there is one with a first job of none of these kinds."""
        while self.runnable and (self.runnable[0].in_flight or not self.runnable[0].ready):
            self.drop_stale()
        for lane in self.runnable:
            if lane.ready and not lane.in_flight and lane.ready[0].kind not in kinds:
                return lane
        return self.runnable[0] if self.runnable else None

    def next_in_turn(self) -> Lane | None:
        """Of the lanes that wait, the one that was passed to `last_in_turn` longest ago."""
        return next((lane for lane in self.lanes.values() if not lane.in_flight and (lane.ready or lane.stored)), None)

    def last_in_turn(self, lane: Lane) -> None:
        """This lane had its turn."""
        self.lanes[lane.name] = self.lanes.pop(lane.name)

    def hold(self, lane: Lane, jobs: Sequence[Job], not_before_ms: int) -> None:
        """Jobs in flight go to the store, the first of them with its next try, and so does all that waits behind."""
        lane.not_before_ms = not_before_ms
        self.out_of_flight(lane, len(jobs))
        for index, job in enumerate(jobs):
            self.store(lane, job, 0 if index else not_before_ms)
        self.all_to_store(lane)
        self.schedule(lane)

    def hasten(self, not_before_ms: Callable[[], int]) -> int:
        """Whoever waits longer than that waits no longer; returns how many lanes that were."""
        count = 0
        for lane in self.lanes.values():
            if lane.stored and lane.not_before_ms > (soon_ms := not_before_ms()):
                lane.not_before_ms = soon_ms
                self._arm(lane)
                count += 1
        return count

    def lane_of(self, name: str) -> Lane:
        name = self.member_of.get(name, name)
        lane = self.lanes.get(name)
        if lane is None:
            lane = self.lanes[name] = Lane(name)
        return lane

    def schedule(self, lane: Lane) -> None:
        """Put the lane where its next job will be found, or forget it when it is empty."""
        if lane.empty:
            self._forget(lane)
        elif lane.in_flight or lane.queued:
            return
        elif lane.stored and lane.not_before_ms:
            self._arm(lane)
        elif lane.ready:
            lane.queued = True
            self.runnable.append(lane)
        else:
            self.want(lane)

    def wake_due(self, now_ms: int) -> None:
        while self._timers and self._timers[0][0] <= now_ms:
            due_ms, name = heapq.heappop(self._timers)
            lane = self.lanes.get(name)
            if lane is not None and lane.timer_ms == due_ms:
                lane.timer_ms = 0
                if lane.not_before_ms <= now_ms:
                    lane.not_before_ms = 0
                self.schedule(lane)

    def want(self, lane: Lane) -> None:
        if not lane.load_wanted:
            lane.load_wanted = True
            self._load_wanted[lane.name] = lane

    def drop_stale(self) -> None:
        """The first runnable lane is not: its jobs went out, to the store, or into another lane."""
        lane = self.runnable.popleft()
        lane.queued = False
        if self.lanes.get(lane.name) is lane:
            self.schedule(lane)

    def store(self, lane: Lane, job: Job, not_before_ms: int = 0) -> None:
        if not lane.stored:
            self._remember_members(lane)
        self.effects.append(Held(job, job.stored, job.attempts, job.first_failed_ms, not_before_ms, job.error))
        if not job.stored:
            lane.stored += 1
            self.stored += 1
            job.stored = True
        lane.behind += 1

    def all_to_store(self, lane: Lane) -> None:
        """Empty `ready`: what stands in the log goes to the store, what stands in the store needs no second home."""
        self.ready -= len(lane.ready)
        waiting, lane.ready = lane.ready, deque()
        for job in waiting:
            if job.stored:
                lane.behind += 1
            else:
                self.store(lane, job)
        lane.version += 1

    def back(self, lane: Lane, jobs: list[Job]) -> None:
        """Undelivered jobs return to the front of their lane."""
        self.out_of_flight(lane, len(jobs))
        if lane.ready and jobs[-1].position > lane.ready[0].position:
            lane.ready = deque(sorted([*jobs, *lane.ready], key=lambda job: job.position))
        else:
            lane.ready.extendleft(reversed(jobs))
        self.ready += len(jobs)
        if lane.in_flight or lane.behind:
            self.all_to_store(lane)
        self.schedule(lane)

    def done(self, lane: Lane, job: Job, effect: Effect) -> None:
        self.out_of_flight(lane, 1)
        self.effects.append(effect)
        if job.stored:
            lane.stored -= 1
            self.stored -= 1
        self.schedule(lane)

    def out_of_flight(self, lane: Lane, count: int) -> None:
        lane.in_flight -= count
        self.in_flight_jobs -= count

    def _arm(self, lane: Lane) -> None:
        if lane.timer_ms != lane.not_before_ms:
            lane.timer_ms = lane.not_before_ms
            heapq.heappush(self._timers, (lane.timer_ms, lane.name))

    def _forget(self, lane: Lane) -> None:
        if self.lanes.get(lane.name) is lane:
            del self.lanes[lane.name]
        if saved := tuple(each for each, known in lane.members.items() if known and each != lane.name):
            self.effects.append(Parted(saved))
        for each in lane.members:
            if self.member_of.get(each) == lane.name:
                del self.member_of[each]
        self._retire(lane)

    def _retire(self, lane: Lane) -> None:
        lane.version += 1
        lane.ready = deque()
        self._load_wanted.pop(lane.name, None)

    def _remember_members(self, lane: Lane) -> None:
        """While anything of a lane is stored, the store knows all of its members.

        The log will not say again who they are: once what was unsettled is stored, the cursor passes the place of a
        join or split. And a member may hold nothing yet: it waits for its next event.
        """
        for member, known in lane.members.items():
            if not known:
                lane.members[member] = True
                self.effects.append(Joined(member, lane.name))
