"""Dashboard and alert rules against what a running appliance exposes: every metric and label that they name is there."""

import itertools
import json
import re
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.appliance import ROOT, WRITE_KEY, Appliance, webhook
from tests.support.promql import Exposed, faults, labels_left, named
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

DASHBOARD = ROOT / "packaging" / "grafana" / "sternpost.json"
ALERTS = ROOT / "packaging" / "prometheus" / "alerts.yml"
GRID = 24


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exposed]:
    """The metrics of a process with a destination that works, one that is down, one that refuses, and refused input."""
    folder = tmp_path_factory.mktemp("monitoring")
    plans = {"well": Plan(), "down": Plan(status=500), "refuses": Plan(status=400)}
    sinks = {name: Sink(folder, plan, name=name).start() for name, plan in plans.items()}
    quick = {"breaker": {"people": 1000}}
    appliance = Appliance(
        folder / "appliance", {"destinations": {name: webhook(sink.url, **quick) for name, sink in sinks.items()}}
    )
    try:
        appliance.start()
        with Wire(appliance.port, WRITE_KEY) as wire:
            events = [{"type": "track", "event": "E", "userId": f"u{n}", "messageId": f"m{n}"} for n in range(20)]
            wire.post("/v1/batch", json.dumps({"batch": [*events, {"type": "?"}, 5]}).encode())
            wire.post("/v1/track", b"no JSON")
        yield until_failed(appliance)
    finally:
        appliance.close()
        for sink in sinks.values():
            sink.stop()


def until_failed(appliance: Appliance) -> Exposed:
    """Scrape until deliveries failed and were given up."""
    deadline = time.monotonic() + 30
    while True:
        with urllib.request.urlopen(f"{appliance.control_url}/metrics", timeout=10) as reply:
            families = list(text_string_to_metric_families(reply.read().decode()))
        found: dict[str, list[dict[str, str]]] = {}
        values: dict[tuple[str, str], float] = {}
        for sample in itertools.chain.from_iterable(family.samples for family in families):
            found.setdefault(sample.name, []).append(dict(sample.labels))
            values[sample.name, sample.labels.get("destination", "")] = sample.value
        enough = [
            values["deliver_failed_events_total", "down"] > 0,
            values["deliver_aborted_events_total", "refuses"] > 0,
            values["deliver_oldest_undelivered_seconds", "down"] > 1,  # it waits, and is seen to
            values["deliver_held_people", "down"] == 20,
        ]
        if all(enough):
            assert values["deliver_oldest_undelivered_seconds", "well"] == 0
            assert values["identity_lag_events", ""] == values["identity_stalled_state", ""] == 0
            assert values["wal_time_to_full_seconds", ""] > 0 and 0 < values["wal_disk_fill_ratio", ""] < 1
            return found
        assert time.monotonic() < deadline, values
        time.sleep(0.1)


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load(ALERTS.read_text())
    assert [group["name"] for group in loaded["groups"]] == ["sternpost"]
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_names_what_is_exposed_and_says_what_to_do(rule: dict[str, Any], exposed: Exposed) -> None:
    assert faults(rule["expr"], exposed) == []
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert re.fullmatch(r"Sternpost[A-Z]\w+", rule["alert"]) and re.fullmatch(r"\d+[smh]", rule.get("for", "1m"))
    text = rule["annotations"]["summary"] + rule["annotations"]["description"]
    assert len(rule["annotations"]["description"]) > 60
    assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels_left(rule["expr"], exposed)


