"""A new user's first minutes: what `sternpost run` prints is pasted as it stands, and every event lands in the file."""

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import installed, open_page
from tests.integration.clients.needs import require
from tests.support.appliance import ROOT, Appliance

CLIENTS = ROOT / "tests" / "integration" / "clients"
BROWSER_SDK = CLIENTS / "node_modules/@rudderstack/analytics-js/dist/npm/modern/bundled/esm/index.mjs"


@pytest.fixture
def newcomer(make_appliance: Callable[..., Appliance]) -> Appliance:
    """The process as it runs for somebody who has configured nothing (but free ports, for the test's sake)."""
    appliance = make_appliance()
    del appliance.config["sources"]
    appliance.start()
    wait_until(lambda: "Ctrl-C stops" in appliance.log(), appliance.log)
    return appliance


def wait_until(true: Callable[[], Any], otherwise: Callable[[], str], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def printed(appliance: Appliance, title: str) -> str:
    """What stands indented below a title of the banner."""
    found = re.search(rf"^{re.escape(title)}\n((?:  .*\n)+)", appliance.log(), re.MULTILINE)
    assert found, appliance.log()
    return re.sub(r"^  ", "", found[1], flags=re.MULTILINE)


def delivered(appliance: Appliance) -> list[dict[str, Any]]:
    """The events in the output file."""
    files = sorted((appliance.data / "out").glob("*.jsonl"))
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def paste(appliance: Appliance, text: str, *command: str, **environment: str) -> str:
    done = subprocess.run(
        [*command, text],
        cwd=appliance.folder,
        env={**appliance.env, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_curl_and_the_file(newcomer: Appliance) -> None:
    require(shutil.which("curl") is not None, "curl")
    assert paste(newcomer, printed(newcomer, "Send an event, in a second terminal:"), "bash", "-euc") == "ok"
    wait_until(lambda: delivered(newcomer), newcomer.log)
    shown = json.loads(paste(newcomer, printed(newcomer, "See it arrive:"), "bash", "-euc"))
    assert (shown["event"], shown["userId"], shown["type"]) == ("Order Completed", "user-1", "track")
    assert shown["messageId"] and shown["receivedAt"]
    query = printed(newcomer, "Ask the warehouse:")
    wait_until((newcomer.data / "warehouse" / "warehouse.duckdb").exists, newcomer.log)
    assert "Order Completed" in paste(newcomer, query, "bash", "-euc")
    status = printed(newcomer, "Look around:").splitlines()[0]
    destinations = paste(newcomer, status, "bash", "-euc")
    assert "files" in destinations and "warehouse" in destinations
    keys = json.loads(newcomer.sternpost("keys", "--json").stdout)
    assert [key["source"] for key in keys] == ["default"]
    assert keys[0]["write_key"] in printed(newcomer, "Send an event, in a second terminal:")
    assert newcomer.stop()[0] == 0


def test_the_warehouse_takes_memory_only_once_there_is_something_to_load(newcomer: Appliance) -> None:
    assert newcomer.process
    maps = Path(f"/proc/{newcomer.process.pid}/maps")
    wait_until(lambda: "running" in newcomer.sternpost("destinations", "list").stdout, newcomer.log)
    assert "duckdb" not in maps.read_text()
    paste(newcomer, printed(newcomer, "Send an event, in a second terminal:"), "bash", "-euc")
    wait_until(lambda: "duckdb" in maps.read_text(), newcomer.log)


def test_the_python_lines(newcomer: Appliance) -> None:
    paste(newcomer, printed(newcomer, "In Python (rudder-sdk-python):"), sys.executable, "-c")
    wait_until(lambda: delivered(newcomer), newcomer.log)
    assert [event["properties"] for event in delivered(newcomer)] == [{"total": 12.5}]


@pytest.mark.node
def test_the_node_lines(newcomer: Appliance) -> None:
    require(shutil.which("node") is not None and (CLIENTS / "node_modules").exists(), "Node.js with the npm clients")
    lines = printed(newcomer, "In Node.js (@rudderstack/rudder-sdk-node):")
    paste(newcomer, lines, "node", "-e", NODE_PATH=str(CLIENTS / "node_modules"))
    wait_until(lambda: delivered(newcomer), newcomer.log)
    assert [event["properties"] for event in delivered(newcomer)] == [{"total": 12.5}]


@pytest.mark.browser
def test_the_browser_snippet(newcomer: Appliance, tmp_path: Path) -> None:
    """With the SDK from the npm package in place of the one that the snippet loads from RudderStack's servers."""
    require(installed() is not None and BROWSER_SDK.exists(), "Chromium with the npm clients")
    snippet = printed(newcomer, "In a browser:")
    local, replaced = re.subn(
        r'<script async src="[^"]+"></script>',
        '<script type="module">import { RudderAnalytics } from "./sdk.mjs"; new RudderAnalytics();</script>',
        snippet,
    )
    assert replaced == 1
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(f"<!doctype html><title>Shop</title>{local}")
    shutil.copy(BROWSER_SDK, site / "sdk.mjs")
    with served(site) as url, open_page(url, tmp_path) as browser_log:
        wait_until(lambda: delivered(newcomer), lambda: newcomer.log() + browser_log.read_text()[-3000:])
    event = delivered(newcomer)[0]
    assert (event["type"], event["context"]["page"]["title"], event["channel"]) == ("page", "Shop", "web")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """A web server of the folder, by name, so that its origin is not the collector's."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
