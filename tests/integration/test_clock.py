"""A clock that jumps by a year, forth and back, while running and between two runs: nothing expires, nothing is lost."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_interleavings import Sender, dead_ids
from tests.support.appliance import Appliance, webhook
from tests.support.judge import judge
from tests.support.sink import Plan, Sink

YEAR_S = 365 * 86_400
FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


class JumpingClock:
    """Starts an appliance whose wall clock follows a file."""

    def __init__(self, how: str, folder: Path) -> None:
        self.how, self.file = how, folder / "jump"
        self.jump(0)

    def jump(self, seconds: int) -> None:
        """Wall time is off by so many seconds from here on; monotonic time goes on as it did."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}" if self.how == "libfaketime" else str(seconds))
        fresh.replace(self.file)
        time.sleep(0.3)

    def arguments(self) -> dict[str, Any]:
        """What `make_appliance` takes to run under this clock."""
        if self.how == "libfaketime":
            return {
                "env": {
                    "LD_PRELOAD": str(FAKETIME),
                    "FAKETIME_TIMESTAMP_FILE": str(self.file),
                    "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                }
            }
        command = [sys.executable, str(Path(__file__).with_name("jump_clock.py"))]
        return {"command": command, "env": {"JUMP_FILE": str(self.file)}}


@pytest.fixture(params=["patched", "libfaketime"])
def clock(request: pytest.FixtureRequest, tmp_path: Path) -> JumpingClock:
    if request.param == "libfaketime" and FAKETIME is None and not os.environ.get("CI"):
        pytest.skip("libfaketime is not installed (Debian: apt install faketime)")
    assert request.param == "patched" or FAKETIME, "in CI nothing is left out"
    return JumpingClock(request.param, tmp_path)


@pytest.mark.parametrize("jump_s", [YEAR_S, -YEAR_S])
@pytest.mark.parametrize("restart", [False, True], ids=["while running", "across a kill"])
def test_a_jump_of_a_year_expires_nothing(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    clock: JumpingClock,
    jump_s: int,
    restart: bool,
) -> None:
    sink = make_sink(Plan(fail_ids={"p0:0": 400}), bodies=True)
    ages = {"retry": {"delay_min": "50ms", "delay_max": "300ms", "age_max": "1h"}}
    appliance = make_appliance({"destinations": {"hook": webhook(sink.url) | ages}}, **clock.arguments())
    appliance.start()
    sender = Sender(appliance)
    people = [f"p{number}" for number in range(30)]
    sender.send((person, 0) for person in people)
    sink.wait_accepted({f"{person}:0" for person in people[1:]})
    sink.set_plan(Plan(error=1.0))
    sender.send((person, n) for n in (1, 2) for person in people[:5])
    sink.wait(lambda arrivals: sum(a.status == 500 for a in arrivals) > 10, timeout_s=10)
    sink.stop()
    sender.send((person, n) for n in (3, 4) for person in people)
    assert dead_ids(appliance) == ["p0:0"]
    clock.jump(jump_s)
    if restart:
        appliance.kill()
        appliance.start()
    sender.send((person, 5) for person in people)
    time.sleep(3.0)
    if restart:
        appliance.kill()
        appliance.start()
    assert dead_ids(appliance) == ["p0:0"], "dead letters neither expire nor grow"
    sender.send(("p1", n) for n in (3, 4))
    sink.set_plan(Plan())
    sink.start()
    sink.wait(lambda arrivals: len(judge(sender.ledger.entries, arrivals).lost) == 1, timeout_s=40)
    time.sleep(0.5)
    verdict = judge(sender.ledger.entries, sink.arrivals())
    assert verdict.lost == [("p0", 0)]
    assert not (verdict.inversions or verdict.repeated or verdict.changed_ids), str(verdict)
    last = next(a.body for a in sink.accepted() if a.message_id == "p1:5")
    year = time.gmtime(time.time() + jump_s).tm_year
    assert f'"receivedAt":"{year}' in last.replace(" ", ""), "the clock did not jump: the test would prove nothing"
    assert dead_ids(appliance) == ["p0:0"]
