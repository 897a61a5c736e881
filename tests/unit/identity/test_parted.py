"""What is told of how somebody was parted from others."""

import pytest

from appliance.identity.acts import Undoing
from appliance.identity.parted import Parted, parted
from appliance.identity.rules import Id
from tests.support.graph import STARTED_MS, Fed

ANN, BOB, ZED = ({"userId": name, "traits": {"email": f"{name}@example.com"}} for name in ("ann", "bob", "zed"))
ANN_ID, BOB_ID, ZED_ID = (Id("user_id", name) for name in ("ann", "bob", "zed"))
BAD_ALIAS = {"type": "alias", "userId": "ann", "previousId": "bob"}


def told(fed: Fed, one: Id) -> Parted | None:
    return parted(fed.lookup, fed.lookup.names_and_ids(fed.who(*one))[0])


@pytest.fixture
def merged(fed: Fed) -> Fed:
    fed.feed(*({"type": "identify", **one} for one in (ANN, BOB, ZED)), BAD_ALIAS)
    return fed


def test_both_are_told_of_the_other_when_by_whom_and_by_what(merged: Fed) -> None:
    assert told(merged, ANN_ID) is None
    merged.act(undo=Undoing("4", (ANN_ID, BOB_ID)), by="admin (eve)")
    at_ms = merged.records[-1].received_ms
    assert at_ms > STARTED_MS
    for one, other in ((ANN_ID, BOB_ID), (BOB_ID, ANN_ID)):
        assert told(merged, one) == Parted(merged.who(*other), "4", at_ms, "admin (eve)")
    assert told(merged, ZED_ID) is None


@pytest.mark.parametrize("undo", ["4", Undoing("4", (ANN_ID, BOB_ID))])
def test_an_entry_of_before_tells_what_it_can(merged: Fed, undo: str | Undoing) -> None:
    merged.act(undo=undo)
    found = told(merged, ANN_ID)
    assert found is not None and (found.merge, found.by) == ("4", "")


def test_it_follows_those_who_became_others_and_ends_where_they_are_one_again(merged: Fed) -> None:
    merged.act(forbid=(ANN_ID, BOB_ID), by="ops")
    merged.act(link=(BOB_ID, ZED_ID))
    for one, other in ((ANN_ID, ZED_ID), (ZED_ID, ANN_ID), (BOB_ID, ANN_ID)):
        found = told(merged, one)
        assert found is not None and (found.person, found.merge, found.by) == (merged.who(*other), "", "ops")
    merged.act(allow=(ANN_ID, BOB_ID))
    merged.act(link=(ANN_ID, BOB_ID))
    assert merged.who(*ANN_ID) == merged.who(*ZED_ID)
    assert told(merged, ANN_ID) is None


def test_a_device_that_left_its_person_was_parted_by_nobody(fed: Fed) -> None:
    fed.feed(*({"userId": f"u{number}", "anonymousId": "kiosk"} for number in range(6)))
    fed.act(forbid=(Id("user_id", "u1"), Id("user_id", "u2")))
    assert told(fed, Id("anonymous_id", "kiosk")) is None
