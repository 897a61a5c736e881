"""The bytes on disk: keys sort as their numbers, blocks and rows come back as they went in or are refused."""

import struct
import zlib

import msgspec
import pytest

from appliance.core.errors import DamagedRecord
from appliance.core.event import Record
from appliance.wal import block, keys, rows, seen
from tests.unit.wal.tools import record


def _numbered(count: int) -> list[Record]:
    records = [
        record(f"m{number}", raw=b'{"n":%d,"big":123456789012345678901234567890}' % number) for number in range(count)
    ]
    for number, each in enumerate(records, 41):
        each.sequence = number
        each.received_ms = 1_000 + number
    return records


def test_number_keys_sort_as_their_numbers():
    numbers = [0, 1, 255, 256, 65_535, 1 << 32, (1 << 63) - 1]
    assert sorted(keys.number_key(number) for number in reversed(numbers)) == [
        keys.number_key(number) for number in numbers
    ]
    assert [keys.key_number(keys.number_key(number)) for number in numbers] == numbers


def test_job_keys_sort_by_sequence_then_part_below_their_lane():
    lane, other = keys.pair_key("crm", "anna"), keys.pair_key("crm", "bert")
    ordered = [keys.job_key(lane, *place) for place in ((1, 0), (1, 1), (2, 0), (256, 0), (256, 300), (1 << 40, 0))]
    assert sorted({*ordered}) == ordered
    assert all(key.startswith(lane) and not key.startswith(other) for key in ordered)
    assert lane[:16] == other[:16] == keys.text_key("crm")


@pytest.mark.parametrize("name", ["", "x" * 5_000, "ü€😀", "\ud83d", "a\0b"])
def test_a_key_is_short_whatever_the_name(name: str):
    assert len(keys.pair_key(name, name)) == 32


def test_a_block_has_the_layout_of_its_docstring():
    records = _numbered(3)
    ids = seen.digests(records)
    value, raw_bytes = block.encode(records, ids, log_ms=77, position=1234, events_before=40)
    assert value[:4] == b"SPB1"
    checksum, count, raw, frame, reserved, first, last, received, received_last, log_ms, position, before = (
        struct.unpack_from("<IIIIIQQqqqQQ", value, 4)
    )
    assert (count, raw, reserved, first, last, received, received_last, log_ms, position, before) == (
        3,
        raw_bytes,
        0,
        41,
        43,
        1_041,
        1_043,
        77,
        1234,
        40,
    )
    assert checksum == zlib.crc32(value[8:])
    assert value[80 : 80 + 48] == b"".join(ids)
    assert value[128:132] == b"\x28\xb5\x2f\xfd", "a zstd frame"
    assert len(value) == 128 + frame


def test_a_block_comes_back_as_it_went_in():
    records = _numbered(500)
    value, _ = block.encode(records, seen.digests(records), 1, 2, 3)
    fields, back = block.decode(memoryview(value))
    assert back == records
    assert fields.bytes == len(value)
    assert block.digests(value, fields) == b"".join(seen.digests(records))


def test_no_flipped_bit_of_a_block_goes_unseen():
    records = _numbered(2)
    value, _ = block.encode(records, seen.digests(records), 1, 2, 3)
    for at in range(len(value)):
        spoiled = bytearray(value)
        spoiled[at] ^= 1 << (at % 8)
        with pytest.raises(DamagedRecord):
            block.decode(bytes(spoiled))


@pytest.mark.parametrize("length", [0, 3, 79, 80, 120])
def test_a_block_cut_short_is_damaged(length: int):
    records = _numbered(2)
    value, _ = block.encode(records, seen.digests(records), 1, 2, 3)
    with pytest.raises(DamagedRecord):
        block.decode(value[:length])


def test_a_row_comes_back_and_no_flipped_bit_of_it_goes_unseen():
    decoder = msgspec.msgpack.Decoder(tuple[str, int])
    value = rows.seal(("crm", 42))
    assert rows.unseal(value, decoder) == ("crm", 42)
    for at in range(len(value)):
        spoiled = bytearray(value)
        spoiled[at] ^= 0x20
        with pytest.raises(DamagedRecord):
            rows.unseal(bytes(spoiled), decoder)


def test_an_id_is_its_source_and_its_message_id_and_nothing_else():
    same = [record("m", person="a", raw=b"{}"), record("m", person="b", raw=b"[]")]
    assert len(set(seen.digests(same))) == 1
    different = [record("m", source="a"), record("m", source="b"), record("bm", source=""), record("m2", source="a")]
    assert len(set(seen.digests(different))) == 4
    assert all(len(each) == 16 for each in seen.digests(different))
