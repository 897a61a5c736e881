"""Content encodings: decompression in small steps, so that a bomb is refused while it is inflated, never after.

Source: contract/http.md, Encoding.
"""

import io
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import zstandard

from appliance.core.errors import SternpostError

STEP_BYTES = 64 * 1024
"""Most bytes that come out between two looks at the caps."""
RATIO_FROM_BYTES = 1 << 20
"""The ratio counts once so many bytes are out: small bodies of zeros are harmless."""
MEMBERS_MAX = 1_000
"""Most gzip members in one body; each costs a fresh inflater."""
ZSTD_WINDOW_BYTES_MAX = 8 << 20
"""As RFC 8878 asks decoders to support; the window is memory that a client could demand."""


class Caps(NamedTuple):
    bytes_max: int
    """Decompressed bytes of one body."""
    ratio_max: int
    """Decompressed bytes per compressed byte, from RATIO_FROM_BYTES on."""


class TooLarge(SternpostError):
    """The body is over a cap; nothing was kept."""


class BrokenEncoding(SternpostError):
    """The body is not what its Content-Encoding says."""


def supported(encoding: str) -> bool:
    """Whether a Content-Encoding header can be undone; lists of encodings cannot."""
    return encoding in _STEPS


def decompress(encoding: str, body: bytes, caps: Caps) -> bytes:
    """The body as it was before it was compressed.

    Args:
        encoding: one for which `supported` is true.

    Raises:
        TooLarge: more than `caps` allow; at most STEP_BYTES over them were ever in memory.
        BrokenEncoding: damaged, cut off, or not of this encoding.
    """
    out, size = [], 0
    try:
        for piece in _STEPS[encoding](body):
            size += len(piece)
            if size > caps.bytes_max or (size > RATIO_FROM_BYTES and size > len(body) * caps.ratio_max):
                raise TooLarge(f"{len(body)} compressed bytes hold more than {size} bytes")
            out.append(piece)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise BrokenEncoding(str(error)) from None
    return b"".join(out)


def _gzip(body: bytes) -> Iterator[bytes]:
    return _inflate(body, wbits=31, members_max=MEMBERS_MAX)


def _deflate(body: bytes) -> Iterator[bytes]:
    """zlib's format, as the standard says, or the bare stream that some clients send."""
    wrapped = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _inflate(body, wbits=15 if wrapped else -15, members_max=1)


def _inflate(body: bytes, wbits: int, members_max: int) -> Iterator[bytes]:
    """All members, one behind the other; zeros may pad the end. Fed by windows: zlib copies what it leaves over."""
    inflater, members = zlib.decompressobj(wbits), 1
    for at in range(0, len(body), STEP_BYTES):
        window = body[at : at + STEP_BYTES]
        while window:
            if inflater.eof:
                window = window.lstrip(b"\0")
                if not window:
                    break
                inflater, members = zlib.decompressobj(wbits), members + 1
                if members > members_max:
                    raise EOFError("more behind the end")
            yield inflater.decompress(window, STEP_BYTES)
            window = inflater.unconsumed_tail or inflater.unused_data
    while not inflater.eof:
        rest = inflater.decompress(b"", STEP_BYTES)
        if not rest:
            raise EOFError("cut off")
        yield rest


def _zstd(body: bytes) -> Iterator[bytes]:
    """All frames; one that is cut off gives its beginning, and the next parser finds that it is no JSON."""
    source = io.BytesIO(body)
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    with decompressor.stream_reader(source, read_across_frames=True) as reader:
        while piece := reader.read(STEP_BYTES):
            yield piece


def _plain(body: bytes) -> Iterator[bytes]:
    yield body


_STEPS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "": _plain, "identity": _plain, "gzip": _gzip, "x-gzip": _gzip, "deflate": _deflate, "zstd": _zstd,
}  # fmt: skip
