"""What looking costs: an overview of a full log, a tail beside the pipeline, the console on a long list."""

import asyncio
import fcntl
import http.client
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from appliance.core.clock import SystemClock
from appliance.core.config import WalConfig
from appliance.core.event import Event, Record, pack_event
from appliance.wal.log import DeadLetter, Log
from tests.bench.corpus import Corpus
from tests.bench.figures import Figure, at_most, reported
from tests.bench.measure import Cpu
from tests.bench.stand import Bench, percentile, wait_until
from tests.support.appliance import ROOT, WRITE_KEY, Appliance

TAIL_RATE = 20_000
ROUNDS = 3
LETTERS_AT_ONCE = 2_000
ASKED = 300
DESTINATIONS = 500


def overview(bench: Bench) -> list[Figure]:
    """1,000,000 events wait for a paused destination, 100,000 dead letters lie beside them; ask for the overview."""
    events, letters = bench.count(1_000_000), bench.count(100_000)
    asyncio.run(_bury(bench.folder / "overview" / "data" / "wal", letters))
    hook = {"plugin": "webhook", "url": "http://127.0.0.1:9/", "enabled": False}
    with bench.appliance("overview", {"hook": hook}) as appliance:
        bench.load(appliance.url, events=events, batch=100)
        shown = appliance.admin("/v1/overview")
        assert shown["log"]["dead"]["count"] == letters, shown["log"]
        assert shown["destinations"][0]["lag_events"] == events, shown["destinations"]
        took_ms = list(_asked(appliance, ASKED))
    name = f"overview with {events:,} events queued and {letters:,} dead letters"
    return [
        at_most(f"{name}: p95", percentile(took_ms, 0.95), "ms", 20, f"p50 {percentile(took_ms, 0.5):.1f} ms"),
        reported(f"{name}: highest of {ASKED}", max(took_ms), "ms"),
    ]


def tail(bench: Bench) -> list[Figure]:
    """CPU of the process per event, collected and written to files, with and without somebody who watches, in turns."""
    seconds, spent = bench.seconds(12), {False: [0.0, 0], True: [0.0, 0]}
    frames = 0
    out = bench.folder / "tail-out"
    with bench.appliance("tail", {"file": {"plugin": "jsonl", "folder": str(out)}}) as appliance:
        bench.load(appliance.url, events=20_000, batch=100, seed=1_000)
        for turn in range(2 * ROUNDS):
            watched = bool(turn % 2)
            with Cpu(appliance.pid) as cpu, Watching(appliance, watched) as watching:
                events = int(TAIL_RATE * seconds)
                bench.load(appliance.url, events=events, batch=100, rate=TAIL_RATE, seed=turn)  # fresh ids
                wait_until(lambda: _drained(appliance), timeout_s=120, what="writing the files")
            spent[watched] = [spent[watched][0] + cpu.seconds, spent[watched][1] + events]
            frames += watching.frames
    alone_us, watched_us = (spent[which][0] / spent[which][1] * 1e6 for which in (False, True))
    note = f"{alone_us:.2f} us per event alone, {watched_us:.2f} us watched; {frames:,} frames shown"
    assert frames, f"the tail showed nothing: {note}"
    return [
        at_most(
            f"tail at {TAIL_RATE:,} events/s: CPU over the pipeline's own",
            (watched_us / alone_us - 1) * 100,
            "%",
            3,
            note,
        )
    ]


def console(bench: Bench) -> list[Figure]:
    """The console on a terminal of 140x45, the overview of an appliance with 500 destinations, events coming in."""
    destinations = {
        f"files{number:03}": {
            "plugin": "jsonl",
            "folder": str(bench.folder / "console-out" / str(number)),
            "sources": ["quiet"],
        }
        for number in range(DESTINATIONS)
    }
    sources = {"sources": {"web": {"write_key": WRITE_KEY}, "quiet": {"write_key": "wk_quiet"}}}
    with bench.appliance("console", destinations, tables=sources) as appliance, _console(appliance) as process:
        time.sleep(bench.seconds(10))
        loading = bench.loading(appliance.url, events=int(50 * bench.seconds(30)), rate=50, connections=4)
        with Cpu(process.pid) as cpu:
            time.sleep(bench.seconds(30))
        loading.wait(30)
        assert process.poll() is None, "the console ended"
    return [
        at_most(
            f"console, {DESTINATIONS} destinations: CPU",
            cpu.seconds / cpu.elapsed_s * 100,
            "% of a core",
            5,
            f"over {cpu.elapsed_s:.0f} s",
        )
    ]


