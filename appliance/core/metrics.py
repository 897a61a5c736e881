"""The home of all metrics: one registry, names by our grammar, Prometheus text out.

Names are `<stage>_<noun>_<unit>`, counters with `_total` behind: `collect_accepted_events_total`,
`wal_commit_seconds`, `deliver_lag_events`. Labels name parts of the appliance, never people, so that their number
stays bounded. Numbers that a part keeps anyway are read when Prometheus asks: see `Metrics.watch`.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

STAGES = frozenset({"collect", "wal", "identity", "process", "deliver", "warehouse", "control", "app"})
UNITS = frozenset({
    "batches", "blocks", "bytes", "calls", "commits", "connections", "events", "ids", "info", "letters", "people",
    "ratio", "requests", "seconds", "state",
})  # fmt: skip
LABELS = frozenset({"source", "destination", "plugin", "kind", "state", "status", "stage", "route", "reason"})
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4

LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Reading:
    """One number read at scrape time, with its label values.

    Args:
        name: by the grammar; `_total` at its end makes it a counter, anything else a gauge.
        help: one sentence for the operator.
        value: the number now.
        labels: label name -> value, e.g. `{"destination": "crm"}`.
    """

    __slots__ = ("help", "labels", "name", "value")

    def __init__(self, name: str, help: str, value: float, labels: dict[str, str] | None = None) -> None:
        check_name(name)
        check_labels(labels or {})
        self.name, self.help, self.value, self.labels = name, help, value, labels or {}


class Metrics:
    """All metrics of one process; made once in `app.py`, once per test elsewhere."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series per counter that nobody needs
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; the name ends in `_total`."""
        if not name.endswith("_total"):
            raise ValueError(f"{name}: the name of a counter ends in _total")
        check_name(name)
        check_labels(labels)
        return Counter(name, help, labels, registry=self.registry)

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """A number that goes up and down."""
        check_name(name)
        check_labels(labels)
        return Gauge(name, help, labels, registry=self.registry)

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), buckets: Sequence[float] = LATENCY_BUCKETS_S
    ) -> Histogram:
        """A distribution; the default buckets are latencies in seconds."""
        check_name(name)
        check_labels(labels)
        return Histogram(name, help, labels, registry=self.registry, buckets=buckets)

    def watch(self, read: Callable[[], Iterable[Reading]]) -> None:
        """Call `read` at every scrape and expose what it returns; for numbers that a part keeps anyway."""
        self.registry.register(_Watched(read))

    def exposition(self) -> bytes:
        """Everything as Prometheus text; serve it as `CONTENT_TYPE`."""
        return generate_latest(self.registry)


def check_name(name: str) -> None:
    """Raises ValueError where a name does not follow the grammar."""
    words = name.removesuffix("_total").split("_")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or words[0] not in STAGES or words[-1] not in UNITS or len(words) < 2:
        raise ValueError(f"{name}: metrics are named <stage>_<noun>_<unit>, with _total behind for counters")


def check_labels(labels: Iterable[str]) -> None:
    """Raises ValueError for a label that is not one of `LABELS`."""
    if unknown := set(labels) - LABELS:
        raise ValueError(f"labels {sorted(unknown)}: metrics are labelled by {sorted(LABELS)} only")


class _Watched(Collector):
    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for reading in self._read():
            family = families.get(reading.name) or families.setdefault(reading.name, _family(reading))
            family.add_metric(list(reading.labels.values()), reading.value)  # type: ignore[attr-defined]
        return families.values()


def _family(reading: Reading) -> Metric:
    labels = list(reading.labels)
    if reading.name.endswith("_total"):
        return CounterMetricFamily(reading.name, reading.help, labels=labels)
    return GaugeMetricFamily(reading.name, reading.help, labels=labels)
