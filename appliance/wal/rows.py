"""Rows of the small tables: CRC-32 (u32, little-endian) of the rest, then msgpack."""

import struct
import zlib
from typing import Any, TypeVar

import msgspec

from appliance.core.errors import DamagedRecord

T = TypeVar("T")
_CHECKSUM = struct.Struct("<I")
_encoder = msgspec.msgpack.Encoder()


def seal(row: Any) -> bytes:
    """A struct (or any msgpack value) as it stands in a table."""
    body = _encoder.encode(row)
    return _CHECKSUM.pack(zlib.crc32(body)) + body


def unseal(value: bytes, decoder: "msgspec.msgpack.Decoder[T]") -> T:
    """The struct of a row.

    Raises:
        DamagedRecord: the bytes are not those that were written.
    """
    body = value[4:]
    if len(value) < 5 or zlib.crc32(body) != _CHECKSUM.unpack_from(value)[0]:
        raise DamagedRecord("a row does not match its checksum")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise DamagedRecord(f"a row cannot be decoded: {error}") from None
