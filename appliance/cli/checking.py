"""Verifies a log in a child process: a damaged page kills whoever maps it, and the child's death is the finding."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

FINDINGS_MAX = 1_000
BYTES_MAX = 1 << 20


def check(folder: Path, *, live: bool) -> list[str]:
    """What is wrong with the store in `folder`, one line each; empty when it is sound.

    Args:
        live: a process runs on it, so that only what is committed can be looked at.

    Raises:
        OSError: no child to be had.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(folder, live, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read(BYTES_MAX).decode("utf-8", "replace").splitlines()
        while pipe.read(BYTES_MAX):  # so that a talkative child can end
            pass
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        said.append(f"reading it killed a process with {signal.Signals(-code).name}: a page is damaged")
    elif code and not said:
        said.append(f"the check ended with exit code {code}")
    return said[:FINDINGS_MAX]


def _child(folder: Path, live: bool, writing: int) -> None:
    code = 0
    try:
        with os.fdopen(writing, "w", encoding="utf-8") as pipe:
            for finding in _findings(folder, live):
                pipe.write(finding.replace("\n", " ") + "\n")
                pipe.flush()
                code = 1
    except Exception as error:  # a finding too, and the only way to say it
        os.write(2, f"{error}\n".encode())
        code = 2
    finally:
        os._exit(code)


def _findings(folder: Path, live: bool) -> Iterator[str]:
    from appliance.core.errors import SternpostError
    from appliance.wal import offline, verify

    if not live:
        yield from verify.thorough(folder)
        return
    try:
        with offline.reading(folder) as log:
            yield from log.damaged_blocks()
    except SternpostError as error:
        yield str(error)
