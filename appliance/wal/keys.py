"""Keys of the tables: big-endian, so that LMDB's byte order is the order of sequences.

    blocks, seen      first sequence of the block                            u64
    progress          destination                                            16-byte digest
    replays           name                                                   16-byte digest
    joined            destination, member lane                               2 x 16-byte digest
    skipped           destination, first sequence                            16-byte digest, u64
    lanes             destination, lane                                      2 x 16-byte digest
    held              destination, lane, sequence, part                      2 x 16-byte digest, u64, u32
    dead, refused     id                                                     u64

Names and lanes are of any length and LMDB keys are not (511 bytes), so they enter keys as BLAKE2b digests; the text
stands in the value.
"""

import struct
from hashlib import blake2b

_U64 = struct.Struct(">Q")
_JOB = struct.Struct(">QI")

SEQUENCE_MAX = (1 << 63) - 1


def number_key(number: int) -> bytes:
    """Key of a sequence or an id."""
    return _U64.pack(number)


def key_number(key: bytes) -> int:
    """The number of a key made by `number_key`."""
    number: int = _U64.unpack_from(key)[0]
    return number


def text_key(text: str) -> bytes:
    """Key of a destination, replay or lane; 16 bytes. Lone surrogates are legal."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def pair_key(destination: str, other: str) -> bytes:
    """Key of a destination's lane; 32 bytes."""
    return text_key(destination) + text_key(other)


def job_key(lane: bytes, sequence: int, part: int) -> bytes:
    """Key of a held job below its lane's `pair_key`."""
    return lane + _JOB.pack(sequence, part)


def skip_key(destination: str, first_sequence: int) -> bytes:
    """Key of a skipped range."""
    return text_key(destination) + _U64.pack(first_sequence)
