"""A real PostgreSQL server on a free port in a folder of its own; killed, made read-only and started again at will."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tests.integration.clients.needs import require
from tests.support.ports import free_port
from tests.support.waiting import until

ROLE = "loader"
"""Owns the databases, and is no superuser."""


class PostgresServer:
    """One cluster of databases. It refuses to run as root, so then it runs as `nobody`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sternpost-postgres-"))
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        self._as: dict[str, Any] = {"cwd": self.folder}
        if os.geteuid() == 0:
            self._as |= {"user": "nobody", "group": "nogroup", "extra_groups": []}
            shutil.chown(self.folder, "nobody", "nogroup")
        (self.folder / "password").write_text(self.password)
        (self.folder / "password").chmod(0o644)
        words = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--username=keeper", "--no-sync"]
        command = [_program("initdb"), "-D", self.folder / "data", "--pwfile", self.folder / "password", *words]
        subprocess.run(command, **self._as, check=True, stdout=subprocess.DEVNULL)
        self.start()
        self.keeper(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{self.password}'")

    @property
    def runs(self) -> bool:
        """Whether it was started, and neither killed nor stopped since."""
        return self._process is not None

    def works_for(self, role: str) -> bool:
        """Whether somebody is connected as that role, by the titles of its processes: nobody is asked."""
        return self._process is not None and any(
            f"postgres: {role} " in _title(pid) for pid in _children(self._process.pid)
        )

    def start(self, *settings: str) -> None:
        """Start, with settings such as `max_connections=5`, and wait until it answers."""
        assert self._process is None
        words = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}",
                 "fsync=off", *settings]  # fmt: skip
        command = [_program("postgres"), "-D", self.folder / "data", *(word for each in words for word in ("-c", each))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, **self._as, stdout=log, stderr=log)
        until(self._answers, f"PostgreSQL does not answer: {(self.folder / 'log').read_text()[-2000:]}")

    def kill(self) -> None:
        """As by a power cut of the program: kill -9 of all its processes, without a word to anybody."""
        assert self._process is not None
        family = [self._process.pid, *_children(self._process.pid)]
        for pid in family:
            _signal(pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        until(lambda: not any(_runs(pid) for pid in family), "killed processes are still there")

    def stop(self) -> None:
        """End it within moments, whoever is connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        """End it and remove all that it held."""
        self.stop()
        shutil.rmtree(self.folder)

    @property
    def password_file(self) -> Path:
        """Where the password stands."""
        return self.folder / "password"

    def cpu_s(self) -> float:
        """CPU seconds of the server so far: its own, and those of its processes, the ended ones too."""
        assert self._process is not None
        ticks = sum(_ticks(self._process.pid)) + sum(sum(_ticks(pid)[:2]) for pid in _children(self._process.pid))
        return ticks / os.sysconf("SC_CLK_TCK")

    def database(self) -> str:
        """A fresh database that ROLE owns."""
        self._made += 1
        name = f"proof{self._made}"
        self.keeper(f"CREATE DATABASE {name} OWNER {ROLE}")
        return name

    def connect(self, database: str, user: str = ROLE) -> psycopg.Connection[tuple[Any, ...]]:
        """A connection that commits each statement."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=user, password=self.password, dbname=database, autocommit=True
        )

    def keeper(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as superuser."""
        with self.connect(database, "keeper") as connection:
            connection.execute(statement.encode())

    def rows(self, database: str, statement: str | sql.Composable, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query gives, asked as superuser."""
        query = statement.encode() if isinstance(statement, str) else statement
        with self.connect(database, "keeper") as connection:
            return connection.execute(query, parameters or None).fetchall()

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            self.connect("postgres", "keeper").close()
        except psycopg.OperationalError:
            return False
        return True


def _program(name: str) -> Path:
    """Debian keeps the server's programs out of the path, a folder for each version."""
    folders = [*map(Path, os.get_exec_path()), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = [folder / name for folder in folders if os.access(folder / name, os.X_OK)]
    require(bool(found), f"{name} (Debian package: postgresql)")
    return found[0]


def _ticks(pid: int) -> list[int]:
    """Of the process in user and system mode, and of its ended children. Source: proc(5), /proc/PID/stat, 14 to 17."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]]
    except FileNotFoundError:
        return [0, 0, 0, 0]


def _children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def _runs(pid: int) -> bool:
    """False for what has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
