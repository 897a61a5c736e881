"""A lane that splits off waits for the one it leaves, and nothing else of it is remembered."""

import pytest

from appliance.core.plan import Change, Join, Split
from appliance.deliver.lane import Effect, Held, Job, Joined, Lane, Parted, Settled
from appliance.deliver.queues import Queues

NOW_MS = 1_000


def job(lane: str, sequence: int) -> Job:
    return Job(lane, sequence, 0, None, 10)


def queues(*offered: tuple[str, int]) -> Queues:
    """With these jobs in memory."""
    made = Queues(10, many_per_lane=False)
    made.restore([], {})
    made.recovered()
    for lane, sequence in offered:
        made.offer(job(lane, sequence))
    return made


def out(made: Queues) -> list[int]:
    """Sequences that go out now, one per lane."""
    return [each.sequence for each in made.gather(10, 10_000)]


def settle(made: Queues, each: Job) -> None:
    made.done(made.lane_of(each.lane), each, Settled(each, each.stored))


def taken(made: Queues) -> list[Effect]:
    effects, made.effects = made.effects, []
    return effects


def test_the_events_of_one_who_split_off_wait_for_what_is_in_flight_and_for_what_waits() -> None:
    made = queues(("b", 1), ("b", 2))
    (first,) = made.gather(10, 10_000)
    made.split("a", "b")
    made.offer(job("a", 3))
    assert out(made) == []
    settle(made, first)
    (second,) = made.gather(10, 10_000)
    assert second.sequence == 2
    settle(made, second)
    assert out(made) == [3]


def test_where_nothing_is_unsettled_there_is_nothing_to_wait_for() -> None:
    made = queues(("c", 1))
    made.split("a", "b")
    made.offer(job("a", 3))
    made.offer(job("b", 4))
    assert out(made) == [1, 3, 4]
    assert not made.member_of


def test_once_the_former_lane_is_empty_both_go_on_apart() -> None:
    made = queues(("b", 1))
    (first,) = made.gather(10, 10_000)
    made.split("a", "b")
    settle(made, first)
    made.offer(job("a", 3))
    made.offer(job("b", 4))
    assert out(made) == [3, 4]
    assert not made.member_of
    assert [type(each) for each in taken(made)] == [Settled], "nothing was stored, so nothing had to be remembered"


@pytest.mark.parametrize("when", ["stored before the split", "in flight at the split"])
def test_a_split_outlives_the_process_though_the_one_who_split_off_holds_nothing(when: str) -> None:
    """The cursor passes the split's place with nothing of it but the held event: the log will not bring it again."""
    made = queues(("b", 1))
    (first,) = made.gather(10, 10_000)

    def held() -> None:
        made.hold(made.lane_of("b"), [first], NOW_MS + 50)

    if when == "stored before the split":
        held()
        made.split("a", "b")
    else:
        made.split("a", "b")
        held()
    effects = taken(made)
    assert [each for each in effects if isinstance(each, Joined)] == [Joined("a", "b")]
    assert any(isinstance(each, Held) for each in effects)

    after = Queues(10, many_per_lane=False)
    after.restore([("b", 1, NOW_MS + 50)], {"a": "b"})
    after.recovered()
    after.offer(job("a", 3))
    assert out(after) == []
    assert [each.job.sequence for each in after.effects if isinstance(each, Held)] == [3]


def test_what_was_remembered_is_forgotten_with_the_last_event() -> None:
    made = queues(("b", 1))
    (first,) = made.gather(10, 10_000)
    made.split("a", "b")
    made.hold(made.lane_of("b"), [first], NOW_MS)
    lane = made.lane_of("b")
    made.wake_due(NOW_MS)
    (lane,) = made.wanted(NOW_MS, 10)
    made.loaded(lane, lane.version, [first])
    taken(made)
    (again,) = made.gather(10, 10_000)
    settle(made, again)
    assert taken(made) == [Settled(again, True), Parted(("a",))]
    assert not made.lanes
    assert not made.member_of


@pytest.mark.parametrize(
    ("changes", "members"),
    [
        ([Split(2, "a", "b"), Join(3, "a", "b")], {"a": "b"}),
        ([Split(2, "a", "b"), Join(3, "b", "a")], {"a": "b"}),
        ([Split(2, "a", "b"), Join(3, "b", "a"), Split(4, "b", "a")], {"a": "b"}),
        ([Join(2, "b", "c"), Split(3, "a", "b")], {"a": "c", "b": "c"}),
        ([Split(2, "a", "b"), Split(3, "d", "a")], {"a": "b", "d": "b"}),
        ([Split(2, "a", "b"), Join(3, "a", "c")], {"a": "c", "b": "c"}),
        ([Split(2, "a", "b"), Join(3, "c", "a")], {"a": "b"}),
        ([Split(2, "a", "b"), Split(3, "a", "c")], {"a": "b"}),
    ],
    ids=[
        "split, then joined again before it is empty",
        "split, then joined the other way round",
        "split, joined the other way round, split again",
        "split from one that was joined itself",
        "split from one that split off itself",
        "a member by split is joined into somebody else: what it waits for comes along",
        "somebody with nothing to deliver is joined into a member by split",
        "split again, from somebody with nothing to deliver",
    ],
)
def test_joins_and_splits_upon_each_other(changes: list[Change], members: dict[str, str]) -> None:
    made = queues(("b", 1))
    assert out(made) == [1]
    for change in changes:
        made.apply(change)
    assert made.member_of == members
    for name in "abcd":
        made.offer(job(name, 9))
    waiting = {"a", "b", "c", "d"} & {*members, *members.values()}
    assert len(out(made)) == 4 - len(waiting), "those of the lane wait for the event that is out, the others do not"


def test_a_lane_with_a_queue_of_its_own_that_splits_off_becomes_one_with_it() -> None:
    """A revived person: while it was joined, an event of it from before was requeued here."""
    made = queues(("b", 2), ("a", 1), ("b", 4))
    made.split("a", "b")
    made.offer(job("a", 5))
    arrived = []
    while jobs := made.gather(10, 10_000):
        assert len(jobs) == 1
        arrived.append(jobs[0].sequence)
        settle(made, jobs[0])
    assert arrived == [1, 2, 4, 5]
    assert not made.member_of


def test_a_requeued_event_of_one_who_was_joined_since_does_not_go_beside_the_winner() -> None:
    """Both were empty when they were joined, so the queues know nothing of it."""
    made = queues(("w", 20))
    (first,) = made.gather(10, 10_000)
    made.requeued("l", 1, NOW_MS)
    made.joined("l", "w")
    made.offer(job("w", 21))
    assert made.wanted(NOW_MS, 10) == []
    settle(made, first)
    lane: Lane
    made.wake_due(NOW_MS)
    (lane,) = made.wanted(NOW_MS, 10)
    assert set(lane.members) == {"w", "l"}
    assert Joined("l", "w") in made.effects
    assert out(made) == []
