"""A job is one event (or one part of it) on its way to one destination: the words for where it stands."""

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
