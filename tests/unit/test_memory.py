"""Memory that is given back: pages of a mapped file leave the process, and what they held is still there."""

import mmap
from pathlib import Path

from appliance.core import memory


def resident_kib(file: Path) -> int:
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ", 1)[0]:
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


def test_pages_of_a_mapped_file_are_given_back_and_can_be_read_again(tmp_path: Path) -> None:
    file = tmp_path / "data"
    content = bytes(range(256)) * 4096
    file.write_bytes(content)
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert mapped[:] == content
        assert resident_kib(file) >= 1024
        memory.unmap(file)
        assert resident_kib(file) == 0
        assert mapped[:] == content
    memory.limit_arenas()
    memory.release()
