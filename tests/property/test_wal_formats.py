"""Whatever goes into a block, a row or a key comes back, and sorts as it should."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.errors import DamagedRecord
from appliance.core.event import Record
from appliance.wal import block, keys, rows, seen
from appliance.wal.log import HeldJob, Progress

TEXT = st.text(max_size=40)
NUMBER = st.integers(0, (1 << 63) - 1)
RECORDS = st.lists(
    st.builds(
        Record, st.just(0), TEXT, NUMBER, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT, st.integers(0, 7), st.binary(max_size=300)
    ),
    min_size=1,
    max_size=20,
)


@given(RECORDS, st.integers(1, 1 << 62), NUMBER, NUMBER, NUMBER)
def test_a_block_comes_back(records: list[Record], first: int, log_ms: int, position: int, before: int):
    for sequence, each in enumerate(records, first):
        each.sequence = sequence
    ids = seen.digests(records)
    value, raw_bytes = block.encode(records, ids, log_ms, position, before)
    fields, back = block.decode(memoryview(value))
    assert back == records
    assert (fields.first_sequence, fields.last_sequence, fields.events) == (
        first,
        first + len(records) - 1,
        len(records),
    )
    assert (fields.log_ms, fields.position, fields.events_before, fields.raw_bytes) == (
        log_ms,
        position,
        before,
        raw_bytes,
    )
    assert block.ids(memoryview(value)) == (log_ms, before, b"".join(ids))


@given(RECORDS, st.data())
def test_a_spoilt_block_is_refused_and_nothing_else_happens(records: list[Record], data: st.DataObject):
    value = bytearray(block.encode(records, seen.digests(records), 1, 2, 3)[0])
    for at in data.draw(st.lists(st.integers(0, len(value) - 1), min_size=1, max_size=5, unique=True)):
        value[at] ^= data.draw(st.integers(1, 255))
    try:
        block.decode(bytes(value))
    except DamagedRecord:
        return
    raise AssertionError("a spoilt block was taken for a sound one")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_row_or_damaged(value: bytes):
    try:
        rows.unseal(value, msgspec.msgpack.Decoder(tuple[str, Progress]))
    except DamagedRecord:
        return
    raise AssertionError("four bytes of checksum do not happen by chance")


@given(st.builds(HeldJob, TEXT, TEXT, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, NUMBER, TEXT, st.binary(), TEXT))
def test_a_held_job_comes_back(job: HeldJob):
    assert rows.unseal(rows.seal(job), msgspec.msgpack.Decoder(HeldJob)) == job


@given(st.lists(st.tuples(NUMBER, st.integers(0, (1 << 32) - 1))), TEXT, TEXT)
def test_keys_of_jobs_sort_as_their_places(places: list[tuple[int, int]], destination: str, lane: str):
    prefix = keys.pair_key(destination, lane)
    by_key = sorted(places, key=lambda place: keys.job_key(prefix, *place))
    assert by_key == sorted(places)
