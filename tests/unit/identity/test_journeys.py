"""Worked journeys through the person graph, with the people that must come of them, at every place of the log."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from appliance.core.event import Record
from appliance.identity.acts import Act, Undoing
from appliance.identity.person import merge_text
from appliance.identity.rules import LISTED_MAX, Id
from appliance.identity.stitch import FORBIDDEN, REASONS, SHARED, UNIQUE, WINDOW, Change
from appliance.identity.store import MESSAGE_CHARACTERS_MAX, WORDS_MAX, EdgeRow, Store
from tests.support.graph_log import Journey, World, event, rules

Walk = Callable[..., World]
NO_LIMITS: dict[str, Any] = {
    "ids_max": 0,
    "ids": {name: {"most": 0} for name in ("user_id", "email", "phone", "device_id", "anonymous_id")},
}


def user(value: str) -> Id:
    return Id("user_id", value)


def browser(value: str) -> Id:
    return Id("anonymous_id", value)


def mail(value: str) -> Id:
    return Id("email", value)


def device(value: str) -> Id:
    return Id("device_id", value)


def states(world: World) -> dict[tuple[str, str], str]:
    """Why edges do not hold, by the values of their ids; those that hold are not there."""
    rows = world.store.rows("SELECT a, b, state FROM edges WHERE state <> 0")
    return {(world.id(a).value, world.id(b).value): REASONS[state] for a, b, state in rows}


def members(world: World, id: Id, place: int) -> set[str]:
    """The ids of the person who has this one now."""
    rows = world.store.members([world.person(id, place)])
    return {world.store.id_of(row).value for row in rows}


def test_a_visitor_signs_up_on_a_phone_and_logs_in_on_the_web(walk: Walk) -> None:
    log = Journey()
    log.track(anonymous="web-1")
    log.track(anonymous="web-1")
    log.track(anonymous="phone-1", device="D")
    sign_up = log.track(anonymous="phone-1", device="D", user="u1", email="Ann@Example.com ", type="identify")
    before = log.track(anonymous="web-1")
    log_in = log.track(anonymous="web-1", user="u1")
    after = log.track(anonymous="web-1")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[0] == people[1] == people[4], "the visitor on the web is one person all the time"
    assert people[2] == people[3], "who signs up is who used the phone before"
    assert people[0] != people[3]
    assert people[5] == people[6]
    everything = {"u1", "ann@example.com", "D", "phone-1", "web-1"}
    assert members(world, user("u1"), after) == everything
    assert {world.past.root(person, after) for person in people} == {people[6]}, "past events are found by look-up"
    assert world.past.root(people[0], before) == people[0]
    assert world.past.changes(0, after) == [Change(log_in, people[0], people[3], split=False)]
    assert people[3] == people[6], "the smaller becomes the larger"
    assert world.person(mail("ann@example.com"), sign_up) == people[3]


def test_a_kiosk_with_five_log_ins_is_a_person_of_its_own(walk: Walk) -> None:
    log = Journey()
    log.track(device="K")
    log_ins = [log.track(user=f"u{n}", device="K") for n in range(5)]
    alone = log.track(device="K")
    again = [log.track(user=f"u{n}", device="K") for n in range(5)]
    world = walk(log.records)
    people = world.past.people(log.records)
    assert len({people[place - 1] for place in log_ins}) == 5
    assert [people[place - 1] for place in again] == [people[place - 1] for place in log_ins]
    assert people[alone - 1] not in {people[place - 1] for place in log_ins}, "the kiosk is nobody of them"
    assert people[0] == people[1], "until it is known to be shared it is the first one's"
    assert members(world, device("K"), again[-1]) == {"K"}
    [row] = world.store.find([device("K")]).values()
    assert row.users == 5
    assert row.shared == log_ins[3], "the fourth user is one more than may share an id"
    assert states(world) == {(f"u{n}", "K"): REASONS[SHARED if n in (0, 4) else UNIQUE] for n in range(5)}
    assert world.past.changes(0, again[-1]) == [Change(log_ins[3], people[alone - 1], people[0], split=True)]


def test_a_shared_kiosk_brings_browsers_together_no_more(walk: Walk) -> None:
    log = Journey()
    log.track(device="K", anonymous="a1")
    log.track(device="K", anonymous="a2")
    together = log.track(anonymous="a2")
    last = [log.track(user=f"u{n}", device="K") for n in range(4)][-1]
    apart = [log.track(anonymous="a1"), log.track(anonymous="a2"), log.track(device="K")]
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[0] == people[1] == people[2]
    assert len({people[place - 1] for place in apart}) == 3
    assert [change.split for change in world.past.changes(last - 1, last)] == [True, True, True]
    assert world.person(browser("a1"), together) == world.person(browser("a2"), together) == people[0]


def test_two_ids_that_one_event_makes_shared_leave_the_past_as_it_was(walk: Walk) -> None:
    log = Journey()
    log.track(email="info@example.com", device="K", anonymous="a1")
    log.track(device="K", anonymous="a2")
    log.track(device="K", anonymous="a3")
    log.track(user="u1", email="info@example.com", device="K")
    before = [log.track(anonymous=name) for name in ("a1", "a2", "a3")]
    both = log.track(user="u2", email="info@example.com", device="K")
    after = [log.track(anonymous=name) for name in ("a1", "a2", "a3")]
    last = log.track(user="u1")
    world = walk(log.records, {"shared_after": 1})
    people = world.past.people(log.records)
    assert {people[place - 1] for place in (1, 2, 3, 4, *before)} == {people[0]}
    apart = [*after, last, both]
    assert len({people[place - 1] for place in apart}) == len(apart)
    assert world.store.one("SELECT count(*) FROM ids WHERE shared = ?", both) == 2


def test_who_would_fall_into_too_many_people_at_once_stays_one(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.identity.stitch.ORDINALS_MAX", 3)
    log = two_customers()
    refused = log.act(Act(forbid=(user("ann"), browser("a1"))))
    log.track(device="K", anonymous="x")
    shared = [log.track(user=f"u{n}", device="K") for n in range(4)][-1]
    last = [
        log.track(anonymous="a1"),
        log.track(anonymous="x"),
        log.track(device="K"),
        log.track(user="u3", device="K"),
    ]
    world = walk(log.records)
    people = world.past.people(log.records)
    outcome = world.past.outcome(refused)
    assert not outcome.changed
    assert outcome.done.startswith("nothing was changed: a person would fall into 2 people at once")
    assert people[last[0] - 1] == people[0]
    assert not world.store.one("SELECT count(*) FROM forbidden")
    assert people[last[1] - 1] == people[last[2] - 1] == people[refused], "who had the kiosk has it still"
    assert people[last[3] - 1] == people[shared - 1], "and it brings nobody together any more"
    assert world.store.find([device("K")])[device("K")].shared == shared


def test_an_event_that_was_passed_over_is_a_person_of_its_own_for_ever(tmp_path: Path) -> None:
    log = Journey()
    log.track(user="ann", anonymous="a1")
    log.track(user="ann", anonymous="a2")
    log.track(user="ann")
    with World(tmp_path / "people.sqlite") as world:
        first = world.read(log.records[:1])
        passed = world.graph.pass_over(log.records[1])
        assert world.graph.cursor == 2
        last = world.read(log.records)
        people = [*first.people, *passed.people, *last.people]
        assert people[0] == people[2] != people[1]
        assert world.past.people(log.records) == people
        assert world.past.people(log.records[1:2]) == passed.people
        assert not world.store.find([browser("a2")])


def two_customers() -> Journey:
    """Ann is older and larger; both have two ids, and a third each later."""
    log = Journey()
    log.track(user="ann", email="ann@example.com", anonymous="a1")
    log.track(user="bob", email="bob@example.com")
    return log


def test_two_customers_merged_by_a_bad_alias_are_two_again_once_it_is_undone(walk: Walk) -> None:
    log = two_customers()
    bad = log.alias("ann", "bob")
    during = [log.track(user="ann", anonymous="a2"), log.track(user="bob", anonymous="b1")]
    undo = log.act(Act(undo=str(bad)))
    after = [log.track(user="ann"), log.track(email="bob@example.com"), log.track(anonymous="b1")]
    repeated = log.alias("ann", "bob")
    turned = log.alias("bob", "ann")
    later = [log.track(anonymous="a2"), log.track(user="bob")]
    world = walk(log.records)
    people = world.past.people(log.records)
    ann, bob = people[0], people[1]
    assert ann != bob
    assert [people[place - 1] for place in (bad, *during)] == [ann, ann, ann]
    assert [people[place - 1] for place in after] == [ann, bob, bob], "each is who they were before"
    assert people[repeated - 1] == ann, "the alias repeated does not merge again"
    assert people[turned - 1] == bob, "nor does it the other way round"
    assert [people[place - 1] for place in later] == [ann, bob]
    assert members(world, user("ann"), turned) == {"ann", "ann@example.com", "a1", "a2"}
    assert members(world, user("bob"), turned) == {"bob", "bob@example.com", "b1"}
    assert world.past.changes(0, turned) == [Change(bad, bob, ann, split=False), Change(undo, bob, ann, split=True)]
    outcome = world.past.outcome(undo)
    assert outcome.changed
    assert set(outcome.people) == {world.graph.names.text(ann), world.graph.names.text(bob)}
    assert world.person(user("bob"), during[0]) == ann, "the past stays as it was"


def test_an_undo_gives_back_people_who_were_merged_themselves_before(walk: Walk) -> None:
    log = Journey()
    for name in ("b1", "a1", "a2", "a3"):
        log.track(anonymous=name)
    log.track(user="ann", anonymous="a1")
    log.track(user="ann", anonymous="a2")
    log.track(user="ann", anonymous="a3")
    log.track(user="bob", anonymous="b1")
    log.track(user="bob", email="bob@example.com")
    before = log.track(user="ann")
    bad = log.merge(("user_id", "bob"), ("user_id", "ann"))
    log.act(Act(undo=str(bad)))
    after = log.track(user="ann")
    world = walk(log.records)
    ids = [user("ann"), browser("a1"), browser("a2"), browser("a3"), user("bob"), browser("b1")]
    assert world.people(ids, after) == world.people(ids, before)
    assert world.person(user("ann"), bad) == world.person(user("bob"), bad)


def test_an_older_merge_can_be_undone_after_a_later_one_was(walk: Walk) -> None:
    log = Journey()
    for name in ("ann", "bob", "cleo"):
        log.track(user=name, email=f"{name}@example.com")
    first, second = log.alias("ann", "bob"), log.alias("ann", "cleo")
    log.act(Act(undo=str(second)))
    between = log.track(user="bob")
    undo = log.act(Act(undo=str(first)))
    again = log.act(Act(undo=str(first)))
    last = log.track(user="bob")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[between - 1] == people[0]
    assert world.past.outcome(undo).changed
    assert people[last - 1] == people[1], "bob is who he was before he was ann"
    assert world.person(user("cleo"), last) == people[2]
    assert "two people already" in world.past.outcome(again).done
    assert not world.past.outcome(again).changed


@pytest.mark.parametrize(
    ("name", "says"),
    [("99", "there is no merge 99"), ("two", "is no merge"), ("1", "there is no merge 1"), ("7:3", "there is no")],
)
def test_an_undo_of_nothing_says_so(walk: Walk, name: str, says: str) -> None:
    log = two_customers()
    undo = log.act(Act(undo=name))
    world = walk(log.records)
    assert says in world.past.outcome(undo).done
    assert not world.past.outcome(undo).changed


def test_one_event_may_merge_three_and_each_merge_is_undone_by_its_own_name(walk: Walk) -> None:
    log = Journey()
    log.track(email="ann@example.com")
    log.track(anonymous="a1")
    log.track(user="ann")
    join = log.track(user="ann", email="ann@example.com", anonymous="a1")
    names = [str(join), f"{join}.1"]
    log.act(Act(undo=names[1]))
    last = log.track(anonymous="a1")
    world = walk(log.records)
    assert [merge_text(merge) for merge, _, _ in world.merges()] == names
    people = world.past.people(log.records)
    assert people[last - 1] == people[1]
    assert members(world, user("ann"), last) == {"ann", "ann@example.com"}


def test_forbidden_ids_part_and_never_meet_again_until_they_are_allowed(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", anonymous="a1")
    log.track(user="ann", anonymous="a2")
    forbid = log.act(Act(forbid=(browser("a1"), browser("a2"))))
    apart = [log.track(anonymous="a1"), log.track(anonymous="a2")]
    log.track(user="ann", anonymous="a2")
    log.track(email="ann@example.com", anonymous="a1")
    refused = log.track(email="ann@example.com", anonymous="a2")
    twice = log.act(Act(forbid=(browser("a2"), browser("a1"))))
    asked = log.act(Act(link=(browser("a2"), browser("a1"))))
    allow = log.act(Act(allow=(browser("a1"), browser("a2"))))
    still = [log.track(anonymous="a1"), log.track(anonymous="a2")]
    log.track(user="ann", anonymous="a2")
    one = [log.track(anonymous="a1"), log.track(anonymous="a2")]
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[apart[0] - 1] == people[0], "ann keeps the older of the two"
    assert people[apart[1] - 1] not in people[:2]
    assert people[refused - 1] == people[0]
    assert people[still[0] - 1] != people[still[1] - 1], "allowing alone joins nobody"
    assert people[one[0] - 1] == people[one[1] - 1] == people[0]
    assert world.past.outcome(forbid).changed
    assert not world.past.outcome(twice).changed
    assert REASONS[FORBIDDEN] in world.past.outcome(asked).done
    assert world.past.outcome(allow).changed


def test_forbidding_two_people_in_advance_keeps_even_an_alias_from_joining_them(walk: Walk) -> None:
    log = two_customers()
    log.act(Act(forbid=(mail("ann@example.com"), mail("bob@example.com"))))
    log.alias("ann", "bob")
    log.merge(("email", "ann@example.com"), ("email", "bob@example.com"))
    last = log.track(user="bob")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[last - 1] == people[1] != people[0]
    assert set(states(world).values()) == {REASONS[FORBIDDEN]}
    assert world.past.changes(0, last) == []


def test_what_was_kept_apart_from_the_start_is_decided_anew_once_it_is_allowed(walk: Walk) -> None:
    log = Journey()
    log.track(anonymous="a1")
    log.track(email="ann@example.com")
    log.act(Act(forbid=(browser("a1"), mail("ann@example.com"))))
    apart = [log.track(email="ann@example.com", anonymous="a1") for _ in range(2)]
    log.act(Act(allow=(browser("a1"), mail("ann@example.com"))))
    log.track(email="ann@example.com", anonymous="a1")
    one = [log.track(anonymous="a1"), log.track(email="ann@example.com")]
    people = walk(log.records).past.people(log.records)
    assert {people[number - 1] for number in apart} == {people[1]} != {people[0]}
    assert people[one[0] - 1] == people[one[1] - 1]


def test_what_is_allowed_after_an_undo_may_be_merged_again(walk: Walk) -> None:
    log = two_customers()
    bad = log.alias("ann", "bob")
    log.act(Act(undo=str(bad)))
    log.act(Act(allow=(user("ann"), user("bob"))))
    log.alias("ann", "bob")
    last = log.track(user="bob")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[last - 1] == people[0]


def test_a_link_joins_what_was_only_suggested_and_even_what_was_undone(walk: Walk) -> None:
    log = two_customers()
    link = log.act(Act(link=(mail("ann@example.com"), mail("bob@example.com"))))
    one = log.track(user="bob")
    log.act(Act(undo=str(link)))
    two = log.track(user="bob")
    again = log.act(Act(link=(mail("bob@example.com"), mail("ann@example.com"))))
    last = log.track(user="bob")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert [people[place - 1] for place in (one, two, last)] == [people[0], people[1], people[0]]
    assert world.past.outcome(again).done == "they are one person from here on"
    assert len(world.past.outcome(again).people) == 1


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (Act(reject=(user("ann"), user("nobody"))), "nobody has the user_id nobody"),
        (Act(forbid=(user("ann"), user("ann"))), "the same id twice"),
        (Act(allow=(Id("seal", "1"), user("ann"))), "nobody has the seal 1"),
        (Act(), "nothing was asked for"),
    ],
)
def test_an_act_that_cannot_be_done_says_so_and_changes_nothing(walk: Walk, act: Act, says: str) -> None:
    log = two_customers()
    place = log.act(act)
    last = log.track(user="ann")
    world = walk(log.records)
    assert says in world.past.outcome(place).done
    assert not world.past.outcome(place).changed
    assert world.past.people(log.records)[last - 1] == world.past.people(log.records)[0]


def test_blocked_ids_are_nobody(walk: Walk) -> None:
    log = Journey()
    for name in ("ann", "bob"):
        log.track(user=name, email="null", device="00000000-0000-0000-0000-000000000000", anonymous="undefined")
    nobody = [log.track(user="guest", anonymous="0"), log.track(user="guest", anonymous="0"), log.track()]
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[0] != people[1]
    assert len({people[place - 1] for place in nobody}) == 3, "an event without a usable id is a person of its own"
    assert world.store.one("SELECT count(*) FROM ids") == 2


def test_late_events_join_as_any_other_and_keep_the_first_day(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", day=10)
    log.track(anonymous="a1", day=10)
    log.track(user="ann", anonymous="a1", day=3)
    last = log.track(anonymous="a1", day=3)
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[last - 1] == people[0]
    assert members(world, user("ann"), last) == {"ann", "a1"}


def test_an_id_beyond_its_window_joins_nobody_and_is_still_somebody(walk: Walk) -> None:
    config = {"ids": {"device_id": {"window": 2 * 86_400}}}
    log = Journey()
    log.track(device="D", anonymous="a1")
    log.track(device="D", anonymous="a2", day=2)
    left = log.track(device="D", anonymous="a3", day=5)
    alone = log.track(device="D", day=5)
    fresh = log.track(device="D", anonymous="a4", day=6)
    last = log.track(anonymous="a4", day=6)
    world = walk(log.records, config)
    people = world.past.people(log.records)
    assert people[last - 1] == people[0]
    assert people[left - 1] == people[0], "it still attributes"
    assert people[alone - 1] == people[0]
    assert members(world, device("D"), fresh) == {"D", "a1", "a2", "a4"}
    assert states(world) == {("D", "a3"): REASONS[WINDOW]}


def test_most_ids_of_a_type_and_most_of_all(walk: Walk) -> None:
    log = Journey()
    for n in range(5):
        log.track(user="ann", anonymous=f"a{n}")
    last = log.track(user="ann", email="ann@example.com", phone="+44 20 7946 0000", device="D")
    world = walk(log.records, {"ids_max": 5, "ids": {"anonymous_id": {"most": 3}}})
    assert members(world, user("ann"), last) == {"ann", "a0", "a1", "a2", "ann@example.com"}
    people = {world.person(id, last) for id in (user("ann"), browser("a3"), browser("a4"), device("D"))}
    assert len(people) == 4, "who is left out is a person of their own"


def test_of_ids_that_do_not_all_fit_the_first_by_priority_stay(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", email="ann@example.com")
    log.track(user="bob", device="D")
    mixed = log.track(user="ann", email="ann@example.com", device="D", anonymous="a1")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[mixed - 1] == people[0]
    assert states(world) == {("ann", "D"): REASONS[UNIQUE]}
    assert members(world, user("ann"), mixed) == {"ann", "ann@example.com", "a1"}


def test_what_was_left_out_when_it_was_seen_is_joined_by_an_alias(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", anonymous="a1")
    log.track(user="bob", anonymous="a1")
    two = log.track(user="bob")
    log.merge(("user_id", "bob"), ("anonymous_id", "a1"))
    one = log.track(user="bob")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[two - 1] != people[0]
    assert people[one - 1] in (people[0], people[1])
    assert members(world, user("ann"), one) == {"ann", "bob", "a1"}
    assert states(world) == {}


def test_external_ids_and_a_merge_call_bring_people_together(walk: Walk) -> None:
    log = Journey()
    log.track(anonymous="a1", external=[("liveramp", "XY1")])
    log.track(anonymous="a2", external=[("liveramp", "XY1"), ("crm", "7")])
    log.track(external=[("loyalty", "55")])
    joined = log.merge(("loyalty", "55"), ("crm", "7"))
    last = log.track(external=[("crm", "7")])
    world = walk(log.records)
    assert members(world, browser("a1"), last) == {"a1", "a2", "XY1", "7", "55"}
    assert {change.sequence for change in world.past.changes(0, last)} == {joined}


def test_rules_hold_from_their_own_place_on(walk: Walk) -> None:
    log = Journey()
    log.track(user="ann", anonymous="shop")
    log.track(anonymous="shop")
    log.act(Act(rules=Raw(rules({"ids": {"anonymous_id": {"blocked": ["shop"]}}}).json)))
    nobody = log.track(anonymous="shop")
    log.track(user="bob", anonymous="shop")
    log.act(Act(rules=Raw(rules().json)))
    log.act(Act(rules=Raw(b'{"ids": {"user_id": {"normalise": "wish"}}}')))
    last = log.track(anonymous="shop")
    world = walk(log.records)
    people = world.past.people(log.records)
    assert people[1] == people[0] == people[last - 1]
    assert people[nobody - 1] != people[0]
    assert members(world, user("ann"), last) == {"ann", "shop"}


def chain(ids: int) -> list[Record]:
    log = Journey()
    for n in range(ids - 1):
        log.track(anonymous=f"a{n}", device=f"d{n}")
        log.track(anonymous=f"a{n + 1}", device=f"d{n}")
    return log.records


def star(ids: int) -> list[Record]:
    log = Journey()
    for n in range(ids):
        log.track(email="hub@example.com", anonymous=f"a{n}")
    return log.records


@pytest.mark.parametrize("shape", [chain, star])
def test_chains_and_stars_form_with_limits_off_and_never_with_them(
    walk: Walk, tmp_path: Path, shape: Callable[[int], list[Record]]
) -> None:
    records = shape(600)
    free = walk(records, NO_LIMITS)
    last = records[-1].sequence
    assert len(members(free, browser("a0"), last)) == free.store.one("SELECT count(*) FROM ids") > 600
    with World(tmp_path / "limited.sqlite") as limited:
        limited.read(records)
        sizes = [sum(count for _, _, count in limited.store.counts([person])) for person in roots(limited)]
    assert max(sizes) <= 500
    assert len(sizes) > 1


def roots(world: World) -> list[int]:
    origins = [row[0] for row in world.store.rows("SELECT DISTINCT origin FROM ids")]
    became = dict(map(tuple, world.store.winners(origins)))
    return [origin for origin in origins if origin not in became]


@pytest.mark.parametrize("grown", [2, 30])
def test_a_chain_is_cut_in_the_middle(walk: Walk, grown: int) -> None:
    log = Journey()
    for half in "lr":
        for n in range(grown):
            log.track(anonymous=f"{half}{n}", device=f"{half}d{n}")
            log.track(anonymous=f"{half}{n + 1}", device=f"{half}d{n}")
    before = log.track(anonymous="x")
    join = log.merge(("anonymous_id", f"l{grown}"), ("anonymous_id", "r0"))
    undo = log.act(Act(undo=str(join)))
    world = walk(log.records, NO_LIMITS)
    ids = [browser(f"{half}{n}") for half in "lr" for n in range(grown + 1)]
    assert world.people(ids, undo) == world.people(ids, before)
    assert len(set(world.people(ids, join))) == 1


def test_an_undo_after_the_people_have_grown_keeps_who_came_later_on_their_side(walk: Walk) -> None:
    log = two_customers()
    bad = log.alias("ann", "bob")
    for n in range(10):
        log.track(user="bob", anonymous=f"b{n}")
    undo = log.act(Act(undo=str(bad)))
    world = walk(log.records)
    people = world.past.people(log.records)
    assert members(world, user("bob"), undo) == {"bob", "bob@example.com", *(f"b{n}" for n in range(10))}
    assert world.person(user("ann"), undo) == people[0], "ann is smaller now, and is ann all the same"
    assert world.person(browser("b3"), undo) == people[1]


def test_types_that_clients_make_up_take_no_room_from_those_of_the_house(
    walk: Walk, caplog: pytest.LogCaptureFixture
) -> None:
    log = Journey()
    for n in range(WORDS_MAX):
        log.track(anonymous="stranger", external=[(f"made_up_{n}", "1x")])
    place = log.track(user="ann", email="ann@x.io", external=[("card", "77")], anonymous="web")
    world = walk(log.records, {"ids": {"card": {"unique": True}}})
    ann = [user("ann"), mail("ann@x.io"), Id("card", "77"), browser("web")]
    assert len(set(world.people(ann, place))) == 1
    assert world.store.one("SELECT text FROM words JOIN edges ON source = word LIMIT 1") == "web"
    made_up = world.store.find([Id("made_up_1", "1x"), Id(f"made_up_{WORDS_MAX - 1}", "1x")])
    assert [id.type for id in made_up] == ["made_up_1"]
    assert "id_type_left_out" in caplog.messages


def test_a_person_is_parted_without_reading_what_was_ever_left_out(walk: Walk, monkeypatch: pytest.MonkeyPatch) -> None:
    log, read = Journey(), list[int]()
    for n in range(150):
        log.track(user="ann", anonymous=f"made-up-{n}")
    log.track(user="ann", device="tablet")
    for name in ("bob", "cat", "dan"):
        log.track(user=name, device="tablet")
    of = Store.edges_of

    def counted(store: Store, *args: Any, **options: Any) -> list[EdgeRow]:
        found = of(store, *args, **options)
        read.append(len(found))
        return found

    monkeypatch.setattr(Store, "edges_of", counted)
    world = walk(log.records)
    assert world.store.find([device("tablet")])[device("tablet")].shared
    assert read and max(read) == 101, "100 browsers and the tablet"


def test_a_person_whose_ids_become_shared_at_once_is_taken_apart_once(
    walk: Walk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = [(f"card{n}", "7") for n in range(LISTED_MAX)]
    log = Journey()
    users = [log.track(user=f"u{n}", external=cards, device="D", anonymous="a1") for n in range(4)]
    others = [log.track(external=[card]) for card in cards]
    alone = [*others, log.track(device="D"), log.track(anonymous="a1")]
    world = walk(log.records)
    people = world.past.people(log.records)
    assert len({people[place - 1] for place in users + alone}) == len(users) + len(alone)
    assert people[0] == world.person(user("u0"), alone[-1]), "who had them all keeps the name"
    splits = world.past.changes(users[-1] - 1, users[-1])
    assert {change.lane for change in splits} == {people[place - 1] for place in alone}
    assert {(change.other, change.split) for change in splits} == {(people[0], True)}

    read, of = [], Store.edges_of
    monkeypatch.setattr(Store, "edges_of", lambda *args, **options: read.append(args) or of(*args, **options))
    with World(tmp_path / "once.sqlite") as once:
        once.read(log.records)
    assert len(read) == 1


def test_ids_of_several_people_that_become_shared_at_once_all_leave(walk: Walk) -> None:
    log = Journey()
    for kind in ("email", "device", "anonymous"):
        for n in range(3):
            log.track(user=f"{kind}-{n}", **{kind: "k@x.io"})
    last = log.track(user="ann", email="k@x.io", device="k@x.io", anonymous="k@x.io")
    ids = [mail("k@x.io"), device("k@x.io"), browser("k@x.io")]
    world = walk(log.records)
    people = world.past.people(log.records)
    firsts = [people[place] for place in (0, 3, 6)]
    assert world.people(ids, last - 1) == firsts
    assert len({*world.people(ids, last), *people}) == len(ids) + len(people), "three devices and ten users"
    assert sorted(change.other for change in world.past.changes(last - 1, last)) == sorted(firsts)


def test_a_long_message_id_is_not_kept_with_every_link_that_its_event_makes(walk: Walk) -> None:
    log = Journey()
    log.records.append(
        event(
            1,
            user="ann",
            message_id="m" * 30_000,
            context={"externalId": [{"type": "card", "id": f"c{n}"} for n in range(LISTED_MAX)]},
        )
    )
    world = walk(log.records)
    assert world.store.one("SELECT count(*) FROM edges") == LISTED_MAX
    assert world.store.one("SELECT sum(length(message)) FROM edges") == LISTED_MAX * MESSAGE_CHARACTERS_MAX


@pytest.mark.parametrize("act", ["forbid", "undo", "link"])
def test_an_act_holds_where_the_log_of_before_is_gone(tmp_path: Path, act: str) -> None:
    """A graph made anew reads what the log still has; who was spoken of may come again only afterwards."""
    log = two_customers()
    log.alias("ann", "bob")
    pair = (user("ann"), user("bob"))
    what: Any = {"undo": Undoing("3", pair)} if act == "undo" else {act: pair}
    place = log.act(Act(**what))
    log.track(user="ann", email="ann@example.com")
    log.track(user="bob", email="bob@example.com")
    last = log.alias("ann", "bob")
    with World(tmp_path / "whole.sqlite") as whole, World(tmp_path / "rest.sqlite") as rest:
        whole.read(log.records)
        rest.read(log.records[place - 1 :])
        for world in (whole, rest):
            assert world.past.outcome(place).changed or act == "link", world.past.outcome(place)
            ann, bob = world.people(pair, last)
            assert (ann == bob) == (act == "link"), world.past.outcome(place)


def test_a_type_that_was_one_too_many_counts_from_where_it_has_a_table(walk: Walk) -> None:
    """What was left out stays left out for who reads behind the graph, whatever becomes known of it later."""
    log = Journey()
    for number in range(WORDS_MAX + 5):
        log.track(external=[(f"t{number}", "1")])
    card = {"external": [("card", "C1")]}
    before = log.track(anonymous="a9", **card)
    log.act(Act(rules=Raw(rules({"ids": {"card": {}}}).json)))
    log.track(anonymous="a10", **card)
    after = log.track(anonymous="a9", **card)
    people = walk(log.records).past.people(log.records)
    assert people[before - 1] != people[after - 1]
    assert people[after - 1] == people[after - 2]
