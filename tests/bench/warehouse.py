"""What loading costs: from the log into DuckDB and PostgreSQL, and what the collector's clients notice of it."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from appliance.core.loads import csv_of
from tests.bench.figures import Figure, at_least, at_most, reported
from tests.bench.measure import MIB, Cpu
from tests.bench.stand import Bench, memory_of, percentile, wait_until
from tests.support.appliance import Appliance
from tests.support.postgres import PostgresServer

EVENTS = 300_000
COLUMNS = 20
RATE = 1_000
CONNECTIONS = 64
TIMEOUT_S = 600.0


def embedded(bench: Bench) -> list[Figure]:
    """The log is filled while the warehouse is disabled; then it drains into a DuckDB file."""
    events = bench.count(EVENTS)
    duck = {"plugin": "duckdb", "path": str(bench.folder / "duck" / "events.duckdb"), "start": "oldest"}
    drained = _drain(bench, "duck", duck, events)
    name = f"DuckDB, {events:,} events of {COLUMNS} columns"
    return [
        at_least(f"{name}: loaded from the log", events / drained["seconds"], "1/s", 30_000, drained["words"]),
        reported(f"{name}: CPU of the process per event", drained["cpu_s"] / events * 1e6, "us"),
        at_most(f"{name}: resident memory at the highest", drained["peak_bytes"] / MIB, "MiB", 400),
    ]


def server(bench: Bench) -> list[Figure]:
    """The same into PostgreSQL on the same machine, against a bare COPY of the same rows."""
    events = bench.count(EVENTS)
    with _postgres() as server:
        database = server.database()
        drained = _drain(bench, "postgres", _destination(server, database), events, server)
        bare_s, rows = _bare_copy(server, database)
    name = f"PostgreSQL, {events:,} events of {COLUMNS} columns"
    rate, bare = events / drained["seconds"], rows / bare_s
    return [
        at_least(f"{name}: loaded from the log", rate, "1/s", 12_000, drained["words"]),
        reported(f"{name}: CPU of the process per event", drained["cpu_s"] / events * 1e6, "us"),
        reported(f"{name}: CPU of the server per event", drained["server_cpu_s"] / events * 1e6, "us"),
        at_least(
            f"{name}: rows per second in loads against a bare COPY of them",
            drained["rows"] / drained["load_s"] / bare,
            "x",
            0.45,
            f"{drained['rows'] / drained['load_s']:,.0f}/s against {bare:,.0f}/s",
        ),
    ]


def beside(bench: Bench) -> list[Figure]:
    """What clients wait for at a fixed rate, without a warehouse and while one drains a backlog."""
    seconds, backlog = bench.seconds(30), bench.count(1_000_000)
    duck = {"plugin": "duckdb", "path": str(bench.folder / "beside" / "e.duckdb"), "start": "oldest", "enabled": False}
    with bench.appliance("beside", {"duck": duck}) as appliance:
        bench.load(appliance.url, events=backlog, batch=100, narrow=1)
        without = _waits(bench, appliance, seconds, 1)
        duck["enabled"] = True
        appliance.write_config()
        appliance.reload()
        wait_until(lambda: _status(appliance, "duck")["load"]["loads_total"] > 0, timeout_s=30, what="a first load")
        ours = _waits(bench, appliance, seconds, 2)
        still = _status(appliance, "duck")["lag_events"]
    words = f"p99 {percentile(ours, 0.99):.2f} ms against {percentile(without, 0.99):.2f} ms, p50 {percentile(ours, 0.5):.2f} against {percentile(without, 0.5):.2f}"
    words += f"; {still:,} events were still waiting at the end" if still else "; IT HAD DRAINED BEFORE THE END"
    more = (percentile(ours, 0.99) / percentile(without, 0.99) - 1) * 100
    return [at_most(f"{RATE:,} single posts/s: collector's p99 while a load runs", more, "%", 50, words)]


def _drain(
    bench: Bench, name: str, destination: dict[str, Any], events: int, server: PostgresServer | None = None
) -> dict[str, Any]:
    destination["enabled"] = False
    with bench.appliance(name, {name: destination}) as appliance:
        bench.load(appliance.url, events=events, batch=100, narrow=1)
        destination["enabled"] = True
        appliance.write_config()
        before_s = server.cpu_s() if server else 0.0
        with _Peak(appliance) as peak, Cpu(appliance.pid) as cpu:
            began_s = time.monotonic()
            appliance.reload()
            wait_until(lambda: _loaded(appliance, name, events), timeout_s=TIMEOUT_S, what="loading")
            seconds = time.monotonic() - began_s
        status = _status(appliance, name)
    return {
        "seconds": seconds,
        "cpu_s": cpu.seconds,
        "server_cpu_s": server.cpu_s() - before_s if server else 0.0,
        "peak_bytes": peak.bytes,
        "rows": status["load"]["rows_total"],
        "load_s": status["load"]["load_ms_total"] / 1000,
        "words": f"{cpu.seconds / seconds:.0%} of a core; {status['load']['loads_total']} loads; threads: {cpu.shares()}",
    }


def _loaded(appliance: Appliance, name: str, events: int) -> bool:
    return bool(_status(appliance, name)["delivered_total"] >= events)


def _status(appliance: Appliance, name: str) -> dict[str, Any]:
    found = appliance.admin("/v1/destinations")["destinations"]
    return next(dict(one) for one in found if one["name"] == name)


class _Peak:
    """The highest resident memory of a process, without the log's mapped pages, looked at ten times a second."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance, self._ended, self.bytes = appliance, threading.Event(), 0

    def __enter__(self) -> "_Peak":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(0.1):
            memory = memory_of(self._appliance)
            self.bytes = max(self.bytes, memory.resident - memory.log_map)


def _waits(bench: Bench, appliance: Appliance, seconds: float, seed: int) -> list[float]:
    record = bench.folder / f"beside-{seed}.txt"
    bench.load(
        appliance.url,
        events=int(RATE * seconds),
        rate=RATE,
        connections=CONNECTIONS,
        narrow=1,
        seed=seed,
        record=record,
    )
    rows = [line.split() for line in record.read_text().splitlines()]
    return [(float(row[2]) - float(row[1])) * 1000 for row in rows]


@contextlib.contextmanager
def _postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        yield server
    finally:
        server.close()


def _destination(server: PostgresServer, database: str) -> dict[str, Any]:
    return {
        "plugin": "postgres",
        "host": "127.0.0.1",
        "port": server.port,
        "user": "loader",
        "password": f"file:{server.password_file}",
        "database": database,
        "start": "oldest",
        "load": {"every": "1s"},
    }


def _bare_copy(server: PostgresServer, database: str) -> tuple[float, int]:
    """Seconds that one COPY of all rows of the event's table takes into an empty table like it, and how many rows."""
    with server.connect(database) as connection:
        (schema,) = connection.execute(
            "SELECT table_schema FROM information_schema.tables WHERE table_name = 'paid'"
        ).fetchone() or ("",)
        connection.execute(f'SET search_path TO "{schema}"'.encode())
        rows = connection.execute("SELECT * FROM paid").fetchall()
        connection.execute("CREATE TABLE bare AS SELECT * FROM paid LIMIT 0")
        text = csv_of(list(zip(*rows, strict=True))).encode()
        began_s = time.monotonic()
        with connection.cursor() as cursor, cursor.copy("COPY bare FROM STDIN (FORMAT csv)") as copy:
            copy.write(text)
        return time.monotonic() - began_s, len(rows)
