"""The collector's figures: per source for people, as readings for Prometheus."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from appliance.collect.admission import Source
from appliance.core.metrics import Reading


class SourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one source, since the start of the process."""

    name: str
    enabled: bool
    paused: bool
    """By an operator."""
    requests_total: int
    accepted_total: int
    """Events."""
    duplicates_total: int
    """Events."""
    refused_total: int
    """Events, or whole bodies, that never became events."""
    repaired_total: int
    """Events."""
    last_received_ms: int
    """Wall time; 0: never."""
    accepted_per_s: float
    """Events, over the last 10 s."""
    refused_5m: int
    """Of `refused_total`, those of the last five minutes."""


class Figures:
    """Counters that belong to no source. Written on the collector's loop, read from any thread."""

    def __init__(self) -> None:
        self.answered: Counter[int] = Counter()
        """Answers by status."""
        self.unkept_total = 0
        """Refused input whose bytes could not be kept."""


class Gauges(NamedTuple):
    """The listener's numbers of the moment."""

    open_connections: int
    turned_away_total: int
    broken_total: int
    cut_total: dict[str, int]
    pending_bytes: int


def status_of(source: Source, now_ms: int) -> SourceStatus:
    """A copy of a source's counters; `now_ms` is monotonic."""
    return SourceStatus(
        name=source.name, enabled=source.enabled, paused=source.paused, requests_total=source.requests_total,
        accepted_total=source.accepted_total, duplicates_total=source.duplicates_total,
        refused_total=source.refused_total, repaired_total=source.repaired_total,
        last_received_ms=source.last_received_ms, accepted_per_s=source.accepted_recent.per_s(now_ms),
        refused_5m=source.refused_recent.total(now_ms),
    )  # fmt: skip


def readings(sources: Iterable[Source], figures: Figures, gauges: Gauges) -> Iterator[Reading]:
    """Everything for Prometheus."""
    for source in sources:
        yield from _source(source)
    for status, count in list(figures.answered.items()):
        yield Reading("collect_answered_requests_total", "Answers by HTTP status.", count, {"status": str(status)})
    yield Reading("collect_unkept_requests_total", "Refused input whose bytes were not kept.", figures.unkept_total)
    yield Reading("collect_open_connections", "Connections of clients.", gauges.open_connections)
    yield Reading(
        "collect_turned_away_connections_total", "Connections beyond connections_max.", gauges.turned_away_total
    )
    yield Reading("collect_broken_requests_total", "Requests that were no HTTP.", gauges.broken_total)
    for stage, count in list(gauges.cut_total.items()):
        yield Reading("collect_cut_connections_total", "Connections cut for being slow.", count, {"stage": stage})
    yield Reading("collect_pending_bytes", "Bytes of requests in memory.", gauges.pending_bytes)


def _source(source: Source) -> Iterator[Reading]:
    labels = {"source": source.name}
    yield Reading("collect_received_requests_total", "Requests of a known source.", source.requests_total, labels)
    yield Reading("collect_received_bytes_total", "Bytes of bodies, as sent.", source.bytes_total, labels)
    yield Reading("collect_limited_requests_total", "Requests beyond rate_per_s.", source.limited_total, labels)
    yield Reading("collect_accepted_events_total", "Events made durable.", source.accepted_total, labels)
    yield Reading("collect_duplicate_events_total", "Events that were known.", source.duplicates_total, labels)
    yield Reading("collect_refused_events_total", "Input that is no event.", source.refused_total, labels)
    yield Reading("collect_repaired_events_total", "Events that were repaired.", source.repaired_total, labels)