class Watching:
    """Somebody at /v1/tail, in a thread, who counts what is shown; nobody where not `watched`."""

    def __init__(self, appliance: Appliance, watched: bool) -> None:
        self._appliance, self._watched, self.frames = appliance, watched, 0
        self._connection: http.client.HTTPConnection | None = None

    def __enter__(self) -> "Watching":
        if self._watched:
            self._connection = _connected(self._appliance)
            self._connection.request("GET", "/v1/tail?point=collected", headers=_authorized(self._appliance))
            reply = self._connection.getresponse()
            assert reply.status == 200, reply.read()
            self._thread = threading.Thread(target=self._count, args=(reply,), daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None and self._connection.sock is not None:
            self._connection.sock.shutdown(2)
            self._thread.join(10)
            self._connection.close()

    def _count(self, reply: http.client.HTTPResponse) -> None:
        try:
            for line in reply:
                self.frames += line.startswith(b"data:")
        except (OSError, http.client.HTTPException, ValueError):
            return  # The connection was shut down.


@contextmanager
def _console(appliance: Appliance) -> Iterator["subprocess.Popen[bytes]"]:
    """The console under a terminal whose output is read and thrown away."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 45, 140, 0, 0))
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    command = [sys.executable, "-m", "appliance", "tui", "--data", str(appliance.data)]
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    reader = threading.Thread(target=_discard, args=(ours,), daemon=True)
    reader.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        reader.join(10)
        os.close(ours)


def _discard(handle: int) -> None:
    try:
        while os.read(handle, 1 << 16):
            pass
    except OSError:
        return  # The other end is closed.


def _drained(appliance: Appliance) -> bool:
    destination: dict[str, Any] = appliance.admin("/v1/destinations")["destinations"][0]
    return destination["lag_events"] == 0


def _asked(appliance: Appliance, times: int) -> Iterator[float]:
    connection = _connected(appliance)
    for _ in range(times):
        began_s = time.perf_counter()
        connection.request("GET", "/v1/overview", headers=_authorized(appliance))
        reply = connection.getresponse()
        body = reply.read()
        yield (time.perf_counter() - began_s) * 1000
        assert reply.status == 200, body
    connection.close()


def _connected(appliance: Appliance) -> http.client.HTTPConnection:
    where = urlsplit(appliance.control_url)
    assert where.hostname is not None
    return http.client.HTTPConnection(where.hostname, where.port, timeout=60)


def _authorized(appliance: Appliance) -> dict[str, str]:
    return {"Authorization": f"Bearer {(appliance.data / 'admin.token').read_text().strip()}"}


async def _bury(folder: Path, letters: int) -> None:
    """Dead letters as a destination leaves them, each with its event and the original."""
    folder.parent.mkdir(parents=True)
    log = Log.open(folder, WalConfig(), SystemClock())
    log.start(asyncio.get_running_loop())
    corpus, encode = Corpus().events(), msgspec.msgpack.Encoder().encode
    for first in range(0, letters, LETTERS_AT_ONCE):
        some = [
            _letter(number, *next(corpus), encode) for number in range(first, min(first + LETTERS_AT_ONCE, letters))
        ]
        await asyncio.wrap_future(log.write(lambda transaction: transaction.bury(some)))  # noqa: B023
    await log.stop()


def _letter(number: int, message_id: str, raw: bytes, encode: Any) -> DeadLetter:
    received_ms, person = time.time_ns() // 1_000_000, f"person-{number % 1_000}"
    record = Record(number + 1, "web", received_ms, "127.0.0.1", "track", person, "", message_id, "", 0, raw)
    event = Event(
        sequence=number + 1, part=0, source="web", type="track", message_id=message_id, anonymous_id=person, user_id="",
        person_id=person, received_ms=received_ms, json=raw,
    )  # fmt: skip
    return DeadLetter(
        id=0, destination="hook", lane=person, sequence=number + 1, part=0, stage="deliver", reason="HTTP 400", kind="HTTP 400",
        sample="POST / HTTP/1.1\n\nHTTP/1.1 400 Bad Request", attempts=1, first_failed_ms=received_ms, buried_ms=0,
        event=pack_event(event), record=encode(record),
    )  # fmt: skip
