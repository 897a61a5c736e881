"""What every bench uses: a folder on a real disk, the process, loads, and a wait for delivery."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.measure import Memory, memory
from tests.support.appliance import ROOT, Appliance
from tests.support.ports import free_port

PYTHON = (sys.executable, "-m", "appliance")
NULL_STORE = (sys.executable, "-m", "tests.bench.null_store")


@dataclass
class Bench:
    """One run: where it works and how long it takes.

    `folder` must lie on a real disk: on a memory file system an fsync costs nothing.
    """

    folder: Path
    quick: bool
    long_s: float
    """Duration of the long benches."""

    def seconds(self, normal: float) -> float:
        """How long to load for a short bench."""
        return max(2.0, normal / 4) if self.quick else normal

    def count(self, normal: int) -> int:
        """How many events for a short bench."""
        return normal // 5 if self.quick else normal

    @contextlib.contextmanager
    def appliance(
        self,
        name: str,
        destinations: dict[str, Any] | None = None,
        *,
        command: tuple[str, ...] = PYTHON,
        tables: dict[str, Any] | None = None,
    ) -> Iterator[Appliance]:
        """The process with shipped defaults on a fresh data folder; stopped with the block."""
        config = {"destinations": destinations or {}, **(tables or {})}
        appliance = Appliance(self.folder / name, config, command=command)
        try:
            appliance.start()
            time.sleep(1.0)
            yield appliance
            appliance.stop(30.0)
        except BaseException:
            print(f"the process said:\n{appliance.tail()}", file=sys.stderr)
            raise
        finally:
            appliance.close()

    @contextlib.contextmanager
    def sink(self, name: str = "sink") -> Iterator["TimedSink"]:
        """A webhook sink that notes when what arrived; ended with the block."""
        sink = TimedSink(free_port(), self.folder / f"{name}.txt")
        process = module("sink", "--port", str(sink.port), "--record", str(sink.record))
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            yield sink
        finally:
            process.terminate()
            process.wait(10)

    def load(self, url: str, **options: Any) -> dict[str, Any]:
        """Run the loader to its end; see there for the options and what comes back."""
        return finish(self.loading(url, **options))

    def loading(self, url: str, **options: Any) -> "subprocess.Popen[str]":
        """The loader in the background."""
        arguments = [text for key, value in options.items() for text in (f"--{key}", str(value))]
        return module("loader", "--url", url, *arguments)


@dataclass
class TimedSink:
    """Where it listens and what it wrote."""

    port: int
    record: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    def arrivals(self) -> dict[str, float]:
        """First arrival in seconds, by messageId."""
        first: dict[str, float] = {}
        for line in self.record.read_text().splitlines():
            message_id, _, seconds = line.partition(" ")
            first.setdefault(message_id, float(seconds))
        return first


def module(name: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start one of the bench's own programs."""
    command = [sys.executable, "-m", f"tests.bench.{name}", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)


def finish(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Wait for a program that prints one JSON object.

    Raises:
        RuntimeError: it failed; its own words are on standard error.
    """
    text, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    decoded: dict[str, Any] = json.loads(text)
    return decoded


def wait_until(done: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Poll until `done`.

    Raises:
        TimeoutError: it was not in time.
    """
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {timeout_s:.0f} s")
        time.sleep(0.05)


def memory_of(appliance: Appliance) -> Memory:
    """Resident memory of the process now."""
    return memory(appliance.pid, appliance.data)


def percentile(values: list[float], share: float) -> float:
    """Nearest rank; 0 for no values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
