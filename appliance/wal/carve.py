"""Find blocks in a damaged file without its tree, by their magic bytes.

The file is read, never mapped, so nothing in it can kill this process. Free pages of the file still hold old blocks,
so three kinds are found: those of the log; those that were trimmed (they come back; the cursors know them, and
retention takes them again); and those of commits that never came to be, whose sequences may have been given again
after a restart. Of blocks whose ranges overlap those that end first stay, and the events of the others are numbered
anew behind the end: nothing is lost, something may come twice.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from appliance.core.errors import DamagedRecord
from appliance.wal import block

_CHUNK_BYTES = 8 << 20
_MAGIC = re.compile(re.escape(block.MAGIC))


class Place(NamedTuple):
    """A block that was found; ordered so that the one that ends first comes first."""

    last_sequence: int
    first_sequence: int
    checksum: int
    at: int
    bytes: int


class Found(NamedTuple):
    """All blocks of a file."""

    kept: list[Place]
    """Ranges do not overlap; ascending."""
    surplus: list[Place]
    """Those whose range another one has."""


def carve(data: Path) -> Found:
    """Every block in a file whose checksum holds."""
    places: dict[tuple[int, int, int], Place] = {}
    with data.open("rb") as file:
        for place in _places(file.fileno()):
            places.setdefault(place[:3], place)  # a small block is copied along with its page: the same one, often
    kept: list[Place] = []
    surplus: list[Place] = []
    for place in sorted(places.values()):
        (surplus if kept and place.first_sequence <= kept[-1].last_sequence else kept).append(place)
    return Found(kept, surplus)


def read(fd: int, place: Place) -> bytes:
    """The bytes of a block."""
    return os.pread(fd, place.bytes, place.at)


def _places(fd: int) -> Iterator[Place]:
    at = 0
    while chunk := os.pread(fd, _CHUNK_BYTES, at):
        for match in _MAGIC.finditer(chunk):
            place = _block_at(fd, at + match.start())
            if place is not None:
                yield place
        at += max(len(chunk) - len(block.MAGIC) + 1, 1)


def _block_at(fd: int, at: int) -> Place | None:
    try:
        size = block.header(os.pread(fd, block.HEADER_BYTES, at)).bytes
        fields, _ = block.records_bytes(os.pread(fd, size, at))
    except (DamagedRecord, OSError):
        return None
    return Place(fields.last_sequence, fields.first_sequence, fields.checksum, at, size)
