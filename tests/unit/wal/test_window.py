"""The deduplication window in memory: how many ids, for how long, at what price."""

import gc
import os
import sys
import tracemalloc

from appliance.wal.seen import Bounds, Window


def _ids(count: int) -> list[bytes]:
    return [os.urandom(16) for _ in range(count)]


def test_ids_stay_for_the_window_even_above_the_least_count():
    window = Window(Bounds(ids_min=10, ids_max=1_000_000, window_ms=1_000))
    first = _ids(20_000)
    window.add(first, 0)
    window.add(_ids(20_000), 999)
    assert window.owner(first[0]) == 0 and len(window) == 40_000


def test_ids_stay_above_the_window_up_to_the_least_count():
    window = Window(Bounds(ids_min=50_000, ids_max=1_000_000, window_ms=1_000))
    first = _ids(10_000)
    window.add(first, 0)
    window.add(_ids(20_000), 10_000_000)
    assert window.owner(first[0]) == 0


def test_old_surplus_is_forgotten_oldest_first():
    window = Window(Bounds(ids_min=10_000, ids_max=1_000_000, window_ms=1_000))
    first, second, third = _ids(10_000), _ids(10_000), _ids(10_000)
    for at, lot in ((0, first), (100_000, second), (200_000, third)):
        window.add(lot, at)
    window.add(_ids(5_000), 300_000)
    assert {window.owner(each) for each in first} == {None}
    assert {window.owner(each) for each in third} == {0}


def test_the_highest_count_holds_whatever_the_age():
    window = Window(Bounds(ids_min=10, ids_max=20_000, window_ms=1_000_000))
    for _ in range(50):
        window.add(_ids(1_000), 5)
    assert len(window) <= 20_000 + 4_096


def test_an_id_on_its_way_is_known_with_its_append_and_forgotten_when_that_fails():
    window = Window(Bounds(ids_min=10, ids_max=1_000, window_ms=1_000))
    first, second = _ids(2)
    assert window.claim({first: 7, second: 7})
    assert not window.claim({_ids(1)[0]: 8, second: 8}), "all or nothing"
    assert (window.owner(first), len(window)) == (7, 2)
    window.add([first], 0)
    window.renounce([second])
    assert (window.owner(first), window.owner(second)) == (0, None)


def test_the_cycle_collector_passes_the_window_over():
    window = Window(Bounds(ids_min=10_000, ids_max=100_000, window_ms=1_000))
    window.claim(dict.fromkeys(_ids(5_000), 3))
    window.add(_ids(5_000), 1)
    assert sys.version_info >= (3, 14) or not gc.is_tracked(window._owners)


def test_100_000_ids_one_by_one_take_less_than_15_mib():
    bounds = Bounds(ids_min=200_000, ids_max=2_000_000, window_ms=3_600_000)
    gc.collect()
    tracemalloc.start()
    window = Window(bounds)
    for number in range(100_000):
        window.add([os.urandom(16)], number)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(window) == 100_000
    assert size < 15 << 20
