"""The queues where the store holds less than was thought: nothing spins, nothing waits for ever."""

from appliance.deliver.lane import Job
from appliance.deliver.queues import Queues


def test_a_lane_whose_jobs_are_not_in_the_store_is_forgotten() -> None:
    queues = Queues(10, many_per_lane=False)
    queues.requeued("a:x", 2, 1_000)
    (lane,) = queues.wanted(1_000, 10)
    job = Job("a:x", 7, 0, None, 10, stored=True)
    queues.loaded(lane, lane.version, [job])
    assert queues.gather(1, 1_000) == [job]
    queues.back(lane, [job])
    assert queues.lanes
    assert queues.gather(1, 1_000) == []
    (lane,) = queues.wanted(1_000, 10)
    queues.loaded(lane, lane.version, [job])
    assert queues.gather(1, 1_000) == [job]
    queues.out_of_flight(lane, 1)
    lane.stored -= 1
    queues.stored -= 1
    queues.schedule(lane)
    (lane,) = queues.wanted(1_000, 10)
    queues.loaded(lane, lane.version, [])
    assert not queues.lanes
    assert queues.stored == queues.ready == queues.in_flight_jobs == 0
    assert not queues.wanted(1_000, 10)
