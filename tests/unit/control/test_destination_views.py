"""What a person is told to do about a destination, state by state."""

import pytest

from appliance.control.destination_views import Kept, broken_view, destination_view, parked_view
from appliance.core.job import DestinationState
from appliance.deliver.figures import DestinationStatus


def status(state: DestinationState, enabled: bool) -> DestinationStatus:
    return DestinationStatus(
        name="crm", plugin="webhook", state=state, enabled=enabled, sequence_low=1, lag_events=2, oldest_undelivered_ms=3,
        held_people=0, held_events=0, in_flight=0, delivered_total=0, failed_total=0, aborted_total=0, filtered_total=0,
        latency_p50_ms=0.0, latency_p95_ms=0.0, last_error="", last_error_sample="", breaker={}, errors={}, unsaved=0,
        hung=0, sources=None, delivered_per_s=0.0, failed_5m=0, last_error_ms=0,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "enabled", "step"),
    [
        (DestinationState.RUNNING, True, ""),
        (DestinationState.DEGRADED, True, ""),
        (DestinationState.PAUSED, True, "`sternpost resume crm` lets it go on"),
        (DestinationState.PAUSED, False, "set enabled = true in [destinations.crm] and re-load"),
        (DestinationState.OPEN, True, "`sternpost destinations drain crm` tries at once"),
        (DestinationState.MISCONFIGURED, True, "mend [destinations.crm] and re-load"),
    ],
)
def test_the_next_step_of_one_that_has_a_worker(state: DestinationState, enabled: bool, step: str) -> None:
    told = destination_view(status(state, enabled), ["web"], True).next_step
    assert step in told and bool(told) is bool(step)


def test_the_next_step_of_one_that_has_none() -> None:
    kept = Kept(low=4, last=10, held_people=1, held_events=2)
    parked, broken = parked_view("old", kept), broken_view("own", "mine", ["web"], "line 3: no", kept)
    assert (parked.state, parked.lag_events, parked.held_events) == ("parked", 6, 2)
    assert "[destinations.old]" in parked.next_step and "`sternpost destinations forget old`" in parked.next_step
    assert (broken.state, broken.last_error, broken.sources) == ("stopped", "line 3: no", ["web"])
    assert "`sternpost plugins test mine`" in broken.next_step and "wait in the log" in broken.next_step
