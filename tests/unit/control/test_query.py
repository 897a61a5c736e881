"""The filter language: what it matches, and what it says of a filter it cannot read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.query import KEYS, TERMS_MAX, QueryError, parse


class Thing:
    def __init__(self, age_ms: int = 0, text: str = "", **values: str) -> None:
        self._values, self._age_ms, self._text = values, age_ms, text

    def values(self, key: str) -> list[str]:
        return [self._values[key]] if key in self._values else []

    def age_ms(self) -> int:
        return self._age_ms

    def text(self) -> str:
        return self._text


ORDER = Thing(
    age_ms=2 * 3_600_000,
    text='connection REFUSED {"total": 5}',
    dest="crm",
    code="400",
    type="track",
    user="u1",
    event="Order Completed",
    reason="HTTP 400",
    stage="deliver",
    source="web",
    id="m-1",
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "dest:crm",
        "DEST:CRM",
        "dest:c*",
        "dest:*",
        "code:400",
        "type:track user:u1",
        'event:"Order*"',
        'event:"order completed"',
        'event:"Order Completed"',
        "event:*completed",
        "age:>1h",
        "age:<3h",
        "age:>1h age:<3h",
        'age:">1h 30m"',
        "dest:crm dest:other",
        "dest:other dest:crm",
        "-dest:other",
        "refused",
        '"connection refused"',
        "connection total",
        "-timeout",
        "id:m-1",
        "dest:crm -code:500",
    ],
)
def test_a_filter_matches(text: str) -> None:
    assert parse(text).matches(ORDER)


@pytest.mark.parametrize(
    "text",
    [
        "dest:cr",
        "dest:crmm",
        "dest:*x",
        "code:40",
        "code:?00",
        "type:[t]rack",
        "event:Order",
        "age:>3h",
        "age:<1h",
        "age:>1h age:<90m",
        "-dest:crm",
        "-dest:c*",
        "timeout",
        "connection timeout",
        "-refused",
        "state:failed",
        "dest:crm code:500",
        "-dest:other -dest:crm",
    ],
)
def test_a_filter_does_not_match(text: str) -> None:
    assert not parse(text).matches(ORDER)


def test_wildcards_stand_for_anything_and_everything_else_for_itself() -> None:
    assert parse(r'event:"a[b]?c"').matches(Thing(event="a[b]?c"))
    assert parse('event:"a*c"').matches(Thing(event="a\nb\nc"))
    assert parse(r'event:"say \"hi\""').matches(Thing(event='say "hi"'))
    assert not parse("event:a.c").matches(Thing(event="abc"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dset:crm", 'did you mean "dest:"?'),
        ("colour:red", "keys: dest"),
        ('event:"open', "quote"),
        ("age:1h", "needs < or >"),
        ("age:>soon", "no duration"),
        ("x" * 3000, "at most"),
        (" ".join("ab" for _ in range(TERMS_MAX + 1)), "terms"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, words: str) -> None:
    with pytest.raises(QueryError, match=words.replace("?", r"\?")):
        parse(text)


def test_an_empty_filter_is_told_from_one_that_matches_all() -> None:
    assert not parse("") and not parse("   ")
    assert parse("age:>0s")


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        assert str(error)
    else:
        query.matches(ORDER)


@given(st.sampled_from(sorted(set(KEYS) - {"age"})), st.text(min_size=1, max_size=30))
def test_a_quoted_value_matches_itself_whatever_it_is(key: str, value: str) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    query = parse(f'{key}:"{quoted}"')
    assert query.matches(Thing(**{key: value}))
    if "*" not in value:
        assert not query.matches(Thing(**{key: value + "x"}))
