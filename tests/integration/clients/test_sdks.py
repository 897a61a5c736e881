"""Unmodified server SDKs send a rich scenario; all of it reaches a webhook once, in order, unchanged."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.clients import judge
from tests.integration.clients.needs import require
from tests.integration.clients.recorder import Recorder
from tests.integration.clients.stand import two_destinations, wait_for_file
from tests.support.appliance import WRITE_KEY, Appliance
from tests.support.sink import Sink

HERE = Path(__file__).parent
SCENARIO = HERE / "scenario.json"
TYPES = {"identify", "track", "page", "screen", "group", "alias"}
PYTHON, NODE = (sys.executable, str(HERE / "drive.py")), ("node", str(HERE / "drive.mjs"))


@pytest.mark.parametrize(
    ("driver", "sdk", "sequential"),
    [
        pytest.param(PYTHON, "rudderstack", True, id="rudder-sdk-python"),
        pytest.param(PYTHON, "segment", True, id="segment-analytics-python"),
        pytest.param(NODE, "rudderstack", False, id="rudder-sdk-node", marks=pytest.mark.node),
        pytest.param(NODE, "segment", False, id="segment-analytics-node", marks=pytest.mark.node),
    ],
)
def test_a_server_sdk_sends_all_of_it_once_in_order_unchanged(
    driver: tuple[str, str],
    sdk: str,
    sequential: bool,
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    tmp_path: Path,
) -> None:
    if driver is NODE:
        require(shutil.which("node") is not None, "node (Debian packages: nodejs, npm)")
        require((HERE / "node_modules").is_dir(), f"the npm clients (npm ci in {HERE.name})")
    sink: Sink = make_sink(bodies=True)
    appliance: Appliance = make_appliance({"destinations": two_destinations(sink, tmp_path / "out")})
    appliance.start()
    with Recorder("127.0.0.1", appliance.port) as recorder:
        command = [*driver, sdk, recorder.url, WRITE_KEY, str(SCENARIO)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        sent = judge.sent_events(recorder.exchanges)
    assert len(sent) == json.loads(done.stdout)["calls"] == 506
    arrivals = sink.wait_accepted({event.message_id for event in sent})
    judge.assert_arrived(sent, arrivals, TYPES)
    judge.assert_same_order(
        sent, [arrival.message_id for arrival in arrivals], wait_for_file(tmp_path / "out", len(sent))
    )
    if sequential:  # one request at a time, so the order of the calls is the order of arrival
        rapid = [event.message_id for event in sent if json.loads(event.raw).get("event") == "Rapid"]
        assert [arrival.message_id for arrival in arrivals if arrival.event == "Rapid"] == rapid
    code, _ = appliance.stop()
    assert code == 0, appliance.tail()
