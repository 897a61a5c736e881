"""Who holds a port: names the process, so that "address in use" comes with its answer. Linux."""

import os
from pathlib import Path

_LISTENING = "0A"


def holder_of(address: str) -> str:
    """The process that listens on the port of `host:port`, as `name (pid 123)`; "" where it cannot be told."""
    port = int(address.rpartition(":")[2])
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(fd) in sockets for fd in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
        except OSError:
            continue  # Ended meanwhile, or not ours to look into.
    return ""


def _listening_inodes(port: int) -> list[str]:
    inodes = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.append(fields[9])
    return inodes
