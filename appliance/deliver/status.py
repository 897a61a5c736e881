"""What an operator sees of a destination, whether it delivers or loads; any thread."""

import time
from typing import TYPE_CHECKING, Any

from appliance.core.clock import Clock
from appliance.core.job import DestinationState
from appliance.deliver.breaker import BreakerState
from appliance.deliver.figures import DestinationStatus, OldestHeld
from appliance.wal.log import Log

if TYPE_CHECKING:
    from appliance.deliver.load_worker import LoadWorker
    from appliance.deliver.worker import Worker


def state_of(worker: "Worker") -> DestinationState:
    """Where it stands, in the operator's words; any thread."""
    if worker.stopping:
        return DestinationState.STOPPED
    if worker.paused:
        return DestinationState.PAUSED
    breaker = worker.order.breaker.state
    if breaker is not BreakerState.CLOSED:
        return DestinationState.OPEN if breaker is BreakerState.OPEN else DestinationState.MISCONFIGURED
    return DestinationState.DEGRADED if worker.order.queues.stored else DestinationState.RUNNING


def status_of(worker: "Worker", log: Log, clock: Clock, oldest: OldestHeld) -> DestinationStatus:
    """Its figures at this moment; any thread."""
    breaker, low = worker.order.breaker, worker.cursor.low
    waits = worker.feed.behind or worker.cursor.unsettled or worker.order.queues.stored
    shift_ms = clock.wall_ms() - log.log_now_ms()
    closed = breaker.closed
    return DestinationStatus(
        **_common(worker),
        state=worker.state(),
        sequence_low=low,
        lag_events=max(0, worker.feed.end - low) if waits else 0,
        oldest_undelivered_ms=_oldest_ms(worker, log, oldest) if waits else 0,
        held_people=sum(1 for lane in list(worker.order.queues.lanes.values()) if lane.stored),
        held_events=worker.order.queues.stored,
        in_flight=worker.order.queues.in_flight_jobs,
        filtered_total=worker.feed.filtered_total,
        last_error=worker.ledger.refusal or worker.figures.last_error,
        breaker={
            "state": breaker.state.value,
            "cause": breaker.cause,
            "opened_ms": 0 if closed else breaker.opened_ms + shift_ms,
            "next_probe_ms": 0 if closed else breaker.next_probe_ms + shift_ms,
        },
        unsaved=worker.ledger.unsaved,
    )


def _oldest_ms(worker: "Worker", log: Log, oldest: OldestHeld) -> int:
    now_ms = log.log_now_ms()
    held = oldest.first_failed_ms(now_ms) if worker.order.queues.stored else 0
    held_age = now_ms - held if held else 0
    return max(held_age, log.backlog(worker.stream.destination, worker.cursor.low).age_ms)


def _common(worker: "Worker | LoadWorker") -> dict[str, Any]:
    """What is told of both alike."""
    figures = worker.figures
    return {
        "name": worker.stream.key,
        "plugin": worker.config.plugin,
        "enabled": worker.config.enabled,
        "delivered_total": figures.delivered_total,
        "failed_total": figures.failed_total,
        "aborted_total": figures.aborted_total,
        "latency_p50_ms": figures.latency_ms(0.5),
        "latency_p95_ms": figures.latency_ms(0.95),
        "last_error_sample": figures.last_error_sample,
        "errors": dict(figures.errors),
        "hung": worker.instance.hung,
        "sources": worker.config.sources,
        "delivered_per_s": figures.delivered_per_s,
        "failed_5m": figures.failed_5m,
        "last_error_ms": figures.last_error_ms,
    }


def load_status_of(worker: "LoadWorker", log: Log, clock: Clock) -> DestinationStatus:
    """The figures of a warehouse at this moment."""
    state, figures, held = worker.state(), worker.figures, log.held_size(worker.stream.key)[0]
    stands = state in (DestinationState.OPEN, DestinationState.MISCONFIGURED)
    shift_ms = clock.wall_ms() - int(time.monotonic() * 1000)
    return DestinationStatus(
        **_common(worker),
        state=state,
        sequence_low=worker.low,
        lag_events=max(0, worker.end - worker.low),
        oldest_undelivered_ms=log.backlog(worker.stream.destination, worker.low).age_ms if worker.waits else 0,
        held_people=0,
        held_events=held,
        in_flight=len(worker.loading),
        filtered_total=worker.ledger.filtered_total,
        last_error=worker.ledger.behind or figures.last_error,
        breaker={
            "state": state.value if stands else "closed",
            "cause": worker.ledger.behind or (figures.last_error if stands else ""),
            "opened_ms": int(worker.tries.since_s * 1000) + shift_ms if stands and worker.tries.attempts else 0,
            "next_probe_ms": int(worker.tries.next_s * 1000) + shift_ms if stands and worker.tries.attempts else 0,
        },
        unsaved=0,
        load=worker.loads.status(),
    )
