"""The OpenAPI document against the real process with events, held people, dead letters and refused input in it."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.control.routes import ROUTES, statuses_of
from tests.support.appliance import ROOT, WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

HOSTILE = [
    "\x1b[31mred\x1b[0m\x07",
    "[red]bold[/red] [link=file:///etc/passwd]x[/link]",
    "\u202egnp.exe\u2066\u200f",
    "nul\x00byte",
    "\ud800 alone",
    "\U0001f6d2 \u0000\u2028\u2029",
    "'; DROP TABLE events; --",
    "<script>alert(1)</script>",
    "line\r\nbreak\ttab",
]
LOOKING = "a-token-of-a-viewer-without-payloads"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "ignored_auth",
)


@pytest.fixture
def furnished(make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]) -> Appliance:
    """A running appliance with something in every list, hostile names included."""
    sink = make_sink(Plan(fail_events={"Bad": 400, "Stuck": 500}))
    retry = {"delay_min": "600s", "delay_max": "600s"}
    looking = {"token": "env:T_LOOKING"}
    appliance = make_appliance(
        {
            "destinations": {"crm": webhook(sink.url, retry=retry), "off": webhook(sink.url, enabled=False)},
            "control": {"tokens": {"looking": looking}},
        },
        env={"T_LOOKING": LOOKING},
    )
    appliance.start()
    events: list[dict[str, Any]] = [
        {"type": "track", "event": name, "userId": f"{name} {number}", "messageId": f"{name}-{number}"}
        for number, name in enumerate([*HOSTILE, "Bad", "Bad", "Stuck", "Stuck"])
    ]
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": [*events, {"event": "no id"}]}).encode()).text == "ok"
        assert wire.post("/v1/track", b"{broken").status == 400
    deadline = time.monotonic() + 20
    while True:
        seen = appliance.admin("/v1/overview")
        crm = seen["destinations"][0]
        if crm["delivered_total"] >= len(HOSTILE) and crm["held_people"] == 2 and seen["dead_total"] == 2:
            return appliance
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


@pytest.mark.parametrize(("role", "examples"), [("admin", "10"), ("viewer", "1")])
def test_the_document_holds_what_the_process_does(
    furnished: Appliance, tmp_path: Path, role: str, examples: str
) -> None:
    token = LOOKING if role == "viewer" else (furnished.data / "admin.token").read_text().strip()
    command = [
        str(ROOT / ".venv" / "bin" / "schemathesis"), "run", f"{furnished.control_url}/openapi.json",
        "--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing",
        "--exclude-path", "/v1/tail", "--max-examples", examples, "--seed", "7", "--no-color", "--warnings", "off",
        "--generation-database", "none", "--request-timeout", "10", "--continue-on-failure",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert furnished.alive and "request_failed" not in furnished.log()


def test_the_tail_answers_as_the_document_says(furnished: Appliance) -> None:
    """Left out above, since it never ends."""
    tail = next(route for route in ROUTES if route.path == "/v1/tail")
    token = (furnished.data / "admin.token").read_text().strip()
    for query, status in (
        ("", 200),
        ("?point=processed&query=type:track", 200),
        ("?point=x", 400),
        ("?query=a:b", 400),
    ):
        request = urllib.request.Request(f"{furnished.control_url}/v1/tail{query}")
        request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:
                assert (reply.status, reply.headers["Content-Type"]) == (status, tail.content)
        except urllib.error.HTTPError as error:
            assert error.code == status in statuses_of(tail) and json.load(error)["error"]["code"] == "invalid"
