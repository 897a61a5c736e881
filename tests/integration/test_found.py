"""What a newcomer types first: the process is found or it is said why not, files are found, nothing surprises."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.integration.test_cli_terminal import Terminal
from tests.support.appliance import ROOT, WRITE_KEY, Appliance, webhook
from tests.support.sink import Sink
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]
GONE_PID = 2**22 - 1


def sternpost(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a folder, with nothing but what is typed."""
    return subprocess.run(
        [sys.executable, "-m", "appliance", *arguments], cwd=folder, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


@pytest.mark.parametrize("command", ["status", "tui"])
@pytest.mark.parametrize(
    ("left", "said", "step"),
    [
        (None, "it has no control.json", "sternpost run"),
        ("{", "control.json is damaged", "restart the process"),
        ({"url": "http://127.0.0.1:9", "pid": GONE_PID}, f"was left by process {GONE_PID}", "nothing that was"),
        ({"url": "http://127.0.0.1:9", "pid": os.getpid()}, "is stale: nothing listens at http://127.0.0.1:9", "run"),
    ],
)
def test_why_no_process_is_found(tmp_path: Path, command: str, left: object, said: str, step: str) -> None:
    (tmp_path / "data").mkdir()
    if left is not None:
        (tmp_path / "data" / "control.json").write_text(left if isinstance(left, str) else json.dumps(left))
    done = sternpost(tmp_path, command, "--data", "data")
    assert done.returncode == 4, done.stderr
    assert "no process is running on data" in done.stderr and said in done.stderr
    assert step in done.stderr.partition("next:")[2], done.stderr


def test_a_folder_that_cannot_be_read_is_not_called_empty(tmp_path: Path) -> None:
    (tmp_path / "data" / "control.json").mkdir(parents=True)  # whoever runs the tests may read every file
    done = sternpost(tmp_path, "status", "--data", "data")
    assert done.returncode == 1 and "data/control.json cannot be read: Is a directory" in done.stderr
    assert "run this as the user who runs the process" in done.stderr


def test_keys_and_add_take_the_file_of_the_running_process(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    appliance = make_appliance()
    appliance.start()
    (tmp_path / "sternpost.toml").write_text('[sources.other]\nwrite_key = "wk_of_this_folder"\n')
    where = ("--data", str(appliance.data))
    keys = json.loads(sternpost(tmp_path, "keys", "--json", *where).stdout)
    assert [(one["source"], one["write_key"]) for one in keys] == [("web", WRITE_KEY)]
    named = sternpost(tmp_path, "keys", "--json", *where, "--config", "sternpost.toml")
    assert json.loads(named.stdout)[0]["write_key"] == "wk_of_this_folder", "--config goes before"
    added = sternpost(tmp_path, "destinations", "add", "crm", "--plugin", "jsonl", "folder=out", *where)
    assert added.returncode == 0 and f"added to {appliance.config_path}" in added.stdout, added.stderr
    assert appliance.json("destinations", "list")[0]["name"] == "crm"
    again = sternpost(tmp_path, "destinations", "add", "crm", "--plugin", "jsonl", "folder=out", *where)
    assert again.returncode == 2 and f"destination crm stands in {appliance.config_path} already" in again.stderr
    assert "crm" not in (tmp_path / "sternpost.toml").read_text()
    appliance.stop()
    assert "wk_of_this_folder" in sternpost(tmp_path, "keys", *where).stdout


class _Busy(BaseHTTPRequestHandler):
    answers = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).answers += 1
        busy = self.answers <= 3
        self.send_response(503 if busy else 200)
        if busy:
            self.send_header("Retry-After", "0")
        body = b"the log is \x1b[31mfull" if busy else b"ok"
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_send_says_once_why_it_waits(tmp_path: Path) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Busy)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    try:
        done = sternpost(tmp_path, "send", "--url", url, "--key", "k", "--count", "2", "--connections", "1", "--json")
    finally:
        server.shutdown()
        server.server_close()
    assert json.loads(done.stdout)["waits"] == 3 and json.loads(done.stdout)["sent"] == 2
    lines = [line for line in done.stderr.splitlines() if line.startswith("waiting: ")]
    assert lines == [
        f"waiting: {url} answered HTTP 503: the log is \\x1b[31mfull, Retry-After 0 s; nothing is lost, it is sent again"
    ]


