"""Metrics: the exposition, and names and labels that are refused."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.core.metrics import Metrics, Reading


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_prometheus_gets() -> None:
    metrics = Metrics()
    metrics.counter("collect_accepted_events_total", "Events made durable.", ["source"]).labels("web").inc(3)
    metrics.gauge("wal_queue_bytes", "Bytes waiting for commit.").set(17)
    metrics.histogram("wal_commit_seconds", "Commit latency.").observe(0.02)
    got = samples(metrics)
    assert got["collect_accepted_events_total", (("source", "web"),)] == 3
    assert got["wal_queue_bytes", ()] == 17
    assert got["wal_commit_seconds_bucket", (("le", "0.01"),)] == 0
    assert got["wal_commit_seconds_bucket", (("le", "0.025"),)] == 1
    assert got["process_resident_memory_bytes", ()] > 1_000_000
    assert not [name for name, _ in got if name.endswith("_created")]


def test_numbers_read_when_asked() -> None:
    metrics = Metrics()
    lag = {"crm": 5, "erp": 0}
    metrics.watch(lambda: [
        Reading("deliver_lag_events", "Events not delivered yet.", value, {"destination": name})
        for name, value in lag.items()
    ] + [Reading("deliver_delivered_events_total", "Delivered.", 7, {"destination": "crm"})])  # fmt: skip
    assert samples(metrics)["deliver_lag_events", (("destination", "crm"),)] == 5
    lag["crm"] = 6
    got = samples(metrics)
    assert got["deliver_lag_events", (("destination", "crm"),)] == 6
    assert got["deliver_lag_events", (("destination", "erp"),)] == 0
    assert got["deliver_delivered_events_total", (("destination", "crm"),)] == 7


@pytest.mark.parametrize(
    "name", ["events_total", "collect_total", "billing_events", "collect_Events", "collect_x", "collect"]
)
def test_names_outside_the_grammar(name: str) -> None:
    with pytest.raises(ValueError, match="metrics are named"):
        Metrics().gauge(name, "x")


def test_a_counter_says_so() -> None:
    with pytest.raises(ValueError, match="ends in _total"):
        Metrics().counter("collect_accepted_events", "x")


@pytest.mark.parametrize("label", ["user", "anonymous_id", "message_id", "ip"])
def test_no_label_names_a_person(label: str) -> None:
    with pytest.raises(ValueError, match="labelled by"):
        Metrics().counter("collect_accepted_events_total", "x", [label])
    with pytest.raises(ValueError, match="labelled by"):
        Reading("deliver_lag_events", "x", 1, {label: "x"})
