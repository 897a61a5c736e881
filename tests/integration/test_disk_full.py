"""A full disk, and a spent budget: 503 in place of an accept that cannot be kept; everything acknowledged arrives."""

import base64
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.judge import Ledger, drained, judge
from tests.support.sink import Plan, Sink
from tests.support.waiting import until
from tests.support.wire import Reply, Wire

MIB = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A mounted ext4 file system of 64 MiB; ask for it first, so that it outlives the process that runs on it."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("mounting needs root; in CI this would fail")
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(64 * MIB)
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    yield folder
    for _ in range(50):
        if subprocess.run(["umount", str(folder)], check=False, capture_output=True).returncode == 0:
            return
        time.sleep(0.1)
    subprocess.run(["umount", "-l", str(folder)], check=True)


class Filler:
    """Sends batches in order until it is told to stop; keeps the ledger.

    Args:
        repeats: what an event compresses to is its size divided by this: a block of the log then takes far less than
            the same events in a held queue.
    """

    def __init__(self, appliance: Appliance, seed: int, people: int = 10, repeats: int = 1) -> None:
        self.appliance, self.draw, self.ledger, self.n = appliance, random.Random(seed), Ledger(), 0
        self.people, self.repeats = people, repeats

    def send(self) -> Reply:
        """One batch of 20 events of 8 KiB; noted as acknowledged where the answer is 200."""
        keys, batch = [], []
        for _ in range(20):
            self.n += 1
            keys.append((f"p{self.n % self.people}", self.n))
            self.ledger.note(keys[-1], f"m{self.n}")
            noise = base64.b85encode(self.draw.randbytes(6500 // self.repeats)).decode() * self.repeats
            batch.append(
                {
                    "type": "track",
                    "event": "E",
                    "anonymousId": keys[-1][0],
                    "messageId": f"m{self.n}",
                    "properties": {"n": self.n, "noise": noise},
                }
            )
        with Wire(self.appliance.port, WRITE_KEY, timeout_s=30.0) as wire:
            reply = wire.post("/v1/batch", {"batch": batch})
        self.ledger.answers[reply.status] += 1
        if reply.status == 200:
            self.ledger.acknowledge(keys)
        return reply

    def until(self, status: int, timeout_s: float = 60.0) -> Reply:
        """Send until this status is answered."""
        deadline = time.monotonic() + timeout_s
        while (reply := self.send()).status != status:
            assert reply.status in (200, 503), reply
            assert time.monotonic() < deadline, f"no {status} within {timeout_s} s: {self.ledger.answers}"
            if reply.status == 503:
                time.sleep(0.1)
        return reply


def started_without(sink: Sink, make_appliance: Callable[..., Appliance], **wal: str) -> Appliance:
    """An appliance with a small log, whose destination, this sink, is down."""
    small = {"disk_bytes_max": "24 MiB", "ballast_bytes": "1 MiB", **wal}
    appliance = make_appliance({"wal": small, "destinations": {"hook": webhook(sink.url)}})
    sink.stop()
    appliance.start()
    return appliance


def health(appliance: Appliance) -> Reply:
    with Wire(appliance.port) as wire:
        return wire.request("GET", "/health")


def returns_and_drains(appliance: Appliance, sink: Sink, filler: Filler, figure: Callable[[str], None]) -> None:
    """The destination comes back: by itself, without a restart, all is taken and delivered again."""
    pid, began = appliance.pid, time.monotonic()
    sink.start()
    filler.until(200, timeout_s=60)
    back_s = time.monotonic() - began
    filler.until(200)
    sink.wait(drained(filler.ledger.acknowledged), timeout_s=60)
    verdict = judge(filler.ledger.entries, sink.arrivals())
    figure(
        f"{len(filler.ledger.acknowledged)} acknowledged, answers {dict(filler.ledger.answers)}, {verdict}; "
        f"200 again {back_s:.1f} s after the destination"
    )
    assert verdict.clean, str(verdict)
    assert not verdict.duplicates
    assert (appliance.pid, appliance.alive) == (pid, True)


@pytest.mark.parametrize(
    ("people", "repeats"), [(10, 1), (10, 5), (500, 1)], ids=["held", "held, larger than in the log", "breaker open"]
)
def test_a_spent_budget_answers_503_and_recovers(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
    people: int,
    repeats: int,
) -> None:
    sink = make_sink()
    appliance = started_without(sink, make_appliance)
    filler = Filler(appliance, seed, people, repeats)
    refused = filler.until(503)
    assert int(refused.headers["retry-after"]) >= 1
    assert len(filler.ledger.acknowledged) > 500, "refused before the budget was anywhere near"
    used = sum(path.stat().st_blocks * 512 for path in appliance.data.rglob("*") if path.is_file())
    assert used < 30 * MIB, f"{used} bytes on disk with a budget of 24 MiB"
    assert health(appliance).status == 200, "a full budget is a state, not a failure"
    assert "full" in health(appliance).text.lower() or "budget" in health(appliance).text.lower(), health(
        appliance
    ).text
    for _ in range(5):
        assert filler.send().status == 503
    returns_and_drains(appliance, sink, filler, figure)


def test_a_spent_budget_and_many_events_that_are_refused_for_good(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    """Dead letters take far more than the same events in the log: for want of room nothing may stand still."""
    sink = make_sink()
    appliance = started_without(sink, make_appliance)
    filler = Filler(appliance, seed, people=500, repeats=8)
    filler.until(503)
    poison = {f"m{n}" for n in range(filler.n) if n % 5 < 2}
    sink.set_plan(Plan(fail_ids=dict.fromkeys(poison, 400)))
    sink.start()
    expected = {key for key in filler.ledger.acknowledged if f"m{key[1]}" not in poison}
    sink.wait(drained(expected), timeout_s=90)
    until(lambda: not appliance.admin("/v1/overview")["destinations"][0]["lag_events"], "it stands still")
    verdict = judge(filler.ledger.entries, sink.arrivals())
    assert not verdict.inversions and not verdict.duplicates
    assert {f"m{n}" for _, n in verdict.lost} <= poison
    log = appliance.admin("/v1/overview")["log"]
    lost = len(verdict.lost)
    figure(f"{lost} refused for good, {log['dead']['count']} dead letters kept, {log['dead_evicted_total']} evicted")
    assert log["dead"]["count"] + log["dead_evicted_total"] == lost, "each became one dead letter"
    assert log["dead"]["count"] > 50
    filler.until(200)


def test_a_spent_budget_survives_a_kill(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    appliance = started_without(sink, make_appliance)
    filler = Filler(appliance, seed)
    for _ in range(10):  # What the person graph has on disk for good makes room once more, a second later.
        filler.until(503)
        time.sleep(2.0)
        if filler.send().status == 503:
            break
    appliance.kill()
    appliance.start()
    assert filler.send().status == 503
    returns_and_drains(appliance, sink, filler, figure)


@pytest.mark.parametrize("people", [10, 500], ids=["held", "breaker open"])
def test_drop_oldest_goes_on_accepting_and_says_what_it_dropped(
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    people: int,
) -> None:
    sink = make_sink()
    appliance = started_without(sink, make_appliance, on_full="drop_oldest")
    filler = Filler(appliance, seed, people)
    for _ in range(300):
        reply = filler.send()
        assert reply.status == 200, reply
    sink.start()
    newest = {key for key in filler.ledger.acknowledged if key[1] > filler.n - 300}
    sink.wait(drained(newest), timeout_s=60)
    deadline = time.monotonic() + 30
    while (hook := appliance.admin("/v1/overview")["destinations"][0])["lag_events"] and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (hook["lag_events"], hook["held_events"]) == (0, 0)
    verdict = judge(filler.ledger.entries, sink.arrivals())
    assert verdict.lost, "more was sent than the budget holds"
    assert not verdict.inversions
    assert max(n for _, n in verdict.lost) <= filler.n - 300, "what is new stays"
    assert "drop" in appliance.log().lower(), "dropping is told"


@pytest.mark.root
def test_a_full_disk_answers_503_and_recovers(
    small_disk: Path,
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    appliance = make_appliance(
        {"wal": {"disk_bytes_max": "4 GiB", "ballast_bytes": "8 MiB"}, "destinations": {"hook": webhook(sink.url)}},
        data=small_disk / "data",
    )
    sink.stop()
    appliance.start()
    filler = Filler(appliance, seed)
    refused = filler.until(503)
    assert int(refused.headers["retry-after"]) >= 1
    assert len(filler.ledger.acknowledged) > 1500, "refused long before the disk was full"
    assert appliance.alive
    assert health(appliance).status == 200
    returns_and_drains(appliance, sink, filler, figure)


@pytest.mark.root
def test_a_disk_filled_by_others_answers_503_survives_a_kill_and_recovers(
    small_disk: Path,
    make_appliance: Callable[..., Appliance],
    make_sink: Callable[..., Sink],
    seed: int,
    figure: Callable[[str], None],
) -> None:
    sink = make_sink()
    appliance = make_appliance(
        {"wal": {"disk_bytes_max": "4 GiB", "ballast_bytes": "4 MiB"}, "destinations": {"hook": webhook(sink.url)}},
        data=small_disk / "data",
    )
    sink.stop()
    appliance.start()
    filler = Filler(appliance, seed)
    for _ in range(20):
        assert filler.send().status == 200
    foreign = small_disk / "foreign"
    _fill(foreign)
    filler.until(503)
    _fill(foreign)
    appliance.kill()
    appliance.start()
    filler.until(503)  # Pages that were free in the file may still take a few.
    foreign.unlink()
    filler.until(200, timeout_s=30)
    returns_and_drains(appliance, sink, filler, figure)


def _fill(path: Path) -> None:
    """Append zeros until the file system has no block left."""
    chunk: Any = bytes(64 * 1024)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        while len(chunk) >= 512:
            try:
                os.write(file, chunk)
                os.fsync(file)
            except OSError:
                chunk = chunk[: len(chunk) // 2]
    finally:
        os.close(file)