def test_the_first_file_works_under_the_unit(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    """The unit lets the process write below its state folder and nowhere else."""
    from appliance.cli.frame import DEFAULT_DATA
    from appliance.cli.init import template

    unit = (ROOT / "packaging" / "systemd" / "sternpost.service").read_text()
    config, data = re.search(r"--config (\S+) --data (\S+)", unit)[1], re.search(r"--data (\S+)", unit)[1]  # type: ignore[index]
    assert (
        "ProtectSystem=strict" in unit
        and f"StateDirectory={Path(data).name}\n" in unit
        and "ReadWritePaths" not in unit
    )
    folder = re.search(r'^folder = "(.*?)"', template(Path(config), DEFAULT_DATA, "wk_x"), re.MULTILINE)
    assert folder is not None and Path(folder[1]).is_relative_to(data)

    appliance = make_appliance()
    appliance.folder = tmp_path / "etc"
    appliance.folder.mkdir()
    appliance.log_path = tmp_path / "appliance.log"
    appliance.config_path = appliance.folder / "sternpost.toml"
    made = sternpost(tmp_path, "init", "--config", str(appliance.config_path), "--data", str(appliance.data))
    assert made.returncode == 0, made.stderr
    text = appliance.config_path.read_text().replace("127.0.0.1:8080", f"127.0.0.1:{appliance.port}")
    appliance.write_config = lambda: None  # type: ignore[method-assign]  # the file is that of `init`
    appliance.config_path.write_text(text.replace("127.0.0.1:8081", f"127.0.0.1:{appliance.control_port}"))
    assert appliance.sternpost("check").returncode == 0
    appliance.start()
    assert appliance.sternpost("send", "--count", "3").returncode == 0
    deadline = time.monotonic() + 20
    while not list((appliance.data / "out").glob("**/*.jsonl")):
        assert time.monotonic() < deadline, appliance.tail()
        time.sleep(0.05)
    assert [one.name for one in appliance.folder.iterdir()] == ["sternpost.toml"], "nothing was made beside the file"


def test_the_first_file_in_the_folder_one_stands_in_is_short(tmp_path: Path) -> None:
    assert sternpost(tmp_path, "init").returncode == 0
    assert 'folder = "sternpost-data/out"' in (tmp_path / "sternpost.toml").read_text()


@pytest.fixture
def crm(make_appliance: MakeAppliance, make_sink: MakeSink) -> tuple[Appliance, Sink]:
    sink = make_sink()
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    with Wire(appliance.port, WRITE_KEY) as wire:
        for n in range(3):
            event = {"type": "track", "event": "E", "userId": "u", "messageId": f"m{n}"}
            assert wire.post("/v1/track", event).status == 200
    sink.wait_accepted({"m0", "m1", "m2"})
    return appliance, sink


def test_a_replay_asks_with_its_size_and_takes_the_next_name(crm: tuple[Appliance, Sink]) -> None:
    appliance, sink = crm
    words = ("replay", "--destination", "crm", "--from", "1h", "--event", "E")
    alone = appliance.sternpost(*words)
    assert alone.returncode == 2 and "Deliver at most 3 events, received from" in alone.stderr, alone.stderr
    assert "Nothing was done." in alone.stderr and "repeat with --yes" in alone.stderr
    terminal = Terminal(appliance, *words)
    terminal.wait("only those that match --event E are sent. What is sent cannot be called back. [y/N] ")
    terminal.type("n\n")
    assert terminal.end() == 1 and "nothing was done" in terminal.seen
    assert len(sink.arrivals()) == 3 and appliance.json("replay", "list") == []
    names = [appliance.json(*words, "--yes", "--wait")["replay"] for _ in range(2)]
    assert names == ["crm#1", "crm#2"], "the first had ended"
    empty = appliance.sternpost("replay", "--destination", "crm", "--from", "3h", "--to", "2h", "--yes")
    assert empty.returncode == 1 and "holds no event of that time" in empty.stderr


def test_a_shell_is_offered_names(crm: tuple[Appliance, Sink], tmp_path: Path) -> None:
    appliance, _ = crm
    command = tmp_path / "sternpost"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m appliance "$@"\n')
    command.chmod(0o755)
    (tmp_path / "script").write_text(appliance.sternpost("completion", "bash").stdout)
    for line, offered in (
        (["destinations", "show", "c"], ["crm"]),
        (["pause", ""], ["crm", "web"]),
        (["sources", "rotate-key", "w"], ["web"]),
        (["replay", "--destination", ""], ["crm"]),
        (["destinations", "show", "zz"], []),
    ):
        words = " ".join(f"'{word}'" for word in ["sternpost", "--data", str(appliance.data), *line])
        script = (
            f"source ./script; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
            "$(complete -p sternpost | sed -E 's/.*-F ([^ ]+).*/\\1/'); printf '%s\\n' \"${COMPREPLY[@]}\""
        )
        got = subprocess.run(
            ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        )  # fmt: skip
        names = [one for one in got.stdout.split() if not one.startswith("-")]
        assert names == offered, (line, got.stdout, got.stderr)
    assert sternpost(tmp_path, "completion", "destinations", "--data", "nothing").stdout.strip() == ""


def test_browsers_ask_for_an_icon_in_vain_and_without_a_token(crm: tuple[Appliance, Sink]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", crm[0].control_port, timeout=10)
    connection.request("GET", "/favicon.ico")
    assert connection.getresponse().status == 204
    connection.close()


def test_a_key_of_the_file_is_not_ours_to_rotate_and_the_trail_says_its_order(crm: tuple[Appliance, Sink]) -> None:
    appliance, _ = crm
    line = appliance.config_path.read_text().splitlines().index(f'write_key = "{WRITE_KEY}"') + 1
    refused = appliance.sternpost("sources", "rotate-key", "web")
    assert refused.returncode == 1, "it is said before anybody is asked"
    assert f"stands in {appliance.config_path}:{line}; nothing has changed" in refused.stderr
    for command in ("pause", "resume"):
        assert appliance.sternpost(command, "crm").returncode == 0
    shown = appliance.sternpost("audit").stdout.splitlines()
    assert "destination.resume" in shown[1] and "destination.pause" in shown[2]
    assert shown[-1] == "2 entries, the newest first"
