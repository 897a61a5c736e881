"""The test's hand on a sink: starts and ends its process, changes its plan, reads what arrived."""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.support.appliance import ROOT
from tests.support.ports import free_port
from tests.support.sink_server import Plan

__all__ = ["Arrival", "Plan", "Sink"]


class Arrival(NamedTuple):
    """One event as it reached the sink; see `sink_server` for the fields."""

    time_s: float
    run: int
    request: int
    status: int
    person: str
    n: int
    message_id: str
    type: str
    event: str
    body: str

    @property
    def accepted(self) -> bool:
        """Whether the sink answered 2xx."""
        return 200 <= self.status < 300


class Sink:
    """A webhook receiver in a process of its own, on a fixed port; what it saw survives its end.

    Args:
        folder: where the record file goes.
        plan: how it behaves; default: it answers 200.
        bodies: whether arrivals keep the whole event.
        name: file name of the record, where a folder has several sinks.
    """

    def __init__(self, folder: Path, plan: Plan | None = None, *, bodies: bool = False, name: str = "sink") -> None:
        self.record, self.plan, self.bodies = folder / f"{name}.jsonl", plan or Plan(), bodies
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._arrivals: list[Arrival] = []
        self._offset = 0

    @property
    def url(self) -> str:
        """Where events are to be posted; append `?run=3` to mark a run."""
        return f"http://127.0.0.1:{self.port}/events"

    def start(self) -> "Sink":
        """Start it; returns once it listens."""
        assert self.process is None
        self.record.touch()
        arguments = [
            sys.executable,
            "-m",
            "tests.support.sink_server",
            "--port",
            str(self.port),
            "--record",
            str(self.record),
            "--plan",
            msgspec.json.encode(self.plan).decode(),
        ]
        self.process = subprocess.Popen(
            arguments + ["--bodies"] * self.bodies,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline() != b"listening\n":
            raise AssertionError(f"the sink did not start on port {self.port}")
        return self

    def stop(self) -> None:
        """End it: from here on connections are refused."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None

    def set_plan(self, plan: Plan) -> None:
        """Behave so from now on, after a restart too."""
        self.plan = plan
        if self.process is not None:
            body = msgspec.json.encode(plan)
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_plan", data=body, timeout=10.0):
                pass

    def arrivals(self) -> list[Arrival]:
        """Everything that arrived so far, in order of arrival."""
        with self.record.open("rb") as file:
            file.seek(self._offset)
            fresh = file.read()
        whole = fresh[: fresh.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._arrivals += [Arrival(*msgspec.json.decode(line)) for line in whole.splitlines()]
        return self._arrivals

    def accepted(self) -> list[Arrival]:
        """What arrived and was answered 2xx."""
        return [arrival for arrival in self.arrivals() if arrival.accepted]

    def wait(
        self, enough: Callable[[list[Arrival]], bool], *, timeout_s: float = 30.0, what: str = ""
    ) -> list[Arrival]:
        """Wait until `enough(arrivals)`; fails with `what` after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while not enough(self.arrivals()):
            if time.monotonic() > deadline:
                accepted = sum(arrival.accepted for arrival in self._arrivals)
                raise AssertionError(
                    f"after {timeout_s} s {what or 'not enough'}: {len(self._arrivals)} arrivals, {accepted} accepted"
                )
            time.sleep(0.05)
        return self._arrivals

    def wait_accepted(self, message_ids: set[str], *, timeout_s: float = 30.0) -> list[Arrival]:
        """Wait until each of these was accepted at least once."""

        def missing(arrivals: list[Arrival]) -> set[str]:
            return message_ids - {arrival.message_id for arrival in arrivals if arrival.accepted}

        return self.wait(
            lambda arrivals: not missing(arrivals), timeout_s=timeout_s, what=f"not all of {len(message_ids)} delivered"
        )
