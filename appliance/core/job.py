"""A job is one event (or one part of it) on its way to one destination: its states and their words."""

from enum import StrEnum


class JobState(StrEnum):
    """RudderStack's words for where a job stands."""

    WAITING = "waiting"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Will be retried."""
    ABORTED = "aborted"
    """Is a dead letter."""
    FILTERED = "filtered"


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.EXECUTING, JobState.FILTERED, JobState.ABORTED}),
    JobState.EXECUTING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.ABORTED, JobState.WAITING}),
    JobState.FAILED: frozenset({JobState.EXECUTING, JobState.ABORTED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.ABORTED: frozenset({JobState.FAILED}),
    JobState.FILTERED: frozenset(),
}
"""EXECUTING to WAITING is a throttled attempt; ABORTED to FAILED is a requeue."""


class DestinationState(StrEnum):
    """Where a destination stands, in the operator's words."""

    RUNNING = "running"
    DEGRADED = "degraded"
    """Delivers, but some people are held."""
    OPEN = "open"
    """The breaker is open: probes only."""
    MISCONFIGURED = "misconfigured"
    """Aborts of one kind from many people: probes only, nothing more is dead-lettered."""
    PAUSED = "paused"
    STOPPED = "stopped"
