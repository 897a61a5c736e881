"""The real process: started on free ports in a folder of its own, killed by pid, started again on the same data."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from appliance.control.routes import ROUTES
from tests.support import toml
from tests.support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
WRITE_KEY = "wk_proof"
CONTROL_WAIT_S = 5.0


def webhook(url: str, **keys: Any) -> dict[str, Any]:
    """A webhook destination that retries quickly; `keys` are added or replaced."""
    return {
        "plugin": "webhook",
        "url": url,
        "timeout": "2s",
        "retry": {"delay_min": "50ms", "delay_max": "500ms"},
        "breaker": {"probe_min": "50ms", "probe_max": "500ms"},
        **keys,
    }


class Appliance:
    """One data folder and the process that runs on it, one at a time.

    Args:
        folder: an empty folder for the configuration, the data and the logs.
        config: tables of `sternpost.toml` as nested dicts; `collect.listen` and `control.listen` get free ports and
            `sources.web` the key WRITE_KEY where they are not given. Change `config` and call `write_config` at will.
        data: the data folder; default: `folder/data`.
        command: what runs the product; default `python -m appliance`.
        env: further environment variables.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any] | None = None,
        *,
        data: Path | None = None,
        command: Sequence[str] = (sys.executable, "-m", "appliance"),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self.command = folder, list(command)
        self.data = data or folder / "data"
        self.config_path = folder / "sternpost.toml"
        self.log_path = folder / "appliance.log"
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(env or {})}
        self.config: dict[str, Any] = {"sources": {"web": {"write_key": WRITE_KEY}}, **(config or {})}
        self.port, self.control_port = free_port(), free_port()
        self.config["collect"] = {"listen": f"127.0.0.1:{self.port}", **self.config.get("collect", {})}
        self.config["control"] = {"listen": f"127.0.0.1:{self.control_port}", **self.config.get("control", {})}
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self._log_file: IO[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def control_url(self) -> str:
        return f"http://127.0.0.1:{self.control_port}"

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def write_config(self) -> None:
        """Write `self.config` to the file; a running process notices at `reload`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(toml.dumps(self.config))

    def start(self, *, ready_timeout_s: float = 20.0) -> float:
        """Write the configuration, start the process and wait until it is healthy; returns the seconds it took.

        The admin API, which listens last and may not be able to, gets a moment more.
        """
        self.spawn()
        took_s = self.wait_ready(ready_timeout_s)
        deadline = time.monotonic() + CONTROL_WAIT_S
        while self.alive and not self._controlled() and time.monotonic() < deadline:
            time.sleep(0.02)
        return took_s

    def _controlled(self) -> bool:
        """Whether the admin API listens; it comes last."""
        try:
            control: dict[str, Any] = json.loads((self.data / "control.json").read_text())
        except FileNotFoundError:
            return False
        return bool(control["pid"] == self.pid)

    def spawn(self) -> None:
        """Start the process without waiting for it."""
        assert not self.alive, "already running"
        self.write_config()
        self._log_file = self._log_file or self.log_path.open("ab", buffering=0)
        arguments = [*self.command, "run", "--config", str(self.config_path), "--data", str(self.data)]
        self.started_s = time.monotonic()
        self.process = subprocess.Popen(
            arguments,
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=self._log_file,
        )
        self.starts += 1

    def wait_ready(self, timeout_s: float = 20.0) -> float:
        """Wait until `/health` answers 200; returns the seconds since the start."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.alive:
                raise AssertionError(
                    f"the process ended with {self.process and self.process.returncode}:\n{self.tail()}"
                )
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=2.0) as reply:
                    if reply.status == 200:
                        return time.monotonic() - self.started_s
            except (OSError, urllib.error.URLError):
                pass
            time.sleep(0.02)
        raise AssertionError(f"not healthy within {timeout_s} s:\n{self.tail()}")

    def kill(self) -> None:
        """SIGKILL, as the kernel's out-of-memory killer would; returns once the process is gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = 15.0) -> tuple[int, float]:
        """SIGTERM; returns the exit code and the seconds it took. Fails where it takes longer than `timeout_s`."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not stop within {timeout_s} s of SIGTERM:\n{self.tail()}") from None
        return code, time.monotonic() - began

    def reload(self) -> None:
        """SIGHUP: the process reads its configuration again."""
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def close(self) -> None:
        """End what still runs; for fixtures."""
        if self.alive:
            self.kill()
        if self._log_file is not None:
            self._log_file.close()
            self._log_file = None

    def log(self) -> str:
        """All that the processes of this folder said."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log().splitlines()[-lines:])

    def rss_bytes(self) -> int:
        """Resident memory of the process without the pages of mapped files (the log's map is the page cache's)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        fields = dict(line.split(":", 1) for line in status.splitlines())
        return int(fields["RssAnon"].split()[0]) * 1024

    def sternpost(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line on this configuration and data folder."""
        where = ["--config", str(self.config_path), "--data", str(self.data)]
        return subprocess.run(
            [sys.executable, "-m", "appliance", *arguments, *where],
            cwd=self.folder,
            env=self.env,
            text=True,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )

    def admin(self, path: str, body: Any = None) -> Any:
        """What the admin API answers: GET, or POST where there is a body. Right after a start it may not listen yet."""
        request = urllib.request.Request(self.control_url + path, None if body is None else json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        request.add_header("Idempotency-Key", secrets.token_hex(8))
        deadline = time.monotonic() + 10.0
        while True:
            try:
                token = (self.data / "admin.token").read_text().strip()
                request.add_header("Authorization", f"Bearer {token}")
                with urllib.request.urlopen(request, timeout=30.0) as reply:
                    return json.loads(reply.read())
            except (FileNotFoundError, urllib.error.URLError) as error:
                if isinstance(error, urllib.error.HTTPError) or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def audited(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """What was done, and what was only looked at, by the audit trail."""
        lines = [json.loads(line) for line in (self.data / "audit.jsonl").read_text().splitlines()]
        looks = {route.noted.what for route in ROUTES if route.noted}
        done = [line for line in lines if line["what"] not in looks]
        return done, [line for line in lines if line["what"] in looks]

    def json(self, *arguments: str) -> Any:
        """What a command of the command line prints with `--json`."""
        done = self.sternpost(*arguments, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)
