"""Figures of log, destinations and sources for Prometheus, read at the scrape.

What a part counts itself in the shared registry is not repeated here.
"""

from collections.abc import Iterator, Sequence
from math import inf

from appliance.control.ports import DestinationStatus
from appliance.core.job import DestinationState
from appliance.core.metrics import Reading
from appliance.wal.types import LogStats, Pile

LOG_STATES = ("running", "full", "disk_full", "failed")


def log_readings(stats: LogStats) -> Iterator[Reading]:
    """The write-ahead log."""
    yield Reading("wal_disk_fill_ratio", "Share of the disk budget in use.", stats.fill)
    left_s = inf if stats.full_in_s is None else stats.full_in_s
    yield Reading("wal_time_to_full_seconds", "Until the budget is spent at this rate; +Inf: it is not.", left_s)
    yield Reading("wal_disk_used_bytes", "Bytes in use of the disk budget.", stats.bytes)
    yield Reading("wal_disk_budget_bytes", "The disk budget.", stats.bytes_max)
    yield Reading("wal_file_bytes", "Size of the log's file.", stats.file_bytes)
    yield Reading("wal_kept_blocks", "Blocks kept.", stats.blocks)
    yield Reading("wal_kept_blocks_bytes", "Compressed bytes of the blocks kept.", stats.block_bytes)
    yield Reading("wal_oldest_age_seconds", "Age of the oldest block kept.", stats.oldest_ms / 1000)
    yield Reading("wal_dedup_window_ids", "Message ids in the deduplication window.", stats.dedup_ids)
    yield Reading("wal_queue_bytes", "Bytes in memory that wait for their commit.", stats.queue_bytes)
    yield Reading("wal_committed_events_total", "Events made durable.", stats.events_total)
    yield Reading("wal_committed_bytes_total", "Bytes of events made durable.", stats.event_bytes_total)
    yield Reading("wal_duplicate_events_total", "Events left out as duplicates.", stats.duplicates_total)
    yield Reading("wal_commits_total", "Write transactions with events.", stats.commits_total)
    yield Reading("wal_commit_p50_seconds", "Median latency of recent commits.", stats.commit_p50_ms / 1000)
    yield Reading("wal_commit_p99_seconds", "99th percentile of recent commits.", stats.commit_p99_ms / 1000)
    yield Reading("wal_dropped_events_total", "Events dropped undelivered, for room.", stats.events_dropped_total)
    yield Reading("wal_evicted_dead_letters_total", "Dead letters evicted.", stats.dead_evicted_total)
    yield Reading("wal_evicted_refused_events_total", "Refused input evicted.", stats.refused_evicted_total)
    yield from _pile("held", "held jobs", "events", stats.held)
    yield from _pile("dead", "dead letters", "letters", stats.dead)
    yield from _pile("refused", "refused input", "events", stats.refused)
    yield Reading("wal_ballast_ratio", "1 while the ballast file is in place, else 0.", float(stats.ballast))
    for state in LOG_STATES:
        yield Reading("wal_log_state", "1 for the state the log is in.", float(state == stats.state), {"state": state})


def destination_readings(destinations: Sequence[DestinationStatus]) -> Iterator[Reading]:
    """Every configured destination."""
    for status in destinations:
        where = {"destination": status.name}
        yield Reading("deliver_lag_events", "Events of the log not settled yet.", status.lag_events, where)
        age_s = status.oldest_undelivered_ms / 1000
        yield Reading("deliver_oldest_undelivered_seconds", "Age of the oldest event that waits.", age_s, where)
        yield Reading("deliver_held_people", "People who wait behind a failed event.", status.held_people, where)
        yield Reading("deliver_held_events", "Events in held queues.", status.held_events, where)
        yield Reading("deliver_running_calls", "Calls of the plug-in under way.", status.in_flight, where)
        yield Reading("deliver_hung_calls", "Calls that did not end in time and cannot be stopped.", status.hung, where)
        yield Reading("deliver_succeeded_events_total", "Events delivered.", status.delivered_total, where)
        yield Reading("deliver_failed_events_total", "Failed attempts that are retried.", status.failed_total, where)
        yield Reading("deliver_aborted_events_total", "Events that became dead letters.", status.aborted_total, where)
        yield Reading("deliver_filtered_events_total", "Events not meant for it.", status.filtered_total, where)
        yield Reading("deliver_call_p50_seconds", "Median of recent calls.", status.latency_p50_ms / 1000, where)
        yield Reading("deliver_call_p95_seconds", "95th percentile of calls.", status.latency_p95_ms / 1000, where)
        for state in DestinationState:
            labels = {**where, "state": str(state)}
            yield Reading("deliver_destination_state", "1 for its state.", float(state is status.state), labels)


def _pile(name: str, words: str, unit: str, pile: Pile) -> Iterator[Reading]:
    yield Reading(f"wal_{name}_{unit}", f"Number of {words} kept.", pile.count)
    yield Reading(f"wal_{name}_bytes", f"Bytes of {words} kept.", pile.bytes)
    yield Reading(f"wal_{name}_budget_bytes", f"Budget of {words}.", pile.bytes_max)
