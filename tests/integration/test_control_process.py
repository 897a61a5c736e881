"""The admin listener of the real process: health, readiness and metrics as its neighbours see them, TLS, its files."""

import json
import re
import ssl
import stat
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.core.metrics import check_name
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.waiting import until_enough
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]


def get(url: str, context: ssl.SSLContext | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10, context=context) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def post(appliance: Appliance, count: int) -> None:
    events = [{"type": "track", "event": "E", "userId": f"u{n}", "messageId": f"m{n}"} for n in range(count)]
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).text == "ok"


def test_a_dead_destination_is_named_and_restarts_nothing(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(status=500))
    appliance = make_appliance(
        {"destinations": {"crm": webhook(sink.url, breaker={"people": 5, "probe_min": "50ms", "probe_max": "200ms"})}}
    )
    appliance.start()
    url = appliance.control_url
    assert get(f"{url}/ready") == (200, '{"ready":true,"waiting_for":[]}')
    assert json.loads(get(f"{url}/health")[1]) == {"health": "well", "sick": []}
    post(appliance, 20)
    status, body = until_enough(lambda: get(f"{url}/ready"), lambda found: found[0] == 503)
    assert "destination crm: is down" in json.loads(body)["waiting_for"][0]
    status, body = get(f"{url}/health")
    assert status == 200 and json.loads(body)["health"] == "degraded" and "crm" in json.loads(body)["sick"][0]
    assert get(f"{appliance.url}/health")[0] == 200
    shown = appliance.sternpost("status")
    assert "what is ill" in shown.stdout and "destination crm: is down" in shown.stdout and " open " in shown.stdout
    sink.set_plan(Plan())
    until_enough(lambda: get(f"{url}/ready")[0], lambda code: code == 200)
    sink.wait_accepted({f"m{n}" for n in range(20)})
    until_enough(lambda: json.loads(get(f"{url}/health")[1])["health"], lambda health: health == "well")


def test_metrics_are_named_by_the_grammar_and_hold_no_person(
    make_appliance: MakeAppliance, make_sink: MakeSink
) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    post(appliance, 20)
    sink.wait_accepted({f"m{n}" for n in range(20)})
    look = lambda: get(f"{appliance.control_url}/metrics")[1]  # noqa: E731
    text = until_enough(look, lambda text: 'deliver_succeeded_events_total{destination="crm"} 20.0' in text)
    assert "wal_committed_events_total 20.0" in text and 'deliver_lag_events{destination="crm"} 0.0' in text
    assert "u1" not in re.findall(r'"([^"]*)"', text)
    names = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    ours = [(name, kind) for name, kind in names if not name.startswith(("process_", "python_"))]
    assert len(ours) > 30 and any(name.startswith("collect_") for name, _ in ours)
    for name, kind in ours:
        check_name(name)
        assert (kind == "counter") == name.endswith("_total"), name
    assert len(names) == len(set(names))
    before = appliance.rss_bytes()
    for _ in range(200):
        look()
    assert appliance.rss_bytes() - before < 8 << 20


def test_the_files_of_a_process_come_and_go_with_it(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    control, token = appliance.data / "control.json", appliance.data / "admin.token"
    found = json.loads(control.read_bytes())
    assert (found["url"], found["pid"]) == (appliance.control_url, appliance.pid)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    kept = token.read_text()
    appliance.stop()
    assert not control.exists()
    appliance.start()
    assert token.read_text() == kept and appliance.sternpost("status").returncode == 0
    assert kept.strip() not in appliance.log()


def test_the_admin_api_over_tls(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
         "/CN=admin.example", "-keyout", str(key), "-out", str(certificate)], capture_output=True)  # fmt: skip
    assert made.returncode == 0, made.stderr
    appliance = make_appliance({"control": {"tls": {"certificate": str(certificate), "key": str(key)}}})
    appliance.start()
    assert json.loads((appliance.data / "control.json").read_bytes())["url"].startswith("https://127.0.0.1:")
    assert appliance.json("status")["health"] == "well"
    assert appliance.json("send", "--count", "5")["sent"] == 5
    with pytest.raises((urllib.error.URLError, ConnectionError)):
        get(appliance.control_url + "/health")
    with pytest.raises(urllib.error.URLError, match="certificate"):
        get(appliance.control_url.replace("http:", "https:") + "/health", ssl.create_default_context())


def test_a_taken_admin_port_is_named_and_the_rest_runs(make_appliance: MakeAppliance) -> None:
    first, second = make_appliance(), make_appliance()
    first.start()
    second.config["control"]["listen"] = first.config["control"]["listen"]
    second.start()
    post(second, 3)
    status, body = get(f"{second.url}/health")
    assert status == 200 and "admin API" in body and f"pid {first.pid}" in body, body
    done = second.sternpost("status")
    assert done.returncode == 4 and f"process {second.pid} runs on" in done.stderr, done.stderr
    assert "its admin API does not listen" in done.stderr and f"kill -HUP {second.pid}" in done.stderr