def test_rules_cover_what_an_operator_must_be_woken_for() -> None:
    watched = {metric for rule in rules() for metric, _ in named(rule["expr"]).selectors}
    states = {
        value for rule in rules() for _, ms in named(rule["expr"]).selectors for _, _, m in ms for value in m.split("|")
    }
    assert watched >= {
        "up", "wal_disk_fill_ratio", "wal_time_to_full_seconds", "wal_log_state", "deliver_oldest_undelivered_seconds",
        "deliver_destination_state", "deliver_aborted_events_total", "collect_refused_events_total",
    }  # fmt: skip
    assert states >= {"failed", "full", "disk_full", "open", "misconfigured", "stopped"}
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_the_commands_that_rules_name_exist() -> None:
    from appliance.cli.frame import COMMANDS

    text = ALERTS.read_text()
    assert set(re.findall(r"`sternpost (\w+)", text)) <= set(COMMANDS)


def test_every_panel_names_what_is_exposed(exposed: Exposed) -> None:
    wrong = []
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            expression = target["expr"].replace("$__rate_interval", "1m")
            wrong += [f"{panel['title']}: {fault}" for fault in faults(expression, exposed)]
            for label in re.findall(r"\{\{\s*(\w+)\s*\}\}", target["legendFormat"]):
                if label not in labels_left(expression, exposed):
                    wrong.append(f"{panel['title']}: its legend names {label}")
    assert wrong == []


def test_variables_ask_for_what_is_exposed(exposed: Exposed) -> None:
    queries = [one["query"]["query"] for one in dashboard()["templating"]["list"] if one["type"] == "query"]
    assert len(queries) == 2
    for query in queries:
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert asked is not None and faults(asked[1], exposed) == []
        assert asked[2] in labels_left(asked[1], exposed)


def test_the_dashboard_is_what_grafana_reads() -> None:
    board = dashboard()
    assert re.fullmatch(r"[\w-]{1,40}", board["uid"]) and board["title"] and board["id"] is None
    assert board["schemaVersion"] >= 36 and isinstance(board["time"], dict) and board["tags"]
    variables = {one["name"]: one for one in board["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource" and variables["datasource"]["query"] == "prometheus"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids)) > 20
    for panel in board["panels"]:
        assert {"id", "type", "title", "gridPos"} <= set(panel), panel["title"]
        if panel["type"] != "row":
            sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert all(one == {"type": "prometheus", "uid": "${datasource}"} for one in sources), panel["title"]
            assert panel["description"] and panel["targets"] and "defaults" in panel["fieldConfig"]
            letters = [target["refId"] for target in panel["targets"]]
            assert len(letters) == len(set(letters))
    used = set(re.findall(r"\$\{?(\w+)", json.dumps([panel.get("targets") for panel in board["panels"]])))
    assert used <= set(variables) | {"__rate_interval"}


def test_panels_lie_on_the_grid_and_on_no_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0 and place["w"] > 0 and place["h"] > 0 and place["x"] + place["w"] <= GRID
        for cell in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        ):
            assert cell not in taken, f"{panel['title']} lies on {taken[cell]}"
            taken[cell] = panel["title"]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("wal_disk_full_ratio > 0.8", "no such metric: wal_disk_full_ratio"),
        ("rate(wal_commit_total[5m]) > 0", "no such metric: wal_commit_total"),
        ('deliver_lag_events{source="web"} > 0', "deliver_lag_events has no label source"),
        ('deliver_destination_state{state="broken"} == 1', "deliver_destination_state: state is never broken"),
        ("sum by (person) (deliver_lag_events)", "no metric has the label person"),
        ("vector(1)", "names no metric: vector(1)"),
    ],
)
def test_what_is_not_exposed_is_found(expression: str, said: str, exposed: Exposed) -> None:
    assert said in faults(expression, exposed)
    assert faults('sum by (source) (rate(collect_accepted_events_total{instance=~"x"}[5m])) > 4 * 3600', exposed) == []


def test_the_page_about_it_names_the_files() -> None:
    text = (ROOT / "docs" / "monitoring.md").read_text()
    for path in (DASHBOARD, ALERTS):
        assert str(path.relative_to(ROOT)) in text
    assert set(re.findall(r"`(Sternpost[A-Z]\w+)`", text)) == {rule["alert"] for rule in rules()}
