"""Decompression: everything that was compressed comes back, and no bomb gets further than the caps."""

import gzip
import random
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
import zstandard

from appliance.collect.encodings import STEP_BYTES, BrokenEncoding, Caps, TooLarge, decompress, supported

CAPS = Caps(4_096_000, 200)


def bare(body: bytes) -> bytes:
    """Deflate without zlib's frame, as some clients send it."""
    maker = zlib.compressobj(wbits=-15)
    return maker.compress(body) + maker.flush()


def streamed(body: bytes) -> bytes:
    """zstd that does not say its size."""
    maker = zstandard.ZstdCompressor().compressobj()
    return maker.compress(body) + maker.flush()


MAKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "bare": ("deflate", bare),
    "zstd": ("zstd", zstandard.ZstdCompressor().compress),
    "zstd, streamed": ("zstd", streamed),
    "plain": ("identity", bytes),
}
SQUEEZING = [name for name in MAKERS if name != "plain"]


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("size", [0, 1, STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 3_000_000])
def test_there_and_back(name: str, size: int) -> None:
    encoding, compress = MAKERS[name]
    for body in (b"x" * min(size, 1 << 20), random.Random(size).randbytes(size)):
        assert decompress(encoding, compress(body), CAPS) == body


def test_members_and_frames_behind_one_another() -> None:
    assert decompress("gzip", gzip.compress(b"ab") + gzip.compress(b"c") + bytes(9), CAPS) == b"abc"
    assert decompress("zstd", streamed(b"ab") + streamed(b"c"), CAPS) == b"abc"


@pytest.mark.parametrize("name", SQUEEZING)
def test_bombs_stop_at_the_cap(name: str) -> None:
    encoding, compress = MAKERS[name]
    bomb = compress(bytes(200 << 20))
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            decompress(encoding, bomb, CAPS)
        assert tracemalloc.get_traced_memory()[1] < 3 * CAPS.bytes_max + (16 << 20)
    finally:
        tracemalloc.stop()


def test_the_ratio_counts_once_a_mebibyte_is_out() -> None:
    small, large = zlib.compress(bytes(1 << 20)), zlib.compress(bytes(2 << 20))
    assert len(decompress("deflate", small, CAPS)) == 1 << 20
    with pytest.raises(TooLarge):
        decompress("deflate", large, CAPS)
    assert len(decompress("deflate", large, Caps(4_096_000, 10_000))) == 2 << 20


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        MAKERS["gzip"],
        MAKERS["zlib"],
        ("zstd", zstandard.ZstdCompressor(write_checksum=True).compress),
    ],
)
def test_what_is_damaged_is_said_to_be(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    good = compress(random.Random(1).randbytes(100_000))
    for broken in (b"{}", b"no such thing", good[: len(good) // 2] + b"\0" * 50 + good[len(good) // 2 + 50 :]):
        with pytest.raises(BrokenEncoding):
            decompress(encoding, broken, CAPS)


@pytest.mark.parametrize("name", SQUEEZING)
def test_what_is_cut_off_never_passes_as_whole(name: str) -> None:
    encoding, compress = MAKERS[name]
    body = random.Random(2).randbytes(1000)
    whole = compress(body)
    for length in range(len(whole)):
        try:
            assert decompress(encoding, whole[:length], CAPS) != body or encoding == "zstd"
        except BrokenEncoding:
            pass


def test_random_bytes_raise_nothing_else() -> None:
    draw = random.Random(7)
    for _ in range(3000):
        for encoding in ("gzip", "deflate", "zstd"):
            start = {"gzip": b"\x1f\x8b\x08\0", "zstd": b"\x28\xb5\x2f\xfd"}.get(encoding, b"\x78\x9c")
            try:
                decompress(encoding, draw.choice((b"", start)) + draw.randbytes(draw.randrange(60)), CAPS)
            except (BrokenEncoding, TooLarge):
                pass


def test_what_is_supported() -> None:
    assert all(map(supported, ("", "identity", "gzip", "deflate", "zstd")))
    assert not any(map(supported, ("br", "gzip, gzip", "GZIP ", "*")))
