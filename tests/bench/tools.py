"""The reference tools, from Debian packages: nginx answering a static 200, and wrk."""

import base64
import contextlib
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench.corpus import Corpus
from tests.support.appliance import WRITE_KEY
from tests.support.ports import free_port

HERE = Path(__file__).parent
AUTHORIZATION = "Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode()

NGINX_CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600s;
  client_body_buffer_size 1m; client_max_body_size 0; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ default_type text/plain; return 200 "ok"; }}
    location = /count {{ stub_status; }}
  }}
}}
"""


class MissingTool(Exception):
    """A Debian package that the bench needs is not installed; the text names it."""


class Nginx(NamedTuple):
    """A running nginx, one process, answering 200 `ok` to everything."""

    pid: int
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def requests(self) -> int:
        """Requests answered so far, this one included."""
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as reply:
            text = reply.read().decode()
        return int(text.split("\n")[2].split()[2])


@contextlib.contextmanager
def nginx(folder: Path) -> Iterator[Nginx]:
    """Run nginx inside the block."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if not program:
        raise MissingTool("nginx is not installed (Debian package: nginx-light or nginx)")
    home = folder / "nginx"
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = home / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=home, port=port))
    process = subprocess.Popen([program, "-p", str(home), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        server = Nginx(process.pid, port)
        for _ in range(200):
            with contextlib.suppress(OSError):
                server.requests()
                break
            time.sleep(0.02)
        yield server
    finally:
        process.terminate()
        process.wait(10)


class Load(NamedTuple):
    """What wrk did."""

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float


def wrk(url: str, script: Path, *, seconds: float, connections: int) -> Load:
    """Run wrk with one thread and the script for `seconds`.

    Raises:
        MissingTool: wrk is not installed.
    """
    with wrk_running(url, script, seconds=seconds, connections=connections) as process:
        text, _ = process.communicate()
    return parse_wrk(text)


@contextlib.contextmanager
def wrk_running(url: str, script: Path, *, seconds: float, connections: int) -> Iterator["subprocess.Popen[str]"]:
    """wrk in the background; ended with the block."""
    program = shutil.which("wrk")
    if not program:
        raise MissingTool("wrk is not installed (Debian package: wrk)")
    command = [
        program,
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "--timeout",
        "30s",
        "-s",
        str(script),
        url,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(40)


def parse_wrk(text: str) -> Load:
    """Read wrk's report."""
    done = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s|m)", text)
    assert done, text
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad = (int(failed[1]) if failed else 0) + (sum(int(count) for count in errors.groups()) if errors else 0)
    return Load(int(done[1]), bad, float(done[2]) * _SECONDS[done[3]], _percentile(text, "50"), _percentile(text, "99"))


_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def _percentile(text: str, percent: str) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s|m)\b", text)
    return float(found[1]) * _SECONDS[found[2]] * 1000 if found else 0.0


def lua(folder: Path, *, batch: int = 0, people: int = 1_000) -> Path:
    """Write a wrk script that posts corpus events with fresh random ids; `batch` events a request, 0: single posts."""
    corpus = Corpus(people)
    rows = ",\n".join(f"{{{_lua(t.head)},{_lua(t.middle)},{_lua(t.tail)}}}" for t in corpus.templates)
    path = folder / f"post{batch}.lua"
    path.write_text(
        f"local authorization = {_lua(AUTHORIZATION.encode())}\nlocal size = {batch}\n"
        f"local people = {{{','.join(_lua(person.encode()) for person in corpus.people)}}}\n"
        f"local templates = {{\n{rows}\n}}\n" + (HERE / "post.lua").read_text(encoding="utf-8"),
        encoding="utf-8",
    )
    return path


def _lua(text: bytes) -> str:
    assert b"]==]" not in text
    return f"[==[{text.decode()}]==]"
