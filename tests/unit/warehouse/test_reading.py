"""Whatever stands in an event is read, or refused with a reason; never anything else."""

import pytest

from appliance.warehouse.errors import Unmappable
from appliance.warehouse.reading import LEVELS_MAX, read

READ = {
    b'{"a":"x\\u0000y"}': ({"a": "x\0y"}, {"a": "x\ufffdy"}),
    b'{"a\\u0000":[{"b":"\\u0000"}]}': ({"a\0": [{"b": "\0"}]}, {"a\ufffd": [{"b": "\ufffd"}]}),
    b'{"a":"\\\\u0000"}': ({"a": "\\u0000"}, {"a": "\\u0000"}),
    b'{"a":"\\ud83d"}': ({"a": "\ufffd"}, {"a": "\ufffd"}),
    b'{"a":"\\ud83d\\ude00"}': ({"a": "\U0001f600"}, {"a": "\U0001f600"}),
    b'{"a":"\xff"}': ({"a": "\ufffd"}, {"a": "\ufffd"}),
    b'{"a":NaN,"b":-Infinity}': ({"a": None, "b": None}, {"a": None, "b": None}),
    b'{"a":1,"a":2}': ({"a": 2}, {"a": 2}),
    b"{}": ({}, {}),
}


@pytest.mark.parametrize(("raw", "expected"), READ.items())
def test_texts_are_made_so_that_they_can_be_stored(raw: bytes, expected: tuple[object, object]) -> None:
    event = b'{"properties":%s,"userId":"u"}' % raw
    assert tuple(read(event, holds_nul=holds).properties for holds in (True, False)) == expected
    assert read(event, holds_nul=False).user_id == "u"


REFUSED = {
    b"": "not JSON",
    b"{": "not JSON",
    b"[]": "not a JSON object",
    b"5": "not a JSON object",
    b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}": "nested too deeply",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000: "nested too deeply",
    b'{"b":"\\u0000","a":' + b"[" * (LEVELS_MAX + 1) + b"]" * (LEVELS_MAX + 1) + b"}": "nested too deeply",
}


@pytest.mark.parametrize(("raw", "reason"), REFUSED.items())
def test_what_is_no_event_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(Unmappable, match=f"^{reason}$"):
        read(raw, holds_nul=False)
