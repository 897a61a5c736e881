"""One block: the events of one commit, compressed, with a checksum of their own.

    offset  bytes  field
    0       4      magic "SPB1"; 1 is the format version
    4       4      CRC-32 of everything behind it, header included
    8       4      count of records
    12      4      bytes of the records before compression
    16      4      bytes of the frame
    20      4      0, reserved
    24      8      first sequence
    32      8      last sequence (at least the last record's)
    40      8      received time of the first record, ms since 1970
    48      8      received time of the last record
    56      8      log clock at the commit, ms
    64      8      position: bytes of all blocks ever appended before this one
    72      8      events of all blocks ever appended before this one
    80      16 n   digest of (source, messageId) of each record (`seen.py`)
    80+16n         one zstd level 1 frame: msgpack array of records, each an array in the field order of `Record`

All numbers are little-endian. CRC-32 comes from zlib, which Python carries; CRC-32C would detect the same at the
price of one more dependency. The sequences stand in the header as well as in the key, so that a block can be found in
a damaged file without its tree.

The digests are what deduplication needs of a block at a start. A table of their own for them cost 29 KB more on the
device per commit, measured: half of what a commit of 100 events takes. They move to such a table (`seen`) when their
block is trimmed before its time in the window is up.
"""

import struct
import threading
import zlib
from typing import NamedTuple

import msgspec
import zstandard

from appliance.core.errors import DamagedRecord
from appliance.core.event import Record

MAGIC = b"SPB1"
HEADER_BYTES = 80
DIGEST_BYTES = 16
_HEADER = struct.Struct("<4sIIIIIQQqqqQQ")
_IDS = struct.Struct("<8xI44xq8xQ")
_CHECKSUM = struct.Struct("<I")
_RAW_BYTES_MAX = 1 << 30
_PACKED_KEPT_BYTES = 1 << 20

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Record])
_local = threading.local()
"""zstd contexts cost a megabyte and are not to be shared between threads: one pair per thread."""


class Header(NamedTuple):
    """The header's fields, in the order of the bytes."""

    magic: bytes
    checksum: int
    events: int
    raw_bytes: int
    frame_bytes: int
    reserved: int
    first_sequence: int
    last_sequence: int
    first_received_ms: int
    last_received_ms: int
    log_ms: int
    position: int
    events_before: int

    @property
    def bytes(self) -> int:
        """Of the whole block."""
        return HEADER_BYTES + DIGEST_BYTES * self.events + self.frame_bytes


def encode(
    records: list[Record], digests: list[bytes], log_ms: int, position: int, events_before: int
) -> tuple[bytes, int]:
    """The block's bytes and the size of the records before compression.

    `records` is not empty and carries ascending sequences; `digests` has one for each.
    """
    compressor = getattr(_local, "compressor", None)
    if compressor is None:
        compressor = _local.compressor = zstandard.ZstdCompressor(level=1)
        _local.packed = bytearray()
    first, last = records[0], records[-1]
    packed = _local.packed
    _encoder.encode_into(records, packed)
    frame = compressor.compress(packed)
    if len(packed) > _PACKED_KEPT_BYTES:
        _local.packed = bytearray()
    head = _HEADER.pack(
        MAGIC,
        0,
        len(records),
        len(packed),
        len(frame),
        0,
        first.sequence,
        last.sequence,
        first.received_ms,
        last.received_ms,
        log_ms,
        position,
        events_before,
    )
    body = b"".join((head[8:], *digests, frame))
    return b"".join((MAGIC, _CHECKSUM.pack(zlib.crc32(body)), body)), len(packed)


def header(value: bytes | memoryview) -> Header:
    """The header alone, its checksum not verified.

    Raises:
        DamagedRecord: too short, no magic, or impossible sizes.
    """
    if len(value) < HEADER_BYTES:
        raise DamagedRecord(f"a block of {len(value)} bytes has no header")
    fields = Header._make(_HEADER.unpack_from(value))
    if fields.magic != MAGIC or fields.raw_bytes > _RAW_BYTES_MAX or fields.last_sequence < fields.first_sequence:
        raise DamagedRecord("a block does not begin with a header of ours")
    return fields


def digests(value: bytes | memoryview, fields: Header) -> bytes:
    """The digests, one after the other; the checksum is not verified, a wrong one forgets an id and can do no more."""
    return bytes(value[HEADER_BYTES : HEADER_BYTES + DIGEST_BYTES * fields.events])


def ids(value: memoryview) -> tuple[int, int, bytes] | None:
    """(log clock, events before, digests) of a block, fast: a start reads a million; None for a damaged header."""
    if len(value) < HEADER_BYTES or value[:4] != MAGIC:
        return None
    count, log_ms, before = _IDS.unpack_from(value)
    return log_ms, before, bytes(value[HEADER_BYTES : HEADER_BYTES + DIGEST_BYTES * count])


def records_bytes(value: bytes | memoryview) -> tuple[Header, bytes]:
    """The header and the records' msgpack, the checksum verified.

    Raises:
        DamagedRecord: the bytes are not those that were written.
    """
    fields = header(value)
    if len(value) != fields.bytes or zlib.crc32(value[8:]) != fields.checksum:
        raise DamagedRecord(f"the block at sequence {fields.first_sequence} does not match its checksum")
    decompressor = getattr(_local, "decompressor", None)
    if decompressor is None:
        decompressor = _local.decompressor = zstandard.ZstdDecompressor()
    try:
        packed: bytes = decompressor.decompress(value[-fields.frame_bytes :], max_output_size=fields.raw_bytes)
    except zstandard.ZstdError as error:
        raise DamagedRecord(f"the block at sequence {fields.first_sequence} cannot be decompressed: {error}") from None
    return fields, packed


def decode(value: bytes | memoryview) -> tuple[Header, list[Record]]:
    """The header and the records.

    Raises:
        DamagedRecord: the bytes are not those that were written.
    """
    fields, packed = records_bytes(value)
    try:
        return fields, _decoder.decode(packed)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DamagedRecord(f"the block at sequence {fields.first_sequence} cannot be decoded: {error}") from None
