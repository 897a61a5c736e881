"""What identified people say of themselves is kept by id: the newest of each trait, once, whatever stands in an event."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.core.config import IdentityConfig
from appliance.identity import traits_kept
from appliance.identity.candidates import IDS_AT_ONCE, VALUES_MAX, Described, candidates
from appliance.identity.graph import Graph
from appliance.identity.rules import Id, Rules
from tests.support.graph import LOG, Fed

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
DAY_MS = 86_400_000


def identify(user: str, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "traits": traits}


def kept(fed: Fed) -> dict[Id, dict[str, str]]:
    store = fed.lookup.store()
    rows = {row[0]: msgspec.json.decode(row[1]) for row in store.rows("SELECT id, traits FROM traits")}
    return {store.id_of(row): rows[row.id] for row in store.ids(rows)}


def described(fed: Fed) -> dict[Id, Described]:
    return {one.id: one for some in candidates(fed.lookup) for one in some}


def test_of_every_trait_the_newest_value_stays(fed: Fed) -> None:
    ann = Id("user_id", "ann")
    fed.feed(identify("ann", firstName="Ann", city="Leeds"), identify("ann", firstName="Anne"))
    assert kept(fed) == {ann: {"first_name": "Anne", "city": "Leeds"}}
    fed.feed(identify("ann", firstName="Ann"), identify("ann", firstName="Ann"))
    assert kept(fed) == {ann: {"first_name": "Ann", "city": "Leeds"}}


def test_of_several_events_in_one_batch_the_last_counts(fed: Fed) -> None:
    events = [identify("ann", firstName=name, **more) for name, more in (("A", {"city": "X"}), ("B", {}), ("A", {}))]
    records = [fed._record(event) for event in events]
    for number, record in enumerate(records, 1):
        record.sequence = number
    fed.graph.apply(records, len(records))
    assert kept(fed) == {Id("user_id", "ann"): {"first_name": "A", "city": "X"}}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"context": {"traits": {"lastName": "Lee"}}}, {"last_name": "Lee"}),
        ({"traits": {"name": "B"}, "context": {"traits": {"name": "A", "city": "Y"}}}, {"name": "B", "city": "Y"}),
        ({"type": "track", "context": {"traits": {"name": "A"}}}, None),
        ({"traits": None}, None), ({"traits": []}, None), ({"traits": "x"}, None), ({"traits": {}}, None),
        ({"context": [], "traits": {"name": "A"}}, {"name": "A"}),
        ({"traits": {"name": {"a": 1}, "email": [1], "city": True, "phone": None}}, None),
        ({"traits": {"name": "x" * 201, "city": "'); DROP TABLE traits; --"}}, {"city": "'); DROP TABLE traits; --"}),
        ({"traits": {"name": "null", "city": "a\u0000b"}}, {"name": "null", "city": "ab"}),
        ({"traits": {"address": {"postalCode": 12345, "city": "Z"}}}, {"postcode": "12345", "city": "Z"}),
        ({"traits": {"$.name": "A", "first_name": '"quoted"'}}, {"first_name": '"quoted"'}),
    ],
)  # fmt: skip
def test_only_what_describes_a_person_is_taken(
    fed: Fed, event: dict[str, Any], expected: dict[str, str] | None
) -> None:
    fed.feed({"type": "identify", "userId": "ann", **event})
    assert kept(fed) == ({} if expected is None else {Id("user_id", "ann"): expected})


def test_who_has_no_id_is_not_described(fed: Fed) -> None:
    fed.feed({"type": "identify", "userId": "null", "traits": {"name": "Nobody"}})
    assert kept(fed) == {}


@given(raw=st.binary() | st.builds(lambda value: msgspec.json.encode({"traits": value, "context": value}), JSON)
       | st.builds(lambda inside: b'{"traits":' + inside + b"}", st.binary()))  # fmt: skip
def test_no_bytes_break_it(raw: bytes) -> None:
    found = traits_kept.said(raw)
    assert all(isinstance(value, str) and 0 < len(value) <= 200 for value in found.values())
    assert traits_kept.said(b'{"traits":' + b"[" * 100_000) == {}


def test_nothing_is_kept_where_that_is_not_wanted(make_fed: Callable[[IdentityConfig], Fed]) -> None:
    fed = make_fed(IdentityConfig(keep_traits=False))
    fed.feed(identify("ann", firstName="Ann"))
    assert kept(fed) == {} and described(fed) == {}


def test_what_a_failed_batch_took_is_taken_again_with_it(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remembering that it was written, when it was rolled back, would lose it."""
    fed.feed(identify("ann", firstName="Ann"))
    record = fed._record(identify("ann", firstName="Anne"))
    save = fed.graph._save_cursor
    monkeypatch.setattr(fed.graph, "_save_cursor", lambda upto: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        fed.graph.apply([record], record.sequence)
    assert kept(fed) == {Id("user_id", "ann"): {"first_name": "Ann"}}
    monkeypatch.setattr(fed.graph, "_save_cursor", save)
    fed.graph.apply([record], record.sequence)
    assert kept(fed) == {Id("user_id", "ann"): {"first_name": "Anne"}}


def test_who_reads_the_log_again_keeps_nothing_twice(fed: Fed, tmp_path: Path) -> None:
    """After a kill the graph begins behind its cursor; what it had not committed is read again."""
    fed.feed(identify("ann", firstName="Ann", city="X"), identify("ann", firstName="Anne"))
    fed.graph.close()
    fed.graph = Graph(fed.path, Rules(IdentityConfig()), LOG, 2)
    assert fed.graph.cursor == 2
    fed.graph.apply(fed.records[1:], 2)
    assert kept(fed) == {Id("user_id", "ann"): {"first_name": "Anne", "city": "X"}}
    assert fed.graph.store.one("SELECT count(*) FROM traits") == 1


def test_a_person_is_described_by_all_their_ids_the_last_seen_first(fed: Fed) -> None:
    first = 1_900_000_000_000
    fed.feed({"type": "identify", "anonymousId": "a1", "traits": {"name": "Old"}, "received_ms": first})
    fed.feed({**identify("ann", name="New", city="X"), "anonymousId": "a1", "received_ms": first + DAY_MS})
    fed.feed({"type": "identify", "anonymousId": "a2", "traits": {"name": "Other"}, "received_ms": first + DAY_MS})
    found = described(fed)
    assert found.keys() == {Id("user_id", "ann"), Id("anonymous_id", "a2")}
    ann = found[Id("user_id", "ann")]
    assert ann.person == fed.who("user_id", "ann")
    assert ann.traits == {"name": ["New", "Old"], "city": ["X"]}


def test_a_shared_device_is_nobody(fed: Fed) -> None:
    fed.feed({"type": "identify", "anonymousId": "kiosk", "traits": {"name": "Kiosk"}})
    fed.feed(*({**identify(f"u{number}", name=f"N{number}"), "anonymousId": "kiosk"} for number in range(5)))
    assert described(fed).keys() == {Id("user_id", f"u{number}") for number in range(5)}


def test_everybody_comes_once_and_with_so_many_values(fed: Fed) -> None:
    records = [fed._record(identify(f"u{number}", name=f"N{number}")) for number in range(2 * IDS_AT_ONCE + 3)]
    for number, record in enumerate(records, 1):
        record.sequence = number
    fed.graph.apply(records, len(records))
    fed.records += records
    fed.feed(*({"type": "identify", "userId": "u0", "anonymousId": f"a{number}"} for number in range(30)))
    fed.feed(*(
        {"type": "identify", "anonymousId": f"a{number}", "traits": {"name": f"M{number}"}} for number in range(30)
    ))  # fmt: skip
    batches = list(candidates(fed.lookup))
    everybody = [one for some in batches for one in some]
    assert len(everybody) == len({one.person for one in everybody}) == 2 * IDS_AT_ONCE + 3
    assert len(batches) > 2 and max(len(some) for some in batches) <= IDS_AT_ONCE
    (many,) = (one for one in everybody if one.id == Id("user_id", "u0"))
    assert len(many.traits["name"]) == VALUES_MAX
