"""Finds the process that runs on a data folder, or says why it cannot be reached and what to do about that."""

import json
import os
import socket
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from appliance.cli.output import CommandError

CONTROL_FILE = "control.json"
LOG_FOLDER = "wal"
OWNER_FILE = Path(LOG_FOLDER) / "owner"
"""JSON with the pid of the process that owns the log."""
START = "start one with `sternpost run`, or name its folder with --data"


class Located(NamedTuple):
    """Where a process's admin API is."""

    url: str
    certificate: str


class NoProcess(CommandError):
    """Nothing runs on this data folder; exit code 4."""

    def __init__(self, data: Path, why: str, next_step: str = START) -> None:
        super().__init__(f"no process is running on {data} ({why})", next_step, 4)


class NotListening(CommandError):
    """A process runs, and its admin API does not listen; exit code 4."""


def locate(data: Path) -> Located:
    """The process that runs on a data folder.

    Raises:
        NoProcess: none does.
        NotListening: one does, without its admin API.
        CommandError: the folder cannot be looked into (exit code 1).
    """
    path = data / CONTROL_FILE
    try:
        found = json.loads(path.read_bytes())
        located, pid = Located(str(found["url"]), str(found.get("certificate") or "")), int(found["pid"])
    except FileNotFoundError:
        raise _without_file(data) from None
    except OSError as error:
        raise _unreadable(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoProcess(data, f"{CONTROL_FILE} is damaged", f"restart the process; it writes {path} anew") from None
    if not _alive(pid):
        why = f"{CONTROL_FILE} was left by process {pid}, which was killed or crashed"
        raise NoProcess(data, why, f"{START}; nothing that was acknowledged is lost")
    if not _listens(located.url):
        if _locked(data):
            words = f"process {pid} runs on {data}, but nothing listens at {located.url}"
            raise NotListening(words, "it is starting or stopping: try again in a moment, or look into its log", 4)
        why = f"{CONTROL_FILE} is stale: nothing listens at {located.url}, and process {pid} is another program now"
        raise NoProcess(data, why, f"{START}; nothing that was acknowledged is lost")
    return located


def _without_file(data: Path) -> CommandError:
    if not data.is_dir():
        return NoProcess(data, "there is no such folder")
    try:
        locked = _locked(data)
    except OSError as error:
        return _unreadable(data / OWNER_FILE, error)
    if not locked:
        return NoProcess(data, f"it has no {CONTROL_FILE}")
    owner = f"process {pid}" if (pid := _owner(data)) else "a process"
    hint = f"kill -HUP {pid}" if pid else "send it SIGHUP"
    return NotListening(
        f"{owner} runs on {data}, but its admin API does not listen: its address is taken, most likely",
        "its log (`part_not_started`) and /health of its collector name the address and who has it; end that program "
        f"or choose another `listen` in [control], then `{hint}` or restart",
        4,
    )


def _unreadable(path: Path, error: OSError) -> CommandError:
    step = "run this as the user who runs the process, such as `sudo -u sternpost sternpost ...`"
    return CommandError(f"{path} cannot be read: {error.strerror or error}", step, 1)


def _locked(data: Path) -> bool:
    """Whether a process owns the log in this folder.

    Raises:
        OSError: it cannot be looked at.
    """
    from appliance.wal.offline import unowned

    with unowned(data / LOG_FOLDER) as free:
        return not free


def _owner(data: Path) -> int:
    """The pid of the folder's owner; 0 where it does not say."""
    try:
        return int(json.loads((data / OWNER_FILE).read_bytes().rstrip(b"\0 \n"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _listens(url: str) -> bool:
    """Whether anybody listens; after a crash the file may name a process id that now belongs to somebody else."""
    parts = urlsplit(url)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=2.0):
            return True
    except OSError:
        return False
