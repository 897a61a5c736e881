"""How well the appliance is, in words: pure, from the figures of its parts."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from appliance.control.ports import DestinationStatus
from appliance.core.job import DestinationState
from appliance.wal.types import LogStats

LAG_MS = 5 * 60_000
"""Undelivered for longer than this is worth a word."""
FILL = 0.8
"""So is a log fuller than this."""
WORDS_MAX = 50


class Health(msgspec.Struct, frozen=True):
    """What `/health` says."""

    health: Literal["well", "degraded", "failed"]
    """`failed`: commits do not work, nothing is accepted. `degraded`: something needs a person; events are kept."""
    sick: list[str]
    """One sentence per sick part; at most `WORDS_MAX`."""

    @property
    def status(self) -> int:
        """The HTTP status: 200 while commits work, so that no watchdog restarts what a restart cannot mend."""
        return 503 if self.health == "failed" else 200


def report(
    failure: str, stats: LogStats | None, destinations: Sequence[DestinationStatus], faults: Sequence[str]
) -> Health:
    """Sum up.

    Args:
        failure: why the log failed; "" while it works.
        stats: figures of the log, where they could be read.
        destinations: every configured one.
        faults: what did not start, in words.
    """
    if failure:
        return Health("failed", [f"log: {failure}; nothing is accepted, what was acknowledged is on disk"])
    sick = list(faults)
    if stats is not None:
        sick += _log_words(stats)
    for destination in destinations:
        sick += _destination_words(destination)
    if len(sick) > WORDS_MAX:
        sick[WORDS_MAX - 1 :] = [f"and {len(sick) - WORDS_MAX + 1} more"]
    return Health("degraded" if sick else "well", sick)


def unready(health: Health, stats: LogStats | None, destinations: Sequence[DestinationStatus]) -> list[str]:
    """Why an event sent now would not reach every destination; empty when it would."""
    words = list(health.sick) if health.health == "failed" else []
    if stats is not None and stats.state != "running":
        words += _log_words(stats)
    broken = {DestinationState.OPEN, DestinationState.MISCONFIGURED, DestinationState.STOPPED}
    for destination in destinations:
        if destination.state in broken:
            words += _destination_words(destination)
    return words


def ago(age_ms: float) -> str:
    """An age in words: `350 ms`, `12 s`, `3 min`, `5.2 h`, `4.0 d`."""
    seconds = age_ms / 1000
    if seconds < 1:
        return f"{age_ms:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def _log_words(stats: LogStats) -> list[str]:
    words = []
    if stats.state == "full":
        words.append(f"log: its budget is spent ({stats.fill:.0%}); new events are refused with 503 until it drains")
    elif stats.state == "disk_full":
        words.append("log: the disk is full; new events are refused with 503 until there is room")
    elif stats.fill >= FILL:
        left = f", full in {ago(stats.full_in_s * 1000)} at this rate" if stats.full_in_s is not None else ""
        words.append(f"log: {stats.fill:.0%} of its budget is used{left}")
    if stats.quarantined:
        words.append(f"log: a damaged store was set aside in {stats.quarantined}; the log began anew")
    if not stats.ballast and stats.state != "disk_full":
        words.append("log: its ballast file was given to the disk, which was full; it comes back when there is room")
    return words


def _destination_words(status: DestinationStatus) -> list[str]:
    name, state = f"destination {status.name}", status.state
    because = f": {status.last_error}" if status.last_error else ""
    waiting = f", {status.lag_events} events wait" if status.lag_events else ""
    if state is DestinationState.OPEN:
        return [f"{name}: is down{because}; it is probed{waiting}"]
    if state is DestinationState.MISCONFIGURED:
        return [f"{name}: refuses everybody alike{because}; mend its configuration, nothing is dead-lettered{waiting}"]
    if state is DestinationState.STOPPED:
        return [f"{name}: does not run{because}{waiting}"]
    if state is DestinationState.PAUSED:
        return [f"{name}: is paused{waiting}"] if status.enabled and status.lag_events else []
    words = []
    if status.held_people:
        people = "1 person waits" if status.held_people == 1 else f"{status.held_people} people wait"
        events = "1 event" if status.held_events == 1 else f"{status.held_events} events"
        words.append(f"{name}: {people} with {events}{because}")
    if status.oldest_undelivered_ms > LAG_MS and not status.held_people:
        words.append(f"{name}: is {ago(status.oldest_undelivered_ms)} behind{waiting}")
    if status.hung:
        words.append(f"{name}: {status.hung} calls of its plug-in {status.plugin} hang")
    return words
