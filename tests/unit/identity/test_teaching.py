"""What a source may teach: events of sources that are believed less, in any batches, at every place, and over re-loads."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec import Raw

from appliance.core.config import IdentityConfig
from appliance.identity.acts import Act
from appliance.identity.rules import Id, Rules
from appliance.identity.stitch import REASONS, UNIQUE
from tests.support.graph import Fed
from tests.support.graph_log import DAY_MS, START_MS, Journey, World, rules

Walk = Callable[..., World]
SHY: dict[str, Any] = {"sources": {"page": "sightings", "beacon": "none"}}
ANN, BOB, CAT = Id("user_id", "ann"), Id("user_id", "bob"), Id("user_id", "cat")


def browser(value: str) -> Id:
    return Id("anonymous_id", value)


def test_an_alias_of_strangers_joins_them_only_where_its_source_is_believed(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", email="ann@example.com")
    log.track(user="bob", email="bob@example.com")
    log.alias("ann", "bob", source="page")
    log.merge(("email", "ann@example.com"), ("email", "bob@example.com"), source="page")
    log.alias("ann", "bob", source="beacon")
    apart = log.track(user="bob")
    log.alias("ann", "bob")
    one = log.track(user="bob")
    world = walk(log.records, SHY)
    people = world.past.people(log.records)
    assert people[apart - 1] == people[1] != people[0]
    assert people[one - 1] == people[0]


def test_an_alias_of_a_visitor_is_a_sighting_like_any_other(walk: Walk) -> None:
    log = Journey()
    log.track(anonymous="web-1", source="page")
    log.alias("ann", "web-1", anonymous="web-1", source="page")
    last = log.track(anonymous="web-1", source="page")
    log.alias("bob", "web-1", anonymous="web-1", source="page")
    world = walk(log.records, SHY)
    people = world.past.people(log.records)
    assert people[0] == people[last - 1] == world.person(ANN, last)
    rows = world.store.rows("SELECT a, b, explicit, state FROM edges WHERE state <> 0")
    assert [(world.id(a), world.id(b), explicit, REASONS[state]) for a, b, explicit, state in rows] == [
        (BOB, browser("web-1"), 0, REASONS[UNIQUE])
    ]


def test_a_source_that_teaches_nothing_is_heard_and_joins_nobody(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", anonymous="a1")
    log.track(anonymous="b1")
    known = [log.track(user="ann", anonymous="b1", source="beacon"), log.track(anonymous="a1", source="beacon")]
    new = [log.track(user="bob", anonymous=name, source="beacon") for name in ("b1", "b2", "b1")]
    nobody = [log.track(source="beacon"), log.track(user="null", source="beacon")]
    still = log.track(anonymous="b1")
    log_in = log.track(user="bob", anonymous="b1")
    last = log.track(user="bob", source="beacon")
    world = walk(log.records, SHY)
    people = world.past.people(log.records)
    assert {people[place - 1] for place in known} == {people[0]}
    assert len({people[place - 1] for place in new}) == 1, "who is new is one person from the first event on"
    assert len(set(people[: new[0]])) == 3
    assert len({people[place - 1] for place in nobody} | set(people[: new[0]])) == 5
    assert people[still - 1] == people[1]
    assert people[log_in - 1] == people[last - 1], "what another source teaches holds for this one's events as well"
    assert world.person(BOB, log_in) == world.person(browser("b1"), log_in)
    assert world.store.one("SELECT count(*) FROM edges") == 2
    assert "b2" not in {world.store.id_of(row).value for row in world.store.ids(all_ids(world))}


def all_ids(world: World) -> list[int]:
    return [number for (number,) in world.store.rows("SELECT id FROM ids")]


def test_strangers_make_no_address_shared_and_fill_nobody_s_room_by_a_source_that_teaches_nothing(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", email="ann@example.com")
    for n in range(9):
        log.track(user=f"x{n}", email="ann@example.com", source="beacon")
        log.track(user="ann", anonymous=f"x{n}", source="beacon")
    log.track(user="ann", anonymous="a1")
    last = log.track(email="ann@example.com")
    world = walk(log.records, {**SHY, "ids": {"anonymous_id": {"most": 1}}})
    assert world.past.people(log.records)[last - 1] == world.person(ANN, last) == world.person(browser("a1"), last)
    [row] = world.store.find([Id("email", "ann@example.com")]).values()
    assert (row.users, row.shared) == (1, None)


@pytest.mark.parametrize(("source", "joined"), [("web", True), ("page", True), ("beacon", False)])
def test_a_sighting_that_teaches_nothing_keeps_no_window_open(walk: Walk, source: str, joined: bool) -> None:
    log = Journey()
    log.track(device="D", anonymous="a1")
    log.track(device="D", day=2, source=source)
    log.track(device="D", anonymous="a2", day=4)
    last = log.track(anonymous="a2", day=4)
    world = walk(log.records, {**SHY, "ids": {"device_id": {"window": 2 * 86_400}}})
    assert (world.person(browser("a2"), last) == world.past.people(log.records)[0]) == joined


def test_when_somebody_new_was_seen_is_kept_even_so(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", day=3, source="beacon")
    log.track(user="ann", day=5, source="beacon")
    [row] = walk(log.records, SHY).store.find([ANN]).values()
    assert (row.first_ms, row.last_day) == (START_MS + 3 * DAY_MS + 1, START_MS // DAY_MS + 3)


def test_what_a_source_may_teach_is_as_the_log_says_at_each_place(walk: Walk) -> None:
    log = Journey()
    for name in ("ann", "bob", "cat"):
        log.track(user=name, email=f"{name}@example.com")
    log.track(user="ann", anonymous="before", source="late")
    log.act(Act(rules=Raw(rules({"sources": {"late": "none"}}).json)))
    log.track(user="ann", anonymous="while", source="late")
    log.alias("ann", "bob", source="late")
    silent = log.act(Act(rules=Raw(rules({"sources": {"late": "sightings"}}).json)))
    log.alias("ann", "bob", source="late")
    seen = log.track(user="ann", anonymous="seen", source="late")
    log.act(Act(rules=Raw(rules().json)))
    log.alias("ann", "cat", source="late")
    last = log.track(user="cat", source="late")
    world = walk(log.records)
    assert world.person(browser("before"), last) == world.person(ANN, last) == world.person(CAT, last)
    assert world.person(BOB, last) != world.person(ANN, last)
    assert world.person(browser("seen"), seen) == world.person(ANN, seen)
    assert world.person(browser("while"), silent) not in world.people([ANN, BOB, CAT], silent)


def test_no_traits_are_kept_from_a_source_that_teaches_nothing(make_fed: Callable[..., Fed]) -> None:
    fed = make_fed(IdentityConfig(), {"beacon": "none", "page": "sightings"})
    for number, source in enumerate(("beacon", "page", "web")):
        who = {"anonymousId": f"a{number}", "traits": {"firstName": f"Ann{number}"}}
        fed.feed({"type": "identify", "source": source, **who})
    assert fed.graph.rules.json == Rules(IdentityConfig(), {"beacon": "none", "page": "sightings"}).json
    kept = list(fed.graph.store.rows("SELECT * FROM traits"))
    assert [name in repr(kept) for name in ("Ann0", "Ann1", "Ann2")] == [False, True, True]
