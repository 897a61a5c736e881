"""What the kernel knows of a process: CPU, bytes written to the device, memory by kind.

Source: proc(5): /proc/PID/stat (utime, stime: all threads, the dead ones too), /proc/PID/io, /proc/PID/smaps.
"""

import os
import re
import time
from pathlib import Path
from typing import NamedTuple

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1 << 20


class Memory(NamedTuple):
    """Resident memory of a process, in bytes."""

    anonymous: int
    """Heap and stacks: what the process itself holds."""
    log_map: int
    """Pages of the log's data file: the kernel takes them back when it needs them."""
    other_files: int
    """Program text and libraries."""

    @property
    def resident(self) -> int:
        return self.anonymous + self.log_map + self.other_files


def cpu_s(pid: int) -> float:
    """User and system CPU seconds so far, all threads; resolution 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def thread_cpu_s(pid: int) -> dict[str, float]:
    """CPU seconds by thread, for saying which one is the bound: `main`, the others by name and id."""
    seconds: dict[str, float] = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name, _, rest = (task / "stat").read_text().partition("(")[2].rpartition(")")
        fields = rest.split()
        label = "main" if task.name == str(pid) else f"{name} {task.name}"
        seconds[label] = (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return seconds


def device_bytes(pid: int) -> int:
    """Bytes this process caused to be written to a device, counted when the pages became dirty."""
    match = re.search(r"^write_bytes: (\d+)$", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    assert match
    return int(match[1])


def memory(pid: int, log_folder: Path) -> Memory:
    """Resident memory now, the pages of files under `log_folder` apart."""
    anonymous = log_map = other = 0
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "Rss":
            resident = int(value.split()[0]) * 1024
        elif name == "Anonymous":
            own = int(value.split()[0]) * 1024
            anonymous += own
            log_map, other = (log_map + resident - own, other) if inside else (log_map, other + resident - own)
        elif "-" in name.split(" ")[0]:
            inside = str(log_folder) in line
    return Memory(anonymous, log_map, other)


class Cpu:
    """CPU seconds of one process inside the `with` block: `seconds`, and `by_thread`."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __enter__(self) -> "Cpu":
        self._began_s, self._cpu_s, self._threads = time.monotonic(), cpu_s(self.pid), thread_cpu_s(self.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds, self.elapsed_s = cpu_s(self.pid) - self._cpu_s, time.monotonic() - self._began_s
        self.by_thread = {
            name: round(spent - self._threads.get(name, 0.0), 2) for name, spent in thread_cpu_s(self.pid).items()
        }

    def shares(self) -> str:
        """Which thread spent how much, as text; threads that ended inside the block are missing."""
        busy = sorted(self.by_thread.items(), key=lambda item: -item[1])
        return ", ".join(
            f"{name} {spent / self.elapsed_s:.0%}" for name, spent in busy if spent >= 0.01 * self.elapsed_s
        )
