"""Sizes, durations and addresses as people write them."""

import pytest

from appliance.core.units import parse_address, parse_bytes, parse_seconds, parse_start


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4 GiB", 4 << 30), ("512KiB", 512 << 10), ("1.5 mib", 3 << 19), ("10 MB", 10**7), ("17", 17), (" 2 B ", 2)],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "GiB", "4 GX", "-1", "1e3", "4 GiB 2", "٣", "9" * 21, "4\nGiB!"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_bytes(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("24h", 86_400),
        ("3d", 259_200),
        ("500ms", 0.5),
        ("30s", 30),
        ("1h 30m", 5400),
        ("1.5 min", 90),
        ("2w", 1_209_600),
    ],
)
def test_durations(text: str, expected: float) -> None:
    assert parse_seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "h", "3", "3 fortnights", "-3s", "3s!", "1h,2m", "1m" * 40])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        parse_seconds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:8080", ("127.0.0.1", 8080)), ("0.0.0.0:0", ("0.0.0.0", 0)), ("[::1]:8080", ("::1", 8080)),
        ("localhost:65535", ("localhost", 65535)), ("edge-7.lan:80", ("edge-7.lan", 80)),
    ],
)  # fmt: skip
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text", ["", "8080", ":8080", "host", "host:", "host:65536", "host:-1", "::1:80", "[::1]", "[1.2.3.4]:80", "1.2.3:80",
             "256.1.1.1:80", "[fe80::zz]:1", "a b:80", "host:٣", "http://host:80", "-x:80"],
)  # fmt: skip
def test_no_addresses(text: str) -> None:
    with pytest.raises(ValueError, match='"'):
        parse_address(text)


def test_starts() -> None:
    assert parse_start("now") is None
    assert parse_start("oldest") is None
    moment = parse_start("2030-01-31T12:00:00Z")
    assert moment is not None and moment.timestamp() == 1_896_091_200
    for text in ("yesterday", "2030-01-31", "2030-01-31T12:00:00", ""):
        with pytest.raises(ValueError, match="is no start"):
            parse_start(text)
