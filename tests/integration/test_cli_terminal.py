"""The commands on a real terminal: questions are asked and obeyed, bars are drawn, what was refused is listed."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Plan, Sink
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]


class Terminal:
    """A command under a pseudo-terminal."""

    def __init__(self, appliance: Appliance, *arguments: str) -> None:
        where = ["--config", str(appliance.config_path), "--data", str(appliance.data)]
        self._ours, theirs = pty.openpty()
        env = {**appliance.env, "TERM": "xterm-256color", "COLUMNS": "120"}
        env.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "appliance", *arguments, *where], stdin=theirs, stdout=theirs, stderr=theirs, env=env,
            cwd=appliance.folder, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.seen = ""

    def wait(self, words: str, timeout_s: float = 20.0) -> str:
        """Read until `words` are on the screen."""
        deadline = time.monotonic() + timeout_s
        while words not in self.seen:
            assert time.monotonic() < deadline, self.seen
            self._read(0.2)
        return self.seen

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def end(self, timeout_s: float = 20.0) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + timeout_s
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        self._read(0.1)
        if self.process.poll() is None:
            self.process.kill()
        code = self.process.wait()
        os.close(self._ours)
        return code

    def _read(self, wait_s: float) -> None:
        while select.select([self._ours], [], [], wait_s)[0]:
            try:
                data = os.read(self._ours, 65_536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            self.seen += data.decode(errors="replace")
            wait_s = 0.0


def test_purge_asks_with_the_count_and_does_what_is_said(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink(Plan(fail_events={"Bad": 400}))
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        events = [{"type": "track", "event": "Bad", "userId": f"u{n}", "messageId": f"m{n}"} for n in range(3)]
        wire.post("/v1/batch", json.dumps({"batch": events}).encode())
    deadline = time.monotonic() + 20
    while len(appliance.json("dead", "list")["dead"]) < 3:
        assert time.monotonic() < deadline
    for answer, code, left in (("n\n", 1, 3), ("\n", 1, 3), ("yes\n", 0, 0)):
        terminal = Terminal(appliance, "dead", "purge", "code:400")
        terminal.wait("Delete 3 dead letters for good, of 3 people at 1 destination; the oldest was given up ")
        terminal.type(answer)
        assert terminal.end() == code, terminal.seen
        assert ("nothing was done" in terminal.seen) is (code == 1)
        assert len(appliance.json("dead", "list")["dead"]) == left


def test_send_draws_a_bar_and_status_is_coloured(make_appliance: MakeAppliance, make_sink: MakeSink) -> None:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    terminal = Terminal(appliance, "send", "--count", "60", "--rate", "60")
    terminal.wait("/60")
    assert terminal.end() == 0
    assert "━" in terminal.seen and "60 events acknowledged" in terminal.seen and "per s" in terminal.seen
    terminal = Terminal(appliance, "status")
    assert terminal.end() == 0
    assert "\x1b[32mrunning\x1b[0m" in terminal.seen
    plain = [re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", line) for line in terminal.seen.splitlines()]
    header = next(line for line in plain if line.startswith("DESTINATION"))
    row = next(line for line in plain if line.startswith("crm"))
    assert row[header.index("STATE") :].startswith("running") and row[header.index("WAITING") :].startswith("0")


def test_watch_refreshes_until_ctrl_c(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    terminal = Terminal(appliance, "status", "--watch")
    deadline = time.monotonic() + 20
    while terminal.seen.count("\x1b[H\x1b[2J") < 3:
        assert time.monotonic() < deadline, terminal.seen
        terminal._read(0.2)
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    assert "Traceback" not in terminal.seen


def test_refused_input_is_listed_harmless(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", b'{"batch": [{"type":"track","event":"no id \x1b[31m"}, 7]}').status in (200, 400)
        assert wire.post("/v1/track", b"\x1b]0;title\x07 not json").status == 400
    deadline = time.monotonic() + 20
    while not (found := appliance.json("wal", "refused")["refused"]):
        assert time.monotonic() < deadline
    assert found[0]["source"] == "web" and all(one["reason"] for one in found)
    shown = appliance.sternpost("wal", "refused")
    assert shown.returncode == 0 and "\x1b" not in shown.stdout and "\x07" not in shown.stdout
    assert len(appliance.json("wal", "refused", "--after", str(found[-1]["id"]))["refused"]) == 0
